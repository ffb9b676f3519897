//! Who holds something, in one word.

/// A member of an arena, as it stands in the words of what it holds: `[slot: 10][generation: 16]`, in the lowest 26 bits.
///
/// It names a *process*, for one membership: a slot of the member table is used again and again, each time with the next
/// generation. It is never 0, so that 0 can mean nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u32);

impl Owner {
    /// The bits of a word that an owner takes. The six above are free for whoever uses the word.
    pub(crate) const MASK: u32 = (1 << 26) - 1;

    /// `None` for generation 0, which nobody has.
    pub(crate) fn new(slot: u16, generation: u16) -> Option<Self> {
        (slot < 1 << 10 && generation != 0).then_some(Self(u32::from(slot) << 16 | u32::from(generation)))
    }

    /// Whom a word names, if anybody. What another process wrote there is an allegation: it may be a membership that never
    /// was, and then [`Members::is_dead`](super::Members::is_dead) says yes.
    pub(crate) fn of(word: u32) -> Option<Self> {
        (word & 0xffff != 0).then_some(Self(word & Self::MASK))
    }

    /// As it stands in a word.
    pub(crate) fn word(self) -> u32 {
        self.0
    }

    /// Its place in the member table.
    pub(crate) fn slot(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Which of the memberships of that place.
    pub(crate) fn generation(self) -> u16 {
        self.0 as u16
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_back() {
        let owner = Owner::new(1023, u16::MAX).unwrap();
        assert_eq!((owner.slot(), owner.generation()), (1023, u16::MAX));
        assert_eq!(Owner::of(owner.word() | 63 << 26), Some(owner), "the upper six bits are somebody else's");
        assert_eq!(
            (Owner::new(1, 0), Owner::new(1 << 10, 1), Owner::of(0), Owner::of(63 << 26)),
            (None, None, None, None)
        );
    }
}
