//! The ring as two programs use it, with both ends in this process.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod support;

use shm::{
    doorbell::Doorbell,
    ring::{Counts, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::{Packet, Socket},
};
use support::{LIMIT, attach, publish};

fn ring(depth: u32) -> Writer {
    Writer::create(RingOptions { depth, frame_bytes: 4096 }).unwrap()
}

#[test]
fn drop_oldest_reads_in_order_and_counts_what_it_lost() {
    let mut writer = ring(4);
    let mut reader = attach(&writer, Policy::DropOldest { depth: 4 }, 1);
    let mut read = Vec::new();
    for value in 1..=10u8 {
        publish(&mut writer, &[value]);
    }
    while let Some(frame) = reader.try_next().unwrap() {
        read.push(frame.bytes()[0]);
    }
    assert_eq!(read, [7, 8, 9, 10]);
    let counts = Counts { published: 10, read: 4, dropped: 6, ..Counts::default() };
    assert_eq!((reader.counts(), writer.port().counts()), (counts, vec![counts]));
}

#[test]
fn latest_skips_and_a_late_reader_begins_with_what_is_there() {
    let mut writer = ring(4);
    for value in 1..=3u8 {
        publish(&mut writer, &[value]);
    }
    let mut latest = attach(&writer, Policy::Latest, 1);
    let mut all = attach(&writer, Policy::DropOldest { depth: 8 }, 1);
    assert_eq!(latest.try_next().unwrap().unwrap().sequence(), 3);
    assert_eq!(all.try_next().unwrap().unwrap().sequence(), 1);
    publish(&mut writer, &[4]);
    publish(&mut writer, &[5]);
    assert_eq!(latest.try_next().unwrap().unwrap().sequence(), 5);
    let counts = Counts { published: 3, read: 2, skipped: 1, ..Counts::default() };
    assert_eq!((latest.counts(), writer.port().counts()[0]), (counts, counts));
    publish(&mut writer, &[6]);
    assert_eq!(all.counts(), Counts { published: 6, read: 1, dropped: 1, skipped: 0, waiting: 4 });
    assert_eq!(writer.port().counts(), [latest.counts(), all.counts()], "also without reading on");
}

#[test]
fn a_held_frame_never_changes_and_too_many_are_an_error_that_heals() {
    let mut writer = ring(1);
    let mut reader = attach(&writer, Policy::Latest, 2);
    publish(&mut writer, b"one");
    let one = reader.try_next().unwrap().unwrap();
    publish(&mut writer, b"two");
    let two = reader.try_next().unwrap().unwrap();
    for round in 0..100u8 {
        publish(&mut writer, &[round; 3]);
        assert_eq!((one.bytes(), two.bytes()), (&b"one"[..], &b"two"[..]));
    }
    assert!(matches!(reader.try_next(), Err(ReadError::AllLeasesHeld { leases: 2 })));
    let clone = one.clone();
    drop(one);
    assert!(reader.try_next().is_err(), "a clone holds it");
    drop(clone);
    assert_eq!(reader.try_next().unwrap().unwrap().bytes(), [99; 3]);
}

#[test]
fn frames_outlive_reader_and_writer() {
    let mut writer = ring(1);
    let mut reader = attach(&writer, Policy::Latest, 1);
    publish(&mut writer, b"kept");
    let frame = reader.try_next().unwrap().unwrap();
    drop(reader);
    writer.port().service();
    assert_eq!(writer.port().readers(), 1, "the frame keeps its session");
    for value in 0..20u8 {
        publish(&mut writer, &[value; 4]);
    }
    assert_eq!(frame.bytes(), b"kept");
    drop(writer);
    assert_eq!(frame.bytes(), b"kept");
}

#[test]
fn a_reader_that_goes_is_forgotten_and_one_that_comes_takes_its_slots() {
    let mut writer = ring(2);
    for _ in 0..2000 {
        let mut reader = attach(&writer, Policy::Latest, 8);
        publish(&mut writer, b"x");
        assert!(reader.try_next().unwrap().is_some());
        drop(reader);
        writer.port().service();
        assert_eq!(writer.port().readers(), 0);
    }
}

#[test]
fn a_larger_frame_grows_the_ring_and_loses_nothing() {
    let mut writer = ring(8);
    let mut reader = attach(&writer, Policy::DropOldest { depth: 8 }, 2);
    let mut previous = None;
    for round in 0..60usize {
        let size = if round % 5 == 0 { 1000 * (1 + round * round) } else { 500 };
        publish(&mut writer, &vec![round as u8; size]);
        let frame = reader.try_next().unwrap().unwrap();
        assert_eq!(frame.bytes().len(), size);
        assert!(frame.bytes().iter().all(|byte| *byte == round as u8));
        previous = Some(frame);
    }
    assert_eq!(reader.counts().read, 60);
    let mut late = attach(&writer, Policy::DropOldest { depth: 8 }, 1);
    assert_eq!(late.try_next().unwrap().unwrap().bytes()[0], 52);
    drop(previous);
}

#[test]
fn an_impossible_size_is_an_error_with_the_numbers_and_the_ring_goes_on() {
    let mut writer = ring(2);
    let mut reader = attach(&writer, Policy::Latest, 1);
    let told = writer.reserve(1 << 50).unwrap_err().to_string();
    assert!(told.contains("reserve") && told.contains("available"), "{told}");
    publish(&mut writer, b"on");
    assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"on");
}

