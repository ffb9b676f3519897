//! What each policy takes, whom it wakes and what it counts.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod support;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shm::{
    doorbell::Doorbell,
    ring::{Counts, Late, Policy, ReadError, Reader, RingError, RingOptions, Writer},
};
use support::{LIMIT, attach, attach_with, publish};

fn ring(depth: u32) -> Writer {
    Writer::create(RingOptions { depth, frame_bytes: 64 }).unwrap()
}

fn rung(bell: &Doorbell) -> bool {
    let mut watched = [PollFd::new(bell, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    let rung = !watched[0].revents().is_empty();
    bell.quiet();
    rung
}

fn sequences(reader: &mut Reader) -> Vec<u64> {
    std::iter::from_fn(|| reader.try_next().unwrap().map(|frame| frame.sequence())).collect()
}

#[test]
fn every_third_is_read_and_nobody_is_woken_for_the_others() {
    let (mut writer, bell) = (ring(4), Doorbell::new().unwrap());
    let mut reader = attach_with(&writer, Policy::Every { n: 3 }, 1, &bell);
    assert!(reader.try_next().unwrap().is_none());
    let mut wakes = Vec::new();
    for number in 1..=10u8 {
        assert!(reader.arm());
        publish(&mut writer, &[number]);
        if rung(&bell) {
            wakes.push(u64::from(number));
            assert_eq!(reader.try_next().unwrap().unwrap().sequence(), u64::from(number));
        }
        assert!(reader.try_next().unwrap().is_none());
    }
    assert_eq!(wakes, [1, 4, 7, 10]);
    let counts = Counts { published: 10, read: 4, skipped: 6, ..Counts::default() };
    assert_eq!((reader.counts(), writer.port().counts()), (counts, vec![counts]));
}

#[test]
fn a_step_wider_than_the_ring_is_deep_sleeps_on_when_it_was_late() {
    let mut writer = ring(4);
    let mut reader = attach(&writer, Policy::Every { n: 100 }, 1);
    publish(&mut writer, b"1");
    assert_eq!(reader.try_next().unwrap().unwrap().sequence(), 1);
    for _ in 2..=150 {
        publish(&mut writer, b"x");
    }
    assert!(reader.arm(), "101 is lost, and 201 isn't there");
    assert!(reader.next_for(Duration::from_millis(10)).unwrap().is_none());
    for _ in 151..=201 {
        publish(&mut writer, b"x");
    }
    assert_eq!(reader.next_for(LIMIT).unwrap().unwrap().sequence(), 201);
    assert_eq!(reader.counts(), Counts { published: 201, read: 2, dropped: 1, skipped: 198, waiting: 0 });
}

#[test]
fn a_rate_is_kept_and_nobody_is_woken_before_a_frame_is_due() {
    let (mut writer, bell) = (ring(4), Doorbell::new().unwrap());
    let period = Duration::from_millis(30);
    let mut reader = attach_with(&writer, Policy::MaxRate { period }, 1, &bell);
    assert!(reader.try_next().unwrap().is_none());
    let (begun, mut published, mut read, mut wakes) = (Instant::now(), 0, Vec::new(), 0);
    while read.len() < 6 {
        assert!(begun.elapsed() < LIMIT);
        assert!(reader.arm());
        publish(&mut writer, b"x");
        published += 1;
        wakes += usize::from(rung(&bell));
        if let Some(frame) = reader.try_next().unwrap() {
            read.push((begun.elapsed(), frame.sequence()));
        }
    }
    assert_eq!(wakes, read.len(), "woken only for what was due");
    let last = read[5].0;
    assert!(last >= period * 5, "{read:?}");
    let counts = reader.counts();
    assert_eq!((counts.published, counts.read, counts.dropped), (published, 6, 0));
    assert_eq!(counts.skipped + counts.waiting, published - 6);
    assert_eq!(writer.port().counts(), [counts]);
}

#[test]
fn a_blocking_reader_gets_everything_in_order_however_slow_it_is() {
    const FRAMES: u64 = 3000;
    let mut writer = ring(3);
    let mut reader = attach(&writer, Policy::Block { timeout: Duration::MAX, late: Late::Drop }, 2);
    let mut fast = attach(&writer, Policy::Latest, 1);
    let consumer = thread::spawn(move || {
        for expected in 1..=FRAMES {
            let frame = reader.next_for(LIMIT).unwrap().unwrap();
            assert_eq!((frame.sequence(), frame.bytes()), (expected, &expected.to_ne_bytes()[..]));
            if expected % 100 == 0 {
                thread::sleep(Duration::from_millis(1)); // sleep: the reader is slow, that is the point
            }
        }
        reader.counts()
    });
    for number in 1..=FRAMES {
        publish(&mut writer, &number.to_ne_bytes());
    }
    let counts = consumer.join().unwrap();
    assert_eq!(counts, Counts { published: FRAMES, read: FRAMES, ..Counts::default() });
    assert_eq!(fast.try_next().unwrap().unwrap().sequence(), FRAMES, "the other one is free to skip");
}

/// Fills the ring, so that its writer waits in the thread that is returned; what it sends is how long it took.
fn blocked(mut writer: Writer, depth: u64) -> (mpsc::Receiver<Duration>, thread::JoinHandle<Writer>) {
    for number in 0..depth {
        publish(&mut writer, &number.to_ne_bytes());
    }
    assert!(matches!(writer.try_reserve(1), Err(RingError::WouldBlock { readers: 1 })));
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let begun = Instant::now();
        publish(&mut writer, b"late");
        sender.send(begun.elapsed()).unwrap();
        writer
    });
    assert!(receiver.recv_timeout(Duration::from_millis(30)).is_err(), "it must wait");
    (receiver, thread)
}

