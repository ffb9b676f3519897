//! Real processes that are killed, stopped and forked around a ring.
//!
//! Such a process is this test program, started again with `SHM_TEST_ROLE` set and its session as standard input.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod support;

use std::{
    io::{BufRead, BufReader},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shm::{
    doorbell::Doorbell,
    ring::{Frame, Late, Policy, ReadError, Reader, RingError, RingOptions, Wish, Writer},
    wire::Socket,
};
use support::{LIMIT, attach, publish};

const FOREVER: Policy = Policy::Block { timeout: Duration::MAX, late: Late::Drop };
const BYTES: usize = 50_000;

/// Not a test of its own: what another process runs.
#[test]
fn role_process() {
    match std::env::var("SHM_TEST_ROLE").as_deref() {
        Ok("holder") => hold(FOREVER, |_| ()),
        Ok("holder of the newest") => hold(Policy::Latest, |_| ()),
        Ok("forking holder") => hold(FOREVER, |_| fork_a_child_that_stays()),
        Ok("writer") => write(|| ()),
        Ok("forking writer") => write(fork_a_child_that_stays),
        Ok("forking reader that leaves") => leave_a_forked_child_with_a_reader(),
        Ok("forking writer that leaves") => {
            write_and_then(|writer| {
                fork_a_child_that_stays();
                drop(writer);
            });
        }
        Ok("forked") => use_everything_in_a_forked_child(),
        Ok(role) => panic!("no role {role}"),
        Err(_) => {}
    }
}

fn session() -> Socket {
    Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap())
}

/// Takes one frame, keeps it, says so, and sees to it that it doesn't change.
fn hold(policy: Policy, then: fn(&Frame)) {
    let mut reader = Reader::connect(session(), &Doorbell::new().unwrap(), Wish { policy, leases: 2 }).unwrap();
    let held = reader.next_for(LIMIT).unwrap().unwrap();
    let content = held.bytes().to_vec();
    then(&held);
    println!("holding");
    if policy == FOREVER {
        thread::sleep(LIMIT); // sleep: it is there to be waited for, until the test kills it
    }
    loop {
        assert_eq!(held.bytes(), content, "the held frame changed");
        match reader.next_for(LIMIT) {
            Ok(_) => {}
            Err(ReadError::WriterGone) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A forked child that keeps all descriptors until the test kills it, whatever becomes of its parent.
fn fork_a_child_that_stays() {
    // SAFETY: the child only sleeps.
    match unsafe { libc::fork() } {
        0 => loop {
            thread::sleep(LIMIT); // sleep: there to hold descriptors, and nothing else
        },
        child => println!("child {child}"),
    }
}

/// A reader that is dropped, by a process that lives on, while a forked child holds a copy of its session.
fn leave_a_forked_child_with_a_reader() {
    let wish = Wish { policy: FOREVER, leases: 2 };
    let mut reader = Reader::connect(session(), &Doorbell::new().unwrap(), wish).unwrap();
    drop(reader.next_for(LIMIT).unwrap().unwrap());
    fork_a_child_that_stays();
    println!("holding");
    thread::sleep(Duration::from_millis(100)); // sleep: so that the writer is asleep by then; either way is right
    drop(reader);
    thread::sleep(LIMIT); // sleep: until the test kills us
}

fn write(then: fn()) {
    write_and_then(|writer| {
        then();
        println!("written");
        thread::sleep(LIMIT); // sleep: until the test kills us
        drop(writer);
    });
}

fn write_and_then(then: impl FnOnce(Writer)) {
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 64 }).unwrap();
    writer.port().add(session()).unwrap();
    while writer.port().readers() == 0 {
        writer.port().service();
        thread::yield_now();
    }
    publish(&mut writer, b"the last words");
    then(writer);
    println!("left");
    thread::sleep(LIMIT); // sleep: until the test kills us
}

fn use_everything_in_a_forked_child() {
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 64 }).unwrap();
    let mut reader = attach(&writer, Policy::DropOldest { depth: 2 }, 2);
    publish(&mut writer, b"held");
    let frame = reader.try_next().unwrap().unwrap();
    publish(&mut writer, b"next");
    // SAFETY: the child uses memory of this thread's own, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(reader.try_next(), Err(ReadError::Forked(_)))
            && matches!(reader.service(), Err(ReadError::Forked(_)))
            && matches!(writer.reserve(4), Err(RingError::Forked(_)))
            && matches!(writer.port().add(Socket::pair().unwrap().0), Err(RingError::Forked(_)));
        drop((frame, reader, writer)); // and none of this may reach its parent
        // What a child makes itself, it can use.
        let mut own = Writer::create(RingOptions { depth: 1, frame_bytes: 4 }).unwrap();
        let mut own_reader = attach(&own, Policy::Latest, 1);
        publish(&mut own, b"mine");
        let works = own_reader.try_next().unwrap().unwrap().bytes() == b"mine";
        // SAFETY: ends the child at once, without what its parent registered for its own end.
        unsafe { libc::_exit(i32::from(!(refused && works))) };
    }
    let (_, status) =
        rustix::process::waitpid(Pid::from_raw(child), rustix::process::WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "the child found a handle that works, or its own that doesn't");
    for round in 0..20u8 {
        publish(&mut writer, &[round; 4]);
        assert_eq!(frame.bytes(), b"held", "the child let go of what its parent holds");
    }
    assert_eq!(writer.port().readers(), 1);
    assert!(reader.try_next().unwrap().is_some());
}

