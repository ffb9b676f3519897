//! Futures and wait sets, as a program with many rings uses them.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod support;

use std::{
    io::Write,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use shm::{
    doorbell::Doorbell,
    ring::{Policy, ReadError, Reader, RingOptions, Writer},
    wait::{WaitError, WaitSet},
};
use support::{LIMIT, attach, attach_with, publish};

fn ring() -> Writer {
    Writer::create(RingOptions { depth: 4, frame_bytes: 64 }).unwrap()
}

const ALL: Policy = Policy::DropOldest { depth: 4 };

async fn read_all(mut reader: Reader, ready: mpsc::Sender<()>) -> u64 {
    let mut read = 0;
    loop {
        ready.send(()).unwrap();
        match tokio::time::timeout(LIMIT, reader.next()).await.unwrap() {
            Ok(frame) => {
                read += 1;
                assert_eq!(frame.sequence(), read);
            }
            Err(ReadError::WriterGone) => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

/// One frame after the other, each when the reader is about to sleep.
fn feed(mut writer: Writer, ready: &mpsc::Receiver<()>, frames: u32) {
    for _ in 0..frames {
        ready.recv_timeout(LIMIT).unwrap();
        publish(&mut writer, b"x");
    }
    ready.recv_timeout(LIMIT).unwrap();
}

#[test]
fn futures_get_every_frame_and_the_end_in_a_runtime_of_one_thread_and_of_many() {
    for runtime in [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()] {
        let mut runtime = runtime;
        let runtime = runtime.enable_time().build().unwrap();
        let (mut feeders, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            let writer = ring();
            let reader = attach(&writer, ALL, 1);
            let (ready, go) = mpsc::channel();
            tasks.push(runtime.spawn(read_all(reader, ready)));
            feeders.push(thread::spawn(move || feed(writer, &go, 200)));
        }
        let read: Vec<u64> = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
        assert_eq!(read, [200; 8]);
        feeders.into_iter().for_each(|feeder| feeder.join().unwrap());
    }
}

#[test]
fn a_future_that_is_dropped_has_taken_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut writer = ring();
    let mut reader = attach(&writer, ALL, 1);
    runtime.block_on(async {
        for expected in 1..=50 {
            assert!(tokio::time::timeout(Duration::from_millis(1), reader.next()).await.is_err(), "nothing is there");
            publish(&mut writer, b"x");
            assert_eq!(reader.next().await.unwrap().sequence(), expected);
        }
    });
}

#[test]
fn a_set_waits_for_rings_and_for_a_pipe() {
    let mut set = WaitSet::new().unwrap();
    let mut writers: Vec<Writer> = (0..10).map(|_| ring()).collect();
    let readers = writers.iter().map(|writer| attach_with(writer, ALL, 1, set.bell()));
    let readers: Vec<Reader> = readers.collect();
    let keys: Vec<_> = readers.into_iter().map(|reader| set.add(reader).unwrap()).collect();
    let (input, mut output) = std::io::pipe().unwrap();
    let input = set.watch(input).unwrap();

    let begun = Instant::now();
    assert_eq!(set.wait(Duration::from_millis(20)).unwrap(), [], "nothing is ready");
    assert!(begun.elapsed() >= Duration::from_millis(20));
    publish(&mut writers[3], b"x");
    publish(&mut writers[7], b"x");
    assert_eq!(set.wait(LIMIT).unwrap(), [keys[3], keys[7]]);
    assert_eq!(set.try_next(keys[3]).unwrap().unwrap().sequence(), 1);
    assert_eq!(set.wait(LIMIT).unwrap(), [keys[7]], "it stays ready until it is read");
    output.write_all(b"!").unwrap();
    assert_eq!(set.wait(LIMIT).unwrap(), [keys[7], input]);
    assert_eq!(set.try_next(keys[7]).unwrap().unwrap().sequence(), 1);
    set.unwatch(input).unwrap();

    let later = thread::spawn(move || {
        publish(&mut writers[5], b"x");
        writers
    });
    assert_eq!(set.wait(LIMIT).unwrap(), [keys[5]]);
    set.try_next(keys[5]).unwrap().unwrap();
    drop(later.join().unwrap().remove(0));
    let ended = set.wait(LIMIT).unwrap();
    assert!(ended.contains(&keys[0]));
    assert!(matches!(set.try_next(keys[0]), Err(ReadError::WriterGone)));
    assert!(set.remove(keys[0]).is_some() && set.remove(keys[0]).is_none());
}

#[test]
fn a_refusal_in_a_set_is_told_by_its_reader_and_harms_no_other() {
    let mut set = WaitSet::new().unwrap();
    let mut writer = ring();
    let good = attach_with(&writer, ALL, 1, set.bell());
    let good = set.add(good).unwrap();
    let _more: Vec<Reader> = (0..63).map(|_| attach(&writer, ALL, 1)).collect();
    let refused = attach_with(&writer, ALL, 1, set.bell());
    let refused = set.add(refused).unwrap();
    assert_eq!(set.wait(LIMIT).unwrap(), [refused]);
    assert!(matches!(set.try_next(refused), Err(ReadError::Refused(_))));
    set.remove(refused);
    publish(&mut writer, b"x");
    assert_eq!(set.wait(LIMIT).unwrap(), [good]);

    let other = attach(&ring(), ALL, 1);
    assert!(matches!(set.add(other), Err(WaitError::OtherBell(_))));
    assert!(Doorbell::new().is_ok());
}
