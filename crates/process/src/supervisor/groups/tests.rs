//! Days of supervision, played with a clock of our own.

use std::sync::mpsc;

use super::*;

/// Processes that do as they are told at once, and a clock that goes when told.
struct World {
    groups: Groups,
    now: Instant,
    state: BTreeMap<u64, At>,
    /// What was done, in order.
    log: Vec<String>,
    exits: Vec<String>,
    /// Deaths that a process had left to itself.
    alone: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Starting,
    Ready,
    Down,
    Over,
}

impl World {
    fn new() -> Self {
        let (state, log, exits, alone) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        Self { groups: Groups::default(), now: Instant::now(), state, log, exits, alone }
    }

    fn group(&mut self, id: u64, strategy: Strategy, at_most: u32, parent: Option<u64>) -> Arc<AtomicBool> {
        let plan = GroupPlan { strategy, at_most, parent, essential: true, ..GroupPlan::new(id, format!("g{id}")) };
        let failed = plan.failed.clone();
        self.groups.add_group(plan);
        failed
    }

    fn start(&mut self, id: u64, group: u64, level: u32) {
        self.add(id, group, level, false);
    }

    fn add(&mut self, id: u64, group: u64, level: u32, temporary: bool) {
        assert!(self.groups.add(id, group, Some(level), temporary));
        self.state.insert(id, At::Starting);
        self.ready(id);
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Groups, Instant, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        tell(&mut self.groups, self.now, &mut actions);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(id) => {
                assert_eq!(self.state[&id], At::Down, "{id} is started twice");
                self.log.push(format!("+{id}"));
                self.state.insert(id, At::Starting);
            }
            Action::Pause(id, _) => {
                self.log.push(format!("-{id}"));
                self.state.insert(id, At::Down);
                self.tell(|groups, now, actions| groups.went_down(id, now, actions));
            }
            Action::Stop(id, _) => {
                self.log.push(format!("x{id}"));
                self.over(id);
            }
            Action::GiveUp(id) => {
                assert_eq!(self.state[&id], At::Down, "{id} is given up alive");
                self.over(id);
            }
            Action::Exit(group) => self.exits.push(group),
            Action::Done(done) => done.send(()).unwrap(),
        }
    }

    fn over(&mut self, id: u64) {
        self.state.insert(id, At::Over);
        self.tell(|groups, now, actions| groups.gone(id, now, actions));
    }

    fn ready(&mut self, id: u64) {
        assert_eq!(self.state.insert(id, At::Ready), Some(At::Starting));
        self.tell(|groups, now, actions| groups.became_ready(id, now, actions));
    }

    fn die(&mut self, id: u64) {
        let worked = (self.state.insert(id, At::Down) == Some(At::Ready)).then_some(Duration::ZERO);
        let mut outcome = Outcome::Together;
        self.tell(|groups, now, actions| outcome = groups.died(id, now, worked, 0.0, actions));
        if outcome == Outcome::Alone {
            self.alone.push(id);
            self.state.insert(id, At::Starting);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.tell(|groups, now, actions| groups.on_time(now, actions));
    }

    /// Lets everything that starts become ready, and time pass, until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..100 {
            let starting = self.state.iter().find(|(_, at)| **at == At::Starting).map(|(id, _)| *id);
            match (starting, self.groups.due()) {
                (Some(id), _) => self.ready(id),
                (None, Some(due)) => self.pass(due.saturating_duration_since(self.now)),
                (None, None) => return,
            }
        }
        panic!("it never ends: {:?}", self.log);
    }

    fn took(&mut self) -> String {
        std::mem::take(&mut self.log).join(" ")
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_for_one_leaves_the_others_alone() {
    let mut world = World::new();
    world.group(1, Strategy::OneForOne, 5, None);
    (10..13).for_each(|id| world.start(id, 1, id as u32));
    world.die(11);
    world.settle();
    assert_eq!((world.took().as_str(), &world.alone[..]), ("", &[11][..]));
}

#[test]
fn one_for_all_goes_down_in_reverse_and_up_in_order() {
    let mut world = World::new();
    world.group(1, Strategy::OneForAll, 5, None);
    [(10, 0), (11, 1), (12, 1), (13, 2)].into_iter().for_each(|(id, level)| world.start(id, 1, level));
    world.die(11);
    assert_eq!(world.took(), "-13 -12 -10", "11 is down already");
    world.pass(SECOND);
    assert_eq!(world.took(), "+10");
    world.ready(10);
    assert_eq!(world.took(), "+11 +12", "a level at once, once the one below is ready");
    world.ready(12);
    assert_eq!(world.took(), "");
    world.ready(11);
    assert_eq!(world.took(), "+13");
    world.settle();
    assert!(world.state.values().all(|at| *at == At::Ready));
}

#[test]
fn rest_for_one_takes_what_came_later() {
    let mut world = World::new();
    world.group(1, Strategy::RestForOne, 5, None);
    (10..14).for_each(|id| world.start(id, 1, id as u32));
    world.die(12);
    world.settle();
    assert_eq!(world.took(), "-13 +12 +13");
    // An earlier one dies while the later ones are coming back: then all from there.
    world.die(12);
    world.pass(SECOND);
    world.die(11);
    world.settle();
    assert_eq!(world.took(), "-13 +12 -12 +11 +12 +13");
}

#[test]
fn one_that_dies_while_all_are_started_begins_anew() {
    let mut world = World::new();
    world.group(1, Strategy::OneForAll, 5, None);
    (10..12).for_each(|id| world.start(id, 1, id as u32));
    world.die(10);
    world.pass(SECOND);
    world.die(10); // before it was ready
    assert_eq!(world.took(), "-11 +10");
    world.settle();
    assert_eq!(world.took(), "+10 +11");
}

#[test]
fn too_many_restarts_go_up_and_then_out() {
    let mut world = World::new();
    let failed = world.group(1, Strategy::OneForOne, 1, None);
    let inner = world.group(2, Strategy::OneForOne, 2, Some(1));
    world.start(10, 1, 0);
    [20, 21].into_iter().for_each(|id| world.start(id, 2, id as u32));
    for _ in 0..2 {
        world.die(20);
        world.settle();
    }
    assert_eq!((world.took().as_str(), world.alone.len()), ("", 2));
    world.die(20);
    world.settle();
    assert_eq!(world.took(), "-21 +20 +21", "the third is the parent's affair: all of the inner group, and only that");
    for _ in 0..3 {
        world.die(21);
        world.settle();
    }
    assert_eq!(world.took(), "-20 -10", "and the parent had allowed one");
    assert!(world.state.values().all(|at| *at == At::Over));
    assert_eq!(world.exits, ["g1"]);
    assert!(failed.load(Ordering::Relaxed) && inner.load(Ordering::Relaxed));
    assert!(!world.groups.add(30, 2, None, false), "nobody joins it any more");
}

#[test]
fn old_restarts_are_forgotten() {
    let mut world = World::new();
    world.group(1, Strategy::OneForOne, 1, None);
    world.start(10, 1, 0);
    for _ in 0..1000 {
        world.die(10);
        world.settle();
        world.pass(Duration::from_secs(60));
    }
    assert_eq!((world.alone.len(), world.exits.len()), (1000, 0));
}

#[test]
fn back_off_grows_while_a_group_does_not_last() {
    let mut world = World::new();
    world.group(1, Strategy::OneForAll, 100, None);
    [10, 11].into_iter().for_each(|id| world.start(id, 1, id as u32));
    let mut delays = Vec::new();
    for _ in 0..4 {
        world.die(10);
        delays.push(world.groups.due().unwrap().duration_since(world.now).as_millis());
        world.settle();
    }
    assert_eq!(delays, [20, 40, 80, 160]);
}

#[test]
fn a_temporary_member_is_not_started_again_for_its_neighbours() {
    let mut world = World::new();
    world.group(1, Strategy::OneForAll, 5, None);
    world.start(10, 1, 0);
    world.add(11, 1, 1, true);
    world.die(10);
    world.settle();
    assert_eq!(world.took(), "x11 +10");
}

#[test]
fn a_stop_goes_level_by_level_through_groups_inside() {
    let mut world = World::new();
    world.group(1, Strategy::OneForOne, 5, None);
    world.start(10, 1, 0);
    world.group(2, Strategy::OneForOne, 5, Some(1)); // level 1
    [20, 21].into_iter().for_each(|id| world.start(id, 2, id as u32));
    world.start(30, 1, 2);
    let (done, is_done) = mpsc::channel();
    world.tell(|groups, now, actions| groups.stop(1, SECOND, done, now, actions));
    assert_eq!(world.took(), "x30 x21 x20 x10");
    is_done.try_recv().unwrap();
}

/// Whatever dies whenever, in the end all are ready, or all have been given up; nothing hangs.
#[test]
fn any_order_of_deaths_ends_well() {
    for seed in 0..500u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut roll = |sides: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % sides
        };
        let mut world = World::new();
        let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
        let any = |number: u64| strategies[number as usize];
        let failed = world.group(1, any(roll(3)), 3, None);
        world.group(2, any(roll(3)), 2, Some(1));
        world.group(3, any(roll(3)), 2, Some(2));
        for id in 10..18 {
            let (group, level) = (1 + roll(3), roll(3) as u32);
            world.start(id, group, level);
        }
        for _ in 0..40 {
            let id = 10 + roll(8);
            match (world.state[&id], roll(3)) {
                (At::Starting | At::Ready, 0) => world.die(id),
                (At::Starting, _) => world.ready(id),
                _ => world.pass(Duration::from_millis(roll(200))),
            }
        }
        world.settle();
        let all = |wanted| world.state.values().all(|at| *at == wanted);
        let ended = if failed.load(Ordering::Relaxed) { At::Over } else { At::Ready };
        assert!(all(ended), "seed {seed}: {:?}, {}", world.state, world.log.join(" "));
    }
}

