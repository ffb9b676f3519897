//! An honest reader against a writer without manners.
//!
//! Oracle: every call returns, within [`LIMIT`] of what it was told to wait; nothing panics, and what is given as a frame can be
//! read from its first to its last byte.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use shm::{
    ring::{Frame, ReadError, Reader, Wish},
    wait::WaitSet,
    wire::{Packet, Socket},
};

use crate::{
    LIMIT,
    script::Script,
    wild::{self, Answer, Given, HONEST, Joining, Wild},
};

/// How far the scripts came, all together: readers that were let in, frames, errors.
pub static REACHED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// What the writer has in its hands.
struct Hostile {
    socket: Option<Socket>,
    inline_bytes: usize,
    control: Wild,
    page: Wild,
    segments: Vec<(u32, usize, Wild)>,
    next_sequence: u64,
}

pub fn run(bytes: &[u8]) {
    let script = &mut Script::new(bytes);
    let (ours, theirs) = Socket::pair().unwrap();
    let mut set = WaitSet::new().unwrap();
    let wish = Wish { policy: wild::policy(script), leases: 1 + u32::from(script.byte() % 64) };
    let Ok(mut reader) = Reader::connect(theirs, set.bell(), wish) else { return };
    let inline_bytes = [0, 256, 1024][script.below(3)];
    let mut hostile = Hostile {
        socket: Some(ours),
        inline_bytes,
        control: Wild::new(wild::control_bytes(inline_bytes), Given { paid: false, ..HONEST }),
        page: Wild::new(wild::PAGE, Given { write: false, ..HONEST }),
        segments: Vec::new(),
        next_sequence: 1,
    };
    if !script.rarely(4) {
        hostile.welcome(script);
        hostile.segment(script);
    }
    let mut held = Vec::new();
    for _ in 0..100 {
        if script.is_over() {
            break;
        }
        let begun = Instant::now();
        if script.rarely(2) {
            hostile.act(script)
        } else {
            read(&mut reader, &mut held, &hostile, script)
        }
        assert!(begun.elapsed() < LIMIT, "a step took {:?}", begun.elapsed());
    }
    REACHED[0].fetch_add(u64::from(reader.is_joined()), Ordering::Relaxed);
    let begun = Instant::now();
    let key = set.add(reader).unwrap();
    let _ = set.wait(Duration::from_millis(1)).unwrap();
    let _ = set.try_next(key);
    assert!(begun.elapsed() < LIMIT, "a set waited for {:?}", begun.elapsed());
}

fn read(reader: &mut Reader, held: &mut Vec<Frame>, hostile: &Hostile, script: &mut Script<'_>) {
    const WAIT: Duration = Duration::from_micros(200);
    let keep = |held: &mut Vec<Frame>, outcome: Result<Option<Frame>, ReadError>| match outcome {
        Ok(Some(frame)) => {
            touch(&frame);
            held.push(frame);
            REACHED[1].fetch_add(1, Ordering::Relaxed);
        }
        Ok(None) => {}
        Err(error) => {
            assert!(!error.to_string().is_empty());
            REACHED[2].fetch_add(1, Ordering::Relaxed);
        }
    };
    match script.byte() % 8 {
        0..=2 => keep(held, reader.try_next()),
        3 => keep(held, reader.next_for(WAIT)),
        4 => {
            let _ = (reader.arm(), reader.counts(), reader.is_joined(), reader.service().is_err());
        }
        5 => {
            let mut future = pin!(reader.next());
            let _ = std::future::Future::poll(future.as_mut(), &mut Context::from_waker(Waker::noop())).is_ready();
        }
        6 => held.truncate(script.below(3)),
        _ => {
            // And while it reads, words change.
            let over = AtomicBool::new(false);
            let (first, second) = (script.number(), script.number());
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        for head in [first, second] {
                            hostile.control.put64(wild::HEAD, head);
                            hostile.control.put32(wild::ENTRIES + (head % wild::ENTRY_COUNT) as usize * 4, 1);
                        }
                    }
                });
                for _ in 0..4 {
                    keep(held, reader.next_for(WAIT));
                    let _ = (reader.arm(), reader.counts());
                }
                over.store(true, Ordering::Relaxed);
            });
        }
    }
    held.iter().for_each(touch);
}

