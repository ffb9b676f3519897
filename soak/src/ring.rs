//! Rings whose readers, or whose writers, die.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use shm::{
    doorbell::Doorbell,
    ring::{Frame, Info, Late, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::{Passed, Socket},
};

use crate::{
    Outcome, STALL, Tally,
    chance::Chance,
    child::{Other, Role, wait_to_be_killed},
};

const READERS: usize = 4;
const DEPTH: u32 = 4;

/// A blocking reader that is stopped, not dead, may hold the writer up for so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// A reader's part.
#[derive(Serialize, Deserialize)]
pub struct Reading {
    session: Passed,
    wish: Wish,
}

/// A writer's part.
#[derive(Serialize, Deserialize)]
pub struct Writing {
    sessions: Vec<Passed>,
}

/// Frames of some sizes: mostly small ones, and now and then one that makes the ring grow.
fn size(sequence: u64) -> usize {
    match sequence {
        sequence if sequence.is_multiple_of(5000) => 400_000,
        sequence if sequence.is_multiple_of(7) => 30_000,
        _ => 900,
    }
}

fn fill(bytes: &mut [u8], sequence: u64) {
    bytes.fill(sequence as u8);
}

fn check(frame: &Frame) -> Outcome {
    let bytes = frame.bytes();
    if bytes.len() != size(frame.sequence()) || bytes.iter().any(|byte| *byte != frame.sequence() as u8) {
        return Err(format!("read frame {} whole: it is torn", frame.sequence()).into());
    }
    Ok(())
}

fn publish(writer: &mut Writer) -> Outcome<Duration> {
    let sequence = writer.published() + 1;
    let begun = Instant::now();
    let mut slot = writer.reserve(size(sequence))?;
    let waited = begun.elapsed();
    fill(slot.bytes_mut(), sequence);
    slot.publish(Info::default());
    Ok(waited)
}

/// This process writes; its readers are killed, kill themselves at any step, or are stopped for a while.
pub fn readers_die(chance: &mut Chance, length: Duration) -> Outcome<Tally> {
    let mut writer = Writer::create(RingOptions { depth: DEPTH, frame_bytes: 1000 })?;
    let start = |writer: &Writer, chance: &mut Chance| -> Outcome<Other> {
        let (ours, theirs) = Socket::pair()?;
        writer.port().add(ours)?;
        let policies = [
            Policy::Latest,
            Policy::DropOldest { depth: DEPTH },
            Policy::Every { n: 3 },
            Policy::max_rate(500.0),
            Policy::Block { timeout: PATIENCE, late: Late::Drop },
            Policy::Block { timeout: PATIENCE, late: Late::Detach },
        ];
        let policy = policies[chance.below(policies.len() as u64) as usize];
        let wish = Wish { policy, leases: 1 + chance.below(3) as u32 };
        Other::start(Role::RingReader, &Reading { session: Passed::new(theirs.into_owned()), wish }, chance)
    };
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(start(&writer, chance)?);
    }
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let mut stopped: Option<usize> = None;
    while begun.elapsed() < length {
        let waited = publish(&mut writer)?;
        if waited > PATIENCE + STALL {
            return Err(format!("publish a frame: it took {waited:?}").into());
        }
        tally.longest_stall = tally.longest_stall.max(if stopped.is_some() { Duration::ZERO } else { waited });
        tally.done += 1;
        writer.port().service();
        if !tally.done.is_multiple_of(64) {
            continue;
        }
        for reader in &mut readers {
            if reader.has_died()? {
                tally.killed += 1;
                *reader = start(&writer, chance)?;
            }
        }
        let victim = chance.below(READERS as u64) as usize;
        if chance.once_in(8) {
            readers[victim].kill()?;
            tally.killed += 1;
            readers[victim] = start(&writer, chance)?;
            stopped = stopped.filter(|stopped| *stopped != victim);
        }
        if chance.once_in(200) {
            match stopped.take() {
                Some(stopped) => readers[stopped].signal(Signal::CONT)?,
                None => {
                    readers[victim].signal(Signal::STOP)?;
                    stopped = Some(victim);
                }
            }
        }
    }
    Ok(tally)
}

/// Reads until the writer is gone, holding some frames all the while. The session may be of an earlier time.
pub fn read(Reading { session, wish }: Reading) -> Outcome {
    let session = Socket::from_owned(session.into_owned()?);
    let mut reader = match Reader::connect(session, &Doorbell::new()?, wish) {
        Err(ReadError::WriterGone) => return wait_to_be_killed(),
        reader => reader?,
    };
    let mut held = Vec::new();
    loop {
        match reader.next_for(Duration::from_secs(30)) {
            Ok(Some(frame)) => {
                check(&frame)?;
                held.iter().try_for_each(check)?;
                if held.len() as u32 + 1 >= wish.leases {
                    held.clear();
                } else {
                    held.push(frame);
                }
            }
            Ok(None) => return Err("read a frame: there was none for 30 s, though there are all the time".into()),
            // Detached for being late, or the round is over.
            Err(ReadError::WriterGone) => return wait_to_be_killed(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// This process reads; the writer is killed, or kills itself at any step, and another one comes.
pub fn writers_die(chance: &mut Chance, length: Duration) -> Outcome<Tally> {
    let (begun, mut tally) = (Instant::now(), Tally::default());
    while begun.elapsed() < length {
        let (mut sessions, mut readers) = (Vec::new(), Vec::new());
        for policy in [Policy::DropOldest { depth: DEPTH }, Policy::Latest] {
            let (ours, theirs) = Socket::pair()?;
            readers.push(Reader::connect(ours, &Doorbell::new()?, Wish { policy, leases: 2 })?);
            sessions.push(Passed::new(theirs.into_owned()));
        }
        let mut writer = Other::start(Role::RingWriter, &Writing { sessions }, chance)?;
        tally.done += follow(&mut writer, &mut readers, chance)?;
        tally.killed += 1;
        // The end is known by the session or the pidfd, without waiting.
        let killed = Instant::now();
        for reader in &mut readers {
            while !matches!(reader.next_for(STALL), Err(ReadError::WriterGone)) {
                if killed.elapsed() > STALL {
                    return Err("see a writer's end: nothing told of it".into());
                }
            }
        }
        tally.longest_stall = tally.longest_stall.max(killed.elapsed());
    }
    Ok(tally)
}

/// Reads until the writer is dead; gives how many frames that were.
fn follow(writer: &mut Other, readers: &mut [Reader], chance: &mut Chance) -> Outcome<u64> {
    let (mut read, frames) = (0, chance.below(2000));
    let mut held = None;
    loop {
        if writer.has_died()? {
            return Ok(read);
        }
        if read >= frames {
            writer.kill()?;
            return Ok(read);
        }
        for reader in &mut *readers {
            match reader.next_for(Duration::from_millis(20)) {
                Ok(Some(frame)) => {
                    check(&frame)?;
                    held.iter().try_for_each(check)?;
                    read += 1;
                    if chance.once_in(3) {
                        held = Some(frame);
                    }
                }
                Ok(None) | Err(ReadError::WriterGone) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes until it is killed.
pub fn write(Writing { sessions }: Writing) -> Outcome {
    let mut writer = Writer::create(RingOptions { depth: DEPTH, frame_bytes: 1000 })?;
    for session in sessions {
        writer.port().add(Socket::from_owned(session.into_owned()?))?;
    }
    loop {
        writer.port().service();
        publish(&mut writer)?;
    }
}
