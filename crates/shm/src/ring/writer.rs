//! The one writer of a ring.

use std::{
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Info, Port, RingError,
    layout::{ControlMap, MAX_DEPTH, MAX_SLOTS, Placed},
    protocol::Slots,
    room,
    sessions::Sessions,
    store::{Place, Store},
};
use crate::{crash, fork::Birthplace, memory::Mapping};

/// What a ring is made for.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// How many of the newest frames stay readable for a reader that lags, 1 to 512.
    pub depth: u32,
    /// The size of a frame, in bytes; a larger one later grows the ring.
    pub frame_bytes: usize,
}

/// The writing end. Dropping it ends the ring: readers see `WriterGone` after what they still can read.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// The slot for the next frame. It is looked for right after a frame was published, when nobody waits for us.
    next: Option<Claimed>,
    /// A slot that was parked, and how many bytes of it were asked for.
    parked: Option<(Claimed, usize)>,
}

/// Where a parked slot's bytes stand. They stay mapped for as long as this value lives, also when the writer is gone.
#[derive(Clone, Debug)]
pub struct Parked {
    mapping: Arc<Mapping>,
    offset: usize,
    bytes: usize,
}

impl Parked {
    /// Where they begin: for those who lend them out by other rules than Rust's. Whoever writes them after the slot was published
    /// or given up writes into other frames.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.mapping.start().map_addr(|at| at.saturating_add(self.offset))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// A slot that no reader can take hold of, and where it stands.
#[derive(Debug)]
struct Claimed {
    slot: u32,
    segment: u32,
    mapping: Arc<Mapping>,
    offset: u64,
    capacity: u64,
}

/// What the writer and its [`Port`]s share inside the process.
#[derive(Debug)]
pub(super) struct Shared {
    pub control: ControlMap,
    pub depth: u32,
    pub birthplace: Birthplace,
    /// A reader that can block the writer has joined, ever.
    pub blockable: AtomicBool,
    pub state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub slots: Slots,
    pub store: Store,
    pub sessions: Sessions,
    /// The most that any reader can make the writer wait for a frame.
    pub longest_wait: Duration,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves counters behind at worst, never a half-published frame.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Makes a ring and pays for its memory.
    ///
    /// # Errors
    ///
    /// [`RingError::Depth`] if the depth is out of range; [`RingError::Memory`] if there is too little memory.
    pub fn create(options: RingOptions) -> Result<Self, RingError> {
        Self::create_within(options, u64::MAX)
    }

    /// As [`create`](Self::create), but the ring never takes more than `budget_bytes` of memory for its slots: a frame or
    /// a reader that would need more is refused, with the numbers. (Each reader's page of 4 KiB isn't counted, nor what
    /// readers still hold of memory that the ring has outgrown.)
    ///
    /// # Errors
    ///
    /// As `create`, and [`RingError::OverBudget`] if not even `depth + 1` frames fit.
    ///
    /// ```
    /// use shm::ring::{RingError, RingOptions, Writer};
    /// # fn main() -> Result<(), RingError> {
    /// let mut writer = Writer::create_within(RingOptions { depth: 4, frame_bytes: 100_000 }, 1 << 20)?;
    /// assert!(writer.reserve(100_000).is_ok());
    /// assert!(matches!(writer.reserve(1_000_000), Err(RingError::OverBudget { .. })));
    /// assert!(writer.reserve(100_000).is_ok(), "it goes on as it was");
    /// # Ok(()) }
    /// ```
    pub fn create_within(options: RingOptions, budget_bytes: u64) -> Result<Self, RingError> {
        let RingOptions { depth, frame_bytes } = options;
        if depth == 0 || depth > MAX_DEPTH {
            return Err(RingError::Depth(depth));
        }
        let (store, control) = Store::new(frame_bytes, budget_bytes)?;
        let mut state =
            State { slots: Slots::new(depth), store, sessions: Sessions::new()?, longest_wait: Duration::MAX };
        state.add_slots(depth + 1)?;
        let shared = Shared {
            control,
            depth,
            birthplace: Birthplace::here(),
            blockable: AtomicBool::new(false),
            state: Mutex::new(state),
        };
        Ok(Self { shared: Arc::new(shared), next: None, parked: None })
    }

    /// Limits how long a reader can make the writer wait for each frame, whatever timeout its
    /// [`Policy::Block`](super::Policy::Block) says: for rings whose readers aren't trusted. Zero waits for nobody.
    #[must_use]
    pub fn waiting_at_most(self, longest: Duration) -> Self {
        self.shared.lock().longest_wait = longest;
        self
    }

