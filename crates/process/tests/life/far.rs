//! No limit at all, wherever one can be given: `Duration::MAX` is what many call that.

use std::time::Duration;

use process::{Exit, Recycle, Restart, State, Strategy, System, pool::Workers};

use super::{
    Test,
    subject::{Config, Subject},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("no_limit_for_a_start_and_a_stop", start_and_stop),
    ("no_limit_for_a_replacement", replacement),
    ("no_limit_in_a_group_and_the_highest_level", group),
    ("no_limit_for_a_pools_workers", pool),
];

const NONE: Duration = Duration::MAX;

fn start_and_stop(system: &System) {
    let policy = Restart::on_failure().within(NONE).longest_delay(NONE);
    let spawn = system.spawn::<Subject>(Config::default()).name("n.one").restart(policy);
    let subject = spawn.ready_within(NONE).responsive_within(NONE).start().unwrap();
    assert_eq!(subject.add(1).wait_for(NONE).unwrap(), 1);
    subject.kill();
    wait_until("it is back", || subject.restarts() == 1 && subject.state() == State::Ready);
    subject.stop(NONE);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    let other = system.spawn::<Subject>(Config::default()).name("n.other").start().unwrap();
    system.stop(&["n.other"], NONE);
    assert_eq!(other.exit(), Some(Exit::Code(0)));
}

fn replacement(system: &System) {
    let policy = Recycle::after_calls(1).finish_within(NONE);
    let subject = system.spawn::<Subject>(Config::default()).name("n.new").recycle(policy).ready_within(NONE);
    let subject = subject.start().unwrap();
    subject.add(1).wait().unwrap();
    wait_until("another has taken over", || subject.recycled() > 0);
    subject.stop(NONE);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
}

fn group(system: &System) {
    let group = system.group("none").strategy(Strategy::OneForAll).grace(NONE).within(NONE).longest_delay(NONE);
    let group = group.create();
    let restart = Restart::on_failure();
    let highest = group.spawn::<Subject>(Config::default()).name("none.1").level(u32::MAX).restart(restart);
    let highest = highest.start().unwrap();
    let next = group.spawn::<Subject>(Config::default()).name("none.2").restart(restart).start().unwrap();
    let inner = system.group("none.inner").inside(&group).create();
    drop(inner);
    highest.kill();
    wait_until("both are back", || next.restarts() == 1 && next.state() == State::Ready);
    group.stop(NONE);
    assert_eq!((highest.exit(), next.exit()), (Some(Exit::Code(0)), Some(Exit::Code(0))));
}

fn pool(system: &System) {
    let workers = Workers::new(1).grace(NONE).ready_within(NONE).max_tasks_per_child(1);
    let pool = system.pool::<Subject>(workers, |_| Config::default()).unwrap();
    for number in 1..3 {
        assert_eq!(pool.apply(move |worker| worker.add(number)).unwrap(), number, "each worker is a new one");
    }
    pool.close();
    pool.join().unwrap();
}