#[test]
fn what_was_published_is_read_before_the_writers_end_is_told() {
    let mut writer = ring(4);
    let mut reader = attach(&writer, Policy::DropOldest { depth: 4 }, 1);
    publish(&mut writer, b"last");
    drop(writer);
    reader.service().unwrap();
    assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"last");
    assert!(matches!(reader.try_next(), Err(ReadError::WriterGone)));
    assert!(matches!(reader.next_for(LIMIT), Err(ReadError::WriterGone)), "and it doesn't wait");
}

#[test]
fn a_sleeping_reader_is_woken_by_a_frame_and_by_the_writers_end() {
    let mut writer = ring(4);
    let mut reader = attach(&writer, Policy::DropOldest { depth: 4 }, 1);
    let (ready, go) = std::sync::mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let mut read = 0;
        loop {
            ready.send(()).unwrap();
            match reader.next_for(LIMIT) {
                Ok(Some(_)) => read += 1,
                Ok(None) => panic!("not woken within the limit"),
                Err(ReadError::WriterGone) => return read,
                Err(error) => panic!("{error}"),
            }
        }
    });
    for _ in 0..1000 {
        go.recv().unwrap();
        publish(&mut writer, b"x");
    }
    go.recv().unwrap();
    drop(writer);
    assert_eq!(sleeper.join().unwrap(), 1000);
}

#[test]
fn an_unfilled_slot_is_never_seen() {
    let mut writer = ring(1);
    let mut reader = attach(&writer, Policy::Latest, 1);
    publish(&mut writer, b"first");
    for _ in 0..10 {
        writer.reserve(5).unwrap().bytes_mut().copy_from_slice(b"never");
    }
    assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"first");
    assert!(reader.try_next().unwrap().is_none());
}

#[test]
fn a_reader_that_asks_for_nonsense_is_told_why() {
    let writer = ring(1);
    for leases in [0, 65, u32::MAX] {
        let (_ours, theirs) = Socket::pair().unwrap();
        let wish = Wish { policy: Policy::Latest, leases };
        let told = Reader::connect(theirs, &Doorbell::new().unwrap(), wish).unwrap_err();
        assert!(matches!(&told, ReadError::Refused(why) if why.contains("1 to 64")), "{told}");
    }
    let mut readers: Vec<Reader> = (0..40).map(|_| attach(&writer, Policy::Latest, 64)).collect();
    let refused = readers.iter_mut().filter_map(|reader| reader.try_next().err()).last().unwrap();
    assert!(refused.to_string().contains("1024 is the most"), "{refused}");
}

#[test]
fn a_writer_or_reader_that_speaks_nonsense_is_an_error() {
    let writer = ring(1);
    let (ours, theirs) = Socket::pair().unwrap();
    writer.port().add(ours).unwrap();
    theirs.send(&Packet { bytes: vec![1, 2, 3], descriptors: Vec::new() }).unwrap();
    writer.port().service();
    assert_eq!(writer.port().readers(), 0);

    let (ours, theirs) = Socket::pair().unwrap();
    let bell = Doorbell::new().unwrap();
    let mut reader = Reader::connect(theirs, &bell, Wish { policy: Policy::Latest, leases: 1 }).unwrap();
    ours.send(&Packet { bytes: vec![0xc1; 30], descriptors: Vec::new() }).unwrap();
    assert!(matches!(reader.try_next(), Err(ReadError::Protocol(_))));
}

/// A writer that can't tell a reader something has to let it go; what that reader holds stays whole all the same.
#[test]
fn a_reader_that_is_let_go_keeps_its_frames_until_it_drops_them() {
    let mut writer = ring(1);
    let (ours, theirs) = Socket::pair().unwrap();
    let rogue = Socket::from_owned(std::os::fd::AsFd::as_fd(&theirs).try_clone_to_owned().unwrap());
    writer.port().add(ours).unwrap();
    let wish = Wish { policy: Policy::Latest, leases: 2 };
    let mut reader = Reader::connect(theirs, &Doorbell::new().unwrap(), wish).unwrap();
    writer.port().service();
    publish(&mut writer, b"held");
    let frame = reader.try_next().unwrap().unwrap();
    rogue.send(&Packet::default()).unwrap(); // which no reader says
    writer.port().service();
    assert_eq!(writer.port().readers(), 0, "it is let go");
    for round in 0..20u8 {
        publish(&mut writer, &[round; 4]);
        let newest = reader.try_next().unwrap().unwrap();
        publish(&mut writer, &[99; 4]);
        assert_eq!((frame.bytes(), newest.bytes()), (&b"held"[..], &[round; 4][..]));
    }
    drop(writer);
    reader.service().unwrap();
    reader.try_next().unwrap();
    assert!(matches!(reader.try_next(), Err(ReadError::WriterGone)));
}
