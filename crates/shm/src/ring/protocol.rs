//! The slot protocol: hazard words, neither shared counts nor a seqlock.
//!
//! It is written over traits for the shared words, so that the same lines run over mapped memory and over loom's
//! twin (`loom.rs`). The argument, in two races:
//!
//! * **Reuse against lease.** The writer takes a slot back by `sequence = 0`, fence, *scan hazards*; a reader takes
//!   hold by `hazard = slot`, fence, *re-check sequence*. Of two such store-fence-load halves at least one sees the
//!   other (SYNC POINT H), so a slot is never filled while a reader holds it, and never held while it is filled.
//! * **Sleep against publish.** A reader arms by `armed = 1`, fence, *re-check head*; the writer publishes by
//!   `head = n`, fence, *look at armed* (SYNC POINT A). So no wake-up is lost.
//! * **Sleep for room against take.** A writer that must wait for a reader says `waited_for = 1`, fence, *re-check taken*;
//!   the reader takes by `taken = n`, fence, *look at waited_for* (SYNC POINT B). So it is always released.
//!
//! Contents travel by SYNC POINT S: `sequence = n` is a Release after the fill, its re-check an Acquire before the
//! read. They come back by SYNC POINT R: a hazard is cleared by Release after the last read, and the scan that
//! finds it clear is an Acquire before the next fill.

use crate::{
    crash,
    sync::{AtomicU32, AtomicU64, Ordering, fence},
};

/// The words that the writer owns and every reader can read.
pub(crate) trait Control {
    /// The newest published sequence, 0 before the first, in the upper bits, and its slot in the lower [`SLOT_BITS`]: so
    /// who takes the newest needs no entry.
    fn head(&self) -> &AtomicU64;
    /// Where the slot of `sequence` stands, if that sequence is among the last `depth`.
    fn entry(&self, sequence: u64) -> &AtomicU32;
    /// The sequence that stands whole in `slot`, or 0.
    fn sequence(&self, slot: u32) -> &AtomicU64;
    /// How many slots there are: the bound of every index read from the words above.
    fn slots(&self) -> u32;
    /// Hints that `slot` is about to be read.
    fn expect(&self, _slot: u32) {}
}

/// The words that one reader owns, and the writer reads.
pub(crate) trait ReaderWords {
    /// `slot + 1` while a lease holds that slot, else 0.
    fn hazard(&self, lease: u32) -> &AtomicU32;
    /// How many hazard words this reader was granted.
    fn leases(&self) -> u32;
    /// 1 while the reader sleeps, or is about to.
    fn armed(&self) -> &AtomicU32;
    /// What it sleeps for: the writer needn't wake it before. Its unit is the policy's.
    fn due(&self) -> &AtomicU64;
    /// The last sequence that a blocking reader took.
    fn taken(&self) -> &AtomicU64;
    /// 1 while the writer sleeps until this reader takes something, or is about to.
    fn waited_for(&self) -> &AtomicU32;
}

/// The writer's own memory of its slots. It never reads back from shared memory what it wrote there.
#[derive(Debug)]
pub(crate) struct Slots {
    depth: u64,
    head: u64,
    /// What each slot holds: a sequence, or 0.
    sequences: Vec<u64>,
}

