//! Shared memory on Linux: rings that cannot leak and cannot tear, and queues and locks that outlive their holders.
//!
//! For programs that hand each other frames, tasks and numbers, each in a process of its own, any of which may be killed
//! (`kill -9`), stopped or restarted at any instant. Nothing in this crate has a name in a global namespace: all memory is
//! sealed, nameless memfds, passed over a socket. When the last process that maps it goes, however it goes, the kernel
//! takes it back. There is no daemon, no clean-up procedure, and nothing in `/dev/shm`.
//!
//! | module | what |
//! |---|---|
//! | [`ring`] | frames from one writer to many readers, without copies and without locks |
//! | [`queue`] | tasks from many to many, with descriptors if need be, each done at least once, whoever dies |
//! | [`lock`] | locks, conditions, semaphores, barriers, events, values and arrays between processes |
//! | [`map`] | names and their values between processes, each change whole or not at all |
//! | [`arena`] | the memory that queues, locks and maps live in |
//! | [`wait`] | waiting for many rings and other descriptors at once |
//! | [`wire`] | messages between two processes, with descriptors, rings, queues and locks inside |
//! | [`doorbell`] | how a sleeping process is woken |
//! | [`lane`] | small messages between two processes at no system call, that outlive either |
//! | [`status`] | one page a process, in which it says how it does, and which outlives it |
//! | [`clock`] | the time that all processes share |
//! | [`clone`] | how a launcher makes its parent children by copying itself |
//! | [`memory`] | memfds, sealed and mapped; the unsafe code that the rest stands on |
//! | [`life`] | a process by its pidfd, whatever else of it lives on |
//! | [`parent`] | a process that doesn't outlive its parent, nor does what it has started |
//! | [`fork`] | how a forked child is kept from its parent's handles |
//!
//! # The crate in ten minutes
//!
//! **A ring** has one writer. It lends slots of shared memory to fill in place; nobody sees a slot before it is published.
//!
//! ```
//! use shm::ring::{Info, RingOptions, Writer};
//! # fn main() -> Result<(), shm::ring::RingError> {
//! let mut camera = Writer::create(RingOptions { depth: 4, frame_bytes: 640 * 480 })?;
//! let mut slot = camera.reserve(640 * 480)?;      // a larger frame later makes the ring grow
//! slot.bytes_mut().fill(128);                     // a driver or a decoder writes here
//! slot.publish(Info { width: 640, height: 480, ..Info::default() });
//! # Ok(()) }
//! ```
//!
//! **Readers** join by a session: one end of a socket for each. Programs that have nothing to do with each other meet at an
//! address; a child inherits its end; a supervisor hands ends out in messages (`examples/` has each of these).
//!
//! ```
//! # use shm::ring::{Info, RingOptions, Writer};
//! use shm::ring::{Address, Allow, Policy, Ring, Wish};
//! use std::time::Duration;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut camera = Writer::create(RingOptions { depth: 4, frame_bytes: 640 * 480 })?;
//! let address: Address = "@front-door".parse()?;             // or a path
//! # let address = Address::Abstract(format!("front-door-{}", std::process::id()));
//! let _open = Ring::serve(&camera, &address, Allow::SameUser)?;
//!
//! // in another program:
//! let wish = Wish { policy: Policy::Latest, leases: 2 };
//! let mut reader = Ring::connect(&address, Allow::SameUser, wish, Duration::from_secs(5))?;
//! # camera.reserve(640 * 480)?.publish(Info::default());
//! let frame = reader.next_for(Duration::from_secs(5))?.expect("the camera has frames");
//! assert_eq!(frame.bytes().len(), 640 * 480);                 // in the shared memory itself: nothing was copied
//! let kept = frame.clone();                                   // one hold, until the last clone is dropped
//! # drop(kept);
//! # Ok(()) }
//! ```
//!
//! What a reader gets when it can't take everything is its own [`Policy`](ring::Policy): the newest, the last few, every nth,
//! so many a second, or all, with the writer waiting. Nothing is lost silently: [`Counts`](ring::Counts) say at every instant
//! what became of each frame, on both sides. A frame that is held never changes, whoever dies; a reader that dies lets go
//! of everything at once; when the writer dies, what it left is read, and then [`ReadError::WriterGone`](ring::ReadError)
//! is told.
//!
//! **Waiting** is a choice as well: [`Reader::next_for`](ring::Reader::next_for) sleeps (and
//! [spins before](ring::Reader::spinning) if asked to), [`Reader::next`](ring::Reader::next) is a future for any runtime, a
//! [`WaitSet`](wait::WaitSet) waits for many rings and other descriptors, and whoever has an event loop of its own watches one
//! [`Doorbell`](doorbell::Doorbell) for all its rings.
//!
//! **Queues and locks** live in an arena, and travel in any message. Here, two processes would share `queue` and `total`:
//!
//! ```
//! use shm::{arena::Arena, lock::Lock, queue::{Queue, QueueOptions}, wire::{Packet, Socket}};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let arena = Arena::create(1 << 20)?;
//! let queue: Queue<String> = Queue::create(&arena, QueueOptions { capacity: 100, ..QueueOptions::default() })?;
//! let total = Lock::create(&arena, 0u64)?;
//!
//! let (ours, theirs) = Socket::pair()?;                       // to a child, usually
//! ours.send(&Packet::encode(&(&queue, &total))?)?;
//! let (tasks, sum): (Queue<String>, Lock<u64>) = theirs.receive()?.decode()?;
//!
//! queue.put("count me".to_owned())?;
//! let task = tasks.lease()?;                                  // if we die now, another one gets it
//! *sum.lock().map_err(|error| error.to_string())? += task.len() as u64;
//! task.done();
//! queue.join()?;                                              // all that was put is done
//! assert_eq!(*total.lock().map_err(|error| error.to_string())?, 8);
//! # Ok(()) }
//! ```
//!
//! **Errors** are values that say what was tried, on what, why it failed and what to do; their texts complete "could not …".
//! Too little memory is such a value, with the numbers, when a ring is made or grows, and never a signal later. So is
//! another process's nonsense: this crate knows no process, no camera and no format, and it trusts no number that it reads
//! from shared memory. What it can't protect from is a writer of a ring that changes bytes it has published: they are as
//! honest as whoever wrote them.
//!
//! **A forked child** (not one that was executed) is refused by every handle of its parent's.