    /// Where readers are let in.
    #[must_use]
    pub fn port(&self) -> Port {
        Port::new(self.shared.clone())
    }

    /// Lends a slot to fill with `bytes` bytes. It holds what an earlier frame left there. Dropped without
    /// [`publish`](Slot::publish), nobody sees it.
    ///
    /// It waits only for readers that chose [`Policy::Block`](super::Policy::Block), for each no longer than its timeout
    /// and its life, and meanwhile lets readers in and out as [`Port::service`] does.
    ///
    /// # Errors
    ///
    /// [`RingError::Memory`] or [`RingError::OverBudget`] if the frame is larger than any before and there is no memory
    /// for more of its size; [`RingError::Forked`] in a forked process.
    pub fn reserve(&mut self, bytes: usize) -> Result<Slot<'_>, RingError> {
        self.reserve_while(bytes, || true)
    }

    /// As [`reserve`](Self::reserve), for as long as `go_on` says so: it is asked at least every 50 ms, and after each signal, while
    /// a reader is waited for.
    ///
    /// # Errors
    ///
    /// As `reserve`, and [`RingError::WouldBlock`] if `go_on` said no. Nothing is lost to anybody then.
    ///
    /// ```
    /// use shm::{doorbell::Doorbell, ring::{Info, Late, Policy, Reader, RingError, RingOptions, Wish, Writer}, wire::Socket};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut writer = Writer::create(RingOptions { depth: 1, frame_bytes: 16 })?;
    /// let (ours, theirs) = Socket::pair()?;
    /// writer.port().add(ours)?;
    /// let policy = Policy::Block { timeout: Duration::MAX, late: Late::Drop };
    /// let mut reader = Reader::connect(theirs, &Doorbell::new()?, Wish { policy, leases: 1 })?;
    /// writer.port().service();
    ///
    /// writer.reserve(16)?.publish(Info::default());
    /// let mut asked = 0;
    /// let refused = writer.reserve_while(16, || { asked += 1; asked < 3 });
    /// assert!(matches!(refused, Err(RingError::WouldBlock { readers: 1 })));
    /// drop(reader.try_next()?);
    /// assert!(writer.reserve_while(16, || false).is_ok(), "there is room, and nobody to ask");
    /// # Ok(()) }
    /// ```
    pub fn reserve_while(&mut self, bytes: usize, go_on: impl FnMut() -> bool) -> Result<Slot<'_>, RingError> {
        self.shared.birthplace.check()?;
        // Relaxed: who joins while this is read might as well have come after it.
        if self.shared.blockable.load(Ordering::Relaxed) {
            room::wait(&self.shared, go_on)?;
        }
        self.lend(bytes)
    }

    /// As [`reserve`](Self::reserve), but never waits.
    ///
    /// # Errors
    ///
    /// As `reserve`, and [`RingError::WouldBlock`] if a blocking reader has no room for the frame. Nothing is lost to
    /// anybody then.
    pub fn try_reserve(&mut self, bytes: usize) -> Result<Slot<'_>, RingError> {
        self.shared.birthplace.check()?;
        let readers = self.shared.lock().without_room();
        match readers {
            0 => self.lend(bytes),
            readers => Err(RingError::WouldBlock { readers }),
        }
    }

    /// The slot that was [parked](Slot::park) last, if no other was reserved since.
    pub fn resume(&mut self) -> Option<Slot<'_>> {
        let (claimed, bytes) = self.parked.take()?;
        Some(Slot { writer: self, claimed, bytes })
    }

    fn lend(&mut self, bytes: usize) -> Result<Slot<'_>, RingError> {
        self.parked = None; // it may be the very slot that comes now
        let claimed = match self.next.take().filter(|next| next.capacity >= bytes as u64) {
            Some(next) => next,
            None => self.shared.lock().claim(&self.shared.control, bytes)?,
        };
        Ok(Slot { writer: self, claimed, bytes })
    }

    /// How many frames were published so far; none in a forked process.
    #[must_use]
    pub fn published(&self) -> u64 {
        if !self.shared.birthplace.is_here() {
            return 0;
        }
        self.shared.lock().slots.newest()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A port may be kept longer, but there is nothing to read at it any more. (A forked child has nothing to say, and
        // its copy of the lock may be held for ever.)
        if self.shared.birthplace.is_here() {
            self.port().close();
        }
    }
}

