//! The same for items with descriptors in them.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
};

use rustix::fs::{MemfdFlags, fstat, memfd_create};
use shm::wire::Passed;

use super::*;

/// How many slots the queues here have.
const SLOTS: usize = 3;

/// A number, a filling, and a file in which the number stands too.
pub(super) type Loaded = (u64, Vec<u8>, Option<Passed>);

fn loaded(number: u64) -> Loaded {
    let file = File::from(memfd_create("item", MemfdFlags::CLOEXEC).unwrap());
    file.write_all_at(&number.to_le_bytes(), 0).unwrap();
    let (number, filling) = (number, item(0, number).2);
    (number, filling, Some(Passed::new(file)))
}

fn check(item: &Loaded) {
    assert!(item.1.iter().all(|byte| *byte == item.0 as u8), "a torn item: {}", item.0);
    let file = File::from(item.2.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap());
    let mut number = [0; 8];
    file.read_exact_at(&mut number, 0).unwrap();
    assert_eq!(u64::from_le_bytes(number), item.0, "another item's file");
}

/// How many descriptors wait in the sockets that this process has open.
fn on_their_way() -> u32 {
    let infos = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let texts = infos.filter_map(|info| std::fs::read_to_string(info.path()).ok());
    let counts = texts.filter_map(|text| {
        text.lines().find_map(|line| line.strip_prefix("scm_fds:").map(|count| count.trim().parse::<u32>().unwrap()))
    });
    counts.sum()
}

/// What a child does that has such a queue.
pub(super) fn child(role: &str, queue: &Queue<Loaded>, socket: &Socket) {
    match role {
        "files: hold" => {
            let lease = queue.lease().unwrap();
            check(&lease);
            socket.send(&Packet::encode(&Told::Got(0, lease.0, lease.deliveries())).unwrap()).unwrap();
            let _ = socket.receive();
        }
        "files: put and exit" => (0..SLOTS as u64).for_each(|number| queue.put(loaded(number)).unwrap()),
        "files: produce" => {
            for number in 0.. {
                queue.put(loaded(number)).unwrap();
            }
        }
        "files: consume" => loop {
            match queue.lease() {
                Ok(lease) => {
                    check(&lease);
                    lease.done();
                }
                Err(GetError::Closed) => return,
                Err(error) => panic!("{error}"),
            }
        },
        #[cfg(feature = "crash-points")]
        steps => crash_points::child(steps, queue, socket),
        #[cfg(not(feature = "crash-points"))]
        other => panic!("no such role: {other}"),
    }
}

fn new_queue(options: QueueOptions) -> Queue<Loaded> {
    let options = QueueOptions { descriptor_slots: SLOTS, ..options };
    let arena = Arena::create(options.bytes().unwrap()).unwrap();
    Queue::create(&arena, options).unwrap()
}

/// Says that nothing is stuck, lost or leaked: every slot can be used, and nothing is in one that isn't.
fn is_whole(queue: &Queue<Loaded>) {
    assert_eq!((queue.len(), queue.leased(), queue.unfinished(), queue.dead_letters()), (0, 0, 0, 0));
    assert_eq!(on_their_way(), 0, "somebody's descriptors are still there");
    for number in 0..SLOTS as u64 {
        queue.try_put(loaded(number)).unwrap_or_else(|error| panic!("slot {number} of {SLOTS}: {error}"));
    }
    assert!(queue.try_put(loaded(9)).is_err());
    for number in 0..SLOTS as u64 {
        let got = queue.try_lease().unwrap().done();
        check(&got);
        assert_eq!(got.0, number);
    }
    // All blocks are free, and cells.
    queue.try_put((0, vec![0; 60 * 1024], loaded(0).2)).unwrap();
    check(&queue.try_lease().unwrap().done());
    (0..queue.capacity()).for_each(|_| queue.try_put((0, Vec::new(), None)).unwrap());
    (0..queue.capacity()).for_each(|_| drop(queue.try_lease().unwrap().done()));
    queue.join_for(Duration::ZERO).unwrap();
}

