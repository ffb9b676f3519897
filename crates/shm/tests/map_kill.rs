//! A map that real processes change while they are killed: at random instants, and (with the feature `crash-points`) at every
//! step. A change has happened whole or not at all, nobody is stuck, and no memory is lost.
//!
//! Such a process is this test program, started again with `SHM_TEST_ROLE` set and its socket as standard input.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use shm::{
    arena::Arena,
    map::{Map, MapOptions},
    wire::{Packet, Socket},
};

/// Nothing takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(20);

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Not a test of its own: what a process runs.
#[test]
fn member_process() {
    let Ok(role) = std::env::var("SHM_TEST_ROLE") else { return };
    let socket = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let map: Map = socket.receive().unwrap().decode().unwrap();
    let tell = |number: u64| drop(socket.send(&Packet::encode(&number).unwrap()));
    match role.split_once(':').unwrap() {
        ("hammer", me) => {
            let me = me.parse().unwrap();
            for turn in 0.. {
                change(&map, me, turn);
                map.set(progress(me), &(turn + 1).to_le_bytes()).unwrap();
                increment(&map, b"count");
                increment(&map, format!("count of {me}").as_bytes());
            }
        }
        ("count", times) => {
            for _ in 0..times.parse().unwrap() {
                increment(&map, b"count");
            }
            tell(0);
        }
        #[cfg(feature = "crash-points")]
        (operation, points) => {
            tell(0);
            let _ = socket.receive();
            tell(crash_points::play(operation, points.parse().unwrap(), &map));
        }
        #[cfg(not(feature = "crash-points"))]
        (other, _) => panic!("no role {other}"),
    }
}

struct Member {
    child: Child,
    socket: Socket,
}

impl Member {
    fn start(role: &str, map: &Map) -> Self {
        let (socket, theirs) = Socket::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "member_process", "--nocapture"])
            .env("SHM_TEST_ROLE", role)
            .stdin(Stdio::from(theirs.into_owned()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        socket.send(&Packet::encode(map).unwrap()).unwrap();
        Self { child, socket }
    }

    /// What it says; `None` if it is dead.
    fn told(&self) -> Option<u64> {
        Some(self.socket.receive().ok()?.decode().unwrap())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn new_map(limit_bytes: usize) -> Map {
    Map::create(&Arena::create(Map::ARENA_BYTES).unwrap(), MapOptions { limit_bytes }).unwrap()
}

fn entries(map: &Map) -> Entries {
    map.entries().unwrap().into_iter().collect()
}

fn number(bytes: Option<Vec<u8>>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn increment(map: &Map, key: &[u8]) {
    map.update(key, |old| Some((number(old) + 1).to_le_bytes().to_vec())).unwrap();
}

fn progress(me: u64) -> String {
    format!("progress of {me}")
}

fn key(me: u64, which: u64) -> Vec<u8> {
    format!("key {me}/{}", which % 8).into_bytes()
}

/// What a process does at a turn: to its own keys, so that one can tell what it had done when it was killed.
enum Change {
    Set(Vec<(Vec<u8>, Vec<u8>)>),
    Remove(Vec<u8>),
}

fn change_at(me: u64, turn: u64) -> Change {
    let chance = noise(me << 32 | turn);
    let value = |which: u64| {
        let bytes = if (chance >> which).is_multiple_of(16) { 30_000 } else { (chance >> 8) as usize % 200 };
        vec![turn as u8; bytes]
    };
    match chance % 4 {
        0 => Change::Remove(key(me, chance >> 20)),
        1 => Change::Set((0..4).map(|which| (key(me, (chance >> 20) + which), value(which))).collect()),
        _ => Change::Set(vec![(key(me, chance >> 20), value(5))]),
    }
}

fn noise(seed: u64) -> u64 {
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn change(map: &Map, me: u64, turn: u64) {
    match change_at(me, turn) {
        Change::Set(pairs) if pairs.len() == 1 => map.set(&pairs[0].0, &pairs[0].1).unwrap(),
        Change::Set(pairs) => map.set_all(&pairs).unwrap(),
        Change::Remove(key) => drop(map.remove(key).unwrap()),
    }
}

/// The oracle: what a process's keys are after so many turns.
fn after(me: u64, turns: u64) -> Entries {
    let mut entries = Entries::new();
    for turn in 0..turns {
        match change_at(me, turn) {
            Change::Set(pairs) => entries.extend(pairs),
            Change::Remove(key) => drop(entries.remove(&key)),
        }
    }
    entries
}

/// Checks what a dead process left, and takes it away. Gives how often it says that it counted.
fn check_and_remove(map: &Map, me: u64) -> u64 {
    let prefix = format!("key {me}/").into_bytes();
    let left: Entries = entries(map).into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    let turns = number(map.get(progress(me)).unwrap());
    let same = left == after(me, turns) || left == after(me, turns + 1);
    assert!(same, "after {turns} turns of {me} its keys are neither as before the next one nor as after it");
    for key in left.keys() {
        map.remove(key).unwrap();
    }
    map.remove(progress(me)).unwrap();
    number(map.remove(format!("count of {me}")).unwrap())
}

/// How much memory a map has taken.
#[cfg(feature = "crash-points")]
fn taken_bytes(map: &Map) -> u64 {
    let sizes = Packet::encode(map).unwrap().descriptors.into_iter().filter_map(|memory| {
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory.as_fd()));
        let is_map = std::fs::read_link(&link).unwrap().to_string_lossy().starts_with("/memfd:framewire-map");
        is_map.then(|| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&link).unwrap()) * 512)
    });
    let [bytes] = sizes.collect::<Vec<_>>()[..] else { panic!("one of its descriptors is its memory") };
    bytes
}

