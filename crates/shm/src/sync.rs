//! The atomics of the protocols, at one seam, so that loom can take their place.

#[cfg(all(test, feature = "loom"))]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(all(test, feature = "loom")))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A full fence (`SeqCst`), for who has just changed a word by a read-modify-write. On x86-64 such a change is one already, so
/// that the compiler alone must be kept from moving what follows; a fence proper would double the cost of a change.
#[inline(always)]
pub(crate) fn fence_after_change() {
    if cfg!(all(target_arch = "x86_64", not(miri), not(all(test, feature = "loom")))) {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}
