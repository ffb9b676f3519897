//! Members in processes of their own, which end in every way there is.
//!
//! Such a process is this test program, started again with `SHM_TEST_MEMBER` set and its socket as standard input.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    fs,
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Address, Arena, ArenaError, Members, Owner,
    layout::{BLOCKS_AT, TABLE_AT},
};
use crate::{
    clock, futex,
    memory::{self, Sealing},
    noise::noise,
    sync::{AtomicU32, Ordering},
    wire::{Packet, Passed, Socket},
};

/// What the design promises, of the median: once may take longer, on a machine that has other things to do as well.
const NOTICED: Duration = Duration::from_millis(50);
/// But not by far.
const SOON: Duration = Duration::from_secs(1);

/// Not a test of its own: what a member process runs.
#[test]
fn member_process() {
    let Ok(role) = std::env::var("SHM_TEST_MEMBER") else { return };
    let socket = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let packet = socket.receive().unwrap();
    #[cfg(feature = "crash-points")]
    if let Some(points) = role.strip_prefix("die at ") {
        crate::crash::after(points.parse().unwrap());
    }
    let (arena, other): (Arena, u32) = packet.decode().unwrap();
    #[cfg(feature = "crash-points")]
    if role.starts_with("die at ") {
        let joined = crate::crash::passed();
        crate::crash::after(0);
        drop(arena);
        socket.send(&Packet::encode(&joined).unwrap()).unwrap();
        return;
    }
    socket.send(&Packet::encode(&arena.me().word()).unwrap()).unwrap();
    match role.as_str() {
        "watch" => {
            let (never, other) = (AtomicU32::new(0), Owner::of(other).unwrap());
            while !arena.is_dead(other) {
                arena.wait_for_owner(&never, 0, other, None);
            }
            socket.send(&Packet::encode(&clock::monotonic_ns()).unwrap()).unwrap();
        }
        "call exec" => {
            socket.receive().unwrap();
            let failed = Command::new("/bin/sleep").arg("600").exec();
            panic!("{failed}");
        }
        "exit" => {
            socket.receive().unwrap();
            std::process::exit(0);
        }
        _ => drop(socket.receive()),
    }
}

struct Member {
    child: Child,
    socket: Socket,
}

impl Member {
    fn start(role: &str, arena: &Arena, other: Option<Owner>) -> Self {
        let (socket, theirs) = Socket::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "arena::tests::member_process", "--nocapture"])
            .env("SHM_TEST_MEMBER", role)
            .stdin(Stdio::from(theirs.into_owned()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        socket.send(&Packet::encode(&(arena, other.map_or(0, Owner::word))).unwrap()).unwrap();
        Self { child, socket }
    }

    fn owner(&self) -> Owner {
        Owner::of(self.socket.receive().unwrap().decode().unwrap()).unwrap()
    }

    /// When it saw the death that it watches for.
    fn saw_ns(&self) -> u64 {
        self.socket.receive().unwrap().decode().unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until one of its threads sleeps in `futex_waitv`.
    fn wait_until_asleep(&self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let asleep = |task: fs::DirEntry| {
            fs::read_to_string(task.path().join("syscall")).is_ok_and(|call| call.starts_with("449 "))
        };
        wait_until("it sleeps", || fs::read_dir(&tasks).unwrap().flatten().any(asleep));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "not within 10 s: {what}");
        std::thread::yield_now();
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Sleeps for the death of `owner`, as someone blocked by it does, and says how long that took.
fn sleep_for(arena: &Arena, owner: Owner) -> Duration {
    let (never, began) = (AtomicU32::new(0), Instant::now());
    while !arena.is_dead(owner) {
        assert!(began.elapsed() < Duration::from_secs(10), "{owner:?} isn't seen dead");
        arena.wait_for_owner(&never, 0, owner, None);
    }
    began.elapsed()
}

#[test]
fn a_killed_member_is_seen_dead_at_once() {
    let arena = Arena::create(4096).unwrap();
    let mut took = Vec::new();
    for _ in 0..5 {
        let mut member = Member::start("stay", &arena, None);
        let owner = member.owner();
        assert!(!arena.is_dead(owner));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                sleep_for(&arena, owner);
                Instant::now()
            });
            let killed = Instant::now();
            member.child.kill().unwrap();
            took.push(sleeper.join().unwrap().saturating_duration_since(killed));
        });
        member.child.wait().unwrap();
    }
    took.sort();
    assert!(took[2] < NOTICED && took[4] < SOON, "{took:?}");
}