impl Slots {
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth: u64::from(depth), head: 0, sequences: Vec::new() }
    }

    pub(crate) fn grow(&mut self, slots: u32) {
        self.sequences.resize(self.sequences.len() + slots as usize, 0);
    }

    /// Takes back a slot that is not among the last `depth` published and that no reader holds, and unmarks it: until
    /// [`publish`](Self::publish) it is invisible. `None` if every slot that `fits` is held, which enough slots
    /// (depth + 1 + all leases) make impossible.
    pub(crate) fn claim<'r, W: ReaderWords + 'r>(
        &mut self,
        control: &impl Control,
        readers: impl Iterator<Item = &'r W> + Clone,
        fits: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let mut candidates = (0..self.sequences.len() as u32).filter(|slot| self.is_old(*slot) && fits(*slot));
        let first = candidates.next()?;
        crash::point();
        self.unmark(control, first);
        crash::point();
        fence(Ordering::SeqCst);
        if !held(readers.clone()).any(|slot| slot == first) {
            return Some(self.empty(first));
        }
        // Asking for one slot after the other could find all of them held by one reader that moves. So unmark all
        // at once and look at each hazard word once: it names one slot, and there are more slots than words.
        let candidates: Vec<u32> = std::iter::once(first).chain(candidates).collect();
        candidates[1..].iter().for_each(|slot| self.unmark(control, *slot));
        fence(Ordering::SeqCst);
        let mut free = candidates.clone();
        for slot in held(readers) {
            free.retain(|candidate| *candidate != slot);
        }
        let claimed = free.first().copied();
        candidates.iter().filter(|slot| Some(**slot) != claimed).for_each(|slot| self.mark_again(control, *slot));
        claimed.map(|slot| self.empty(slot))
    }

    /// Forgets what a claimed slot held: it is about to be overwritten, published or not.
    fn empty(&mut self, slot: u32) -> u32 {
        self.sequences[slot as usize] = 0;
        slot
    }

    fn unmark(&self, control: &impl Control, slot: u32) {
        // SYNC POINT H, the writer's half: this store, the fence that follows, then the look at the hazards.
        control.sequence(slot).store(0, Ordering::Relaxed);
    }

    fn mark_again(&self, control: &impl Control, slot: u32) {
        // A reader that has just come late for it may still find it whole: nobody has touched it. SYNC POINT S.
        control.sequence(slot).store(self.sequences[slot as usize], Ordering::Release);
    }

    fn is_old(&self, slot: u32) -> bool {
        let sequence = self.sequences[slot as usize];
        sequence == 0 || sequence + self.depth <= self.head
    }

    /// The newest published sequence, 0 before the first.
    #[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models do without"))]
    pub(crate) fn newest(&self) -> u64 {
        self.head
    }

    /// The sequence that the next [`publish`](Self::publish) will have.
    pub(crate) fn next(&self) -> u64 {
        self.head + 1
    }

    /// Makes a claimed and filled slot the newest one.
    pub(crate) fn publish(&mut self, control: &impl Control, slot: u32) -> u64 {
        let sequence = self.next();
        crash::point();
        // SYNC POINT S, the writer's half: the fill comes before this store.
        control.sequence(slot).store(sequence, Ordering::Release);
        crash::point();
        control.entry(sequence).store(slot, Ordering::Release);
        crash::point();
        // SYNC POINT N: whoever reads this head (Acquire in `newest`) also sees the entry and the sequence.
        control.head().store(sequence << SLOT_BITS | u64::from(slot), Ordering::Release);
        crash::point();
        self.sequences[slot as usize] = sequence;
        self.head = sequence;
        sequence
    }

    /// Stands between [`publish`](Self::publish) and the looks at who sleeps.
    pub(crate) fn before_waking() {
        // SYNC POINT A, the writer's half: `head` was stored, this fence, then the looks at `armed`.
        fence(Ordering::SeqCst);
    }

    /// Whether `reader` sleeps for something that is due by now, and must be woken; at most once for each time it armed.
    pub(crate) fn must_wake(reader: &impl ReaderWords, is_due: impl FnOnce(u64) -> bool) -> bool {
        // Acquire: what it is due for was stored before it armed.
        reader.armed().load(Ordering::Acquire) == 1
            && is_due(reader.due().load(Ordering::Relaxed))
            && reader.armed().swap(0, Ordering::AcqRel) == 1
    }

    /// Whether the next frame can be published without taking one from `reader` that it hasn't taken.
    pub(crate) fn has_room(&self, reader: &impl ReaderWords) -> bool {
        // An allegation: a reader that claims more than there is has only itself to blame.
        self.next() <= reader.taken().load(Ordering::Acquire).saturating_add(self.depth)
    }

    /// Says that the writer is about to sleep until `reader` takes something. `false` if there is room: then it mustn't.
    pub(crate) fn wait_for(&self, reader: &impl ReaderWords) -> bool {
        // SYNC POINT B, the writer's half: this store, the fence, then the re-check of what was taken.
        reader.waited_for().store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.has_room(reader) {
            reader.waited_for().store(0, Ordering::Relaxed);
            return false;
        }
        true
    }
}

