//! Locks between real processes, which are killed: at random instants, and (with the feature `crash-points`) at every step of
//! every protocol. Nobody waits for the dead, nothing stays held, and what a lock protects is as its last owner left it.
//!
//! Such a process is this test program, started again with `SHM_TEST_ROLE` set and its socket as standard input.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use shm::{
    arena::Arena,
    lock::{Barrier, Condition, Event, Lock, LockError, RLock, RwLock, Semaphore},
    wire::{Packet, Socket},
};

/// What the design promises.
const NOTICED: Duration = Duration::from_millis(50);
/// It holds of the median. Once may take longer, on a machine that has other things to do as well, but not by far.
const SOON: Duration = Duration::from_secs(1);
/// Nothing takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(5);
/// The two numbers that a lock protects differ by more than one who died between them explains.
const TORN: i32 = 7;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Shared {
    lock: Lock<[u64; 2]>,
    rlock: RLock,
    rwlock: RwLock<[u64; 2]>,
    condition: Condition<[u64; 2]>,
    semaphore: Semaphore,
    event: Event,
    barrier: Barrier,
}

impl Shared {
    fn create(permits: u32) -> Self {
        let arena = Arena::create(256 * 1024).unwrap();
        let lock = Lock::create(&arena, [0; 2]).unwrap();
        Self {
            condition: Condition::create(&lock).unwrap(),
            lock,
            rlock: RLock::create(&arena).unwrap(),
            rwlock: RwLock::create(&arena, [0; 2]).unwrap(),
            semaphore: Semaphore::create_bounded(&arena, permits).unwrap(),
            event: Event::create(&arena).unwrap(),
            barrier: Barrier::create(&arena, 2).unwrap(),
        }
    }
}

/// Not a test of its own: what a process runs.
#[test]
fn member_process() {
    let Ok(role) = std::env::var("SHM_TEST_ROLE") else { return };
    let socket = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let shared: Shared = socket.receive().unwrap().decode().unwrap();
    let tell = |number: u64| drop(socket.send(&Packet::encode(&number).unwrap()));
    match role.as_str() {
        "hold" => {
            shared.lock.lock().unwrap()[0] += 1;
            shared.lock.lock().unwrap().keep();
            shared.rlock.lock().unwrap().keep();
            std::mem::forget(shared.rwlock.write().unwrap());
            shared.semaphore.acquire().unwrap().keep();
            tell(0);
            let _ = socket.receive();
        }
        "read" => {
            std::mem::forget(shared.rwlock.read().unwrap());
            tell(0);
            let _ = socket.receive();
        }
        "wait at the barrier" => {
            tell(0);
            let _ = shared.barrier.wait();
        }
        "wait for the condition" => {
            let guard = shared.lock.lock().unwrap();
            tell(0);
            let _ = shared.condition.wait(guard);
        }
        "hammer" => loop {
            hammer(&shared);
        },
        #[cfg(feature = "crash-points")]
        step => tell(crash_points::play(step, &shared)),
        #[cfg(not(feature = "crash-points"))]
        other => panic!("no role {other}"),
    }
}

/// Adds one to both numbers, one after the other, under each kind of lock in turn.
fn hammer(shared: &Shared) {
    let add = |numbers: &mut [u64; 2], died: bool| {
        let [one, other] = *numbers;
        // A death between the two additions leaves them one apart, and then one is told.
        if one != other && !(died && one == other + 1) {
            std::process::exit(TORN);
        }
        numbers[1] = one;
        numbers[0] += 1;
        thread::yield_now();
        numbers[1] += 1;
    };
    match shared.lock.lock() {
        Ok(mut guard) => add(&mut guard, false),
        Err(LockError::OwnerDied(mut guard)) => {
            add(&mut guard, true);
            guard.mark_consistent();
        }
        Err(error) => panic!("{error}"),
    }
    match shared.rwlock.write() {
        Ok(mut guard) => add(&mut guard, false),
        Err(LockError::OwnerDied(mut guard)) => {
            add(&mut guard, true);
            guard.mark_consistent();
        }
        Err(error) => panic!("{error}"),
    }
    match shared.rwlock.read() {
        Ok(guard) if guard[0] != guard[1] => std::process::exit(TORN),
        _ => {}
    }
    drop(shared.semaphore.acquire().unwrap());
    drop(shared.rlock.lock());
    let guard = shared.lock.lock().or_else(LockError::into_guard).unwrap();
    let _ = shared.condition.wait_for(guard, Duration::from_micros(200));
    let guard = shared.lock.lock().or_else(LockError::into_guard).unwrap();
    shared.condition.notify_one(&guard);
}

