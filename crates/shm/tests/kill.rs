//! Readers in real processes, killed at random instants while they hold frames: no frame tears, the writer never
//! starves, and nothing is left. With the feature `control-no-scan` the protocol is broken on purpose, and this very test
//! must fail; further controls are in `src/ring/loom.rs`.
//!
//! A reader process is this test program, started again with `SHM_TEST_READER` set and its session as standard input.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    fs,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use shm::{
    doorbell::Doorbell,
    ring::{Info, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::Socket,
};

const READERS: usize = 3;
const LEASES: u32 = 2;
const FRAME_BYTES: usize = 64 * 1024;
const TORN: i32 = 7;

/// Not a test of its own: what a reader process runs.
#[test]
fn reader_process() {
    if std::env::var_os("SHM_TEST_READER").is_none() {
        return;
    }
    let session = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let policy = if std::process::id().is_multiple_of(2) { Policy::Latest } else { Policy::DropOldest { depth: 4 } };
    let bell = Doorbell::new().unwrap();
    let Ok(mut reader) = Reader::connect(session, &bell, Wish { policy, leases: LEASES }) else {
        return; // the test was over before this process began
    };
    let mut previous = None;
    loop {
        match reader.next_for(Duration::from_secs(60)) {
            Ok(frame) => {
                for frame in [&frame, &previous].into_iter().flatten() {
                    let first = frame.bytes()[0];
                    let whole = frame.bytes().iter().all(|byte| *byte == first);
                    if !whole || first != frame.sequence() as u8 || frame.bytes().len() != FRAME_BYTES {
                        std::process::exit(TORN);
                    }
                }
                // Most of its life it holds two frames: a kill leaves them held.
                previous = frame;
            }
            Err(ReadError::WriterGone) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn start_reader(writer: &Writer) -> Child {
    let (ours, theirs) = Socket::pair().unwrap();
    writer.port().add(ours).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reader_process", "--nocapture"])
        .env("SHM_TEST_READER", "1")
        .stdin(Stdio::from(theirs.into_owned()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn names_in_shm() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir("/dev/shm")
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
#[cfg_attr(feature = "control-no-scan", should_panic(expected = "exit code 7 is a torn frame"))]
fn readers_killed_at_any_instant_tear_nothing_and_starve_nobody() {
    let (names, descriptors) = (names_in_shm(), open_descriptors());
    let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: FRAME_BYTES }).unwrap();
    let mut readers: Vec<Child> = (0..READERS).map(|_| start_reader(&writer)).collect();
    let (mut kills, mut chance) = (0, 0x2545_f491_4f6c_dd1d_u64);
    let end = Instant::now() + Duration::from_secs(60);
    while kills < 150 {
        assert!(Instant::now() < end, "only {kills} kills within the limit");
        let mut slot = writer.reserve(FRAME_BYTES).unwrap();
        let value = slot.sequence() as u8;
        slot.bytes_mut().fill(value);
        slot.publish(Info::default());
        writer.port().service();
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let ended = readers.iter_mut().find_map(|reader| reader.try_wait().unwrap());
        assert_eq!(ended, None, "a reader ended by itself; exit code 7 is a torn frame");
        // A kill needs everybody to have joined, so that it meets a reader at work and not one that starts.
        if writer.port().readers() == READERS && chance.is_multiple_of(50) {
            let victim = (chance >> 32) as usize % READERS;
            readers[victim].kill().unwrap();
            let status = readers[victim].wait().unwrap();
            assert_eq!(status.signal(), Some(9), "a reader ended by itself; exit code 7 is a torn frame");
            writer.port().service();
            readers[victim] = start_reader(&writer);
            kills += 1;
        }
    }
    drop(writer);
    for mut reader in readers {
        assert_eq!(reader.wait().unwrap().code(), Some(0), "exit code 7 is a torn frame");
    }
    assert_eq!(names_in_shm(), names, "something was left in /dev/shm");
    assert_eq!(open_descriptors(), descriptors, "descriptors leaked");
}
