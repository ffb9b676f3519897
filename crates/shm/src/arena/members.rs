//! What a protocol has to know of the processes that take part in it.

use std::time::Instant;

use super::Owner;
use crate::{futex::Outcome, sync::AtomicU32};

/// The processes that share some words: an [`Arena`](super::Arena), or loom's twin of one.
pub(crate) trait Members {
    /// This process.
    fn me(&self) -> Owner;

    /// Whether that member is gone for good, so that what it holds may be taken from it. Costs a load while it lives; the
    /// first to see a death may be held up for some 20 ms, until the last thread of the dead has certainly stopped.
    fn is_dead(&self, owner: Owner) -> bool;

    /// Sleeps while `word` holds `expected` and `owner` lives, until `until`. For whom is blocked by an owner: it looks
    /// again at least every [`SLICE`](super::SLICE), whatever becomes of others, and then says that it was woken.
    fn wait_for_owner(&self, word: &AtomicU32, expected: u32, owner: Owner, until: Option<Instant>) -> Outcome;

    /// Sleeps while `word` holds `expected`, until `until`. For whom isn't blocked by one owner in particular, but may
    /// depend on others not dying: it looks again at least every `SLICE`, and then says that it was woken.
    fn wait_a_while(&self, word: &AtomicU32, expected: u32, until: Option<Instant>) -> Outcome;

    /// As [`wait_a_while`](Self::wait_a_while), and usually also woken by the death of any of `owners`: at least of the first
    /// few of them, unless somebody else was woken by it who then tells nobody.
    fn wait_for_any(
        &self,
        word: &AtomicU32,
        expected: u32,
        owners: impl Iterator<Item = Owner>,
        until: Option<Instant>,
    ) -> Outcome {
        drop(owners);
        self.wait_a_while(word, expected, until)
    }
}
