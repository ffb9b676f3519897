//! The slot protocol under every interleaving that the memory model allows, and controls that must fail.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::iter::once;

use loom::{cell::UnsafeCell, sync::Arc, thread};

use super::protocol::{self, Control, Hold, ReaderWords, Slots};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

const SLOTS: usize = 3;

/// The shared memory of a ring of depth 1 and one lease: 1 + 1 + 1 slots, each holding one number.
struct Twin {
    head: AtomicU64,
    entries: [AtomicU32; 1],
    sequences: [AtomicU64; SLOTS],
    contents: [UnsafeCell<u64>; SLOTS],
    hazard: AtomicU32,
    armed: AtomicU32,
    due: AtomicU64,
    bell: AtomicU32,
    taken: AtomicU64,
    waited_for: AtomicU32,
    room: AtomicU32,
}

impl Twin {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            head: AtomicU64::new(0),
            entries: [AtomicU32::new(0)],
            sequences: std::array::from_fn(|_| AtomicU64::new(0)),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
            hazard: AtomicU32::new(0),
            armed: AtomicU32::new(0),
            due: AtomicU64::new(0),
            bell: AtomicU32::new(0),
            taken: AtomicU64::new(0),
            waited_for: AtomicU32::new(0),
            room: AtomicU32::new(0),
        })
    }

    fn fill(&self, slot: u32, value: u64) {
        // SAFETY: loom itself checks that no read overlaps this write; that is what these tests are for.
        self.contents[slot as usize].with_mut(|cell| unsafe { *cell = value });
    }

    fn read(&self, slot: u32) -> u64 {
        // SAFETY: as in `fill`.
        self.contents[slot as usize].with(|cell| unsafe { *cell })
    }
}

impl Control for Twin {
    fn head(&self) -> &AtomicU64 {
        &self.head
    }
    fn entry(&self, sequence: u64) -> &AtomicU32 {
        &self.entries[sequence as usize % self.entries.len()]
    }
    fn sequence(&self, slot: u32) -> &AtomicU64 {
        &self.sequences[slot as usize]
    }
    fn slots(&self) -> u32 {
        SLOTS as u32
    }
}

impl ReaderWords for Twin {
    fn hazard(&self, _lease: u32) -> &AtomicU32 {
        &self.hazard
    }
    fn leases(&self) -> u32 {
        1
    }
    fn armed(&self) -> &AtomicU32 {
        &self.armed
    }
    fn due(&self) -> &AtomicU64 {
        &self.due
    }
    fn taken(&self) -> &AtomicU64 {
        &self.taken
    }
    fn waited_for(&self) -> &AtomicU32 {
        &self.waited_for
    }
}

fn writer_of(frames: u64, twin: Arc<Twin>, starved: fn()) -> impl FnOnce() {
    move || {
        let mut slots = Slots::new(1);
        slots.grow(SLOTS as u32);
        for _ in 0..frames {
            let Some(slot) = slots.claim(&*twin, once(&*twin), |_| true) else { return starved() };
            twin.fill(slot, slots.next());
            let sequence = slots.publish(&*twin, slot);
            Slots::before_waking();
            if Slots::must_wake(&*twin, |due| sequence >= due) {
                twin.bell.fetch_add(1, Ordering::Release);
            }
        }
    }
}

fn read_newest(twin: &Twin) {
    let newest = protocol::newest(twin);
    if newest == 0 {
        return;
    }
    if let Hold::Held(slot) = protocol::hold(twin, twin, 0, newest) {
        assert_eq!(twin.read(slot), newest, "a torn or foreign frame");
        protocol::release(twin, 0);
    }
}

