//! A map between processes: names and their values, which any process reads and changes, and which a death leaves whole.
//!
//! What takes a server process elsewhere (`multiprocessing.Manager`, Redis) is memory here. A change that returned is there,
//! whoever dies; one whose process is killed in the middle has happened whole, or not at all; and then the next one goes on.
//!
//! ```
//! use shm::{arena::Arena, map::{Map, MapOptions}, wire::Packet};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let arena = Arena::create(Map::ARENA_BYTES)?;
//! let map = Map::create(&arena, MapOptions { limit_bytes: 1 << 20 })?;
//! let message = Packet::encode(&map)?; // to any process, at any time
//!
//! map.set("camera", b"rtsp://door")?;
//! map.set_all(&[("width", b"1920"), ("height", b"1080")])?; // nobody sees one without the other
//!
//! let same: Map = message.decode()?; // usually in another process
//! assert_eq!(same.get("width")?.as_deref(), Some(&b"1920"[..]));
//! same.update("starts", |count| {
//!     let count = count.map_or(0, |count| count[0]);
//!     Some(vec![count + 1]) // of many processes that do this at once, none is lost
//! })?;
//! assert_eq!(map.keys()?, [&b"camera"[..], b"width", b"height", b"starts"]); // in the order in which they came
//! assert_eq!(map.remove("camera")?.as_deref(), Some(&b"rtsp://door"[..]));
//! # Ok(()) }
//! ```
//!
//! Whoever wants to know of changes [waits for them](Map::wait_changed): no process asks again and again.
//!
//! | limit | |
//! |---|---|
//! | size | what was declared when it was made; memory is taken as it fills, and given back as it empties |
//! | values | are bytes, copied in and out; what is large and changes often goes better through a [`ring`](crate::ring) |
//! | one at a time | each operation has the map's lock for as long as it copies; a process that is *stopped* in there holds the others up |
//! | trust | as for the [`arena`](crate::arena): a member that writes into the memory at random makes others fail, but not leave their memory |

mod change;
mod error;
mod guard;
mod half;
mod handle;
mod memory;
mod rebuild;
mod repair;
mod wait;

#[cfg(test)]
mod tests;

pub use self::{
    error::MapError,
    guard::{MapGuard, Pair},
    handle::{Map, MapOptions},
};