#[test]
fn processes_killed_at_any_instant_leave_whole_changes() {
    let map = new_map(4 << 20);
    let mut names = 1..;
    let mut start = || {
        let me = names.next().unwrap();
        (me, Member::start(&format!("hammer:{me}"), &map))
    };
    let mut members: Vec<(u64, Member)> = (0..3).map(|_| start()).collect();
    let (end, mut chance, mut kills, mut counted) = (Instant::now() + Duration::from_secs(4), 7, 0, 0);
    while Instant::now() < end || kills < 20 {
        chance = noise(chance);
        thread::sleep(Duration::from_micros(chance % 20_000)); // sleep: a random instant to kill at
        let victim = (chance >> 32) as usize % members.len();
        let (me, member) = &mut members[victim];
        assert_eq!(member.child.try_wait().unwrap(), None, "it failed");
        member.kill();
        counted += check_and_remove(&map, *me);
        kills += 1;
        members[victim] = start();
        let seen = map.lock_for(STUCK).unwrap().len().unwrap();
        assert!(seen <= 3 * 10 + 1, "{seen} keys");
    }
    for (me, member) in &mut members {
        member.kill();
        counted += check_and_remove(&map, *me);
        kills += 1;
    }
    assert_eq!(map.keys().unwrap(), [b"count"]);
    let count = number(map.get("count").unwrap());
    println!("{kills} kills, {count} counted");
    assert!(
        (counted..=counted + kills).contains(&count),
        "{count} where {counted} to {} were counted",
        counted + kills
    );
    map.clear().unwrap();
    assert_eq!(map.len().unwrap(), 0);
}

#[test]
fn many_processes_that_update_lose_nothing() {
    let map = new_map(1 << 20);
    let members: Vec<Member> = (0..4).map(|_| Member::start("count:500", &map)).collect();
    members.iter().for_each(|member| assert_eq!(member.told(), Some(0)));
    assert_eq!(number(map.get("count").unwrap()), 2000);
}

#[test]
fn who_has_an_old_look_at_it_sees_it_grow() {
    let map = new_map(64 << 20);
    let member = Member::start("count:1", &map); // it has mapped the map when it was small
    assert_eq!(member.told(), Some(0));
    let counter = Member::start("count:300", &map);
    for turn in 0..40u64 {
        map.set(turn.to_le_bytes(), &vec![turn as u8; 1 << 20]).unwrap();
    }
    assert_eq!(counter.told(), Some(0));
    let late = Member::start("count:1", &map);
    assert_eq!(late.told(), Some(0));
    assert_eq!(number(map.get("count").unwrap()), 302);
    for turn in 0..40u64 {
        assert_eq!(map.get(turn.to_le_bytes()).unwrap().unwrap(), vec![turn as u8; 1 << 20]);
    }
}

#[cfg(feature = "crash-points")]
mod crash_points {
    //! Each step is one to be killed at.

    use super::*;

    const LARGE: usize = 300_000;

    /// A process's part: from the `points`th point on it is dead. Says how many there were, if it isn't.
    pub(super) fn play(operation: &str, points: u64, map: &Map) -> u64 {
        shm::crash::after(points);
        operate(operation, map);
        let passed = shm::crash::passed();
        shm::crash::after(0);
        passed
    }

    fn operate(operation: &str, map: &Map) {
        match operation {
            "set new" => map.set("new", b"value").unwrap(),
            "set again" => map.set("one", b"another value").unwrap(),
            // What is paid for isn't enough; or there is too much garbage, and it is built anew.
            "set large" => map.set("large", &[9; LARGE]).unwrap(),
            "set all" => map.set_all(&[("one", "1"), ("new", "2"), ("newer", "3"), ("new", "4")]).unwrap(),
            "set all, large" => map.set_all(&[("one", vec![1; LARGE]), ("large", vec![2; LARGE])]).unwrap(),
            "remove" => drop(map.remove("two").unwrap()),
            "clear" => map.clear().unwrap(),
            "update" => increment(map, b"number"),
            "look" => assert!(map.get("one").is_ok()),
            other => panic!("no operation {other}"),
        }
    }

