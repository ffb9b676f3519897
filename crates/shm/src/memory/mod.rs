//! Nameless memory: memfds that are sized, paid for and sealed before anybody else sees them.

mod budget;
mod map;
mod memfd;

pub use budget::{Budget, OverBudget};
pub use map::Mapping;
pub use memfd::{MemoryError, Sealing, create};
pub(crate) use memfd::{create_partly, give_back, pay, reserve};
