//! A ring: frames from one writer to any number of readers in other processes, without copies and without locks.
//!
//! The writer fills a slot in place and publishes it; readers lease published slots and read them in place. A leased
//! slot is never overwritten, however long its reader is stopped, and the writer never waits for a slot: there are
//! depth + 1 + all leases of them. Each reader chooses its own [`Policy`], and what it misses is counted exactly.
//!
//! ```
//! use shm::{doorbell::Doorbell, ring::{Info, Policy, Reader, RingOptions, Wish, Writer}, wire::Socket};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: 1024 })?;
//! let (ours, theirs) = Socket::pair()?; // one end goes to another process, usually
//! writer.port().add(ours)?;
//! let mut reader = Reader::connect(theirs, &Doorbell::new()?, Wish { policy: Policy::Latest, leases: 2 })?;
//! writer.port().service();
//!
//! let mut slot = writer.reserve(5)?;
//! slot.bytes_mut().copy_from_slice(b"hello");
//! slot.publish(Info { pts_ns: 40_000_000, ..Info::default() });
//!
//! let frame = reader.try_next()?.expect("it was published");
//! assert_eq!((frame.bytes(), frame.info().pts_ns), (&b"hello"[..], 40_000_000));
//! # Ok(()) }
//! ```

mod info;
mod policy;
mod protocol;

#[cfg(not(all(test, feature = "loom")))]
mod address;
#[cfg(not(all(test, feature = "loom")))]
mod frame;
#[cfg(not(all(test, feature = "loom")))]
mod layout;
#[cfg(not(all(test, feature = "loom")))]
mod meet;
#[cfg(not(all(test, feature = "loom")))]
mod port;
#[cfg(not(all(test, feature = "loom")))]
mod reader;
#[cfg(not(all(test, feature = "loom")))]
mod room;
#[cfg(not(all(test, feature = "loom")))]
mod session;
#[cfg(not(all(test, feature = "loom")))]
mod sessions;
#[cfg(not(all(test, feature = "loom")))]
mod sleep;
#[cfg(not(all(test, feature = "loom")))]
mod store;
#[cfg(not(all(test, feature = "loom")))]
mod timer;
#[cfg(not(all(test, feature = "loom")))]
mod writer;

pub use info::Info;
pub use policy::{Counts, Late, Policy};

#[cfg(not(all(test, feature = "loom")))]
pub use self::{
    address::Address,
    frame::Frame,
    meet::{Allow, MeetError, Ring, Served},
    port::Port,
    reader::{ReadError, Reader},
    session::Wish,
    sleep::Next,
    store::RingError,
    writer::{Parked, RingOptions, Slot, Writer},
};

#[cfg(all(test, feature = "loom"))]
mod loom;
#[cfg(all(test, not(feature = "loom")))]
mod twin;