struct Member {
    child: Child,
    socket: Socket,
}

impl Member {
    fn start(role: &str, shared: &Shared) -> Self {
        let (socket, theirs) = Socket::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "member_process", "--nocapture"])
            .env("SHM_TEST_ROLE", role)
            .stdin(Stdio::from(theirs.into_owned()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        socket.send(&Packet::encode(shared).unwrap()).unwrap();
        Self { child, socket }
    }

    /// What it tells; `None` if it died before.
    fn told(&self) -> Option<u64> {
        self.socket.receive().ok().map(|packet| packet.decode().unwrap())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself; exit code {TORN} is a torn value");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long `operation` takes from now on, in another thread, when `kill` happens while it waits.
fn after<T: Send>(kill: impl FnOnce(), operation: impl FnOnce() -> T + Send) -> (T, Duration) {
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            begun.store(true, Ordering::SeqCst);
            let done = operation();
            (done, Instant::now())
        });
        while !begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(5)); // sleep: so that it is asleep by now, most likely
        let killed = Instant::now();
        kill();
        let (done, ended) = waits.join().unwrap();
        (done, ended.saturating_duration_since(killed))
    })
}

#[test]
fn what_a_dead_process_held_is_had_at_once_and_told() {
    let mut took = Vec::new();
    for round in 0..8 {
        let shared = Shared::create(1);
        let mut holder = Member::start("hold", &shared);
        holder.told().unwrap();
        assert!(matches!(shared.lock.try_lock(), Err(LockError::Busy)));
        assert!(matches!(shared.rlock.try_lock(), Err(LockError::Busy)));
        assert!(matches!(shared.rwlock.try_read(), Err(LockError::Busy)));
        assert!(shared.semaphore.try_acquire().unwrap().is_none());
        // Each round another one waits for the death, and the others come after it.
        let kill = || holder.kill();
        let duration = match round % 4 {
            0 => after(kill, || drop(shared.lock.lock())).1,
            1 => after(kill, || drop(shared.rwlock.read())).1,
            2 => after(kill, || drop(shared.semaphore.acquire())).1,
            _ => after(kill, || drop(shared.rlock.lock())).1,
        };
        took.push(duration);
        let Err(LockError::OwnerDied(mut guard)) = shared.lock.lock() else { panic!("told") };
        assert_eq!(*guard, [1, 0], "as it was left");
        guard.mark_consistent();
        drop(guard);
        assert!(shared.lock.lock().is_ok());
        assert!(matches!(shared.rlock.lock(), Err(LockError::OwnerDied(_))));
        assert!(matches!(shared.rwlock.read(), Err(LockError::OwnerDied(_))), "told to readers too");
        let Err(LockError::OwnerDied(mut guard)) = shared.rwlock.write() else { panic!("told") };
        guard.mark_consistent();
        drop(guard);
        assert!(shared.rwlock.read().is_ok());
        assert_eq!(shared.semaphore.available(), 1, "its permit came back");
    }
    took.sort();
    println!("a waiter had it {took:?} after the kill");
    assert!(took[took.len() / 2] < NOTICED && took[took.len() - 1] < SOON, "{took:?}");
}

#[test]
fn a_task_has_it_at_once_too() {
    let shared = Shared::create(1);
    let mut holder = Member::start("hold", &shared);
    holder.told().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (told, took) = after(
        || holder.kill(),
        || runtime.block_on(async { matches!(shared.lock.lock_async().await, Err(LockError::OwnerDied(_))) }),
    );
    assert!(told && took < SOON, "{took:?}");
}

