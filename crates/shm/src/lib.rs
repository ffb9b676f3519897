//! Shared memory on Linux: rings that cannot leak and cannot tear.
//!
//! A [`ring`] has one writer and any number of readers, each in a process of its own. Nothing in this crate has a
//! name in a global namespace: all memory is sealed, nameless memfds, passed over a socket. When the last process
//! that maps it goes, however it goes, the kernel takes it back.
//!
//! | module | what |
//! |---|---|
//! | [`ring`] | frames from one writer to many readers, without copies and without locks |
//! | [`doorbell`] | how a sleeping process is woken |
//! | [`lane`] | small messages between two processes at no system call, that outlive either |
//! | [`wire`] | messages between two processes, with descriptors inside |
//! | [`status`] | one page a process, in which it says how it does, and which outlives it |
//! | [`clock`] | the time that all processes share |
//! | [`memory`] | memfds, sealed and mapped; the unsafe code that the rest stands on |
//!
//! This crate knows no process, no camera and no format, and it trusts no index that it reads from shared memory.

#[cfg(not(all(test, feature = "loom")))]
pub mod clock;
#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(not(feature = "crash-points"))]
mod crash;
#[cfg(not(all(test, feature = "loom")))]
pub mod doorbell;
#[cfg(not(all(test, feature = "loom")))]
pub mod fork;
#[cfg(not(all(test, feature = "loom")))]
pub mod lane;
#[cfg(not(all(test, feature = "loom")))]
pub mod memory;
pub mod ring;
#[cfg(not(all(test, feature = "loom")))]
pub mod status;
mod sync;
#[cfg(not(all(test, feature = "loom")))]
pub mod wait;
#[cfg(not(all(test, feature = "loom")))]
pub mod wire;