/// The slots that readers hold, by one look at each hazard word.
fn held<'r, W: ReaderWords + 'r>(readers: impl Iterator<Item = &'r W>) -> impl Iterator<Item = u32> {
    let looked_at = if cfg!(feature = "control-no-scan") { 0 } else { usize::MAX };
    readers.take(looked_at).flat_map(|reader| {
        // SYNC POINT R, the writer's half: what the reader read before it cleared the word comes before our fill.
        (0..reader.leases()).filter_map(|lease| reader.hazard(lease).load(Ordering::Acquire).checked_sub(1))
    })
}

/// How much of the head word is a slot's number.
pub(crate) const SLOT_BITS: u32 = 10;

/// No ring comes to so many frames: at one each 10 ns it would take five years.
#[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models do without"))]
pub(crate) const MAX_SEQUENCE: u64 = u64::MAX >> SLOT_BITS;

/// The newest published sequence: an allegation, but small enough to compute with.
pub(crate) fn newest(control: &impl Control) -> u64 {
    // SYNC POINT N, the reader's half.
    control.head().load(Ordering::Acquire) >> SLOT_BITS
}

/// Where `sequence` stands, an allegation.
fn slot_of(control: &impl Control, sequence: u64) -> u32 {
    let head = control.head().load(Ordering::Acquire);
    if head >> SLOT_BITS == sequence {
        return (head & ((1 << SLOT_BITS) - 1)) as u32;
    }
    control.entry(sequence).load(Ordering::Acquire)
}

/// What became of an attempt to hold a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It is held: until [`release`], its slot doesn't change.
    Held(u32),
    /// The writer has taken the slot back meanwhile.
    Passed,
}

/// Takes hold of `sequence` with the hazard word `lease`.
pub(crate) fn hold(control: &impl Control, reader: &impl ReaderWords, lease: u32, sequence: u64) -> Hold {
    let slot = slot_of(control, sequence);
    if slot >= control.slots() {
        return Hold::Passed; // an allegation that names no slot of ours
    }
    control.expect(slot); // so that it is on its way from the writer's core while the fence waits
    // SYNC POINT H, the reader's half: this store, the fence, then the re-check.
    // Release, though the fence orders the rest: a scan may find this value instead of the 0 that `release` stored
    // before it, and must then have SYNC POINT R with our earlier reads all the same. (Loom found it.)
    crash::point();
    reader.hazard(lease).store(slot + 1, Ordering::Release);
    crash::point();
    fence(Ordering::SeqCst);
    // SYNC POINT S, the reader's half: what stood before this sequence was stored is what we read.
    if control.sequence(slot).load(Ordering::Acquire) == sequence {
        return Hold::Held(slot);
    }
    release(reader, lease);
    Hold::Passed
}

/// Lets go of what `lease` holds.
pub(crate) fn release(reader: &impl ReaderWords, lease: u32) {
    // SYNC POINT R, the reader's half: our last read comes before this store.
    reader.hazard(lease).store(0, Ordering::Release);
}

/// Shows the writer what a blocking reader has taken. Whether the writer waits for that, and must be woken.
#[must_use = "a writer that waits must be woken"]
pub(crate) fn show_taken(reader: &impl ReaderWords, sequence: u64) -> bool {
    crash::point();
    // SYNC POINT B, the reader's half: this store, the fence, then the look at `waited_for`.
    reader.taken().store(sequence, Ordering::Release);
    crash::point();
    fence(Ordering::SeqCst);
    reader.waited_for().load(Ordering::Relaxed) == 1 && reader.waited_for().swap(0, Ordering::AcqRel) == 1
}

/// Says that the reader is about to sleep for what is `due`, of which it has `seen` so much. `false` if there is something
/// newer: then it mustn't.
pub(crate) fn arm(control: &impl Control, reader: &impl ReaderWords, seen: u64, due: u64) -> bool {
    reader.due().store(due, Ordering::Relaxed);
    crash::point();
    // SYNC POINT A, the reader's half: this store, the fence, then the re-check of head. Release for `due`.
    reader.armed().store(1, Ordering::Release);
    crash::point();
    fence(Ordering::SeqCst);
    if newest(control) > seen {
        reader.armed().store(0, Ordering::Relaxed);
        return false;
    }
    true
}
