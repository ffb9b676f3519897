//! Producers and consumers in real processes, which are killed: at every single step, and at random instants.
//!
//! Such a process is this test program, started again with `SHM_TEST_ROLE` set and its socket as standard input.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    collections::HashMap,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shm::{
    arena::Arena,
    queue::{Acknowledge, GetError, Queue, QueueOptions},
    wire::{Packet, Socket},
};

#[path = "queue_kill/descriptors.rs"]
mod descriptors;

/// A large item now and then: it takes blocks.
const LARGE_BYTES: usize = 10_000;
/// No wait in these tests takes so long, unless something is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// `(producer, number, filling)`.
type Item = (u32, u64, Vec<u8>);

fn item(producer: u32, number: u64) -> Item {
    let bytes = if number % 8 == 3 { LARGE_BYTES } else { number as usize % 300 };
    (producer, number, vec![number as u8; bytes])
}

fn check(item: &Item) {
    assert!(item.2.iter().all(|byte| *byte == item.1 as u8), "a torn item: {} {}", item.0, item.1);
}

/// What a child tells its parent.
#[derive(serde::Serialize, serde::Deserialize, Debug)]
enum Told {
    Ready,
    Put(u64),
    /// Producer, number, deliveries; told before it is acknowledged.
    Got(u32, u64, u32),
    Passed(u64),
}

/// Not a test of its own: what a child process runs.
#[test]
fn child_process() {
    let Ok(role) = std::env::var("SHM_TEST_ROLE") else { return };
    let socket = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (queue, tell) = (socket.receive().unwrap(), |told| socket.send(&Packet::encode(&told).unwrap()).unwrap());
    if role.starts_with("files: ") {
        let queue: Queue<descriptors::Loaded> = queue.decode().unwrap();
        tell(Told::Ready);
        return descriptors::child(&role, &queue, &socket);
    }
    let queue: Queue<Item> = queue.decode().unwrap();
    tell(Told::Ready);
    match role.as_str() {
        "produce" => {
            let me = std::process::id();
            for number in 0.. {
                queue.put(item(me, number)).unwrap();
                tell(Told::Put(number));
            }
        }
        "consume" => loop {
            match queue.lease() {
                Ok(lease) => {
                    check(&lease);
                    tell(Told::Got(lease.0, lease.1, lease.deliveries()));
                    lease.done();
                }
                Err(GetError::Closed) => return,
                Err(error) => panic!("{error}"),
            }
        },
        "get" => {
            let got = queue.get().unwrap();
            tell(Told::Got(got.0, got.1, 0));
        }
        "hold two" => {
            let held = [queue.lease().unwrap(), queue.lease().unwrap()];
            held.iter().for_each(|lease| tell(Told::Got(lease.0, lease.1, lease.deliveries())));
            let _ = socket.receive();
        }
        "put and exit" => {
            for number in 0..50 {
                queue.put(item(1, number)).unwrap();
            }
        }
        #[cfg(feature = "crash-points")]
        steps => crash_points::child(steps, &queue, &socket),
        #[cfg(not(feature = "crash-points"))]
        other => panic!("no such role: {other}"),
    }
}

struct Process {
    child: Child,
    socket: Socket,
}