/// Another process, killed when the test ends.
struct Other {
    child: Child,
    said: BufReader<ChildStdout>,
    forked: Option<Pid>,
}

impl Other {
    fn start(role: &str, session: Socket) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role_process", "--nocapture"])
            .env("SHM_TEST_ROLE", role)
            .stdin(Stdio::from(session.into_owned()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said, forked: None }
    }

    /// Reads what it says up to `word`.
    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while self.said.read_line(&mut line).unwrap() > 0 {
            if let Some((_, child)) = line.split_once("child ") {
                self.forked = Pid::from_raw(child.trim().parse().unwrap());
            }
            if line.contains(word) {
                return;
            }
            line.clear();
        }
        panic!("the other process ended without saying {word:?}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(child) = self.forked {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

fn ring_with(role: &str) -> (Writer, Other) {
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: BYTES }).unwrap();
    let (ours, theirs) = Socket::pair().unwrap();
    writer.port().add(ours).unwrap();
    let mut other = Other::start(role, theirs);
    let begun = Instant::now();
    while writer.port().readers() == 0 {
        assert!(begun.elapsed() < LIMIT);
        writer.port().service();
        thread::yield_now();
    }
    publish(&mut writer, &[1; BYTES]);
    other.wait_for("holding");
    (writer, other)
}

/// A blocked writer goes on so soon after the death of its reader.
const ENOUGH: Duration = Duration::from_millis(5);

/// How long after the death of its only reader a blocked writer goes on: the best of a few times, since the machine has
/// other things to do as well.
fn released_after_death_of(role: &str) -> Duration {
    let measure = || {
        let (mut writer, other) = ring_with(role);
        while writer.try_reserve(1).is_ok() {
            publish(&mut writer, &[2; BYTES]);
        }
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20)); // sleep: so that the writer is asleep by then; either way is right
            let killed = Instant::now();
            other.signal(Signal::KILL);
            (killed, other)
        });
        publish(&mut writer, &[3; BYTES]);
        let released = Instant::now();
        let (killed, _other) = killer.join().unwrap();
        assert_eq!(writer.port().readers(), 0);
        released.saturating_duration_since(killed)
    };
    let mut best = Duration::MAX;
    for _ in 0..40 {
        best = best.min(measure());
        if best < ENOUGH {
            break;
        }
    }
    best
}

