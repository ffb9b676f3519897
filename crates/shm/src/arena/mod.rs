//! An arena: memory that many processes write, in which locks, queues and other shared objects live.
//!
//! It is one nameless memfd, mapped by every process that takes part, its *members*. There is no supervisor and nothing to
//! clean up: a process becomes a member by receiving the arena, or any object in it, in a message, and it ceases to be one
//! when it drops its last handle, exits, calls exec or is killed. The kernel itself tells the others (`heart.rs`), so what
//! a dead member held can be taken back by whoever wants it next.
//!
//! ```
//! use shm::{arena::Arena, wire::Packet};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let arena = Arena::create(64 * 1024)?;
//! let message = Packet::encode(&("for you", &arena))?; // to any process, at any time
//! let (_, same) = message.decode::<(String, Arena)>()?; // here it is our own again
//! assert_eq!((same.id(), same.free_bytes()), (arena.id(), arena.free_bytes()));
//! # Ok(()) }
//! ```
//!
//! | limit | |
//! |---|---|
//! | members at once | 1024 processes |
//! | arenas of one process | 2000 |
//! | trust | members trust each other with what is in the arena: one that writes there at random can make others wait or fail, but not leave their memory |

mod members;
mod owner;

pub(crate) use self::{members::Members, owner::Owner};

#[cfg(not(all(test, feature = "loom")))]
mod error;
#[cfg(not(all(test, feature = "loom")))]
mod handle;
#[cfg(not(all(test, feature = "loom")))]
mod heart;
#[cfg(not(all(test, feature = "loom")))]
mod layout;
#[cfg(not(all(test, feature = "loom")))]
mod local;
#[cfg(not(all(test, feature = "loom")))]
mod place;
#[cfg(not(all(test, feature = "loom")))]
mod table;
#[cfg(all(test, not(feature = "loom")))]
mod tests;

#[cfg(not(all(test, feature = "loom")))]
use self::handle::Inner;
#[cfg(not(all(test, feature = "loom")))]
pub use self::{error::ArenaError, handle::Arena};
#[cfg(not(all(test, feature = "loom")))]
pub(crate) use self::{
    handle::SLICE,
    layout::MAX_MEMBERS,
    local::Local,
    place::{Address, Place},
};
