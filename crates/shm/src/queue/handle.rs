//! The handle of a queue, and what this process has of it.

use std::{
    cell::Cell,
    collections::VecDeque,
    marker::PhantomData,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{
    QueueError, QueueOptions, attempt,
    cells::{self, Taken},
    members,
    memory::Memory,
    ring,
    state::State,
    words::Words,
};
use crate::{arena::Arena, fork::Forked, wire::Passed};

/// A queue of `T` between processes.
///
/// Clones are the same queue. It can be a field of any message to another process ([`wire`](crate::wire)); received where it
/// is known already, it is one more handle of the same. Each method may be called by any number of threads and processes
/// at once.
///
/// Items are encoded as messages are (MessagePack with field names). In what order they come: for each producer in the order
/// in which it put them, but what comes back from a consumer comes before everything else, the oldest first.
pub struct Queue<T> {
    pub(super) shared: Arc<Shared>,
    item: PhantomData<fn(T) -> T>,
}

/// What this process has of a queue, for all its handles.
#[derive(Debug)]
pub(super) struct Shared {
    pub memory: Memory,
    /// What `get` gave to this process and `task_done` has not acknowledged, oldest first.
    pub outstanding: Mutex<VecDeque<Taken>>,
    /// Counts what was put and taken here, to look after the dead now and then also when there is always something to do.
    operations: AtomicU32,
}

impl<T> Queue<T> {
    /// Makes a queue.
    ///
    /// # Errors
    ///
    /// [`QueueError::Arena`] if the arena has too little room, with the numbers ([`QueueOptions::bytes`] says how much it
    /// takes), or belongs to the process that this one was forked from; [`QueueError::NoCapacity`], [`QueueError::TooLarge`] and
    /// [`QueueError::TooManySlots`] for options that can't be; [`QueueError::Sockets`] if there are no descriptors left for those.
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{Queue, QueueError, QueueOptions}};
    /// # fn main() -> Result<(), QueueError> {
    /// let options = QueueOptions { capacity: 10, large_bytes: 0, ..QueueOptions::default() };
    /// let arena = Arena::create(options.bytes()?)?;
    /// let queue = Queue::<u64>::create(&arena, options.clone())?;
    /// assert_eq!(queue.capacity(), 10);
    /// assert!(matches!(Queue::<u64>::create(&arena, options), Err(QueueError::Arena(_)))); // it is full
    /// # Ok(()) }
    /// ```
    pub fn create(arena: &Arena, options: QueueOptions) -> Result<Self, QueueError> {
        let memory = Memory::create(arena, &options)?;
        let offset = memory.place().address().offset;
        Self::of(arena, offset, || Ok(memory))
    }

    fn of(arena: &Arena, offset: u64, memory: impl FnOnce() -> Result<Memory, QueueError>) -> Result<Self, QueueError> {
        let shared = arena.object(offset, || {
            let memory = memory()?;
            if !members::enter(&memory) {
                return Err(QueueError::TooManyMembers);
            }
            Ok(Shared { memory, outstanding: Mutex::default(), operations: AtomicU32::new(0) })
        })?;
        Ok(Self { shared, item: PhantomData })
    }

    /// Says whether this process may use the handle.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a process that was forked from the handle's.
    pub fn check(&self) -> Result<(), Forked> {
        self.shared.check()
    }

    /// How many items may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.memory.shape().capacity as usize
    }

    /// How many items wait, with those that came back. As at one moment of the call, and 0 in a forked process.
    #[must_use]
    pub fn len(&self) -> usize {
        self.looked_after(0, |memory| {
            let (head, tail) = ring::span(memory);
            (tail - head) as usize + cells::count(memory, |state| matches!(state, State::Returned { .. })) as usize
        })
    }

    /// Whether nothing waits. Others may put something at any moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a put would have to wait. Others may take something at any moment.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.looked_after(false, |memory| ring::admits(memory) == Err(ring::Refused::Full) || !cells::any_free(memory))
    }

    /// How many items are out: leased, and not acknowledged.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.looked_after(0, |memory| cells::count(memory, |state| matches!(state, State::Leased { .. })) as usize)
    }

    /// How many items were put and aren't acknowledged, nor dead letters. It is read off the items themselves, so no death
    /// can make it wrong.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.looked_after(0, |memory| {
            let (_, tail) = ring::span(memory);
            (0..memory.shape().cells).filter(|cell| cells::is_unfinished(memory, *cell, tail)).count()
        })
    }

    /// How many items were delivered too often, and wait for [`take_dead_letter`](Self::take_dead_letter).
    #[must_use]
    pub fn dead_letters(&self) -> usize {
        self.looked_after(0, |memory| cells::count(memory, |state| matches!(state, State::Dead { .. })) as usize)
    }

    /// Lets nobody put anything any more. What was put before stays to be got; after that, getters are told. Closing again
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a process that was forked from the handle's.
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{GetError, PutError, Queue, QueueOptions}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let arena = Arena::create(QueueOptions::default().bytes()?)?;
    /// let queue = Queue::create(&arena, QueueOptions::default())?;
    /// queue.put(1)?;
    /// queue.close()?;
    /// assert!(matches!(queue.put(2), Err(PutError::Closed(2))));
    /// assert_eq!(queue.get()?, 1);
    /// assert!(matches!(queue.get(), Err(GetError::Closed)));
    /// # Ok(()) }
    /// ```
    pub fn close(&self) -> Result<(), Forked> {
        self.shared.check()?;
        attempt::close(&self.shared.memory);
        Ok(())
    }

    /// Whether it was closed. `false` in a forked process.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.check().is_ok() && ring::is_closed(&self.shared.memory)
    }

    /// Looks after the dead first, so that what they had counts as what it is now.
    fn looked_after<R>(&self, forked: R, look: impl FnOnce(&Memory) -> R) -> R {
        if self.shared.check().is_err() {
            return forked;
        }
        members::sweep(&self.shared.memory);
        look(&self.shared.memory)
    }
}