#[test]
fn a_stopped_watcher_keeps_the_news_from_nobody() {
    let arena = Arena::create(4096).unwrap();
    let mut victim = Member::start("stay", &arena, None);
    let owner = victim.owner();
    let watchers: Vec<Member> = (0..3).map(|_| Member::start("watch", &arena, Some(owner))).collect();
    for watcher in &watchers {
        watcher.owner();
        watcher.wait_until_asleep();
    }
    watchers[0].signal(rustix::process::Signal::STOP);
    let killed = clock::monotonic_ns();
    victim.child.kill().unwrap();
    for watcher in &watchers[1..] {
        let took = Duration::from_nanos(watcher.saw_ns().saturating_sub(killed));
        assert!(took < SOON, "{took:?}");
    }
    watchers[0].signal(rustix::process::Signal::CONT);
    watchers[0].saw_ns();
}

#[test]
fn exit_and_exec_are_deaths() {
    let arena = Arena::create(4096).unwrap();
    for role in ["exit", "call exec", "return"] {
        let member = Member::start(role, &arena, None);
        let owner = member.owner();
        assert!(!arena.is_dead(owner));
        member.socket.send(&Packet::encode(&()).unwrap()).unwrap();
        let took = sleep_for(&arena, owner);
        assert!(took < Duration::from_secs(5), "{role}: {took:?}");
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn a_joiner_may_be_killed_anywhere() {
    let arena = Arena::create(4096).unwrap();
    let mut points = 1;
    loop {
        let mut joiner = Member::start(&format!("die at {points}"), &arena, None);
        let survived = joiner.socket.receive();
        joiner.child.wait().unwrap();
        if let Ok(passed) = survived {
            assert_eq!(passed.decode::<u64>().unwrap(), points - 1, "every point was one to die at");
            break;
        }
        points += 1;
    }
    assert!(points > 4, "{points} is too few");
    let member = Member::start("stay", &arena, None);
    assert!(!arena.is_dead(member.owner()));
    let alive = (0..super::MAX_MEMBERS).filter(|slot| super::table::watches(&arena, *slot)).count();
    assert_eq!(alive, 2, "the dead joiners aren't counted as living");
}

#[test]
fn thousands_come_and_go() {
    let arena = Arena::create(4096).unwrap();
    let descriptors = open_descriptors();
    let memory = || fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let (mut before, mut owners) = (0, std::collections::HashSet::new());
    for turn in 0..3000 {
        // As another process would have it: without this process's own handle, so that it joins and leaves.
        let again = rejoined(&arena);
        assert!(owners.insert(again.me()), "nobody is named twice");
        assert!(!arena.is_dead(again.me()));
        let was = again.me();
        drop(again);
        assert!(arena.is_dead(was));
        if turn == 10 {
            before = memory();
        }
    }
    assert!(memory() <= before + 20, "{before} mappings became {}", memory());
    assert!(open_descriptors() <= descriptors + 8, "descriptors leaked (other tests have some too)");
}

/// Joins as if this process didn't know the arena.
fn rejoined(arena: &Arena) -> Arena {
    let local = super::local::Local::here();
    let known = local.arenas.lock().unwrap().remove(&arena.id()).unwrap();
    let again = Packet::encode(arena).unwrap().decode().unwrap();
    local.arenas.lock().unwrap().insert(arena.id(), known);
    again
}

#[test]
fn one_process_is_one_member() {
    let arena = Arena::create(4096).unwrap();
    let packet = Packet::encode(&vec![&arena; 300]).unwrap();
    assert_eq!(packet.descriptors.len(), 1, "clones travel as one descriptor");
    let received: Vec<Arena> = packet.decode().unwrap();
    for same in &received {
        assert_eq!((same.id(), same.me()), (arena.id(), arena.me()));
        assert!(std::ptr::eq(same.mapping(), arena.mapping()));
    }
    let mine = arena.me();
    drop((arena, packet));
    assert!(!received[0].is_dead(mine));
}

#[test]
fn a_forked_child_is_no_member() {
    let arena = Arena::create(4096).unwrap();
    let me = arena.me();
    // SAFETY: the child calls only what needs no other thread: it looks at words, and ends by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = matches!(arena.allocate(1, 1), Err(ArenaError::Forked(_)));
        let sent = Packet::encode(&arena).is_err();
        drop(arena);
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(if told && sent { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "it wasn't told, or died");
    assert!(!arena.is_dead(me), "the child's end isn't ours");
    assert!(arena.allocate(1, 1).is_ok());
}

#[test]
fn a_place_is_found_again_and_nothing_else_is() {
    let arena = Arena::create(4096).unwrap();
    let place = arena.allocate(7, 100).unwrap();
    place.word64(8).store(42, Ordering::Relaxed);
    let address: Address = Packet::encode(&place.address()).unwrap().decode().unwrap();
    let same = address.arena.open(address.offset, 7, 100).unwrap();
    assert_eq!((same.word64(8).load(Ordering::Relaxed), same.bytes()), (42, 100));
    for (offset, kind, bytes) in [
        (address.offset, 8, 100),
        (address.offset, 0, 0),
        (address.offset, 7, 101),
        (address.offset + 128, 7, 1),
        (address.offset + 8, 7, 1),
        (0, 7, 1),
        (BLOCKS_AT as u64, 7, 1),
        (u64::MAX, 7, 1),
        (arena.bytes() as u64, 7, 1),
    ] {
        assert!(arena.open(offset, kind, bytes).is_err(), "{offset} {kind} {bytes}");
    }
}

#[test]
fn a_full_arena_says_so_with_the_numbers() {
    let arena = Arena::create(1024).unwrap();
    let error = std::iter::repeat_with(|| arena.allocate(1, 128)).take(100).find_map(Result::err).unwrap();
    let told = error.to_string();
    let free = arena.free_bytes();
    assert!(told.contains("256 bytes") && told.contains(&format!("{free} of its {}", arena.bytes())), "{told}");
    assert!(matches!(arena.allocate(1, usize::MAX), Err(ArenaError::Full { .. })));
}

#[test]
fn freed_bytes_are_used_again_and_zeroed() {
    let arena = Arena::create(1024).unwrap();
    for round in 0..1000 {
        let place = arena.allocate(1, 300).unwrap();
        assert_eq!(place.word64(296 - 8).load(Ordering::Relaxed), 0, "round {round}");
        place.word64(296 - 8).store(1, Ordering::Relaxed);
        let offset = place.address().offset;
        arena.free(place);
        assert!(arena.open(offset, 1, 1).is_err(), "it is gone");
    }
}

#[test]
fn hostile_memory_is_an_error() {
    #[derive(serde::Serialize)]
    struct Forged {
        memory: Passed,
        bytes: u64,
        id: u64,
    }
    for seed in 0..50 {
        let bytes = BLOCKS_AT + 4096;
        let (mapping, memory) = memory::create("t", bytes, Sealing::ManyWriters).unwrap();
        let memory = Passed::new(memory);
        for (at, value) in (0..bytes).step_by(8).zip(noise(seed)) {
            mapping.word64(at).store(value, Ordering::Relaxed);
        }
        let forged =
            |bytes, id| Packet::encode(&Forged { memory: memory.clone(), bytes, id }).unwrap().decode::<Arena>();
        for size in [0, 1, bytes as u64, bytes as u64 + 4096, u64::MAX] {
            assert!(forged(size, mapping.word64(16).load(Ordering::Relaxed)).is_err());
        }
        // A header that is right over a table and blocks that aren't: whatever comes, it comes as a value.
        for (at, value) in [(0, super::layout::MAGIC), (8, bytes as u64), (16, seed)] {
            mapping.word64(at).store(value, Ordering::Relaxed);
        }
        if seed % 2 == 0 {
            mapping.word64(TABLE_AT + 16 * (seed as usize)).store(0, Ordering::Relaxed); // one record is free
        }
        if let Ok(arena) = forged(bytes as u64, seed) {
            let _ = arena.allocate(1, 64);
            let _ = arena.allocate(1, 1 << 40);
            for value in noise(seed).take(200) {
                let _ = arena.open(value % bytes as u64, value as u32, 8);
                if let Some(owner) = Owner::of(value as u32) {
                    let _ = arena.alive_word(owner);
                }
            }
        }
    }
    let arena = Arena::create(4096).unwrap();
    let (_, memory) = memory::create("t", arena.bytes(), Sealing::ManyWriters).unwrap();
    let forged = Forged { memory: Passed::new(memory), bytes: arena.bytes() as u64, id: arena.id() };
    assert!(Packet::encode(&forged).unwrap().decode::<Arena>().is_err(), "an id that is another's");
    assert_eq!(futex::wake(arena.alive_word(arena.me()).unwrap().0, 1), 0);
}