#[test]
fn whoever_stops_a_group_that_is_being_stopped_waits_for_it_too() {
    let mut world = World::new();
    world.group(1, Strategy::OneForOne, 5, None);
    [(10, 0), (11, 1), (12, 2)].into_iter().for_each(|(id, level)| world.start(id, 1, level));
    let (now, groups) = (world.now, &mut world.groups);
    // They take their time.
    let told = |actions: &mut Vec<Action>| -> Vec<(u64, Duration)> {
        let stops = actions.extract_if(.., |action| matches!(action, Action::Stop(..)));
        stops.map(|stop| if let Action::Stop(id, grace) = stop { (id, grace) } else { unreachable!() }).collect()
    };
    let (mut actions, mut waiting) = (Vec::new(), Vec::new());
    for (grace, is_told) in [(10, 10), (2, 2), (5, 2)] {
        let (done, is_done) = mpsc::channel();
        waiting.push(is_done);
        groups.stop(1, grace * SECOND, done, now, &mut actions);
        assert_eq!(told(&mut actions), [(12, is_told * SECOND)], "whoever is in a greater hurry decides");
    }
    for (gone, next) in [(12, 11), (11, 10)] {
        groups.gone(gone, now, &mut actions);
        assert_eq!(told(&mut actions), [(next, 2 * SECOND)]);
        assert!(actions.is_empty(), "nobody hears that it is done");
    }
    groups.gone(10, now, &mut actions);
    actions.into_iter().for_each(|action| world.act(action));
    assert!(waiting.iter().all(|waiting| waiting.try_recv().is_ok()), "all of them hear it");
}
