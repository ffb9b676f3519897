//! The slot protocol and the accounts of its readers over plain memory, with threads: the very lines that run over mapped memory,
//! where Miri can watch them.
//!
//! Miri sees a frame that is filled while it is read as a data race. Loom (`loom.rs`) goes through every interleaving of
//! smaller programs; this one is whole: readers of several policies that hold, sleep, block the writer, and die.
//! With the feature `control-no-scan` it must fail.

use std::{
    cell::UnsafeCell,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    Counts, Late, Policy,
    policy::Progress,
    protocol::{self, Control, Hold, ReaderWords, Slots},
};

const DEPTH: u32 = 2;
const LEASES: u32 = 2;
const FRAMES: u64 = if cfg!(miri) { 30 } else { 3000 };
/// So much of each frame is looked at.
const WORDS: usize = 3;

/// The words of one reader.
#[derive(Default)]
struct Page {
    hazards: [AtomicU32; LEASES as usize],
    armed: AtomicU32,
    due: AtomicU64,
    taken: AtomicU64,
    waited_for: AtomicU32,
    /// What an eventfd is: how often it was rung.
    bell: Bell,
}

#[derive(Default)]
struct Bell(Mutex<u64>, Condvar);

impl Bell {
    fn ring(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_all();
    }

    fn wait(&self) {
        let rung = self.1.wait_while(self.0.lock().unwrap(), |rung| *rung == 0);
        *rung.unwrap() = 0;
    }
}

/// A ring of `DEPTH` for so many readers.
struct Twin {
    head: AtomicU64,
    entries: [AtomicU32; 2 * DEPTH as usize],
    sequences: Vec<AtomicU64>,
    contents: Vec<UnsafeCell<[u64; WORDS]>>,
    pages: Vec<Page>,
    room: Bell,
    over: AtomicBool,
}

// SAFETY: the contents are written by whoever has claimed a slot, and read by who holds it: what is proved here.
unsafe impl Sync for Twin {}

impl Twin {
    fn new(readers: usize) -> Self {
        let slots = DEPTH as usize + 1 + readers * LEASES as usize;
        Self {
            head: AtomicU64::new(0),
            entries: Default::default(),
            sequences: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            contents: (0..slots).map(|_| UnsafeCell::new([0; WORDS])).collect(),
            pages: (0..readers).map(|_| Page::default()).collect(),
            room: Bell::default(),
            over: AtomicBool::new(false),
        }
    }

    fn slots(&self) -> Slots {
        let mut slots = Slots::new(DEPTH);
        slots.grow(self.sequences.len() as u32);
        slots
    }

    /// Publishes the next frame, after waiting for the readers that block.
    fn publish(&self, slots: &mut Slots, blocking: &[&Page]) {
        for page in blocking {
            while !slots.has_room(*page) && slots.wait_for(*page) {
                self.room.wait();
            }
        }
        let slot = slots.claim(self, self.pages.iter(), |_| true).expect("the writer never starves");
        // SAFETY: the slot was claimed.
        unsafe { *self.contents[slot as usize].get() = [slots.next(); WORDS] };
        let sequence = slots.publish(self, slot);
        Slots::before_waking();
        for page in &self.pages {
            if Slots::must_wake(page, |due| sequence >= due) {
                page.bell.ring();
            }
        }
    }

    fn check(&self, slot: u32, sequence: u64) {
        // SAFETY: the slot is held.
        let found = unsafe { *self.contents[slot as usize].get() };
        assert_eq!(found, [sequence; WORDS], "a torn or foreign frame");
    }

    /// Reads to the end, holding each frame until after the next, and gives the account.
    fn read(&self, page: &Page, policy: Policy) -> Counts {
        let mut progress = Progress::begin(policy, 0, DEPTH);
        let (mut held, mut lease) = (None, 0);
        loop {
            let over = self.over.load(Ordering::Acquire);
            match progress.next(policy, protocol::newest(self), DEPTH) {
                Some(wanted) => {
                    let Hold::Held(slot) = protocol::hold(self, page, lease, wanted) else { continue };
                    self.check(slot, wanted);
                    if let Some((before, slot, sequence)) = held.replace((lease, slot, wanted)) {
                        self.check(slot, sequence);
                        protocol::release(page, before);
                    }
                    lease = 1 - lease;
                    progress.take(policy, wanted);
                    if matches!(policy, Policy::Block { .. }) && protocol::show_taken(page, wanted) {
                        self.room.ring();
                    }
                }
                None if over => break,
                None => {
                    let due = progress.due(policy, protocol::newest(self), DEPTH);
                    if protocol::arm(self, page, due - 1, due) {
                        page.bell.wait();
                    }
                }
            }
        }
        if let Some((lease, ..)) = held {
            protocol::release(page, lease);
        }
        progress.counts(policy, protocol::newest(self), DEPTH)
    }

    /// Nothing more comes.
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.pages.iter().for_each(|page| page.bell.ring());
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
        self.sequences.len() as u32
    }
}

impl ReaderWords for Page {
    fn hazard(&self, lease: u32) -> &AtomicU32 {
        &self.hazards[lease as usize]
    }
    fn leases(&self) -> u32 {
        LEASES
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

fn run(policies: &[Policy]) -> Vec<Counts> {
    let twin = &Twin::new(policies.len());
    let blocking =
        |(index, policy): (usize, &Policy)| matches!(policy, Policy::Block { .. }).then_some(&twin.pages[index]);
    let blocking: Vec<&Page> = policies.iter().enumerate().filter_map(blocking).collect();
    thread::scope(|scope| {
        let reading = policies.iter().zip(&twin.pages).map(|(policy, page)| scope.spawn(|| twin.read(page, *policy)));
        let reading: Vec<_> = reading.collect();
        let mut slots = twin.slots();
        (0..FRAMES).for_each(|_| twin.publish(&mut slots, &blocking));
        twin.end();
        reading.into_iter().map(|reader| reader.join().unwrap()).collect()
    })
}

#[test]
fn readers_of_several_policies_get_whole_frames_and_exact_accounts() {
    let policies = [Policy::Latest, Policy::DropOldest { depth: 2 }, Policy::Every { n: 3 }];
    for counts in run(&policies) {
        assert_eq!(counts.published, FRAMES);
        assert_eq!(counts.read + counts.dropped + counts.skipped, FRAMES, "{counts:?}");
    }
}

#[test]
fn a_blocking_reader_gets_everything_and_is_always_released() {
    let block = Policy::Block { timeout: Duration::MAX, late: Late::Drop };
    let counts = run(&[block, Policy::Latest]);
    assert_eq!(counts[0], Counts { published: FRAMES, read: FRAMES, ..Counts::default() });
}

#[test]
fn what_a_dead_reader_holds_stays_whole_and_starves_nobody() {
    let twin = &Twin::new(2);
    let mut slots = twin.slots();
    twin.publish(&mut slots, &[]);
    thread::scope(|scope| {
        let dying = scope.spawn(|| {
            // Until it holds something; and then it is gone, without a release.
            loop {
                let newest = protocol::newest(twin);
                if let Hold::Held(slot) = protocol::hold(twin, &twin.pages[0], 0, newest) {
                    return (slot, newest);
                }
            }
        });
        let living = scope.spawn(|| twin.read(&twin.pages[1], Policy::DropOldest { depth: 2 }));
        (1..FRAMES).for_each(|_| twin.publish(&mut slots, &[]));
        twin.end();
        let (slot, sequence) = dying.join().unwrap();
        twin.check(slot, sequence);
        assert!(living.join().unwrap().read > 0);
    });
}