pub mod arena;
#[cfg(not(all(test, feature = "loom")))]
mod attendant;
#[cfg(not(all(test, feature = "loom")))]
mod call;
#[cfg(not(all(test, feature = "loom")))]
pub mod clock;
#[cfg(not(all(test, feature = "loom")))]
pub mod clone;
#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(not(feature = "crash-points"))]
mod crash;
#[cfg(not(all(test, feature = "loom")))]
pub mod cursor;
#[cfg(not(all(test, feature = "loom")))]
pub mod doorbell;
#[cfg(not(all(test, feature = "loom")))]
pub mod fork;
mod futex;
#[cfg(not(all(test, feature = "loom")))]
pub mod lane;
#[cfg(not(all(test, feature = "loom")))]
pub mod life;
pub mod lock;
#[cfg(not(all(test, feature = "loom")))]
pub mod map;
#[cfg(not(all(test, feature = "loom")))]
pub mod memory;
#[cfg(all(test, not(feature = "loom")))]
mod noise;
#[cfg(not(all(test, feature = "loom")))]
pub mod parent;
pub mod queue;
pub mod ring;
#[cfg(not(all(test, feature = "loom")))]
pub mod status;
mod sync;
#[cfg(not(all(test, feature = "loom")))]
pub mod wait;
#[cfg(not(all(test, feature = "loom")))]
pub mod wire;