    /// A map with a few entries, and as much garbage.
    fn prepared(garbage: usize) -> Map {
        let map = new_map(4 << 20);
        for (key, value) in [("one", "1"), ("two", "2"), ("three", "3")] {
            map.set(key, value.as_bytes()).unwrap();
        }
        map.set("number", &7u64.to_le_bytes()).unwrap();
        if garbage > 0 {
            map.set("garbage", &vec![1; garbage]).unwrap();
            map.set("garbage", &vec![2; garbage]).unwrap();
            map.remove("two").unwrap();
            map.set("two", b"2").unwrap();
        }
        map
    }

    /// All that there is still fits, and nothing else is there.
    fn is_whole(map: &Map) {
        map.clear().unwrap();
        for number in 0..300u64 {
            map.set(number.to_le_bytes(), &vec![number as u8; 10_000]).unwrap();
        }
        for number in 0..300u64 {
            assert_eq!(map.remove(number.to_le_bytes()).unwrap().unwrap(), vec![number as u8; 10_000]);
        }
        map.clear().unwrap();
        assert!(map.is_empty().unwrap());
        assert!(taken_bytes(map) < 1 << 20, "{} bytes of an empty map", taken_bytes(map));
    }

    /// Has a process die at each point of an operation in turn; what it leaves is as before it, or as after it.
    fn at_each_point(operation: &str, garbage: usize) {
        let reference = prepared(garbage);
        operate(operation, &reference);
        let (before, afterwards) = (entries(&prepared(garbage)), entries(&reference));
        drop(reference);
        let (mut changed, mut unchanged) = (0, 0);
        for points in 1.. {
            let map = prepared(garbage);
            let mut member = Member::start(&format!("{operation}:{points}"), &map);
            assert_eq!(member.told(), Some(0));
            let seen = map.version().unwrap();
            let (told, woken) = thread::scope(|scope| {
                let waiting = scope.spawn(|| map.wait_changed_for(seen, STUCK).unwrap());
                member.socket.send(&Packet::encode(&()).unwrap()).unwrap();
                let told = member.told();
                member.child.wait().unwrap();
                // Who sleeps takes over from the dead by itself: nobody else looks at the map meanwhile.
                let end = Instant::now() + Duration::from_secs(1);
                while !waiting.is_finished() && Instant::now() < end {
                    thread::yield_now();
                }
                let woken = waiting.is_finished();
                if !woken {
                    map.set("end", b"").unwrap();
                }
                assert!(waiting.join().unwrap().is_some());
                (told, woken)
            });
            map.remove("end").unwrap();
            let left = entries(&map);
            assert!(
                left == before || left == afterwards,
                "{operation}: half done after {points} points: {:?}",
                left.keys()
            );
            assert!(woken || left == before, "{operation}: nobody heard of the change after {points} points");
            if left == before {
                unchanged += 1
            } else {
                changed += 1
            }
            assert_eq!(map.len().unwrap(), left.len());
            is_whole(&map);
            if told.is_some() {
                assert_eq!(left, afterwards);
                break;
            }
        }
        println!("{operation}: killed before it {unchanged} times, after it {changed} times");
        assert!(unchanged > 1 && changed > 2, "{operation}: too few points");
    }

    #[test]
    fn one_entry() {
        at_each_point("set new", 0);
        at_each_point("set again", 0);
    }

    #[test]
    fn an_update() {
        at_each_point("update", 0);
    }

    #[test]
    fn an_entry_that_needs_memory() {
        at_each_point("set large", 0);
    }

    #[test]
    fn an_entry_that_has_it_built_anew() {
        at_each_point("set large", 1_000_000);
    }

    #[test]
    fn several_entries() {
        at_each_point("set all", 0);
    }

    #[test]
    fn several_entries_that_have_it_built_anew() {
        at_each_point("set all, large", 1_000_000);
    }

    #[test]
    fn a_removal() {
        at_each_point("remove", 0);
    }

    #[test]
    fn all_removed() {
        at_each_point("clear", 1_000_000);
    }

    /// A process dies amid several entries, and then one after the other at each step of taking over from it.
    #[test]
    fn taking_over() {
        let reference = prepared(0);
        let before = entries(&reference);
        operate("set all", &reference);
        let afterwards = entries(&reference);
        drop(reference);
        let (mut deaths, mut redone) = (0, 0);
        for points in 1.. {
            let map = prepared(0);
            let mut member = Member::start(&format!("set all:{points}"), &map);
            member.told();
            member.socket.send(&Packet::encode(&()).unwrap()).unwrap();
            if member.told().is_some() {
                break;
            }
            member.child.wait().unwrap();
            for points in 1.. {
                let mut heir = Member::start(&format!("look:{points}"), &map);
                heir.told();
                heir.socket.send(&Packet::encode(&()).unwrap()).unwrap();
                let told = heir.told();
                heir.child.wait().unwrap();
                if told.is_some() {
                    break;
                }
                deaths += 1;
            }
            let left = entries(&map);
            assert!(left == before || left == afterwards, "half done after {points} points: {:?}", left.keys());
            redone += usize::from(left == afterwards);
            is_whole(&map);
        }
        println!("{deaths} heirs died, {redone} batches were brought to their end");
        assert!(deaths > 20 && redone > 5);
    }
}