#[test]
fn a_blocked_writer_is_released_by_a_take_by_a_goodbye_and_by_the_timeout() {
    let forever = Policy::Block { timeout: Duration::MAX, late: Late::Drop };
    let writer = ring(2);
    let mut reader = attach(&writer, forever, 1);
    let (released, thread) = blocked(writer, 2);
    assert_eq!(reader.try_next().unwrap().unwrap().sequence(), 1);
    released.recv_timeout(LIMIT).unwrap();
    drop(thread.join().unwrap());
    assert_eq!(sequences_until_the_end(&mut reader), [2, 3]);

    let writer = ring(2);
    let reader = attach(&writer, forever, 1);
    let (released, thread) = blocked(writer, 2);
    drop(reader);
    released.recv_timeout(LIMIT).unwrap();
    assert_eq!(thread.join().unwrap().port().readers(), 0);

    let writer = ring(2);
    let mut reader = attach(&writer, Policy::Block { timeout: Duration::from_millis(500), late: Late::Drop }, 1);
    let (released, thread) = blocked(writer, 2);
    assert!(released.recv_timeout(LIMIT).unwrap() >= Duration::from_millis(500));
    let mut writer = thread.join().unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        publish(&mut writer, b"more");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "one that is late isn't waited for again");
    assert_eq!(sequences(&mut reader), [102, 103]);
    let counts = Counts { published: 103, read: 2, dropped: 101, ..Counts::default() };
    assert_eq!((reader.counts(), writer.port().counts()), (counts, vec![counts]));

    let writer = ring(2);
    let mut reader = attach(&writer, Policy::Block { timeout: Duration::from_millis(500), late: Late::Detach }, 1);
    let (released, thread) = blocked(writer, 2);
    released.recv_timeout(LIMIT).unwrap();
    assert_eq!(thread.join().unwrap().port().readers(), 0);
    assert!(sequences_until_the_end(&mut reader).len() >= 2, "and what it still can read, it reads");
}

/// Whoever services the port sees a goodbye first; the blocked writer must go on all the same.
#[test]
fn a_blocked_writer_is_released_also_when_another_thread_lets_the_reader_go() {
    for _ in 0..50 {
        let writer = ring(2);
        let reader = attach(&writer, Policy::Block { timeout: Duration::MAX, late: Late::Drop }, 1);
        let port = writer.port();
        let (stop, stopped) = mpsc::channel::<()>();
        let servant = thread::spawn(move || {
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                port.service();
            }
        });
        let (released, thread) = blocked(writer, 2);
        drop(reader);
        released.recv_timeout(LIMIT).unwrap();
        drop(stop);
        servant.join().unwrap();
        thread.join().unwrap();
    }
}

#[test]
fn a_detached_reader_reads_what_there_was_and_no_more() {
    let mut writer = ring(2);
    let mut reader = attach(&writer, Policy::Block { timeout: Duration::ZERO, late: Late::Detach }, 1);
    for number in 1..=4u8 {
        publish(&mut writer, &[number]);
    }
    reader.service().unwrap();
    assert!(reader.has_ended());
    assert_eq!(reader.try_next().unwrap().unwrap().sequence(), 3);
    for _ in 0..10 {
        publish(&mut writer, &[0; 100_000]);
    }
    assert!(matches!(reader.try_next(), Err(ReadError::WriterGone)));
}

#[test]
fn a_writer_can_refuse_to_wait() {
    let mut writer = ring(2).waiting_at_most(Duration::ZERO);
    let mut reader = attach(&writer, Policy::Block { timeout: Duration::MAX, late: Late::Drop }, 1);
    for _ in 0..100 {
        publish(&mut writer, b"x");
    }
    assert_eq!(sequences(&mut reader), [99, 100]);
}

#[test]
fn who_only_ever_polls_sees_the_end_as_well() {
    let writer = ring(2);
    let mut reader = attach(&writer, Policy::Latest, 1);
    assert!(reader.try_next().unwrap().is_none());
    drop(writer);
    let ended = (0..100).any(|_| matches!(reader.try_next(), Err(ReadError::WriterGone)));
    assert!(ended);
    let writer = ring(2);
    let mut reader = attach(&writer, Policy::Latest, 1);
    drop(writer);
    assert!(reader.next_for(Duration::ZERO).is_err());
}

