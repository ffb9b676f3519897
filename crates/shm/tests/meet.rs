//! Programs that have nothing to do with each other meet at an address.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{fs, os::unix::net::UnixListener, path::PathBuf, thread, time::Duration};

use shm::ring::{Address, Allow, Info, MeetError, Policy, Ring, RingOptions, Wish, Writer};

const LIMIT: Duration = Duration::from_secs(20);

const WISH: Wish = Wish { policy: Policy::DropOldest { depth: 4 }, leases: 1 };

fn publish(writer: &mut Writer, bytes: &[u8]) {
    let mut slot = writer.reserve(bytes.len()).unwrap();
    slot.bytes_mut().copy_from_slice(bytes);
    slot.publish(Info::default());
}

fn ring() -> Writer {
    Writer::create(RingOptions { depth: 4, frame_bytes: 64 }).unwrap()
}

/// A folder of this test's own, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("shm-meet-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hand_over(address: &Address) {
    let mut writer = ring();
    let served = Ring::serve(&writer, address, Allow::SameUser).unwrap();
    let mut readers: Vec<_> = (0..5).map(|_| Ring::connect(address, Allow::SameUser, WISH, LIMIT).unwrap()).collect();
    publish(&mut writer, b"hello");
    for reader in &mut readers {
        assert_eq!(reader.next_for(LIMIT).unwrap().unwrap().bytes(), b"hello");
    }
    drop(served);
    assert!(matches!(Ring::connect(address, Allow::SameUser, WISH, Duration::ZERO), Err(MeetError::Connect { .. })));
    publish(&mut writer, b"those who are in stay");
    assert_eq!(readers[0].next_for(LIMIT).unwrap().unwrap().bytes(), b"those who are in stay");
}

#[test]
fn they_meet_at_a_path_and_at_an_abstract_name_and_leave_nothing() {
    let folder = Folder::new("both");
    hand_over(&Address::Path(folder.0.join("ring")));
    assert_eq!(folder.files(), 0);
    hand_over(&Address::Abstract(format!("shm-meet-{}", std::process::id())));
}

#[test]
fn a_path_left_behind_is_taken_over_and_a_served_one_is_not() {
    let folder = Folder::new("stale");
    let address = Address::Path(folder.0.join("ring"));
    drop(UnixListener::bind(folder.0.join("ring")).unwrap()); // as a killed process leaves it
    assert_eq!(folder.files(), 1);
    hand_over(&address);
    let (writer, other) = (ring(), ring());
    let served = Ring::serve(&writer, &address, Allow::SameUser).unwrap();
    let told = Ring::serve(&other, &address, Allow::SameUser).unwrap_err().to_string();
    assert!(told.contains("is another program serving there"), "{told}");
    assert!(Ring::connect(&address, Allow::SameUser, WISH, Duration::ZERO).is_ok(), "and the first one still serves");
    drop(served);
    assert_eq!(folder.files(), 0);
    fs::write(folder.0.join("ring"), b"precious").unwrap();
    assert!(Ring::serve(&writer, &address, Allow::SameUser).is_err());
    assert_eq!(fs::read(folder.0.join("ring")).unwrap(), b"precious", "a file that isn't a socket stays");
}

#[test]
fn a_reader_may_come_before_its_writer() {
    let address = Address::Abstract(format!("shm-meet-early-{}", std::process::id()));
    let at = address.clone();
    let early = thread::spawn(move || {
        let mut reader = Ring::connect(&at, Allow::SameUser, WISH, LIMIT).unwrap();
        reader.next_for(LIMIT).unwrap().unwrap().sequence()
    });
    let mut writer = ring();
    let _served = Ring::serve(&writer, &address, Allow::SameUser).unwrap();
    publish(&mut writer, b"x");
    assert_eq!(early.join().unwrap(), 1);
}