#[test]
fn a_dead_reader_is_in_no_writers_way() {
    let shared = Shared::create(1);
    let mut reader = Member::start("read", &shared);
    reader.told().unwrap();
    assert!(matches!(shared.rwlock.try_write(), Err(LockError::Busy)));
    let (clean, took) = after(|| reader.kill(), || shared.rwlock.write().is_ok());
    assert!(clean && took < SOON, "{took:?}");
}

#[test]
fn a_dead_party_breaks_the_barrier() {
    let shared = Shared { barrier: Barrier::create(&Arena::create(8192).unwrap(), 3).unwrap(), ..Shared::create(1) };
    let mut party = Member::start("wait at the barrier", &shared);
    party.told().unwrap();
    let end = Instant::now() + STUCK;
    while shared.barrier.waiting() < 1 {
        assert!(Instant::now() < end);
        thread::yield_now();
    }
    let (broken, took) = after(|| party.kill(), || shared.barrier.wait().is_err());
    assert!(broken && took < SOON, "{took:?}");
    shared.barrier.reset().unwrap();
    assert_eq!(shared.barrier.waiting(), 0);
}

/// CPython's `notify_all` waits for each sleeper to confirm, and so for ever for a dead one (its issue 75158).
#[test]
fn a_dead_waiter_is_in_no_notifiers_way() {
    let shared = Shared::create(1);
    let mut waiters: Vec<Member> = (0..3).map(|_| Member::start("wait for the condition", &shared)).collect();
    waiters.iter().for_each(|waiter| assert_eq!(waiter.told(), Some(0)));
    let guard = shared.lock.lock().unwrap(); // they hold it until they are on the list
    waiters.iter_mut().for_each(Member::kill);
    let began = Instant::now();
    assert_eq!(shared.condition.notify(&guard, 10), 0);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn processes_killed_at_any_instant_leave_nothing_held() {
    let shared = Shared::create(2);
    let mut members: Vec<Member> = (0..3).map(|_| Member::start("hammer", &shared)).collect();
    let (end, mut chance, mut kills) = (Instant::now() + Duration::from_secs(3), 0x2545_f491_4f6c_dd1d_u64, 0);
    while Instant::now() < end {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        thread::sleep(Duration::from_micros(chance % 20_000)); // sleep: a random instant to kill at
        let victim = (chance >> 32) as usize % members.len();
        assert_eq!(members[victim].child.try_wait().unwrap(), None, "exit code {TORN} is a torn value");
        members[victim].kill();
        members[victim] = Member::start("hammer", &shared);
        kills += 1;
        // Whoever died: all go on, so that we too have everything within the limit.
        drop(shared.lock.lock_for(STUCK).or_else(LockError::into_guard).unwrap());
        drop(shared.rwlock.write_for(STUCK).or_else(LockError::into_guard).unwrap());
        drop(shared.rlock.lock_for(STUCK).or_else(LockError::into_guard).unwrap());
        drop(shared.semaphore.acquire_for(STUCK).unwrap());
    }
    members.iter_mut().for_each(Member::kill);
    println!("{kills} kills");
    assert!(kills > 10, "{kills} kills are too few"); // some 200, if nothing else runs
    let began = Instant::now();
    let _ = shared.lock.lock().or_else(LockError::into_guard).unwrap();
    let _ = shared.rwlock.write().or_else(LockError::into_guard).unwrap();
    assert_eq!(shared.semaphore.available(), 2);
    assert!(began.elapsed() < SOON);
    hammer(&shared); // checks both pairs of numbers
}

#[cfg(feature = "crash-points")]
mod crash_points {
    //! Each step of each protocol is one to be killed at.

    use std::sync::atomic::AtomicU32;

    use shm::lock::Guard;

    use super::*;

    /// A process's part: from the `points`th point on it is dead. Says how many there were, if it isn't.
    pub(super) fn play(step: &str, shared: &Shared) -> u64 {
        let (operation, points) = step.split_once(':').unwrap();
        shm::crash::after(points.parse().unwrap());
        match operation {
            "lock" => drop(shared.lock.lock_for(STUCK)),
            "rlock" => drop(shared.rlock.lock_for(STUCK)),
            "read" => drop(shared.rwlock.read_for(STUCK)),
            "write" => drop(shared.rwlock.write_for(STUCK)),
            "semaphore" => drop(shared.semaphore.acquire_for(STUCK)),
            "release" => {
                shared.semaphore.acquire().unwrap().keep();
                shared.semaphore.release().unwrap();
            }
            "barrier" => drop(shared.barrier.wait_for(STUCK)),
            "event" => {
                shared.event.set().unwrap();
                shared.event.clear().unwrap();
                shared.event.set().unwrap();
            }
            "wait" => take_token(shared),
            "notify" => put_token(shared),
            other => panic!("no operation {other}"),
        }
        let passed = shm::crash::passed();
        shm::crash::after(0);
        passed
    }

    /// The guard; who hears of a death puts things in order, and has everybody look.
    fn recovered<'a>(
        shared: &Shared,
        locked: Result<Guard<'a, [u64; 2]>, LockError<Guard<'a, [u64; 2]>>>,
    ) -> Guard<'a, [u64; 2]> {
        locked
            .or_else(|error| {
                let mut guard = error.into_guard()?;
                guard.mark_consistent();
                shared.condition.notify_all(&guard);
                Ok::<_, LockError<_>>(guard)
            })
            .unwrap()
    }

    /// Waits until there is a token, and takes it.
    fn take_token(shared: &Shared) {
        let mut guard = recovered(shared, shared.lock.lock());
        while guard[0] == 0 {
            guard = recovered(shared, shared.condition.wait(guard));
        }
        guard[0] -= 1;
    }

    fn put_token(shared: &Shared) {
        let mut guard = recovered(shared, shared.lock.lock());
        guard[0] += 1;
        shared.condition.notify_one(&guard);
    }

    /// Has a process die at each point of an operation in turn, while `survive` runs here until it is told that the process
    /// has ended, and then checks what is left.
    fn at_each_point(operation: &str, permits: u32, survive: impl Fn(&Shared, &AtomicBool) + Sync) {
        let (mut deaths, mut survived) = (0, 0);
        // What is passed depends on who comes when: so on until several in a row came to the end.
        for points in 1.. {
            let shared = Shared::create(permits);
            let ended = AtomicBool::new(false);
            let mut member = Member::start(&format!("{operation}:{points}"), &shared);
            let told = thread::scope(|scope| {
                let survivor = scope.spawn(|| {
                    let began = Instant::now();
                    survive(&shared, &ended);
                    assert!(began.elapsed() < 2 * STUCK, "{operation}: stuck after a death at point {points}");
                });
                let told = member.told();
                let status = member.child.wait().unwrap();
                assert!(told.is_some() || status.signal() == Some(9), "{operation}: {status}");
                ended.store(true, Ordering::SeqCst);
                survivor.join().unwrap();
                told
            });
            match told {
                Some(_) => survived += 1,
                None => (deaths, survived) = (deaths + 1, 0),
            }
            if survived == 3 {
                break;
            }
        }
        println!("{operation}: killed at {deaths} points");
        assert!(deaths >= 3, "{operation}: {deaths} points are too few");
    }

    /// For so long something is held, so that the other finds it held, and sleeps.
    fn hold() {
        thread::sleep(Duration::from_millis(2)); // sleep: holds a lock, while others come
    }

    /// Does something over and over, and once more when the other has ended: then it mustn't take longer than promised.
    fn over_and_over(ended: &AtomicBool, operation: impl Fn()) {
        while !ended.load(Ordering::SeqCst) {
            operation();
        }
        let began = Instant::now();
        operation();
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }

    #[test]
    fn lock() {
        at_each_point("lock", 1, |shared, ended| {
            over_and_over(ended, || {
                let _guard = shared.lock.lock_for(STUCK).or_else(LockError::into_guard).unwrap();
                hold();
            });
        });
    }

    #[test]
    fn lock_without_anybody_else() {
        at_each_point("lock", 1, |shared, ended| {
            while !ended.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let held = shared.lock.is_locked();
            assert!(!held, "nobody who lives has it");
            let began = Instant::now();
            drop(shared.lock.lock());
            assert!(began.elapsed() < SOON);
        });
    }

    #[test]
    fn rlock() {
        at_each_point("rlock", 1, |shared, ended| {
            over_and_over(ended, || {
                let _guard = shared.rlock.lock_for(STUCK).or_else(LockError::into_guard).unwrap();
                hold();
            });
        });
    }

    #[test]
    fn readers_and_writers() {
        for operation in ["read", "write"] {
            at_each_point(operation, 1, |shared, ended| {
                over_and_over(ended, || {
                    let guard = shared.rwlock.read_for(STUCK).or_else(LockError::into_guard).unwrap();
                    hold();
                    drop(guard);
                    let _guard = shared.rwlock.write_for(STUCK).or_else(LockError::into_guard).unwrap();
                    hold();
                });
                if operation == "read" {
                    assert!(shared.rwlock.write().is_ok(), "a dead reader leaves nothing to tell");
                }
            });
        }
    }

    #[test]
    fn semaphore() {
        for operation in ["semaphore", "release"] {
            at_each_point(operation, 1, |shared, ended| {
                over_and_over(ended, || {
                    let _permit = shared.semaphore.acquire_for(STUCK).unwrap();
                    hold();
                });
                assert_eq!(shared.semaphore.available(), 1);
            });
        }
    }

    #[test]
    fn event() {
        at_each_point("event", 1, |shared, ended| {
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    shared.event.wait_for(STUCK).unwrap();
                    Instant::now()
                });
                while !ended.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                let (set, now) = (shared.event.is_set(), Instant::now());
                if set {
                    // Set by the dead one: who waits goes on without anybody's help.
                    let woken = waiter.join().unwrap();
                    assert!(woken.saturating_duration_since(now) < SOON);
                } else {
                    shared.event.set().unwrap();
                }
            });
        });
    }

    #[test]
    fn barrier() {
        at_each_point("barrier", 1, |shared, ended| {
            while !ended.load(Ordering::SeqCst) {
                if shared.barrier.wait_for(Duration::from_millis(100)).is_err() {
                    shared.barrier.reset().unwrap();
                }
            }
            shared.barrier.reset().unwrap();
            thread::scope(|scope| {
                let other = scope.spawn(|| shared.barrier.wait_for(STUCK).unwrap());
                assert_eq!(shared.barrier.wait_for(STUCK).unwrap() + other.join().unwrap(), 1);
            });
        });
    }

    /// Two wait, a process and a thread of ours; tokens come one by one. Whoever dies, the other gets one.
    #[test]
    fn condition() {
        for operation in ["wait", "notify"] {
            at_each_point(operation, 1, |shared, ended| {
                let taken = AtomicU32::new(0);
                thread::scope(|scope| {
                    let end = Instant::now() + STUCK;
                    let waiting = |count| {
                        let guard = recovered(shared, shared.lock.lock_for(STUCK));
                        assert!(Instant::now() < end, "{operation}: nobody waits");
                        shared.condition.waiting(&guard) == count || ended.load(Ordering::SeqCst)
                    };
                    // The process first: then it is the one who is notified.
                    while operation == "wait" && !waiting(1) {
                        hold();
                    }
                    scope.spawn(|| {
                        take_token(shared);
                        taken.store(1, Ordering::SeqCst);
                    });
                    while operation == "wait" && !waiting(2) {
                        hold();
                    }
                    let all_done = || taken.load(Ordering::SeqCst) == 1 && ended.load(Ordering::SeqCst);
                    while !all_done() {
                        assert!(Instant::now() < end, "{operation}: somebody is stuck");
                        let mut guard = recovered(shared, shared.lock.lock_for(STUCK));
                        if guard[0] == 0 {
                            guard[0] = 1;
                            let began = Instant::now();
                            // To one, once: if that one dies, nothing but the hand-over brings the other one to look.
                            shared.condition.notify_one(&guard);
                            assert!(began.elapsed() < SOON, "a notifier waits for nobody");
                        }
                        drop(guard);
                        thread::sleep(Duration::from_millis(1)); // sleep: lets the others have the lock
                    }
                });
            });
        }
    }
}