fn sequences_until_the_end(reader: &mut Reader) -> Vec<u64> {
    let mut read = Vec::new();
    loop {
        match reader.next_for(LIMIT) {
            Ok(frame) => read.push(frame.unwrap().sequence()),
            Err(ReadError::WriterGone) => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_reader_that_comes_late_begins_with_what_is_there_and_then_blocks() {
    let mut writer = ring(4);
    for number in 1..=9u8 {
        publish(&mut writer, &[number]);
    }
    let mut reader = attach(&writer, Policy::Block { timeout: Duration::MAX, late: Late::Drop }, 1);
    assert_eq!(reader.try_next().unwrap().unwrap().sequence(), 7);
    publish(&mut writer, b"x");
    publish(&mut writer, b"y");
    assert!(matches!(writer.try_reserve(1), Err(RingError::WouldBlock { readers: 1 })));
    assert_eq!(sequences(&mut reader), [8, 9, 10, 11]);
}

#[test]
fn small_frames_are_inline_and_a_larger_one_still_fits() {
    for size in [1, 200, 256, 257, 1000, 1024] {
        let mut writer = Writer::create(RingOptions { depth: 3, frame_bytes: size }).unwrap();
        let mut reader = attach(&writer, Policy::DropOldest { depth: 3 }, 3);
        for round in 0..20u8 {
            publish(&mut writer, &vec![round; size]);
            assert_eq!(reader.try_next().unwrap().unwrap().bytes(), vec![round; size]);
        }
        let kept = {
            publish(&mut writer, b"kept");
            reader.try_next().unwrap().unwrap()
        };
        for round in 0..20u8 {
            publish(&mut writer, &vec![round; 100 * size + 3000]);
            assert_eq!(reader.try_next().unwrap().unwrap().bytes(), vec![round; 100 * size + 3000]);
            publish(&mut writer, b"small again");
            assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"small again");
        }
        assert_eq!(kept.bytes(), b"kept");
        let mut late = attach(&writer, Policy::Latest, 1);
        assert_eq!(late.try_next().unwrap().unwrap().bytes(), b"small again");
    }
}

#[test]
fn sixty_four_readers_may_join_and_the_next_is_told_what_to_do() {
    let mut writer = ring(2);
    let mut readers: Vec<Reader> = (0..64).map(|_| attach(&writer, Policy::Latest, 1)).collect();
    let told = attach(&writer, Policy::Latest, 1).try_next().unwrap_err().to_string();
    assert!(told.contains("64 readers") && told.contains("ring of its own"), "{told}");
    publish(&mut writer, b"to all");
    assert!(readers.iter_mut().all(|reader| reader.try_next().unwrap().unwrap().bytes() == b"to all"));
}

#[test]
fn a_budget_refuses_a_reader_and_a_frame_with_the_numbers() {
    let options = RingOptions { depth: 2, frame_bytes: 100_000 };
    let mut writer = Writer::create_within(options, 500_000).unwrap();
    let mut reader = attach(&writer, Policy::Latest, 1);
    let told = attach(&writer, Policy::Latest, 5).try_next().unwrap_err().to_string();
    assert!(told.contains("500000") && told.contains("available on this machine"), "{told}");
    let told = writer.reserve(300_000).unwrap_err();
    assert!(
        matches!(told, RingError::OverBudget { asked_bytes, budget_bytes: 500_000, .. } if asked_bytes >= 1_200_000)
    );
    publish(&mut writer, b"it goes on");
    assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"it goes on");
    assert!(matches!(Writer::create_within(options, 100_000), Err(RingError::OverBudget { .. })));
}

#[test]
fn a_spinning_reader_gets_the_same_frames() {
    let mut writer = ring(4);
    let mut reader = attach(&writer, Policy::DropOldest { depth: 4 }, 1).spinning(Duration::from_micros(200));
    let (go, gone) = mpsc::sync_channel(0);
    let sleeper = thread::spawn(move || {
        for expected in 1..=500 {
            go.send(()).unwrap();
            assert_eq!(reader.next_for(LIMIT).unwrap().unwrap().sequence(), expected);
        }
        assert!(reader.next_for(Duration::from_millis(1)).unwrap().is_none());
    });
    for _ in 0..500 {
        gone.recv().unwrap();
        publish(&mut writer, b"x");
    }
    sleeper.join().unwrap();
}

#[test]
fn wishes_that_make_no_sense_are_refused_at_once() {
    let nonsense =
        [Policy::Every { n: 0 }, Policy::DropOldest { depth: 0 }, Policy::MaxRate { period: Duration::ZERO }];
    for policy in nonsense {
        let (_ours, theirs) = shm::wire::Socket::pair().unwrap();
        let told = Reader::connect(theirs, &Doorbell::new().unwrap(), shm::ring::Wish { policy, leases: 1 });
        assert!(matches!(told, Err(ReadError::Refused(_))), "{policy:?}");
    }
}
