//! Processes that are restarted, and stopped, together.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use process::{BoxError, Changes, Exit, Group, Restart, Starting, State, Strategy, System};

use super::{
    LIMIT, Test,
    subject::{Config, Manner, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("group_one_for_all_starts_again_in_order", one_for_all),
    ("group_rest_for_one_leaves_the_earlier_ones", rest_for_one),
    ("group_one_for_one_members_come_and_go", come_and_go),
    ("group_a_transient_member_that_ends_well_is_let_go", transient),
    ("group_that_fails_too_often_is_its_parents_affair", escalation),
    ("group_that_is_essential_takes_the_application_along", an_essential_group),
    ("group_is_stopped_in_reverse_order", reverse_order),
    ("group_tree_of_a_hundred_is_stopped", a_tree),
    ("group_that_is_being_stopped_is_waited_for_by_all", stopped_twice),
];

fn member(group: &Group, name: &str) -> SubjectHandle {
    let spawn = group.spawn::<Subject>(Config::default()).name(name).restart(Restart::on_failure());
    spawn.start().unwrap()
}

/// Waits until all are ready after so many restarts.
fn until_ready(members: &[SubjectHandle], restarts: &[u64]) {
    wait_until("all are ready again", || {
        let mut each = members.iter().zip(restarts);
        each.all(|(member, restarts)| member.state() == State::Ready && member.restarts() == *restarts)
    });
}

/// The first `count` that got into a state, in order.
fn into(changes: &Changes, state: State, prefix: &str, count: usize) -> Vec<String> {
    let changes = std::iter::from_fn(|| changes.recv_timeout(LIMIT)).filter(|change| change.state == state);
    changes.filter_map(|change| change.name.strip_prefix(prefix).map(str::to_owned)).take(count).collect()
}

fn one_for_all(system: &System) {
    let group = system.group("all").strategy(Strategy::OneForAll).create();
    let members = ["1", "2", "3"].map(|name| member(&group, &format!("all.{name}")));
    let pids = members.each_ref().map(|member| member.process_id());
    let changes = system.changes();
    members[1].kill();
    until_ready(&members, &[1, 1, 1]);
    assert!(members.iter().zip(pids).all(|(member, pid)| member.process_id() != pid));
    assert_eq!(into(&changes, State::Ready, "all.", 3), ["1", "2", "3"]);
    assert_eq!(
        (members[1].last_exit().unwrap().0, members[0].last_exit().unwrap().0),
        (Exit::Signal(9), Exit::Code(0))
    );
    // Handles go on, and calls too.
    assert!(members.iter().all(|member| member.add(1).wait().unwrap() == 1));
}

fn rest_for_one(system: &System) {
    let group = system.group("rest").strategy(Strategy::RestForOne).create();
    let members = ["1", "2", "3"].map(|name| member(&group, &format!("rest.{name}")));
    members[1].kill();
    until_ready(&members, &[0, 1, 1]);
    members[0].kill();
    until_ready(&members, &[1, 2, 2]);
}

fn come_and_go(system: &System) {
    let group = system.group("dynamic").at_most(1000).create();
    let mut members = Vec::new();
    for index in 0..20 {
        members.push(member(&group, &format!("dynamic.{index}")));
        if index % 3 == 2 {
            members.remove(0).stop(LIMIT);
        }
    }
    let restarts: Vec<u64> = (0..members.len() as u64).map(|index| index % 2).collect();
    members.iter().skip(1).step_by(2).for_each(|member| member.kill());
    until_ready(&members, &restarts);
    group.stop(LIMIT);
    assert!(members.iter().all(|member| member.exit().is_some()));
}

fn transient(system: &System) {
    let group = system.group("transient").strategy(Strategy::OneForAll).create();
    let members = ["1", "2"].map(|name| member(&group, &format!("transient.{name}")));
    members[0].leave(0).detach();
    assert_eq!(members[0].join_for(LIMIT), Some(Exit::Code(0)));
    assert_eq!(members[1].restarts(), 0);
    members[1].kill();
    until_ready(&members[1..], &[1]);
    assert_eq!(members[0].exit(), Some(Exit::Code(0)), "it isn't called back for the other's sake");
}

fn escalation(system: &System) {
    let outer = system.group("outer").strategy(Strategy::OneForAll).at_most(1).create();
    let first = member(&outer, "outer.first");
    let inner = system.group("inner").at_most(2).inside(&outer).create();
    let second = member(&inner, "outer.second");
    let both = [first, second];
    for restarts in [[0, 1], [0, 2], [1, 3]] {
        both[1].kill();
        until_ready(&both, &restarts);
    }
    for restarts in [[1, 4], [1, 5]] {
        both[1].kill();
        until_ready(&both, &restarts);
    }
    assert!(!inner.has_failed());
    both[1].kill(); // too often for the inner one, and once more for the outer one
    assert!(both.iter().all(|member| member.join_for(LIMIT).is_some()));
    assert!(both.iter().all(|member| member.state() == State::Failed));
    wait_until("they have failed", || outer.has_failed() && inner.has_failed());
    let told = inner.spawn::<Subject>(Config::default()).name("outer.third").start().unwrap_err();
    assert!(told.to_string().contains("its group has failed"), "{told}");
}

/// The argument that makes this program an application with an essential group.
pub const ESSENTIAL: &str = "essential";

pub fn essential(system: &System) -> Result<(), BoxError> {
    let group = system.group("vital").at_most(0).essential().create();
    let member = member(&group, "vital.one");
    let bystander = system.spawn::<Subject>(Config::default()).name("bystander").start()?;
    println!("{}", bystander.pid().wait()?);
    member.kill();
    loop {
        std::thread::park();
    }
}

fn an_essential_group(_system: &System) {
    let application = Command::new("/proc/self/exe").arg(ESSENTIAL).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(application.stderr).unwrap();
    assert_eq!(application.status.code(), Some(70), "{said}");
    assert!(said.contains("could not go on without vital: it failed too often"), "{said}");
    let bystander = String::from_utf8(application.stdout).unwrap().trim().parse().unwrap();
    assert!(super::runner::is_gone(bystander));
}

fn reverse_order(system: &System) {
    let group = system.group("order").create();
    let first = member(&group, "order.1");
    let inner = system.group("order.inner").inside(&group).create();
    let second = member(&inner, "order.2");
    let third = member(&group, "order.3");
    let changes = system.changes();
    group.stop(LIMIT);
    assert_eq!(into(&changes, State::Exited, "order.", 3), ["3", "2", "1"]);
    assert!([first, second, third].iter().all(|member| member.exit() == Some(Exit::Code(0))));
    let told = group.spawn::<Subject>(Config::default()).name("order.4").start();
    assert!(told.is_ok(), "a group that was stopped can be used again");
}

fn stopped_twice(system: &System) {
    let group = system.group("twice").create();
    let first = member(&group, "twice.1");
    let config = Config { manner: Manner::IgnoresStop, ..Config::default() };
    let second = group.spawn::<Subject>(config).name("twice.2").start().unwrap();
    let stopped = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| group.stop(LIMIT));
        wait_until("it is being stopped", || second.state() == State::Stopping);
        // It has half of a second's time until SIGTERM.
        group.stop(Duration::from_secs(1));
        assert!(!first.is_alive() && !second.is_alive(), "{:?}, {:?}", first.state(), second.state());
    });
    assert!(stopped.elapsed() < LIMIT / 2, "whoever was in a greater hurry decided");
}

