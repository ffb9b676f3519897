//! What the journal gets.

use std::{
    collections::HashMap,
    io::{IoSliceMut, Read, Seek},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{SealFlags, fcntl_get_seals},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::Signal,
};

use super::{LIMIT, Test, manager::Manager, wait_until};

pub const TESTS: &[Test] = &[
    ("the_journal_gets_fields_of_the_application_and_its_processes", fields),
    ("a_journal_that_does_not_read_holds_nobody_up", does_not_read),
];

type Entry = HashMap<String, String>;

/// As the journal reads it: `NAME=value`, or `NAME`, a length and a value of several lines.
fn parse(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                bytes = rest;
                (&line[..equals], &line[equals + 1..])
            }
            None => {
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                bytes = &rest[8 + length + 1..];
                (line, &rest[8..8 + length])
            }
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(entry.insert(text(name), text(value)).is_none(), "{} twice", text(name));
    }
    entry
}

fn next(socket: &UnixDatagram, limit: Duration) -> Option<Entry> {
    let limit = Timespec::try_from(limit).unwrap();
    if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&limit)).unwrap() == 0 {
        return None;
    }
    let (mut bytes, mut space) = (vec![0; 1 << 20], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    let memory: Option<OwnedFd> = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    let Some(memory) = memory else { return Some(parse(&bytes[..received.bytes])) };
    assert_eq!(received.bytes, 0, "memory comes alone");
    let needed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    assert!(fcntl_get_seals(&memory).unwrap().contains(needed), "the journal takes only what nobody can change");
    let (mut file, mut bytes) = (std::fs::File::from(memory), Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    Some(parse(&bytes))
}

/// The next entry of which this is so.
fn find(socket: &UnixDatagram, is_it: impl Fn(&Entry) -> bool) -> Entry {
    let mut seen = Vec::new();
    while let Some(entry) = next(socket, LIMIT) {
        if is_it(&entry) {
            return entry;
        }
        seen.push(entry);
    }
    panic!("not there: {seen:#?}");
}

fn says(message: &str) -> impl Fn(&Entry) -> bool {
    move |entry| entry["MESSAGE"] == message
}

fn fields() {
    let mut manager = Manager::new();
    let socket = UnixDatagram::bind(manager.path("journal")).unwrap();
    manager.start("journal");
    let own = find(&socket, says("of the application"));
    let get = |entry: &Entry, name: &str| entry.get(name).cloned().unwrap_or_else(|| panic!("no {name} in {entry:?}"));
    assert_eq!((get(&own, "PRIORITY"), get(&own, "SYSLOG_IDENTIFIER")), ("3".into(), "tested".into()));
    assert_eq!((get(&own, "FRAMEWIRE_PROCESS"), get(&own, "F_CAMERA")), ("supervisor".into(), "door".into()));
    assert!(
        get(&own, "CODE_FILE").ends_with("tests/systemd/service.rs") && get(&own, "CODE_LINE").parse::<u32>().is_ok()
    );
    let first = find(&socket, says("first\nPRIORITY=0"));
    assert_eq!(get(&first, "PRIORITY"), "4", "a line break begins no field");
    assert_eq!(
        (get(&first, "FRAMEWIRE_PROCESS"), get(&first, "FRAMEWIRE_RESTART")),
        ("door.decoder".into(), "0".into())
    );
    assert_eq!(get(&first, "F_ANSWER"), "42");
    assert!(get(&first, "CODE_FILE").ends_with("tests/systemd/worker.rs"), "the child's own place: {first:?}");
    assert!(get(&first, "TARGET").ends_with("worker"), "{first:?}");
    let large = |entry: &Entry| entry["MESSAGE"].starts_with("large ");
    let is_printed = says("printed");
    // Two ways to the supervisor, so in any order.
    let one = find(&socket, |entry| large(entry) || is_printed(entry));
    let other = find(&socket, |entry| large(entry) || is_printed(entry));
    let (large, printed) = if large(&one) { (one, other) } else { (other, one) };
    assert_eq!(get(&large, "MESSAGE").len(), "large ".len() + (1 << 20));
    assert_eq!(
        (get(&printed, "F_STREAM"), get(&printed, "FRAMEWIRE_PROCESS")),
        ("stdout".into(), "door.decoder".into())
    );
    let second = find(&socket, says("second"));
    assert_eq!(get(&second, "FRAMEWIRE_RESTART"), "1");
    manager.wait_for_line("logged");
    manager.signal(Signal::TERM);
    assert_eq!(manager.wait_end().code(), Some(0));
}

fn does_not_read() {
    let mut manager = Manager::new();
    let path = manager.path("journal");
    let socket = UnixDatagram::bind(&path).unwrap();
    manager.start("journal");
    find(&socket, says("second"));
    manager.wait_for_line("logged");
    manager.signal(Signal::USR1);
    manager.wait_for_line("flooded"); // so the supervisor, through which all of this went, wasn't held up
    let mut lost = 0u64;
    wait_until("what was lost is told", || {
        // Each thousandth of a second there may be more.
        while let Some(entry) = next(&socket, Duration::from_millis(200)) {
            lost += entry.get("FRAMEWIRE_LOST_BEFORE").map_or(0, |lost| lost.parse().unwrap());
        }
        if lost == 0 {
            manager.signal(Signal::USR1);
        }
        lost > 0
    });
    // A journal that is started anew is found again.
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    manager.signal(Signal::USR1);
    find(&socket, |entry| entry["MESSAGE"].starts_with("flood "));
}
