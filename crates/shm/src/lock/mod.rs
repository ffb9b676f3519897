//! Locks between processes, any of which may be killed at any instant: nothing stays locked, and nobody waits for the dead.
//!
//! All of them live in an [`Arena`](crate::arena::Arena) and travel in any message, at any time. All work between threads
//! of one process too. What a process holds is recorded in the very word that gives it the hold, so when it dies, the one
//! who waits sees that (within 50 ms, usually 0.1 ms) and takes it over.
//!
//! | object | what | when a holder dies |
//! |---|---|---|
//! | [`Lock<T>`] | one at a time, with what it protects | the next one is told: [`LockError::OwnerDied`] with the guard |
//! | [`RLock`] | the same thread again and again | as `Lock` |
//! | [`RwLock<T>`] | many readers or one writer | a reader: nothing; a writer: as `Lock` |
//! | [`KeptLock`], [`KeptCondition`] | either lock without guards, and a condition for it, as other languages have them | as `Lock` and `Condition` |
//! | [`Condition<T>`] | waiting, with a `Lock`, for others to change something | its notification goes to another waiter |
//! | [`Semaphore`] | up to n at a time | its permits come back |
//! | [`Event`] | waiting for one thing to happen | nothing |
//! | [`Barrier`] | n parties wait for each other | one that waits there: it breaks, and the others are told |
//! | [`Value<T>`], [`Array<T>`] | a number, or many, under a lock | as `Lock` |
//!
//! `T` is plain data ([`bytemuck::Pod`]): no pointers, and every pattern of bytes is a value.
//!
//! ```
//! use shm::{arena::Arena, lock::{Lock, LockError}, wire::Packet};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let arena = Arena::create(4096)?;
//! let lock = Lock::create(&arena, [0u32; 2])?;
//! let message = Packet::encode(&lock)?; // another process decodes this, and has the same lock
//! let same: Lock<[u32; 2]> = message.decode()?;
//! same.lock().map_err(LockError::without_guard)?[1] += 7;
//! assert_eq!(*lock.lock().map_err(LockError::without_guard)?, [0, 7]);
//! # Ok(()) }
//! ```
//!
//! Waiting is blocking, with a limit, without waiting, or async: then one thread of this process sleeps for all its pending
//! futures, in no particular runtime.

mod flag;
mod mutex;
mod permits;
mod rounds;
mod shared;
mod waiters;

#[cfg(not(all(test, feature = "loom")))]
mod barrier;
#[cfg(not(all(test, feature = "loom")))]
mod condition;
#[cfg(not(all(test, feature = "loom")))]
mod error;
#[cfg(not(all(test, feature = "loom")))]
mod event;
#[cfg(not(all(test, feature = "loom")))]
mod exclusive;
#[cfg(not(all(test, feature = "loom")))]
mod kept;
#[cfg(not(all(test, feature = "loom")))]
mod kind;
#[cfg(not(all(test, feature = "loom")))]
mod rlock;
#[cfg(not(all(test, feature = "loom")))]
mod rwlock;
#[cfg(not(all(test, feature = "loom")))]
mod semaphore;
#[cfg(not(all(test, feature = "loom")))]
mod value;

#[cfg(all(test, feature = "loom"))]
pub(crate) mod loom;

#[cfg(not(all(test, feature = "loom")))]
pub use self::{
    barrier::Barrier,
    condition::{Condition, Waited},
    error::{BarrierError, LockError, ReleaseError, WaitError},
    event::Event,
    exclusive::{Guard, Lock},
    kept::{KeptCondition, KeptLock},
    rlock::{RGuard, RLock},
    rwlock::{ReadGuard, RwLock, WriteGuard},
    semaphore::{Permit, Semaphore},
    value::{Array, ArrayGuard, Value},
};
