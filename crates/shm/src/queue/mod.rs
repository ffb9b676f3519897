//! A queue between processes: any of them puts, any of them gets, and a death loses none of the items.
//!
//! A consumer either takes an item for good ([`get`](Queue::get)), or leases it ([`lease`](Queue::lease)) and acknowledges it
//! when it is dealt with. What a consumer had leased when it died, in whatever way, is delivered again, before everything
//! else. A producer that dies puts either all of an item or nothing. Nobody ever waits for a process that is stopped or dead
//! in the middle of something: there are no locks in it (`ring.rs` has the argument).
//!
//! ```
//! use shm::{arena::Arena, queue::{Queue, QueueOptions}, wire::Packet};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = QueueOptions { capacity: 100, ..QueueOptions::default() };
//! let arena = Arena::create(options.bytes()?)?;
//! let queue: Queue<(String, u32)> = Queue::create(&arena, options)?;
//! let message = Packet::encode(&queue)?; // to any process, at any time
//!
//! queue.put(("resize".to_owned(), 7))?;
//!
//! let same: Queue<(String, u32)> = message.decode()?; // usually in another process
//! let job = same.lease()?;
//! assert_eq!((job.0.as_str(), job.1, job.deliveries()), ("resize", 7, 1));
//! assert_eq!((queue.len(), queue.leased(), queue.unfinished()), (0, 1, 1));
//! job.done();
//! queue.join()?; // everything that was put is acknowledged
//! # Ok(()) }
//! ```
//!
//! # Descriptors in items
//!
//! An item may have descriptors in it: files, sockets, memory, and so also arenas, locks, other queues, and the session of a ring. Such a
//! queue is made with [`descriptor_slots`](QueueOptions::descriptor_slots):
//!
//! ```
//! use shm::{arena::Arena, lock::{Lock, LockError}, queue::{Queue, QueueOptions}, wire::Passed};
//! use std::{fs::File, io::Read};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = QueueOptions { descriptor_slots: 8, ..QueueOptions::default() };
//! let arena = Arena::create(options.bytes()?)?;
//! let queue: Queue<(Passed, Lock<u64>)> = Queue::create(&arena, options)?;
//! # let elsewhere = Arena::create(4096)?;
//! let sum = Lock::create(&elsewhere, 0u64)?; // in an arena that the consumer needn't have
//! queue.put((Passed::new(File::open("/proc/self/stat")?), sum.clone()))?;
//!
//! let job = queue.lease()?; // usually in another process; if it dies, the next one gets the same file and the same lock
//! let mut text = String::new();
//! File::from(job.0.clone().into_owned()?).read_to_string(&mut text)?;
//! *job.1.lock().map_err(LockError::without_guard)? += text.len() as u64;
//! job.done();
//! # assert!(*sum.lock().map_err(LockError::without_guard)? > 0);
//! # Ok(()) }
//! ```
//!
//! - Such an item has a slot from its put to its acknowledgement, also as a dead letter, and its descriptors stay open that long, whoever
//!   closes them elsewhere. When all slots are taken, a put waits. So a consumer that puts such an item before it acknowledges one
//!   may wait for itself.
//! - Who gets an item again gets the same open files: what the dead did to one (its position, what was read from a socket) is done. A
//!   ring's session serves one reader only, so acknowledge its item *before* joining by it (or take it by [`get`](Queue::get)): then
//!   nobody joins by it a second time, and the ring's writer is told at once when the one who has it dies.
//! - One item has 253 descriptors at most (as a message has). All that wait in sockets count against the limit of their user, who may have as
//!   many there as one process may open (`ulimit -n`); beyond it a put says so: [`PutError::Send`].
//! - A slot costs each process that has the queue one descriptor, and two system calls a put, one a get, one an acknowledgement.
//! - A queue may be in an item of itself, or of one that is in an item of it. When nobody has such queues any more but they
//!   themselves, the kernel finds that out, and takes them away.
//!
//! | what it can't do | |
//! |---|---|
//! | exactly once | who dies after it did what an item asks for, and before it said so, leaves the item to be delivered again: make that harmless, or look at [`deliveries`](Lease::deliveries) |
//! | outlive its processes | when the last one is gone, so are the items |
//! | tell who is too slow | a consumer that lives keeps what it has leased, for however long |

mod attempt;
mod blocks;
mod cells;
mod members;
mod ring;
mod slots;
mod state;
mod wait;
mod words;

#[cfg(not(all(test, feature = "loom")))]
mod error;
#[cfg(not(all(test, feature = "loom")))]
mod get;
#[cfg(not(all(test, feature = "loom")))]
mod handle;
#[cfg(not(all(test, feature = "loom")))]
mod join;
#[cfg(not(all(test, feature = "loom")))]
mod later;
#[cfg(not(all(test, feature = "loom")))]
mod lease;
#[cfg(not(all(test, feature = "loom")))]
mod memory;
#[cfg(not(all(test, feature = "loom")))]
mod options;
#[cfg(not(all(test, feature = "loom")))]
mod put;
#[cfg(not(all(test, feature = "loom")))]
mod sockets;

#[cfg(not(all(test, feature = "loom")))]
pub use crate::attendant::Ringing;
#[cfg(not(all(test, feature = "loom")))]
pub use self::{
    error::{GetError, JoinError, PutError, QueueError, TaskDoneError},
    handle::Queue,
    lease::Lease,
    options::{Acknowledge, QueueOptions},
};

#[cfg(all(test, feature = "loom"))]
mod loom;