impl Shared {
    #[inline]
    pub(super) fn check(&self) -> Result<(), Forked> {
        self.memory.place().arena().born().check()
    }

    /// Looks after the dead each 64th time: so rarely that it costs nothing, so often that a busy queue notices at once.
    #[inline]
    pub(super) fn look_now_and_then(&self) {
        let operations = self.operations.load(Ordering::Relaxed);
        // Not one step: of two threads' counts one may be lost.
        self.operations.store(operations.wrapping_add(1), Ordering::Relaxed);
        if operations.is_multiple_of(64) {
            members::sweep(&self.memory);
        }
    }

    pub(super) fn outstanding(&self) -> std::sync::MutexGuard<'_, VecDeque<Taken>> {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.check().is_err() {
            return; // it is the parent's
        }
        // Nobody here can acknowledge these any more, so they are for others.
        for taken in std::mem::take(&mut *self.outstanding()) {
            cells::give_back(&self.memory, taken);
        }
    }
}

thread_local! {
    /// Room for an item as a message, so that none is allocated for each.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `with` with an empty buffer, which is kept for the next time unless it became large.
pub(super) fn with_room<R>(with: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    const KEPT_BYTES: usize = 64 * 1024;
    let mut room = ROOM.take();
    room.clear();
    let done = with(&mut room);
    if room.capacity() <= KEPT_BYTES {
        ROOM.with(|kept| kept.set(room)); // not `LocalKey::set`, which costs several times as much
    }
    done
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), item: PhantomData }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// A queue in a message.
#[derive(Serialize, Deserialize)]
struct Sent {
    arena: Arena,
    offset: u64,
    sockets: Vec<Passed>,
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shared.check().map_err(|forked| ser::Error::custom(format_args!("could not {forked}")))?;
        let memory = &self.shared.memory;
        let address = memory.place().address();
        let sockets = memory.sockets().all().to_vec();
        Sent { arena: address.arena, offset: address.offset, sockets }.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent { arena, offset, sockets } = Sent::deserialize(deserializer)?;
        Self::of(&arena, offset, || Memory::open(&arena, offset, sockets))
            .map_err(|error| de::Error::custom(format_args!("could not {error}")))
    }
}
