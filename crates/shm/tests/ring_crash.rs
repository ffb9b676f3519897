//! Readers and writers that die between every two steps of the ring's protocols, one after the other.
//!
//! `cargo test -p framewire-shm --features crash-points --test ring_crash`. A process that dies is this test program, started
//! again with `SHM_TEST_ROLE` set and its session as standard input; `SHM_TEST_POINT` says at which step it dies.

#![cfg(feature = "crash-points")]
#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod support;

use std::{
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use shm::{
    crash,
    doorbell::Doorbell,
    ring::{Late, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::Socket,
};
use support::{LIMIT, attach, publish};

const FRAMES: u64 = 6;
const BYTES: usize = 5000;

/// Not a test of its own: what another process runs.
#[test]
fn role_process() {
    let Ok(role) = std::env::var("SHM_TEST_ROLE") else { return };
    crash::after(std::env::var("SHM_TEST_POINT").unwrap().parse().unwrap());
    let session = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    match role.as_str() {
        "writer" => write(session),
        policy => read(session, policy_named(policy)),
    }
}

const POLICIES: [&str; 4] = ["block", "drop oldest", "every second", "a rate"];

fn policy_named(name: &str) -> Policy {
    match name {
        "block" => Policy::Block { timeout: std::time::Duration::MAX, late: Late::Drop },
        "drop oldest" => Policy::DropOldest { depth: 2 },
        "every second" => Policy::Every { n: 2 },
        "a rate" => Policy::max_rate(1e6),
        other => panic!("no policy {other}"),
    }
}

fn content(sequence: u64) -> Vec<u8> {
    vec![sequence as u8 + 1; BYTES]
}

fn read(session: Socket, policy: Policy) {
    let mut reader = Reader::connect(session, &Doorbell::new().unwrap(), Wish { policy, leases: 2 }).unwrap();
    let mut previous = None;
    loop {
        match reader.next_for(LIMIT) {
            Ok(frame) => {
                let frame = frame.unwrap();
                assert_eq!(frame.bytes(), content(frame.sequence()));
                previous = Some(frame);
            }
            Err(ReadError::WriterGone) => return drop(previous),
            Err(error) => panic!("{error}"),
        }
    }
}

fn write(session: Socket) {
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 100 }).unwrap();
    writer.port().add(session).unwrap();
    while writer.port().readers() == 0 {
        writer.port().service();
        thread::yield_now();
    }
    for sequence in 1..=FRAMES {
        publish(&mut writer, &content(sequence));
    }
}

fn start(role: &str, point: u64, session: Socket) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role_process", "--nocapture"])
        .env("SHM_TEST_ROLE", role)
        .env("SHM_TEST_POINT", point.to_string())
        .stdin(Stdio::from(session.into_owned()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs `life` with a process that dies at the first step, the second, and so on, until one lives to its end.
fn at_every_point(life: impl Fn(u64) -> ExitStatus) -> u64 {
    for point in 1..10_000 {
        let status = life(point);
        match status.signal() {
            Some(9) => {}
            None if status.success() => return point - 1,
            _ => panic!("at step {point}: {status}"),
        }
    }
    panic!("it never came to its end");
}

#[test]
fn a_reader_that_dies_at_any_step_tears_nothing_and_delays_nobody() {
    for policy in POLICIES {
        let steps = at_every_point(|point| {
            let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: BYTES }).unwrap();
            let mut honest = attach(&writer, Policy::DropOldest { depth: 2 }, 1);
            let (ours, theirs) = Socket::pair().unwrap();
            writer.port().add(ours).unwrap();
            let mut reader = start(policy, point, theirs);
            let mut status = None;
            while writer.port().readers() < 2 && status.is_none() {
                writer.port().service();
                status = reader.try_wait().unwrap();
                thread::yield_now();
            }
            for sequence in 1..=FRAMES {
                assert_eq!(publish(&mut writer, &content(sequence)), sequence);
                assert_eq!(honest.try_next().unwrap().unwrap().bytes(), content(sequence));
                // Every frame in its own time, so that the same steps come in the same order each time.
                while status.is_none() && writer.port().counts().iter().any(|counts| counts.waiting > 0) {
                    writer.port().service();
                    status = reader.try_wait().unwrap();
                    thread::yield_now();
                }
            }
            drop(writer);
            status.unwrap_or_else(|| reader.wait().unwrap())
        });
        assert!(steps > 10, "only {steps} steps with {policy}");
    }
}

#[test]
fn a_writer_that_dies_at_any_step_leaves_whole_frames_and_an_end() {
    let steps = at_every_point(|point| {
        let (ours, theirs) = Socket::pair().unwrap();
        let mut writer = start("writer", point, theirs);
        let wish = Wish { policy: Policy::DropOldest { depth: 2 }, leases: 2 };
        let mut reader = Reader::connect(ours, &Doorbell::new().unwrap(), wish).unwrap();
        let mut last = 0;
        loop {
            match reader.next_for(LIMIT) {
                Ok(frame) => {
                    let frame = frame.unwrap();
                    assert!(frame.sequence() > last && frame.bytes() == content(frame.sequence()));
                    last = frame.sequence();
                }
                Err(ReadError::WriterGone) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let status = writer.wait().unwrap();
        assert!(!status.success() || last == FRAMES);
        status
    });
    assert!(steps > 20, "only {steps} steps");
}
