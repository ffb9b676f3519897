//! In which order all are stopped: pure decisions, as those of groups.
//!
//! Processes that know nothing of each other stop at once. One that was spawned [`after`](crate::Spawn::after) another goes
//! before it, and a group goes as a whole, in its own order. Nobody waits for more than that: there are no levels over
//! all.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is stopped in one order: a process outside of groups, or a group with all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whole {
    Process(u64),
    Group(u64),
}

/// A stop of everything, under way.
#[derive(Debug)]
pub(super) struct Departure {
    pub grace: Duration,
    waiting: BTreeMap<Whole, Waiting>,
    /// Told to stop.
    leaving: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    members: BTreeSet<u64>,
    /// Who must be gone before it is told.
    until_gone: BTreeSet<u64>,
}

impl Departure {
    /// Of these processes: each with what it belongs to, and whom it was spawned after.
    pub(super) fn of<A: AsRef<[u64]>>(grace: Duration, processes: &[(u64, Whole, A)]) -> Self {
        let homes: BTreeMap<u64, Whole> = processes.iter().map(|(id, whole, _)| (*id, *whole)).collect();
        let mut waiting: BTreeMap<Whole, Waiting> = BTreeMap::new();
        for (id, whole, after) in processes {
            waiting.entry(*whole).or_default().members.insert(*id);
            // In one group that is the group's own affair.
            for needed in after.as_ref().iter().filter_map(|needed| homes.get(needed)).filter(|needed| *needed != whole)
            {
                waiting.entry(*needed).or_default().until_gone.insert(*id);
            }
        }
        Self { grace, waiting, leaving: BTreeSet::new() }
    }

    /// Who can be told to stop now.
    pub(super) fn next(&mut self, is_gone: impl Fn(u64) -> bool) -> Vec<Whole> {
        self.leaving.retain(|id| !is_gone(*id));
        let mut next: Vec<Whole> = Vec::new();
        for (whole, waiting) in &mut self.waiting {
            waiting.until_gone.retain(|id| !is_gone(*id));
            if waiting.until_gone.is_empty() {
                next.push(*whole);
            }
        }
        if next.is_empty() && self.leaving.is_empty() {
            // Two groups wait for each other's members: no order is right, and none is no reason to stay.
            next = self.waiting.keys().copied().collect();
        }
        for whole in &next {
            self.leaving.extend(self.waiting.remove(whole).map(|it| it.members).unwrap_or_default());
        }
        self.leaving.retain(|id| !is_gone(*id));
        next
    }

    /// There is no time left for an order.
    pub(super) fn hurry(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Whole::*, *};

    /// Plays a stop in which everybody goes as soon as told, one round after the other.
    fn play(processes: &[(u64, Whole, &[u64])]) -> Vec<Vec<Whole>> {
        let mut departure = Departure::of(Duration::ZERO, processes);
        let (mut gone, mut rounds): (BTreeSet<u64>, Vec<Vec<Whole>>) = (BTreeSet::new(), Vec::new());
        loop {
            let next = departure.next(|id| gone.contains(&id));
            if next.is_empty() {
                assert_eq!(gone.len(), processes.len(), "nobody is forgotten");
                return rounds;
            }
            gone.extend(processes.iter().filter(|(_, whole, _)| next.contains(whole)).map(|(id, ..)| *id));
            rounds.push(next);
        }
    }

    #[test]
    fn strangers_go_at_once_and_others_before_whom_they_need() {
        assert_eq!(play(&[]), Vec::<Vec<Whole>>::new());
        assert_eq!(play(&[(1, Process(1), &[]), (2, Process(2), &[])]), [[Process(1), Process(2)]]);
        // Web and worker need the database; a camera needs nobody.
        let rounds =
            play(&[(1, Process(1), &[]), (2, Process(2), &[1]), (3, Process(3), &[1, 2]), (4, Process(4), &[])]);
        assert_eq!(rounds, [vec![Process(3), Process(4)], vec![Process(2)], vec![Process(1)]]);
        // Whoever was gone before is nobody to wait for.
        assert_eq!(play(&[(2, Process(2), &[1])]), [[Process(2)]]);
    }

    #[test]
    fn a_group_goes_as_a_whole() {
        let rounds = play(&[
            (1, Process(1), &[]),
            (2, Group(10), &[1]),
            (3, Group(10), &[2]),
            (4, Process(4), &[3]),
            (5, Group(11), &[]),
        ]);
        assert_eq!(rounds, [vec![Process(4), Group(11)], vec![Group(10)], vec![Process(1)]]);
    }

    #[test]
    fn a_knot_is_no_reason_to_stay() {
        let rounds = play(&[(1, Group(10), &[4]), (2, Group(10), &[]), (3, Group(11), &[2]), (4, Group(11), &[])]);
        assert_eq!(rounds, [[Group(10), Group(11)]]);
    }

    #[test]
    fn it_waits_for_those_that_take_their_time() {
        let processes: [(u64, Whole, &[u64]); 2] = [(1, Process(1), &[]), (2, Process(2), &[1])];
        let mut departure = Departure::of(Duration::ZERO, &processes);
        assert_eq!(departure.next(|_| false), [Process(2)]);
        assert_eq!(departure.next(|_| false), [], "the other isn't gone");
        assert_eq!(departure.next(|id| id == 2), [Process(1)]);
        assert_eq!(departure.next(|id| id == 2), []);
    }
}