impl Process {
    fn start<T>(role: &str, queue: &Queue<T>) -> Self {
        let (socket, theirs) = Socket::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_process", "--nocapture"])
            .env("SHM_TEST_ROLE", role)
            .stdin(Stdio::from(theirs.into_owned()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        socket.send(&Packet::encode(queue).unwrap()).unwrap();
        let process = Self { child, socket };
        assert!(matches!(process.told(), Told::Ready));
        process
    }

    fn told(&self) -> Told {
        self.socket.receive().unwrap().decode().unwrap()
    }

    /// What it told and wasn't heard yet.
    fn told_so_far(&self) -> Vec<Told> {
        std::iter::from_fn(|| self.socket.try_receive().ok()).map(|packet| packet.decode().unwrap()).collect()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it, and waits until it stands.
    fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
        let stat = format!("/proc/{}/stat", self.child.id());
        let end = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(Instant::now() < end, "it doesn't stop");
            std::thread::yield_now();
        }
    }

    fn wait_until_asleep(&self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let end = Instant::now() + PATIENCE;
        // futex_waitv is 449, futex is 202; the heart parks in the latter too.
        let sleeping = || {
            let tasks = std::fs::read_dir(&tasks).unwrap().flatten();
            let calls = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("syscall")).ok());
            calls.filter(|call| call.starts_with("202 ") || call.starts_with("449 ")).count()
        };
        while sleeping() < 3 {
            assert!(Instant::now() < end, "it doesn't fall asleep");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn new_queue(options: QueueOptions) -> Queue<Item> {
    let arena = Arena::create(options.bytes().unwrap()).unwrap();
    Queue::create(&arena, options).unwrap()
}

fn small() -> QueueOptions {
    QueueOptions { capacity: 8, large_bytes: 64 * 1024, max_deliveries: 0, ..QueueOptions::default() }
}

/// Says that nothing is stuck or lost: everything that there can be, can be put and got.
fn is_whole(queue: &Queue<Item>) {
    while let Ok(lease) = queue.try_lease() {
        check(&lease);
        lease.done();
    }
    assert_eq!((queue.len(), queue.leased(), queue.unfinished()), (0, 0, 0));
    for number in 0..queue.capacity() as u64 {
        queue.try_put(item(0, number)).unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    assert!(queue.is_full());
    let leases: Vec<_> = (0..queue.capacity()).map(|_| queue.try_lease().unwrap()).collect();
    for (number, lease) in leases.into_iter().enumerate() {
        assert_eq!((lease.1, lease.deliveries()), (number as u64, 1));
        lease.done();
    }
    // All blocks are free: the last large item takes all but one of them.
    queue.try_put((0, 0, vec![0; 60 * 1024])).unwrap();
    queue.try_get().unwrap();
    queue.join_for(Duration::ZERO).unwrap();
}

#[test]
fn what_a_dead_consumer_had_comes_back_at_once() {
    let _alone = alone();
    let queue = new_queue(small());
    for number in 0..4 {
        queue.put(item(0, number)).unwrap();
    }
    let mut holder = Process::start("hold two", &queue);
    assert!(matches!((holder.told(), holder.told()), (Told::Got(0, 0, 1), Told::Got(0, 1, 1))));
    assert_eq!((queue.len(), queue.leased(), queue.unfinished()), (2, 2, 4));
    holder.kill();
    assert_eq!((queue.len(), queue.leased(), queue.unfinished()), (4, 0, 4));
    let got: Vec<_> = (0..4).map(|_| queue.try_lease().unwrap()).collect();
    let seen: Vec<_> = got.iter().map(|lease| (lease.1, lease.deliveries())).collect();
    assert_eq!(seen, [(0, 2), (1, 2), (2, 1), (3, 1)]);
    got.into_iter().for_each(|lease| drop(lease.done()));
    is_whole(&queue);
}

#[test]
fn a_getter_that_sleeps_gets_what_a_dead_consumer_had() {
    let _alone = alone();
    let queue = new_queue(small());
    queue.put(item(0, 0)).unwrap();
    queue.put(item(0, 1)).unwrap();
    let mut holder = Process::start("hold two", &queue);
    holder.told();
    holder.told();
    let getter = Process::start("get", &queue);
    getter.wait_until_asleep();
    let began = Instant::now();
    holder.kill();
    assert!(matches!(getter.told(), Told::Got(0, 0, _)));
    let took = began.elapsed();
    eprintln!("after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_getter_killed_asleep_costs_nothing() {
    let _alone = alone();
    let queue = new_queue(small());
    let mut asleep = Process::start("get", &queue);
    asleep.wait_until_asleep();
    let other = Process::start("get", &queue);
    other.wait_until_asleep();
    asleep.kill();
    let began = Instant::now();
    queue.put(item(0, 7)).unwrap();
    assert!(matches!(other.told(), Told::Got(0, 7, _)));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn an_exit_with_items_unread_blocks_nobody() {
    let _alone = alone();
    let queue = new_queue(QueueOptions { capacity: 64, large_bytes: 256 * 1024, ..small() });
    let mut producer = Process::start("put and exit", &queue);
    assert!(producer.child.wait().unwrap().success());
    for number in 0..50 {
        assert_eq!(queue.get().unwrap(), item(1, number));
    }
    queue.join().unwrap();
}

#[test]
fn a_stopped_consumer_harms_nobody_beyond_what_it_has() {
    let _alone = alone();
    let queue = new_queue(QueueOptions { capacity: 64, large_bytes: 256 * 1024, ..small() });
    let end = Instant::now() + Duration::from_millis(1500);
    let mut number = 0;
    let mut turns = 0;
    while Instant::now() < end && turns < 200 {
        let consumer = Process::start("consume", &queue);
        for _ in 0..20 {
            queue.put_for(item(0, number), PATIENCE).unwrap();
            number += 1;
        }
        // In the middle of something, usually: in its sleep, a lease, an acknowledgement.
        consumer.stop();
        for _ in 0..100 {
            queue.put_for(item(0, number), PATIENCE).unwrap();
            number += 1;
            match queue.lease_for(PATIENCE) {
                Ok(lease) => drop(lease.done()),
                Err(error) => panic!("{error}, while another is stopped"),
            }
        }
        assert!(queue.leased() <= 1);
        while let Ok(lease) = queue.try_lease() {
            lease.done();
        }
        turns += 1;
    }
    assert!(turns > 5, "{turns}");
    let end = Instant::now() + PATIENCE;
    while queue.unfinished() > 0 {
        assert!(Instant::now() < end);
        let _ = queue.try_get();
    }
}

#[test]
fn task_done_is_what_counts() {
    let _alone = alone();
    let queue = new_queue(QueueOptions { acknowledge: Acknowledge::ByTaskDone, ..small() });
    queue.put(item(0, 5)).unwrap();
    let mut getter = Process::start("get", &queue);
    assert!(matches!(getter.told(), Told::Got(0, 5, _)));
    getter.child.wait().unwrap(); // it ends without `task_done`
    assert_eq!(queue.unfinished(), 1);
    assert_eq!(queue.get().unwrap(), item(0, 5));
    queue.task_done().unwrap();
    queue.join_for(PATIENCE).unwrap();
    is_whole_by_task_done(&queue);
}

fn is_whole_by_task_done(queue: &Queue<Item>) {
    queue.put(item(0, 1)).unwrap();
    queue.get().unwrap();
    queue.task_done().unwrap();
    queue.join_for(PATIENCE).unwrap();
    assert!(queue.task_done().is_err());
}

/// These tests measure how long things take, and kill as fast as they can: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers that mean nothing.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % below
    }
}

/// What the parent knows of the items.
#[derive(Default)]
struct Ledger {
    /// How many numbers of each producer surely were put: those below.
    put: HashMap<u32, u64>,
    /// How often each was got, and the most deliveries that somebody was told.
    got: HashMap<(u32, u64), (u32, u32)>,
}

impl Ledger {
    fn hear(&mut self, from: u32, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Put(number) => {
                    assert_eq!(self.put.insert(from, number + 1).unwrap_or(0), number);
                }
                Told::Got(producer, number, deliveries) => {
                    let known = self.got.entry((producer, number)).or_default();
                    *known = (known.0 + 1, known.1.max(deliveries));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn random_kills_lose_nothing() {
    let _alone = alone();
    const RUN: Duration = Duration::from_secs(5);
    let queue = new_queue(QueueOptions { capacity: 64, large_bytes: 256 * 1024, ..small() });
    let (mut ledger, mut chance) = (Ledger::default(), Chance(0x2545_f491_4f6c_dd1d));
    let mut producers: Vec<Process> = (0..2).map(|_| Process::start("produce", &queue)).collect();
    let mut consumers: Vec<Process> = (0..3).map(|_| Process::start("consume", &queue)).collect();
    let (mut kills, began) = (0, Instant::now());
    let mut next_kill = began;
    // On a machine that is busy otherwise, longer: what counts is that enough was killed.
    while began.elapsed() < RUN || (kills < 60 && began.elapsed() < PATIENCE) {
        for process in producers.iter().chain(&consumers) {
            ledger.hear(process.child.id(), process.told_so_far());
        }
        if Instant::now() >= next_kill {
            next_kill = Instant::now() + Duration::from_millis(chance.next(8) as u64);
            let victim = chance.next(5);
            let (victim, role) =
                if victim < 2 { (&mut producers[victim], "produce") } else { (&mut consumers[victim - 2], "consume") };
            victim.kill();
            ledger.hear(victim.child.id(), victim.told_so_far());
            *victim = Process::start(role, &queue);
            kills += 1;
        }
    }
    for producer in &mut producers {
        producer.kill();
        ledger.hear(producer.child.id(), producer.told_so_far());
    }
    queue.close().unwrap();
    let end = Instant::now() + PATIENCE;
    while queue.join_for(Duration::from_millis(1)).is_err() {
        assert!(Instant::now() < end, "{} items are stuck", queue.unfinished());
        for consumer in &consumers {
            ledger.hear(consumer.child.id(), consumer.told_so_far());
        }
    }
    for consumer in &mut consumers {
        assert!(consumer.child.wait().unwrap().success(), "a consumer ended badly");
        ledger.hear(consumer.child.id(), consumer.told_so_far());
    }
    let put: u64 = ledger.put.values().sum();
    for (producer, count) in &ledger.put {
        for number in 0..*count {
            assert!(ledger.got.contains_key(&(*producer, number)), "{number} of {producer} was put, and never got");
        }
    }
    let again = ledger.got.values().filter(|(_, deliveries)| *deliveries > 1).count();
    let twice = ledger.got.values().filter(|(times, deliveries)| *times > 1 && *deliveries < 2).count();
    assert_eq!(twice, 0, "an item was got twice as if for the first time");
    assert!(again <= kills, "{again} items were delivered again, after {kills} kills");
    // What a producer put last it may not have told of any more: one each.
    let untold = ledger.got.keys().filter(|(by, number)| ledger.put.get(by).is_none_or(|put| number >= put)).count();
    assert!(untold <= kills + 2, "{untold}");
    eprintln!("{put} items, {kills} kills, {again} delivered again, {untold} untold");
    assert!(kills >= 60 && put > 1000, "{kills} kills, {put} items: this was no test");
}

#[cfg(feature = "crash-points")]
mod crash_points {
    use super::*;

    /// What a child does of which each step is one to die at. It begins with items 0 to 3 in the queue, and blocks in use.
    pub(super) fn child(steps: &str, queue: &Queue<Item>, socket: &Socket) {
        let (what, points) = steps.split_once(" at ").unwrap();
        let leases = if what == "acknowledge" || what == "give back" {
            vec![queue.lease().unwrap(), queue.lease().unwrap()]
        } else {
            Vec::new()
        };
        shm::crash::after(points.parse().unwrap());
        match what {
            "put" => queue.put(item(1, 100)).unwrap(),
            "put large" => queue.put(item(1, 203)).unwrap(),
            "put wait" => assert!(queue.put_for(item(1, 203), Duration::from_millis(60)).is_err()),
            "get" => drop(queue.get().unwrap()),
            "get large" => (0..4).for_each(|_| drop(queue.get().unwrap())),
            "lease" => queue.lease().unwrap().done().2.clear(),
            "acknowledge" => leases.into_iter().for_each(|lease| drop(lease.done())),
            "give back" => leases.into_iter().for_each(drop),
            "take again" => {
                drop(queue.lease().unwrap());
                drop(queue.lease().unwrap());
            }
            "get wait" => {
                (0..4).for_each(|_| drop(queue.get().unwrap()));
                assert!(queue.get_for(Duration::from_millis(60)).is_err());
            }
            "close" => queue.close().unwrap(),
            "receive" => {
                let packet = Packet::encode(queue).unwrap();
                let _again: Queue<Item> = packet.decode().unwrap();
            }
            other => panic!("{other}"),
        }
        let passed = shm::crash::passed();
        shm::crash::after(0);
        socket.send(&Packet::encode(&Told::Passed(passed)).unwrap()).unwrap();
    }

    /// Has a process die at each step of `what`; after each death `verify` looks at what is left.
    fn at_each_step(what: &str, fill: u64, least: u64, verify: impl Fn(&Queue<Item>, u64)) {
        for point in 1.. {
            let queue = new_queue(QueueOptions { leases: Some(8), ..small() });
            for number in 0..fill {
                queue.put(item(0, number)).unwrap();
            }
            let mut child = Process::start(&format!("{what} at {point}"), &queue);
            let survived = child.socket.receive();
            child.child.wait().unwrap();
            verify(&queue, point);
            if let Ok(told) = survived {
                let Told::Passed(passed) = told.decode().unwrap() else { panic!() };
                // How often it spun and slept in a wait isn't always the same.
                assert!(passed < point, "{what}: it passed point {point} alive");
                assert!(point > least, "{what}: only {point} points");
                return;
            }
        }
    }

    /// What waits, by number; each must be delivered as often as told.
    fn drain(queue: &Queue<Item>) -> Vec<(u32, u64, u32)> {
        let (waiting, mut got) = (queue.len(), Vec::new());
        while let Ok(lease) = queue.try_lease() {
            check(&lease);
            got.push((lease.0, lease.1, lease.deliveries()));
            lease.done();
        }
        assert_eq!(got.len(), waiting);
        got
    }

    #[test]
    fn a_put() {
        let _alone = alone();
        for (what, number) in [("put", 100), ("put large", 203)] {
            at_each_step(what, 2, 6, |queue, point| {
                let got = drain(queue);
                let (old, new) = got.split_at(2);
                assert_eq!(old, [(0, 0, 1), (0, 1, 1)], "{what} at {point}");
                assert!(new.is_empty() || new == [(1, number, 1)], "{what} at {point}: {new:?}");
                is_whole(queue);
            });
        }
    }

    #[test]
    fn a_put_that_waits() {
        let _alone = alone();
        at_each_step("put wait", 8, 2, |queue, point| {
            let got = drain(queue);
            assert_eq!(got.len(), 8, "at {point}: {got:?}");
            is_whole(queue);
        });
    }

    #[test]
    fn a_get() {
        let _alone = alone();
        for what in ["get", "get large", "lease", "get wait"] {
            at_each_step(what, 4, 3, |queue, point| {
                let left = queue.unfinished();
                let got = drain(queue);
                assert_eq!(got.len(), left, "{what} at {point}: {got:?}");
                // The last ones are all there, in order, and at most the first of them was delivered before.
                let first = 4 - got.len() as u64;
                for (offset, (_, number, deliveries)) in got.iter().enumerate() {
                    assert_eq!(*number, first + offset as u64, "{what} at {point}: {got:?}");
                    assert!(*deliveries == 1 || (*deliveries == 2 && offset == 0), "{what} at {point}: {got:?}");
                }
                is_whole(queue);
            });
        }
    }

    #[test]
    fn an_acknowledgement() {
        let _alone = alone();
        at_each_step("acknowledge", 5, 2, |queue, point| {
            let got = drain(queue);
            assert!(matches!(got.len(), 3..=5), "at {point}: {got:?}");
            for (_, number, deliveries) in &got {
                assert_eq!(*deliveries, if *number < 2 { 2 } else { 1 }, "at {point}: {got:?}");
            }
            is_whole(queue);
        });
    }

    #[test]
    fn what_is_given_back_and_taken_again() {
        let _alone = alone();
        for what in ["give back", "take again"] {
            at_each_step(what, 5, 4, |queue, point| {
                let got = drain(queue);
                let numbers: Vec<u64> = got.iter().map(|(_, number, _)| *number).collect();
                assert_eq!(numbers, [0, 1, 2, 3, 4], "{what} at {point}: {got:?}");
                assert!(
                    got.iter().all(|(_, number, deliveries)| *deliveries <= 3 && (*number < 2 || *deliveries == 1))
                );
                is_whole(queue);
            });
        }
    }

    #[test]
    fn a_close() {
        let _alone = alone();
        at_each_step("close", 3, 1, |queue, point| {
            let closed = queue.is_closed();
            assert_eq!(queue.try_put(item(2, 0)).is_err(), closed, "at {point}");
            assert_eq!(drain(queue).len(), if closed { 3 } else { 4 }, "at {point}");
            assert_eq!(matches!(queue.try_get(), Err(GetError::Closed)), closed);
            queue.join_for(Duration::ZERO).unwrap();
        });
    }
}
