//! What a cell is, in one word.

use crate::arena::Owner;

/// `[what: 3][owner: 30][number: 31]`. The number is a ticket's lowest bits in `Filled`, and otherwise how often the item
/// was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's.
    Free,
    /// A producer writes an item into it.
    Filling(Owner),
    /// The item is whole. It is in the queue if the ring names this cell under this ticket; otherwise its producer is
    /// about to try that.
    Filled {
        /// The producer.
        by: Owner,
        /// See [`ticket_bits`].
        ticket: u32,
    },
    /// A consumer has it.
    Leased {
        /// The consumer.
        by: Owner,
        /// How often it was delivered, with this time.
        deliveries: u32,
    },
    /// It came back, and comes before everything in the ring.
    Returned {
        /// How often it was delivered.
        deliveries: u32,
    },
    /// It is acknowledged, or was never put; somebody gives its blocks back.
    Settling(Owner),
    /// It came back too often.
    Dead {
        /// How often it was delivered.
        deliveries: u32,
    },
}

const NUMBER_BITS: u32 = 31;
const OWNER_BITS: u32 = 30;
const MAX_NUMBER: u32 = (1 << NUMBER_BITS) - 1;

/// What of a ticket stands in a state: enough to tell one use of a cell from another, unless a process is stopped between
/// two instructions for exactly 2³¹ items.
pub(crate) fn ticket_bits(ticket: u64) -> u32 {
    ticket as u32 & MAX_NUMBER
}

impl State {
    /// As it stands in memory.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        let (what, owner, number) = match self {
            Self::Free => (0, 0, 0),
            Self::Filling(by) => (1, by.word(), 0),
            Self::Filled { by, ticket } => (2, by.word(), ticket),
            Self::Leased { by, deliveries } => (3, by.word(), deliveries),
            Self::Returned { deliveries } => (4, 0, deliveries),
            Self::Settling(by) => (5, by.word(), 0),
            Self::Dead { deliveries } => (6, 0, deliveries),
        };
        what << (OWNER_BITS + NUMBER_BITS) | u64::from(owner) << NUMBER_BITS | u64::from(number.min(MAX_NUMBER))
    }

    /// What a word says; `None` if no process that keeps to the protocol has written it. Such a cell is let be.
    #[inline]
    pub(crate) fn of(word: u64) -> Option<Self> {
        let owner = Owner::of((word >> NUMBER_BITS) as u32 & Owner::MASK);
        let number = word as u32 & MAX_NUMBER;
        Some(match (word >> (OWNER_BITS + NUMBER_BITS), owner) {
            (0, None) => Self::Free,
            (1, Some(by)) => Self::Filling(by),
            (2, Some(by)) => Self::Filled { by, ticket: number },
            (3, Some(by)) => Self::Leased { by, deliveries: number },
            (4, None) => Self::Returned { deliveries: number },
            (5, Some(by)) => Self::Settling(by),
            (6, None) => Self::Dead { deliveries: number },
            _ => return None,
        })
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_state_and_back() {
        let by = Owner::new(1023, u16::MAX).unwrap();
        for state in [
            State::Free,
            State::Filling(by),
            State::Filled { by, ticket: ticket_bits(u64::MAX) },
            State::Leased { by, deliveries: 1 },
            State::Returned { deliveries: 7 },
            State::Settling(by),
            State::Dead { deliveries: MAX_NUMBER },
        ] {
            assert_eq!(State::of(state.word()), Some(state));
        }
        assert_eq!(State::Returned { deliveries: u32::MAX }.word(), State::Returned { deliveries: MAX_NUMBER }.word());
    }

    proptest! {
        #[test]
        fn no_word_is_read_as_two_states(word: u64) {
            if let Some(state) = State::of(word) {
                prop_assert_eq!(State::of(state.word()), Some(state));
            }
        }
    }
}