impl State {
    /// `true` if readers must learn of a new segment.
    pub(super) fn add_slots(&mut self, count: u32) -> Result<bool, RingError> {
        let new_segment = self.store.add_slots(count)?;
        self.slots.grow(count);
        debug_assert!(self.store.slots() <= MAX_SLOTS);
        Ok(new_segment)
    }

    /// Takes a slot for a frame of `bytes`, which moves to larger memory if it must.
    fn claim(&mut self, control: &ControlMap, bytes: usize) -> Result<Claimed, RingError> {
        let state = self;
        if state.store.grow_to(bytes)? {
            crash::point();
            state.sessions.announce_last(&state.store);
            crash::point();
        }
        let pages = state.sessions.pages();
        let claimed = state
            .slots
            .claim(control, pages.clone(), |slot| state.store.fits(slot, bytes))
            .or_else(|| state.slots.claim(control, pages, |_| true))
            // depth + 1 + all leases: so many slots can't all be held or recent.
            .expect("a ring has more slots than can be held");
        if !state.store.fits(claimed, bytes) {
            state.store.move_to_spare(claimed);
            crash::point();
            for id in state.store.retire() {
                state.sessions.retire(id);
            }
        }
        let (Place { segment, offset, capacity }, mapping) = state.store.place(claimed);
        Ok(Claimed { slot: claimed, segment, mapping: mapping.clone(), offset, capacity })
    }
}

/// A slot lent by [`Writer::reserve`].
#[derive(Debug)]
#[must_use = "a slot that isn't published is given back"]
pub struct Slot<'w> {
    writer: &'w mut Writer,
    claimed: Claimed,
    bytes: usize,
}

impl Slot<'_> {
    /// The bytes to fill.
    ///
    /// # Panics
    ///
    /// In a process that was forked since the slot was reserved: it is its parent's, which may publish it at any time.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if let Err(forked) = self.writer.shared.birthplace.check() {
            panic!("could not {forked}");
        }
        // SAFETY: the slot is claimed (`Slots::claim` found no hazard on it and unmarked it), so no reader reads it;
        // `&mut self` makes this the only slice of it here.
        unsafe { self.claimed.mapping.bytes_mut(self.claimed.offset as usize, self.bytes) }
    }

    /// The sequence that it will be published as.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.writer.published() + 1
    }

    /// Leaves it with the writer, for who can't keep a borrow of that, and says where its bytes are.
    /// [`resume`](Writer::resume) takes it up again; the next `reserve` gives it up.
    ///
    /// ```
    /// # use shm::ring::{Info, RingOptions, Writer};
    /// # fn main() -> Result<(), shm::ring::RingError> {
    /// let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 16 })?;
    /// let parked = writer.reserve(16)?.park();
    /// assert_eq!(parked.len(), 16); // fill it, and then:
    /// assert_eq!(writer.resume().map(|slot| slot.publish(Info::default())), Some(1));
    /// assert!(writer.resume().is_none());
    /// # Ok(()) }
    /// ```
    pub fn park(self) -> Parked {
        let Claimed { mapping, offset, .. } = &self.claimed;
        // A place that `Store` gave fits into this process.
        let parked = Parked { mapping: mapping.clone(), offset: *offset as usize, bytes: self.bytes };
        self.writer.parked = Some((self.claimed, self.bytes));
        parked
    }

    /// Shortens it: the frame turned out smaller than what was reserved.
    pub fn truncate(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
    }

    /// Makes it the newest frame, wakes the readers that sleep, and gives its sequence.
    ///
    /// # Panics
    ///
    /// In a process that was forked since the slot was reserved.
    pub fn publish(self, info: Info) -> u64 {
        let shared = &*self.writer.shared;
        if let Err(forked) = shared.birthplace.check() {
            panic!("could not {forked}");
        }
        let Claimed { slot, segment, offset, .. } = self.claimed;
        let mut state = shared.lock();
        let (length, published_ns) = (self.bytes as u64, state.sessions.published_ns());
        let placed = Placed { segment, offset, length, published_ns };
        // SAFETY: claimed, as in `bytes_mut`.
        unsafe { shared.control.place(slot, placed, info) };
        let sequence = state.slots.publish(&shared.control, slot);
        state.sessions.wake(sequence, published_ns);
        // Without memory for it now, the next `reserve` says so.
        let next = state.claim(&shared.control, self.bytes).ok();
        drop(state);
        self.writer.next = next;
        sequence
    }
}