fn a_tree(system: &System) {
    stop_a_tree(system, 2, 5, 10);
}

/// So many groups, of so many levels, of so many processes each.
pub fn stop_a_tree(system: &System, groups: u32, levels: u32, processes: u32) -> Duration {
    let root = system.group("tree").create();
    let inner: Vec<Group> =
        (0..groups).map(|index| system.group(format!("tree.{index}")).inside(&root).level(0).create()).collect();
    let mut starting: Vec<Starting<SubjectHandle>> = Vec::new();
    for (index, group) in inner.iter().enumerate() {
        for level in 0..levels {
            for number in 0..processes {
                let spawn = group.spawn::<Subject>(Config::default()).level(level);
                starting.push(spawn.name(format!("tree.{index}.{level}.{number}")).begin().unwrap());
            }
        }
    }
    let members: Vec<SubjectHandle> = starting.into_iter().map(|starting| starting.wait().unwrap()).collect();
    let changes = system.changes();
    let begin = Instant::now();
    root.stop(LIMIT);
    let took = begin.elapsed();
    println!("     ({} stopped in {levels} levels within {took:.1?})", members.len());
    assert!(members.iter().all(|member| member.exit() == Some(Exit::Code(0))));
    let order: Vec<u32> = into(&changes, State::Exited, "tree.", members.len())
        .iter()
        .map(|name| name.split('.').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(order.is_sorted_by(|one, other| one >= other), "the highest level of all groups first: {order:?}");
    took
}