#[test]
fn what_a_dead_consumer_held_comes_with_the_same_descriptors() {
    let _alone = alone();
    let queue = new_queue(small());
    let first = loaded(7);
    let inode = fstat(first.2.as_ref().unwrap()).unwrap().st_ino;
    queue.put(first).unwrap();
    queue.put(loaded(8)).unwrap();
    for deliveries in 1..5 {
        let mut holder = Process::start("files: hold", &queue);
        assert!(matches!(holder.told(), Told::Got(0, 7, told) if told == deliveries));
        holder.kill();
    }
    assert_eq!((queue.len(), queue.leased()), (2, 0));
    let lease = queue.try_lease().unwrap();
    check(&lease);
    assert_eq!((lease.deliveries(), fstat(lease.2.as_ref().unwrap()).unwrap().st_ino), (5, inode));
    lease.done();
    check(&queue.try_get().unwrap());
    is_whole(&queue);
}

#[test]
fn what_a_producer_put_outlives_it() {
    let _alone = alone();
    let queue = new_queue(small());
    let mut producer = Process::start("files: put and exit", &queue);
    assert!(producer.child.wait().unwrap().success());
    for number in 0..SLOTS as u64 {
        let lease = queue.lease_for(PATIENCE).unwrap();
        check(&lease);
        assert_eq!((lease.0, lease.deliveries()), (number, 1));
        lease.done();
    }
    is_whole(&queue);
}

#[test]
fn random_kills_leak_no_slot() {
    let _alone = alone();
    let queue = new_queue(small());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let roles = ["files: produce", "files: produce", "files: consume", "files: consume"];
    let mut processes = roles.map(|role| Process::start(role, &queue));
    let before = Instant::now();
    let mut kills = 0;
    while before.elapsed() < Duration::from_secs(3) || (kills < 40 && before.elapsed() < PATIENCE) {
        let victim = chance.next(roles.len());
        processes[victim].kill();
        processes[victim] = Process::start(roles[victim], &queue);
        kills += 1;
    }
    processes.iter_mut().for_each(Process::kill);
    while let Ok(lease) = queue.try_lease() {
        check(&lease);
        lease.done();
    }
    assert!(kills >= 40, "{kills} kills: this was no test");
    is_whole(&queue);
}

#[cfg(feature = "crash-points")]
mod crash_points {
    use super::*;

    /// What a child does of which each step is one to die at.
    pub(super) fn child(steps: &str, queue: &Queue<Loaded>, socket: &Socket) {
        let (what, points) = steps.split_once(" at ").unwrap();
        let held = |what: &str| match what {
            "files: acknowledge" | "files: give back" => vec![queue.lease().unwrap(), queue.lease().unwrap()],
            _ => Vec::new(),
        };
        let (leases, small, large) = (held(what), loaded(100), loaded(203));
        shm::crash::after(points.parse().unwrap());
        match what {
            "files: put" => queue.put(small).unwrap(),
            "files: put large" => queue.put(large).unwrap(),
            "files: put wait" => assert!(queue.put_for(small, Duration::from_millis(60)).is_err()),
            "files: get" => drop(queue.get().unwrap()),
            "files: lease" => drop(queue.lease().unwrap().done()),
            "files: task done" => {
                queue.get().unwrap();
                queue.task_done().unwrap();
            }
            "files: acknowledge" => leases.into_iter().for_each(|lease| drop(lease.done())),
            "files: give back" => leases.into_iter().for_each(drop),
            "files: dead letter" => drop(queue.take_dead_letter().unwrap().unwrap().done()),
            other => panic!("{other}"),
        }
        let passed = shm::crash::passed();
        shm::crash::after(0);
        socket.send(&Packet::encode(&Told::Passed(passed)).unwrap()).unwrap();
    }