#[test]
fn loom_a_held_slot_is_never_filled_and_the_writer_never_starves() {
    let mut model = loom::model::Builder::new();
    // Without a bound it passes too, but takes minutes (`LOOM_MAX_PREEMPTIONS` sets another one).
    model.preemption_bound = model.preemption_bound.or(Some(3));
    model.check(|| {
        let twin = Twin::new();
        let writer = thread::spawn(writer_of(4, twin.clone(), || panic!("no free slot")));
        read_newest(&twin);
        read_newest(&twin);
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_reader_that_dies_holding_a_slot_costs_no_more_than_that_slot() {
    loom::model(|| {
        let twin = Twin::new();
        let writer = thread::spawn(writer_of(4, twin.clone(), || panic!("no free slot")));
        let newest = protocol::newest(&*twin);
        if newest > 0 {
            let _ = protocol::hold(&*twin, &*twin, 0, newest); // and then SIGKILL: nothing is released
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_sleeper_is_always_woken() {
    loom::model(|| {
        let twin = Twin::new();
        let writer = thread::spawn(writer_of(1, twin.clone(), || panic!("no free slot")));
        let sleeps = protocol::arm(&*twin, &*twin, 0, 1);
        writer.join().unwrap();
        let rung = twin.bell.load(Ordering::Acquire) == 1;
        assert!(!sleeps || rung, "the reader sleeps, a frame is there, and nobody rang");
    });
}

/// A reader that wants every second frame isn't woken for the first, and always for the second.
#[test]
fn loom_a_sleeper_is_woken_for_what_is_due_and_for_nothing_else() {
    loom::model(|| {
        let twin = Twin::new();
        let writer = thread::spawn(writer_of(2, twin.clone(), || panic!("no free slot")));
        let sleeps = protocol::arm(&*twin, &*twin, 1, 2);
        let early = twin.bell.load(Ordering::Acquire);
        assert!(early == 0 || protocol::newest(&*twin) == 2, "woken before it was due");
        writer.join().unwrap();
        let rung = twin.bell.load(Ordering::Acquire) == 1;
        assert!(!sleeps || rung, "the reader sleeps, its frame is there, and nobody rang");
    });
}

/// A writer of depth 1 that waits for its reader, which takes one frame.
fn a_blocked_writer_is_released(arms: fn(&Slots, &Twin) -> bool) {
    loom::model(move || {
        let twin = Twin::new();
        let mut slots = Slots::new(1);
        slots.grow(SLOTS as u32);
        let slot = slots.claim(&*twin, once(&*twin), |_| true).unwrap();
        slots.publish(&*twin, slot);
        let reading = twin.clone();
        let reader = thread::spawn(move || {
            if protocol::show_taken(&*reading, 1) {
                reading.room.fetch_add(1, Ordering::Release);
            }
        });
        let sleeps = arms(&slots, &twin);
        reader.join().unwrap();
        let rung = twin.room.load(Ordering::Acquire) == 1;
        assert!(slots.has_room(&*twin) && (!sleeps || rung), "the writer sleeps, there is room, and nobody rang");
    });
}

#[test]
fn loom_a_blocked_writer_is_always_released() {
    a_blocked_writer_is_released(|slots, twin| !slots.has_room(twin) && slots.wait_for(twin));
}

/// Without the re-check after saying so, the writer waits for what has been taken already.
#[test]
#[should_panic(expected = "nobody rang")]
fn loom_control_without_rechecking_what_was_taken_a_writer_stays_blocked() {
    a_blocked_writer_is_released(|slots, twin| {
        let full = !slots.has_room(twin);
        twin.waited_for.store(1, Ordering::SeqCst);
        full
    });
}

/// Without the hazard scan the writer fills what the reader reads.
#[test]
#[should_panic(expected = "Causality violation")]
fn loom_control_without_the_scan_frames_tear() {
    loom::model(|| {
        let twin = Twin::new();
        let writing = twin.clone();
        let writer = thread::spawn(move || {
            let mut slots = Slots::new(1);
            slots.grow(SLOTS as u32);
            for _ in 0..4 {
                let slot = slots.claim(&*writing, std::iter::empty::<&Twin>(), |_| true).unwrap();
                writing.fill(slot, slots.next());
                slots.publish(&*writing, slot);
            }
        });
        read_newest(&twin);
        writer.join().unwrap();
    });
}

/// Without the re-check the reader reads what the writer has already taken back.
#[test]
#[should_panic]
fn loom_control_without_the_recheck_frames_tear() {
    loom::model(|| {
        let twin = Twin::new();
        let writer = thread::spawn(writer_of(4, twin.clone(), || ()));
        let newest = protocol::newest(&*twin);
        if newest > 0 {
            let slot = twin.entry(newest).load(Ordering::Acquire);
            twin.hazard.store(slot + 1, Ordering::SeqCst);
            assert_eq!(twin.read(slot), newest);
        }
        writer.join().unwrap();
    });
}

/// Without the re-check of head a frame published before arming is slept over.
#[test]
#[should_panic(expected = "nobody rang")]
fn loom_control_without_rechecking_head_a_wakeup_is_lost() {
    loom::model(|| {
        let twin = Twin::new();
        let writer = thread::spawn(writer_of(1, twin.clone(), || ()));
        twin.armed.store(1, Ordering::SeqCst);
        writer.join().unwrap();
        assert!(twin.bell.load(Ordering::Acquire) == 1, "the reader sleeps, a frame is there, and nobody rang");
    });
}
