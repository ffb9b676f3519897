//! Who is stopped and started with whom: pure decisions. Time and chance are arguments and what is to be done is a list, so
//! that a test plays a day of it in microseconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use crate::{
    Strategy,
    far::after,
    restart::{Backoff, LONGEST, Recent},
};

/// All about a group that doesn't change.
#[derive(Clone, Debug)]
pub(crate) struct GroupPlan {
    pub id: u64,
    pub name: String,
    pub strategy: Strategy,
    pub at_most: u32,
    pub within: Duration,
    pub longest_delay: Duration,
    pub grace: Duration,
    pub parent: Option<u64>,
    pub level: Option<u32>,
    pub essential: bool,
    pub failed: Arc<AtomicBool>,
}

impl GroupPlan {
    pub(crate) fn new(id: u64, name: String) -> Self {
        Self {
            id,
            name,
            strategy: Strategy::OneForOne,
            at_most: 5,
            within: Duration::from_secs(60),
            longest_delay: LONGEST,
            grace: crate::system::GRACE,
            parent: None,
            level: None,
            essential: false,
            failed: Arc::default(),
        }
    }
}

/// What is to be done with a process.
#[derive(Debug)]
pub(super) enum Action {
    Start(u64),
    /// Stop it, to be started again.
    Pause(u64, Duration),
    /// Stop it for good.
    Stop(u64, Duration),
    /// It is down, and stays so.
    GiveUp(u64),
    /// The application can't go on without this group.
    Exit(String),
    /// Tell whoever waits for a stop.
    Done(Sender<()>),
}

/// What follows from a member's death.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is started again by itself.
    Alone,
    /// See the actions.
    Together,
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<u64, Group>,
    members: BTreeMap<u64, Member>,
}

#[derive(Debug)]
struct Group {
    plan: GroupPlan,
    level: u32,
    recent: Recent,
    backoff: Backoff,
    work: Option<Work>,
    forgotten: bool,
}

#[derive(Debug)]
struct Member {
    group: u64,
    level: u32,
    temporary: bool,
    /// It has no incarnation, and waits to be started.
    down: bool,
}

/// Something done with several members, one level after the other.
#[derive(Debug)]
struct Work {
    set: BTreeSet<u64>,
    /// Whom the present step was begun with.
    told: BTreeSet<u64>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Until all are down.
    Pausing { then: Then },
    /// Until all are ready.
    Starting { ready: BTreeSet<u64> },
    /// Until all are gone. Several may wait for that.
    Stopping { grace: Duration, done: Vec<Sender<()>> },
}

#[derive(Clone, Copy, Debug)]
enum Then {
    StartAt(Instant),
    GiveUp,
}

/// A direct member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direct {
    Process(u64),
    Group(u64),
}

impl Groups {
    pub(super) fn add_group(&mut self, plan: GroupPlan) {
        let level = plan.level.unwrap_or_else(|| plan.parent.map_or(0, |parent| self.next_level(parent)));
        if plan.parent.is_some_and(|parent| self.has_failed(parent)) {
            plan.failed.store(true, Ordering::Relaxed);
        }
        let (recent, backoff) = (Recent::default(), Backoff::default());
        self.groups.insert(plan.id, Group { plan, level, recent, backoff, work: None, forgotten: false });
    }

    /// Takes a process in that is about to be started; `false` if its group has failed, or is being stopped.
    pub(super) fn add(&mut self, id: u64, group: u64, level: Option<u32>, temporary: bool) -> bool {
        let is_stopped = |id: &u64| matches!(self.groups[id].work, Some(Work { step: Step::Stopping { .. }, .. }));
        if self.has_failed(group) || self.ancestors(group).iter().any(is_stopped) {
            return false;
        }
        let level = level.unwrap_or_else(|| self.next_level(group));
        self.members.insert(id, Member { group, level, temporary, down: false });
        true
    }