    /// Has a process die at each step of `what`, with items `numbers` in the queue; after each death `verify` looks at what is
    /// left, and then at the number of the point.
    fn at_each_step(
        what: &str,
        options: &QueueOptions,
        numbers: &[u64],
        least: u64,
        verify: impl Fn(&Queue<Loaded>, &[(u64, u32)], &str),
    ) {
        for point in 1.. {
            let queue = new_queue(options.clone());
            numbers.iter().for_each(|number| queue.put(loaded(*number)).unwrap());
            if what == "files: dead letter" {
                (0..options.max_deliveries).for_each(|_| drop(queue.lease().unwrap()));
            }
            let role = format!("{what} at {point}");
            let mut child = Process::start(&role, &queue);
            let survived = child.socket.receive();
            child.child.wait().unwrap();
            drain_and(&queue, &role, &verify);
            if let Ok(told) = survived {
                let Told::Passed(passed) = told.decode().unwrap() else { panic!() };
                assert!(passed < point, "{what}: it passed point {point} alive");
                assert!(point > least, "{what}: only {point} points");
                return;
            }
        }
    }

    fn drain_and(queue: &Queue<Loaded>, role: &str, verify: impl Fn(&Queue<Loaded>, &[(u64, u32)], &str)) {
        let mut got = Vec::new();
        let letters = std::iter::from_fn(|| queue.take_dead_letter().unwrap());
        for lease in letters.chain(std::iter::from_fn(|| queue.try_lease().ok())) {
            check(&lease);
            got.push((lease.0, lease.deliveries()));
            lease.done();
        }
        verify(queue, &got, role);
        is_whole(queue);
    }

    #[test]
    fn a_put_with_descriptors() {
        let _alone = alone();
        for (what, number) in [("files: put", 100), ("files: put large", 203)] {
            at_each_step(what, &small(), &[0, 1], 10, |_, got, at| {
                assert!(got == [(0, 1), (1, 1)] || got == [(0, 1), (1, 1), (number, 1)], "{at}: {got:?}");
            });
        }
        at_each_step("files: put wait", &small(), &[0, 1, 2], 2, |_, got, at| {
            assert_eq!(got, [(0, 1), (1, 1), (2, 1)], "{at}");
        });
    }

    #[test]
    fn a_get_with_descriptors() {
        let _alone = alone();
        let by_task_done = QueueOptions { acknowledge: Acknowledge::ByTaskDone, ..small() };
        for (what, options) in [("files: get", small()), ("files: lease", small()), ("files: task done", by_task_done)]
        {
            // The first one is a large item.
            at_each_step(what, &options, &[3, 4], 6, |_, got, at| {
                let whole: [&[(u64, u32)]; 3] = [&[(3, 1), (4, 1)], &[(3, 2), (4, 1)], &[(4, 1)]];
                assert!(whole.contains(&got), "{at}: {got:?}");
            });
        }
    }

    #[test]
    fn an_acknowledgement_and_a_return_with_descriptors() {
        let _alone = alone();
        at_each_step("files: acknowledge", &small(), &[3, 4, 5], 6, |_, got, at| {
            let whole: [&[(u64, u32)]; 3] = [&[(3, 2), (4, 2), (5, 1)], &[(4, 2), (5, 1)], &[(5, 1)]];
            assert!(whole.contains(&got), "{at}: {got:?}");
        });
        at_each_step("files: give back", &small(), &[3, 4, 5], 2, |_, got, at| {
            assert_eq!(got, [(3, 2), (4, 2), (5, 1)], "{at}");
        });
    }

    #[test]
    fn a_dead_letter_with_descriptors() {
        let _alone = alone();
        let options = QueueOptions { max_deliveries: 2, ..small() };
        at_each_step("files: dead letter", &options, &[3], 3, |_, got, at| {
            assert!(got.is_empty() || got == [(3, 2)], "{at}: {got:?}");
        });
    }
}