#[test]
fn a_blocked_writer_is_released_by_its_readers_death() {
    let took = released_after_death_of("holder");
    assert!(took < ENOUGH, "{took:?}");
}

#[test]
fn a_blocked_writer_is_released_also_when_a_forked_child_still_holds_the_session() {
    let took = released_after_death_of("forking holder");
    assert!(took < ENOUGH, "{took:?}");
}

#[test]
fn a_reader_that_is_dropped_lets_go_also_when_a_forked_child_still_holds_the_session() {
    let (mut writer, _other) = ring_with("forking reader that leaves");
    for round in 0..20u8 {
        publish(&mut writer, &[round; 10]);
    }
    assert_eq!(writer.port().readers(), 0);
}

#[test]
fn a_writer_that_is_dropped_is_gone_also_when_a_forked_child_still_holds_the_session() {
    let (ours, theirs) = Socket::pair().unwrap();
    let mut other = Other::start("forking writer that leaves", theirs);
    let wish = Wish { policy: Policy::DropOldest { depth: 2 }, leases: 1 };
    let mut reader = Reader::connect(ours, &Doorbell::new().unwrap(), wish).unwrap();
    assert_eq!(reader.next_for(LIMIT).unwrap().unwrap().bytes(), b"the last words");
    other.wait_for("left");
    assert!(matches!(reader.next_for(LIMIT), Err(ReadError::WriterGone)));
}

#[test]
fn a_stopped_reader_keeps_what_it_holds_and_harms_nobody() {
    let (mut writer, mut other) = ring_with("holder of the newest");
    let mut fast = attach(&writer, Policy::DropOldest { depth: 2 }, 1);
    while fast.try_next().unwrap().is_some() {}
    other.signal(Signal::STOP);
    for round in 0..5000u32 {
        publish(&mut writer, &[round as u8; 100]);
        assert_eq!(fast.try_next().unwrap().unwrap().bytes(), &[round as u8; 100]);
    }
    other.signal(Signal::CONT);
    drop((writer, fast));
    // It looks at what it held once more, and ends well when its writer is gone.
    assert_eq!(other.child.wait().unwrap().code(), Some(0), "the held frame changed");
}

fn writer_dies(role: &str) {
    let (ours, theirs) = Socket::pair().unwrap();
    let mut other = Other::start(role, theirs);
    let wish = Wish { policy: Policy::DropOldest { depth: 2 }, leases: 1 };
    let mut reader = Reader::connect(ours, &Doorbell::new().unwrap(), wish).unwrap();
    let frame = reader.next_for(LIMIT).unwrap().unwrap();
    other.wait_for("written");
    other.signal(Signal::KILL);
    assert!(matches!(reader.next_for(LIMIT), Err(ReadError::WriterGone)));
    assert_eq!(frame.bytes(), b"the last words");
    assert_eq!(other.child.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_writers_death_is_seen_and_its_frames_stay() {
    writer_dies("writer");
}

#[test]
fn a_writers_death_is_seen_also_when_a_forked_child_still_holds_the_session() {
    writer_dies("forking writer");
}

#[test]
fn a_forked_child_is_refused_by_every_handle_and_disturbs_nobody() {
    let (session, _other) = Socket::pair().unwrap();
    let mut other = Other::start("forked", session);
    assert_eq!(other.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reserved_slot_is_seen_by_nobody_when_its_writer_dies() {
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 64 }).unwrap();
    let mut reader = attach(&writer, Policy::DropOldest { depth: 2 }, 1);
    publish(&mut writer, b"whole");
    let mut slot = writer.reserve(5).unwrap();
    slot.bytes_mut().copy_from_slice(b"half.");
    std::mem::forget(slot); // as a killed writer leaves it
    drop(writer);
    reader.service().unwrap();
    assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"whole");
    assert!(matches!(reader.try_next(), Err(ReadError::WriterGone)));
}
