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
pub use self::{
    error::{GetError, JoinError, PutError, QueueError, TaskDoneError},
    handle::Queue,
    later::Ringing,
    lease::Lease,
    options::{Acknowledge, QueueOptions},
};

#[cfg(all(test, feature = "loom"))]
mod loom;