fn touch(frame: &Frame) {
    let sum = frame.bytes().iter().fold(0u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
    std::hint::black_box((sum, frame.info(), frame.sequence(), frame.epoch()));
}

impl Hostile {
    fn act(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0 => self.welcome(script),
            1 => self.segment(script),
            2 => self.send(&Packet::encode(&Answer::Retired { id: script.number() as u32 }).unwrap()),
            10 => self.send(&Packet { bytes: script.bytes(200).to_vec(), descriptors: vec![wild::descriptor(script)] }),
            3..=6 => self.publish(script),
            7 if script.rarely(4) => self.control.scribble(script, 16 * 1024),
            8 => self.page.scribble(script, 1024),
            9 => {
                // More than the reader takes in at once.
                let message = Packet::encode(&Answer::Retired { id: 9 }).unwrap();
                (0..script.number().min(400)).for_each(|_| self.send(&message));
            }
            11 if script.rarely(16) => self.socket = None,
            _ => {
                let mut refused = Packet::encode(&Answer::Refused { why: "why not".to_owned() }).unwrap();
                wild::mutate(&mut refused, script);
                self.send(&refused);
            }
        }
    }

    fn send(&self, packet: &Packet) {
        if let Some(socket) = &self.socket {
            let _ = socket.try_send(packet);
        }
    }

    /// Lets the reader join, mostly as it should be.
    fn welcome(&self, script: &mut Script<'_>) {
        let odd = |script: &mut Script<'_>, honest: u64| if script.rarely(32) { script.number() } else { honest };
        let mut joining = Joining {
            depth: odd(script, 4) as u32,
            epoch: 7,
            head: odd(script, 0),
            inline_bytes: odd(script, self.inline_bytes as u64) as u32,
            control: self.control.passed(),
            page: self.page.passed(),
            room: script.rarely(2).then(|| shm::wire::Passed::new(wild::full_bell())),
            life: wild::life(),
        };
        match script.byte() % 40 {
            0 => joining.control = wild::descriptor(script),
            1 => joining.page = wild::descriptor(script),
            2 => joining.life = wild::descriptor(script),
            3 => joining.room = Some(wild::descriptor(script)),
            4 => joining.page = self.control.passed(),
            _ => {}
        }
        let mut message = Packet::encode(&Answer::Joined(joining)).unwrap();
        if script.rarely(32) {
            wild::mutate(&mut message, script);
        }
        self.send(&message);
    }

    fn segment(&mut self, script: &mut Script<'_>) {
        let (id, size) = (u32::from(script.byte() % 4), 4096 * (1 + usize::from(script.byte() % 8)));
        let given = Given { paid: !script.rarely(32), shrink: !script.rarely(32), write: !script.rarely(32) };
        let wild = Wild::new(size, given);
        let bytes = if script.rarely(32) { script.number() } else { size as u64 };
        let mut message = Packet::encode(&Answer::Segment { id, bytes, memory: wild.passed() }).unwrap();
        if script.rarely(16) {
            wild::mutate(&mut message, script);
        }
        self.send(&message);
        self.segments.push((id, size, wild));
    }

    /// A frame, mostly where it should be.
    fn publish(&mut self, script: &mut Script<'_>) {
        let spoils = script.rarely(3);
        let odd = |script: &mut Script<'_>, honest: u64| {
            if spoils && script.rarely(4) { script.number() } else { honest }
        };
        let sequence = odd(script, self.next_sequence);
        let honest_slot = u64::from(script.byte() % 8);
        let slot = odd(script, honest_slot) as u32;
        let (segment, size) = self.segments.last().map_or((INLINE, 256), |(id, size, _)| (*id, *size));
        let (segment, offset) = (odd(script, u64::from(segment)) as u32, odd(script, 0));
        let (length, published_ns) = (odd(script, size as u64), odd(script, 1 << 40));
        if slot < wild::MAX_SLOTS {
            let header = wild::SLOTS + slot as usize * (wild::HEADER + self.inline_bytes);
            self.control.put32(header + 8, segment);
            for (index, value) in [offset, length, published_ns].into_iter().enumerate() {
                self.control.put64(header + 16 + index * 8, value);
            }
            self.control.put64(header, odd(script, sequence));
        }
        self.control.put32(wild::ENTRIES + (sequence % wild::ENTRY_COUNT) as usize * 4, slot);
        self.control.put64(wild::HEAD, wild::head(odd(script, sequence), odd(script, slot.into())));
        self.next_sequence = sequence.wrapping_add(1);
    }
}

use wild::INLINE;
