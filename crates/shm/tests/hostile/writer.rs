//! An honest writer, and an honest reader of its ring, against readers without manners.
//!
//! Oracle: every call returns, within [`LIMIT`]; nothing panics; a frame can always be reserved; the honest reader gets every
//! frame whole and in order, what it holds never changes, and its counts are exact.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use shm::{
    doorbell::Doorbell,
    ring::{Counts, Frame, Info, Policy, Reader, RingError, RingOptions, Wish, Writer},
    wire::{Packet, Passed, Socket},
};

use crate::{
    LIMIT,
    script::Script,
    wild::{self, Answer, Join, Wild},
};

/// How far the scripts came, all together: peers that were let in.
pub static REACHED: AtomicU64 = AtomicU64::new(0);

/// The one whom nothing may happen to.
struct Honest {
    reader: Reader,
    held: Vec<Frame>,
    read: u64,
}

/// A session with whatever it was given.
struct Hostile {
    socket: Option<Socket>,
    page: Option<Wild>,
}

pub fn run(bytes: &[u8]) {
    let script = &mut Script::new(bytes);
    let depth = 1 + u32::from(script.byte() % 4);
    let frame_bytes = [1, 300, 2000][script.below(3)];
    let mut writer = Writer::create(RingOptions { depth, frame_bytes }).unwrap();
    let mut honest = Honest::join(&writer);
    let mut hostile = Vec::new();
    for _ in 0..60 {
        if script.is_over() {
            break;
        }
        let begun = Instant::now();
        step(&mut writer, &mut honest, &mut hostile, script);
        assert!(begun.elapsed() < LIMIT, "a step took {:?}", begun.elapsed());
    }
    publish(&mut writer, &mut honest, 10);
    // Nobody is left once they have gone, whatever they did.
    drop(hostile);
    let begun = Instant::now();
    while writer.port().counts().len() > 1 {
        writer.port().service();
        assert!(begun.elapsed() < LIMIT, "{} sessions are left", writer.port().counts().len());
    }
}

fn step(writer: &mut Writer, honest: &mut Honest, hostile: &mut Vec<Hostile>, script: &mut Script<'_>) {
    let which = script.below(hostile.len().max(1));
    match (script.byte() % 12, hostile.get_mut(which)) {
        (0..=1, _) => {
            if hostile.len() < 6 {
                hostile.push(Hostile::knock(writer, script));
            } else {
                hostile.swap_remove(which);
            }
        }
        (2, Some(one)) => one.listen(),
        (3..=4, Some(one)) => one.scribble(script),
        (5, Some(one)) => one.talk(script),
        (6, Some(one)) => {
            // And while the writer writes, words change.
            let (over, page) = (AtomicBool::new(false), one.page.as_ref());
            let words: Vec<(usize, u64)> = (0..16).map(|_| (script.below(80) * 8, script.number())).collect();
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) && page.is_some() {
                        words
                            .iter()
                            .for_each(|(offset, value)| page.iter().for_each(|page| page.put64(*offset, *value)));
                    }
                });
                (0..10).for_each(|_| publish(writer, honest, 10));
                over.store(true, Ordering::Relaxed);
            });
        }
        (7..=8, _) => {
            let bytes = [10, 10, 600, 5000, 20_000][script.below(5)];
            (0..=script.byte() % 4).for_each(|_| publish(writer, honest, bytes));
        }
        (9, _) => match writer.try_reserve(10) {
            Ok(_) | Err(RingError::WouldBlock { .. }) => {}
            Err(error) => panic!("{error}"),
        },
        (10, _) => honest.held.truncate(script.below(3)),
        _ => {
            writer.port().service();
            let _ = (writer.port().counts(), writer.port().readers());
        }
    }
}

fn publish(writer: &mut Writer, honest: &mut Honest, bytes: usize) {
    let mut slot = writer.reserve(bytes).expect("a slot, whatever the readers do");
    let value = slot.sequence() as u8;
    slot.bytes_mut().fill(value);
    let sequence = slot.publish(Info::default());
    honest.take(sequence, bytes);
}