    pub(super) fn forget_group(&mut self, id: u64) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.forgotten = true;
        }
        self.tidy();
    }

    /// Forgets groups that nobody can reach any more and that have no member.
    fn tidy(&mut self) {
        let used: BTreeSet<u64> = self.members.values().map(|member| member.group).collect();
        let parents: BTreeSet<u64> = self.groups.values().filter_map(|group| group.plan.parent).collect();
        self.groups.retain(|id, group| !group.forgotten || used.contains(id) || parents.contains(id));
    }

    fn has_failed(&self, group: u64) -> bool {
        self.groups.get(&group).is_none_or(|group| group.plan.failed.load(Ordering::Relaxed))
    }

    fn next_level(&self, group: u64) -> u32 {
        let processes = self.members.values().filter(|member| member.group == group).map(|member| member.level);
        let groups = self.groups.values().filter(|inner| inner.plan.parent == Some(group)).map(|inner| inner.level);
        processes.chain(groups).max().map_or(0, |highest| highest.saturating_add(1))
    }

    /// A process has died, and its own policy is to start it again. It is down now. It had worked for so long (`None`: it
    /// wasn't ready).
    pub(super) fn died(
        &mut self,
        id: u64,
        now: Instant,
        worked: Option<Duration>,
        chance: f64,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        let Some(member) = self.members.get_mut(&id) else { return Outcome::Alone };
        member.down = true;
        let home = member.group;
        // If something is being done around it, that must take its death in; else its own group decides.
        let busy = self.ancestors(home).into_iter().rfind(|group| self.groups[group].work.is_some());
        let outcome = match busy {
            Some(busy) if self.is_taking_down(busy, id) => {
                self.advance(busy, now, actions);
                return Outcome::Together;
            }
            Some(busy) => self.fail(busy, self.direct(busy, id), now, worked, chance, actions),
            None => self.fail(home, Direct::Process(id), now, worked, chance, actions),
        };
        if let (Outcome::Alone, Some(member)) = (&outcome, self.members.get_mut(&id)) {
            member.down = false; // it comes back by itself
        }
        outcome
    }

    fn is_taking_down(&self, group: u64, id: u64) -> bool {
        self.groups[&group]
            .work
            .as_ref()
            .is_some_and(|work| !matches!(work.step, Step::Starting { .. }) && work.set.contains(&id))
    }

    /// A paused process has no incarnation any more.
    pub(super) fn went_down(&mut self, id: u64, now: Instant, actions: &mut Vec<Action>) {
        if let Some(member) = self.members.get_mut(&id) {
            member.down = true;
            self.advance_around(id, now, actions);
        }
    }

    pub(super) fn became_ready(&mut self, id: u64, now: Instant, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.down = false;
        for group in self.ancestors(self.members[&id].group) {
            if let Some(Work { step: Step::Starting { ready }, .. }) = self.work(group) {
                ready.insert(id);
            }
        }
        self.advance_around(id, now, actions);
    }

    /// A process is over for good.
    pub(super) fn gone(&mut self, id: u64, now: Instant, actions: &mut Vec<Action>) {
        let Some(member) = self.members.remove(&id) else { return };
        for group in self.ancestors(member.group) {
            if let Some(work) = self.work(group) {
                work.set.remove(&id);
            }
            self.advance(group, now, actions);
        }
        self.tidy();
    }

    /// Stops a group for good. If it is being stopped already, whoever is in a greater hurry decides, and both wait.
    pub(super) fn stop(&mut self, id: u64, grace: Duration, done: Sender<()>, now: Instant, actions: &mut Vec<Action>) {
        if !self.groups.contains_key(&id) {
            return actions.push(Action::Done(done));
        }
        let set = self.inside(id);
        let step = Step::Stopping { grace, done: vec![done] };
        self.begin(id, Work { set, told: BTreeSet::new(), step }, actions);
        self.advance(id, now, actions);
    }

    /// The outermost group around a process.
    pub(super) fn outermost(&self, id: u64) -> Option<u64> {
        self.ancestors(self.members.get(&id)?.group).last().copied()
    }

    /// When something is to be started.
    pub(super) fn due(&self) -> Option<Instant> {
        let at = |group: &Group| match &group.work.as_ref()?.step {
            Step::Pausing { then: Then::StartAt(at) } => {
                let waits = group.work.as_ref()?.set.iter().all(|id| self.members.get(id).is_none_or(|it| it.down));
                waits.then_some(*at)
            }
            _ => None,
        };
        self.groups.values().filter_map(at).min()
    }

    pub(super) fn on_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            self.advance(group, now, actions);
        }
    }

    fn fail(
        &mut self,
        id: u64,
        member: Direct,
        now: Instant,
        worked: Option<Duration>,
        chance: f64,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        let Some(group) = self.groups.get_mut(&id) else { return Outcome::Alone };
        let (at_most, within) = (group.plan.at_most, group.plan.within);
        if !group.recent.count(now, at_most, within) {
            // Its parent begins anew with it.
            group.recent.forget();
            match group.plan.parent {
                Some(parent) => return self.fail(parent, Direct::Group(id), now, worked, chance, actions),
                None => self.give_up(id, now, actions),
            }
            return Outcome::Together;
        }
        if group.plan.strategy == Strategy::OneForOne && matches!(member, Direct::Process(_)) && group.work.is_none() {
            return Outcome::Alone;
        }
        let at = after(now, group.backoff.next(worked, group.plan.longest_delay, chance));
        let strategy = group.plan.strategy;
        // What was under way goes on with more members.
        let mut set: BTreeSet<u64> = group.work.take().map(|work| work.set).unwrap_or_default();
        match (strategy, member) {
            (Strategy::OneForAll, _) => set.extend(self.inside(id)),
            (Strategy::OneForOne, Direct::Process(process)) => _ = set.insert(process),
            (Strategy::OneForOne, Direct::Group(inner)) => set.extend(self.inside(inner)),
            (Strategy::RestForOne, member) => set.extend(self.rest(id, member)),
        }
        let step = Step::Pausing { then: Then::StartAt(at) };
        self.begin(id, Work { set, told: BTreeSet::new(), step }, actions);
        self.advance(id, now, actions);
        Outcome::Together
    }

    fn give_up(&mut self, id: u64, now: Instant, actions: &mut Vec<Action>) {
        let set = self.inside(id);
        for group in self.groups_inside(id) {
            self.groups[&group].plan.failed.store(true, Ordering::Relaxed);
        }
        self.begin(id, Work { set, told: BTreeSet::new(), step: Step::Pausing { then: Then::GiveUp } }, actions);
        self.advance(id, now, actions);
    }

    /// Sets a group to work. What groups inside were doing becomes part of it: whom they had taken down must come back.
    fn begin(&mut self, id: u64, mut work: Work, actions: &mut Vec<Action>) {
        for inner in self.groups_inside(id) {
            let Some(group) = self.groups.get_mut(&inner) else { continue };
            match group.work.take() {
                // A stop for good stays one; there is no time for its order any more.
                Some(Work { set, step: Step::Stopping { grace, done }, .. }) if inner != id => {
                    actions.extend(set.iter().map(|id| Action::Stop(*id, grace)));
                    group.work = Some(Work { told: set.clone(), set, step: Step::Stopping { grace, done } });
                }
                former => {
                    let Some(Work { set, step, .. }) = former else { continue };
                    work.set.extend(set);
                    if let Step::Stopping { grace, done } = step
                        && let Step::Stopping { grace: shorter, done: all } = &mut work.step
                    {
                        *shorter = grace.min(*shorter);
                        all.extend(done);
                    }
                }
            }
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.work = Some(work);
        }
    }

    fn advance_around(&mut self, id: u64, now: Instant, actions: &mut Vec<Action>) {
        for group in self.ancestors(self.members[&id].group) {
            self.advance(group, now, actions);
        }
    }

    /// Does what can be done now.
    fn advance(&mut self, id: u64, now: Instant, actions: &mut Vec<Action>) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let (grace, essential, name) = (group.plan.grace, group.plan.essential, group.plan.name.clone());
        let Some(mut work) = group.work.take() else { return };
        loop {
            work.set.retain(|id| self.members.contains_key(id));
            let levels = self.levels(&work.set);
            match &mut work.step {
                Step::Pausing { then } => {
                    let up = |id: &u64| !self.members[id].down;
                    if let Some(level) = levels.values().rev().find(|level| level.iter().any(up)) {
                        for id in level.iter().copied().filter(|id| up(id) && work.told.insert(*id)) {
                            // A temporary process isn't started again for its neighbours' sake either.
                            let temporary = self.members[&id].temporary;
                            actions.push(if temporary { Action::Stop(id, grace) } else { Action::Pause(id, grace) });
                        }
                        break;
                    }
                    match *then {
                        Then::GiveUp => {
                            actions.extend(work.set.iter().map(|id| Action::GiveUp(*id)));
                            actions.extend(essential.then_some(Action::Exit(name)));
                            return;
                        }
                        Then::StartAt(at) if at > now => break,
                        Then::StartAt(_) => {
                            work.told.clear();
                            work.step = Step::Starting { ready: BTreeSet::new() };
                        }
                    }
                }
                Step::Starting { ready } => {
                    let Some(level) = levels.values().find(|level| level.iter().any(|id| !ready.contains(id))) else {
                        return;
                    };
                    for id in level.iter().copied().filter(|id| work.told.insert(*id)) {
                        actions.push(Action::Start(id));
                        if let Some(member) = self.members.get_mut(&id) {
                            member.down = false;
                        }
                    }
                    break;
                }
                Step::Stopping { grace, done } => {
                    let Some(level) = levels.values().next_back() else {
                        actions.extend(done.drain(..).map(Action::Done));
                        return;
                    };
                    let told = &mut work.told;
                    actions.extend(level.iter().filter(|id| told.insert(**id)).map(|id| Action::Stop(*id, *grace)));
                    break;
                }
            }
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.work = Some(work);
        }
    }

    /// Processes by their place in the order: levels of all groups around them, the outermost first.
    fn levels(&self, set: &BTreeSet<u64>) -> BTreeMap<Vec<u32>, Vec<u64>> {
        let mut levels: BTreeMap<Vec<u32>, Vec<u64>> = BTreeMap::new();
        for id in set {
            let member = &self.members[id];
            let groups = self.ancestors(member.group).into_iter().rev();
            let path = groups.map(|group| self.groups[&group].level).chain([member.level]);
            levels.entry(path.collect()).or_default().push(*id);
        }
        levels
    }

    /// A group and all around it, from the inside out.
    fn ancestors(&self, group: u64) -> Vec<u64> {
        let parent = |id: &u64| self.groups.get(id)?.plan.parent;
        std::iter::successors(Some(group), parent).filter(|id| self.groups.contains_key(id)).collect()
    }

    /// All processes of a group and of those inside it.
    fn inside(&self, group: u64) -> BTreeSet<u64> {
        let is_inside = |member: &Member| self.ancestors(member.group).contains(&group);
        self.members.iter().filter(|(_, member)| is_inside(member)).map(|(id, _)| *id).collect()
    }

    fn groups_inside(&self, group: u64) -> Vec<u64> {
        self.groups.keys().copied().filter(|inner| self.ancestors(*inner).contains(&group)).collect()
    }

    /// Which direct member of `group` a process is, or is in.
    fn direct(&self, group: u64, id: u64) -> Direct {
        let ancestors = self.ancestors(self.members[&id].group);
        match ancestors.iter().position(|around| *around == group) {
            None | Some(0) => Direct::Process(id),
            Some(index) => Direct::Group(ancestors[index - 1]),
        }
    }

    /// A direct member, and all that comes after it.
    fn rest(&self, group: u64, first: Direct) -> BTreeSet<u64> {
        let level = |direct| match direct {
            Direct::Process(id) => self.members[&id].level,
            Direct::Group(id) => self.groups[&id].level,
        };
        let after = level(first);
        let is_rest = |id: &u64| {
            let direct = self.direct(group, *id);
            direct == first || level(direct) > after
        };
        self.inside(group).into_iter().filter(is_rest).collect()
    }

    fn work(&mut self, group: u64) -> Option<&mut Work> {
        self.groups.get_mut(&group)?.work.as_mut()
    }
}

#[cfg(test)]
mod tests;