impl Honest {
    fn join(writer: &Writer) -> Self {
        let (ours, theirs) = Socket::pair().unwrap();
        writer.port().add(ours).unwrap();
        let wish = Wish { policy: Policy::DropOldest { depth: 4 }, leases: 3 };
        let reader = Reader::connect(theirs, &Doorbell::new().unwrap(), wish).unwrap();
        writer.port().service();
        Self { reader, held: Vec::new(), read: 0 }
    }

    fn take(&mut self, sequence: u64, bytes: usize) {
        self.held.truncate(2);
        let frame = self.reader.try_next().unwrap().expect("what was just published");
        self.read += 1;
        assert_eq!((frame.sequence(), frame.bytes().len()), (sequence, bytes));
        self.held.insert(0, frame);
        for frame in &self.held {
            assert!(frame.bytes().iter().all(|byte| *byte == frame.sequence() as u8), "a torn frame");
        }
        let counts = Counts { published: self.read, read: self.read, ..Counts::default() };
        assert_eq!(self.reader.counts(), counts);
    }
}

impl Hostile {
    fn knock(writer: &Writer, script: &mut Script<'_>) -> Self {
        let (ours, theirs) = Socket::pair().unwrap();
        writer.port().add(ours).unwrap();
        let version = if script.rarely(16) { script.number() as u32 } else { wild::VERSION };
        let leases = if script.rarely(16) { script.number() as u32 } else { 1 + u32::from(script.byte() % 16) };
        let bell = match script.byte() % 4 {
            0 => wild::descriptor(script),
            1 => Passed::new(wild::full_bell()),
            _ => Passed::new(wild::bell()),
        };
        let life = if script.rarely(8) { wild::descriptor(script) } else { wild::life() };
        let join = Join { version, wish: Wish { policy: wild::policy(script), leases }, bell, life };
        let mut message = Packet::encode(&join).unwrap();
        if script.rarely(4) {
            wild::mutate(&mut message, script);
        }
        let _ = theirs.try_send(&message);
        writer.port().service();
        let mut one = Self { socket: Some(theirs), page: None };
        if !script.rarely(4) {
            one.listen();
        }
        one
    }

    /// Takes its page.
    fn listen(&mut self) {
        let Some(socket) = &self.socket else { return };
        while let Ok(packet) = socket.try_receive() {
            if let Ok(Answer::Joined(joining)) = packet.decode() {
                self.page = Wild::map(joining.page.into_owned().unwrap(), wild::PAGE).ok();
                REACHED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn scribble(&self, script: &mut Script<'_>) {
        let Some(page) = &self.page else { return };
        match script.byte() % 5 {
            // It holds everything.
            0 => (0..64).for_each(|lease| page.put32(lease * 4, 1 + (lease as u32).wrapping_mul(script.byte().into()))),
            1 => page.put32(wild::ARMED, 1),
            2 => page.put64([wild::DUE, wild::TAKEN, wild::TURN][script.below(3)], script.number()),
            3 => (0..7).for_each(|word| page.put64(wild::ACCOUNTS - 8 + word * 8, script.number())),
            _ => page.scribble(script, 1024),
        }
    }

    fn talk(&mut self, script: &mut Script<'_>) {
        let Some(socket) = &self.socket else { return };
        match script.byte() % 5 {
            0 => drop(socket.try_send(&Packet { bytes: script.bytes(60).to_vec(), descriptors: Vec::new() })),
            1 => drop(socket.try_send(&Packet { bytes: Vec::new(), descriptors: vec![wild::descriptor(script)] })),
            2 => while socket.try_send(&Packet::default()).is_ok() {},
            3 => drop(rustix::net::shutdown(socket, rustix::net::Shutdown::Both)),
            _ => self.socket = None,
        }
    }
}
