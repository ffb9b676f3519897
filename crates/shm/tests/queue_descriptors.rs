//! Items with descriptors in them, in one process; `queue_kill.rs` has the deaths.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{MemfdFlags, fstat, memfd_create},
    net::{RecvFlags, SendFlags, recv, send},
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, capabilities, set_capabilities},
};
use shm::{
    arena::Arena,
    doorbell::Doorbell,
    lock::{Lock, LockError},
    queue::{Acknowledge, GetError, PutError, Queue, QueueError, QueueOptions},
    ring::{Info, Policy, Reader, RingOptions, Wish, Writer},
    wire::{Packet, Passed, SendError, Socket},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// These tests count the descriptors of the whole process, and change its limits: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(slots: usize) -> QueueOptions {
    QueueOptions { capacity: 8, descriptor_slots: slots, max_deliveries: 3, ..QueueOptions::default() }
}

fn queue<T>(options: QueueOptions) -> Queue<T> {
    let arena = Arena::create(options.bytes().unwrap()).unwrap();
    Queue::create(&arena, options).unwrap()
}

/// A file of which nobody has another descriptor.
fn file(text: &str) -> Passed {
    let mut file = File::from(memfd_create("item", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(text.as_bytes()).unwrap();
    Passed::new(file)
}

fn text(file: &Passed) -> String {
    let file = File::from(file.as_fd().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn inode(file: &Passed) -> u64 {
    fstat(file).unwrap().st_ino
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
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

/// Whether all copies of a pipe's writing end are closed, also those on their way.
fn is_over(reader: &impl AsFd, limit: Duration) -> bool {
    let limit = rustix::time::Timespec::try_from(limit).unwrap();
    let mut ready = [PollFd::new(reader, PollFlags::IN)];
    poll(&mut ready, Some(&limit)).unwrap() == 1 && ready[0].revents().contains(PollFlags::HUP)
}

#[test]
fn a_file_travels_with_its_item() {
    let _alone = alone();
    let queue = queue::<(String, Vec<Passed>)>(options(2));
    let (one, other) = (file("one"), file("other"));
    let inodes = [inode(&one), inode(&other)];
    // A clone is the same descriptor, and travels once.
    queue.put(("three".to_owned(), vec![one.clone(), other.clone(), one.clone()])).unwrap();
    drop((one, other));
    assert_eq!(on_their_way(), 2);
    let lease = queue.lease().unwrap();
    assert_eq!((lease.0.as_str(), lease.1.len()), ("three", 3));
    assert_eq!([inode(&lease.1[0]), inode(&lease.1[1])], inodes);
    assert_eq!((text(&lease.1[0]), text(&lease.1[1]), text(&lease.1[2])), ("one".into(), "other".into(), "one".into()));
    drop(lease);
    let again = queue.lease().unwrap();
    assert_eq!((again.deliveries(), inode(&again.1[0])), (2, inodes[0]), "the same once more");
    let kept = again.done();
    assert_eq!(on_their_way(), 0);
    assert_eq!(text(&kept.1[0]), "one", "what was got stays open");
    // And one that is large, and one without any.
    queue.put(("x".repeat(10_000), vec![file("large")])).unwrap();
    queue.put(("none".to_owned(), vec![])).unwrap();
    let large = queue.get().unwrap();
    assert_eq!((large.0.len(), text(&large.1[0])), (10_000, "large".to_owned()));
    assert!(queue.get().unwrap().1.is_empty());
    queue.join_for(Duration::ZERO).unwrap();
}

#[test]
fn a_ring_travels_in_an_item() {
    let _alone = alone();
    let mut camera = Writer::create(RingOptions { depth: 4, frame_bytes: 64 }).unwrap();
    let (ours, theirs) = Socket::pair().unwrap();
    camera.port().add(ours).unwrap();
    let queue = queue::<(String, Passed)>(options(1));
    queue.put(("camera".to_owned(), Passed::new(theirs.into_owned()))).unwrap();
    let (_, session) = queue.get().unwrap();
    let session = Socket::from_owned(session.into_owned().unwrap());
    let wish = Wish { policy: Policy::Latest, leases: 1 };
    let mut reader = Reader::connect(session, &Doorbell::new().unwrap(), wish).unwrap();
    camera.port().service();
    let mut slot = camera.reserve(5).unwrap();
    slot.bytes_mut().copy_from_slice(b"frame");
    slot.publish(Info::default());
    assert_eq!(reader.next_for(PATIENCE).unwrap().unwrap().bytes(), b"frame");
}

#[test]
fn locks_and_queues_travel_in_an_item() {
    let _alone = alone();
    type Job = (u32, Lock<u64>, Queue<u64>);
    let elsewhere = Arena::create(QueueOptions::default().bytes().unwrap() + 4096).unwrap();
    let total = Lock::create(&elsewhere, 5u64).unwrap();
    let answers = Queue::create(&elsewhere, QueueOptions::default()).unwrap();
    let jobs = queue::<Job>(options(2));
    jobs.put((7, total.clone(), answers.clone())).unwrap();
    let job = jobs.lease().unwrap();
    *job.1.lock().map_err(LockError::without_guard).unwrap() += u64::from(job.0);
    job.2.put(1).unwrap();
    job.done();
    assert_eq!((*total.lock().map_err(LockError::without_guard).unwrap(), answers.get().unwrap()), (12, 1));
}

#[test]
fn slots_are_used_again_and_nothing_leaks() {
    let _alone = alone();
    let queue = queue::<(u64, Passed)>(options(3));
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let before = open_descriptors();
    let writer = Passed::new(writer);
    for number in 0..10_000 {
        queue.put((number, writer.clone())).unwrap();
        match number % 4 {
            0 => assert_eq!(queue.get().unwrap().0, number),
            1 => assert_eq!(queue.lease().unwrap().done().0, number),
            2 => {
                drop(queue.lease().unwrap());
                assert_eq!(queue.get().unwrap().0, number);
            }
            _ => {
                queue.put((number, writer.clone())).unwrap();
                let leases = [queue.lease().unwrap(), queue.lease().unwrap()];
                leases.into_iter().for_each(|lease| assert_eq!(lease.done().0, number));
            }
        }
    }
    assert_eq!((open_descriptors(), on_their_way()), (before, 0));
    drop(writer);
    assert!(is_over(&reader, Duration::ZERO));
}

#[test]
fn a_put_without_a_slot_waits_for_one() {
    let _alone = alone();
    let queue = queue::<Option<Passed>>(options(2));
    queue.put(Some(file("1"))).unwrap();
    queue.put(Some(file("2"))).unwrap();
    assert!(matches!(queue.try_put(Some(file("3"))), Err(PutError::Full(Some(_)))));
    let began = Instant::now();
    assert!(matches!(queue.put_for(Some(file("3")), Duration::from_millis(30)), Err(PutError::Full(_))));
    assert!(began.elapsed() >= Duration::from_millis(30));
    queue.try_put(None).unwrap(); // one without descriptors needs none
    let lease = queue.lease().unwrap();
    assert!(queue.try_put(Some(file("3"))).is_err(), "taken is not acknowledged");
    std::thread::scope(|scope| {
        let puts = scope.spawn(|| queue.put_for(Some(file("3")), PATIENCE));
        lease.done();
        puts.join().unwrap().unwrap();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let put = queue.put_async(Some(file("4")));
        let gets = async { queue.get_async().await.unwrap() };
        let (put, got) = tokio::join!(put, gets);
        put.unwrap();
        assert_eq!(got.as_ref().map(text).as_deref(), Some("2"));
    });
    let got: Vec<_> = std::iter::from_fn(|| queue.try_get().ok()).map(|got| got.as_ref().map(text)).collect();
    assert_eq!(got, [None, Some("3".to_owned()), Some("4".to_owned())]);
    assert_eq!(on_their_way(), 0);
}

#[test]
fn many_threads_get_each_item_with_its_own_descriptor() {
    let _alone = alone();
    const EACH: u64 = 1500;
    let queue = queue::<(u64, Passed)>(options(3));
    let before = open_descriptors();
    std::thread::scope(|scope| {
        for producer in 0..2 {
            let queue = &queue;
            scope.spawn(move || {
                for number in (producer * EACH..).take(EACH as usize) {
                    queue.put((number, file(&number.to_string()))).unwrap();
                }
            });
        }
        let consume = || {
            std::iter::from_fn(|| queue.get_for(PATIENCE).ok())
                .map(|(number, file)| assert_eq!(text(&file), number.to_string()))
                .take(EACH as usize)
                .count()
        };
        let consumers = [scope.spawn(consume), scope.spawn(consume)];
        assert_eq!(consumers.map(|consumer| consumer.join().unwrap()), [EACH as usize; 2]);
    });
    assert_eq!((open_descriptors(), on_their_way()), (before, 0));
}

#[test]
fn what_cannot_travel_is_refused() {
    let _alone = alone();
    let none = queue::<Vec<Passed>>(options(0));
    let error = none.put(vec![file("1")]).unwrap_err();
    assert!(matches!(error, PutError::Descriptors { descriptors: 1, .. }));
    assert!(error.to_string().contains("descriptor_slots"), "{error}");
    let queue = queue::<Vec<Passed>>(options(1));
    let many: Vec<Passed> =
        (0..254).map(|_| Passed::new(std::io::stdin().as_fd().try_clone_to_owned().unwrap())).collect();
    let error = queue.put(many).unwrap_err();
    assert!(matches!(error, PutError::Send { source: SendError::TooManyDescriptors(254), .. }), "{error}");
    let mut most = error.into_item();
    most.pop();
    queue.put(most).unwrap();
    assert_eq!(queue.get().unwrap().len(), 253);
    let arena = Arena::create(1 << 20).unwrap();
    let told = Queue::<u8>::create(&arena, options(201)).unwrap_err();
    assert!(matches!(told, QueueError::TooManySlots(201)), "{told}");
}

#[test]
fn the_largest_handle_fits_into_a_message() {
    let _alone = alone();
    let before = open_descriptors();
    let options = QueueOptions { capacity: 200, ..options(200) };
    let queue = queue::<Passed>(options);
    assert_eq!(open_descriptors() - before, 201, "one for each slot, and the arena's");
    let (one, other) = Socket::pair().unwrap();
    one.send(&Packet::encode(&queue).unwrap()).unwrap();
    let same: Queue<Passed> = other.receive().unwrap().decode().unwrap();
    for number in 0..200 {
        queue.put(file(&number.to_string())).unwrap();
    }
    assert!(queue.try_put(file("")).is_err());
    for number in 0..200 {
        assert_eq!(text(&same.get().unwrap()), number.to_string());
    }
    drop((one, other, queue, same));
    assert_eq!(open_descriptors(), before);
}

/// With so few descriptors left in this process.
fn with_room_for<R>(more: u64, run: impl FnOnce() -> R) -> R {
    let limit = getrlimit(Resource::Nofile);
    // The lowest number that is free; and those below it are taken.
    let next = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let lowest = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
    drop(next);
    setrlimit(Resource::Nofile, Rlimit { current: Some(lowest + more), maximum: limit.maximum }).unwrap();
    let done = run();
    setrlimit(Resource::Nofile, limit).unwrap();
    done
}

#[test]
fn who_has_no_descriptor_left_leaves_the_item_to_others() {
    let _alone = alone();
    let queue = queue::<Vec<Passed>>(options(2));
    queue.put((0..20).map(|number| file(&number.to_string())).collect()).unwrap();
    let before = open_descriptors();
    with_room_for(10, || {
        assert!(matches!(queue.try_lease(), Err(GetError::Descriptors(_))));
        let error = queue.try_get().unwrap_err();
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    });
    assert_eq!((open_descriptors(), queue.len()), (before, 1), "some had come, and were closed");
    let lease = queue.lease().unwrap();
    assert_eq!((lease.len(), lease.deliveries(), text(&lease[19]).as_str()), (20, 3, "19"));
    lease.done();
    with_room_for(5, || {
        let arena = Arena::create(options(8).bytes().unwrap()).unwrap();
        assert!(matches!(Queue::<u8>::create(&arena, options(8)), Err(QueueError::Sockets(_))));
        assert!(arena.free_bytes() >= options(8).bytes().unwrap() - 256, "and the arena has lost nothing by it");
    });
}

#[test]
fn too_many_on_their_way_is_told() {
    let _alone = alone();
    let limit = getrlimit(Resource::Nofile);
    let queue = queue::<Vec<Passed>>(QueueOptions { capacity: 20, ..options(20) });
    let thread = std::thread::spawn(move || {
        // The kernel lets the mighty do as they please; only this thread stops to be.
        let mut sets = capabilities(None).unwrap();
        sets.effective = CapabilitySet::empty();
        set_capabilities(None, sets).unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(600), maximum: limit.maximum }).unwrap();
        let files = || (0..200).map(|_| file("")).collect::<Vec<_>>();
        let put: Vec<_> =
            std::iter::repeat_with(|| queue.try_put(files())).take(20).take_while(Result::is_ok).collect();
        let error = queue.try_put(files()).unwrap_err();
        assert!(matches!(error, PutError::Send { source: SendError::TooManyOnTheWay(200), .. }), "{error}");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        assert_eq!((queue.len(), queue.unfinished()), (put.len(), put.len()), "what was refused isn't there");
        while let Ok(files) = queue.try_get() {
            assert_eq!(files.len(), 200);
        }
    });
    let done = thread.join();
    setrlimit(Resource::Nofile, limit).unwrap();
    done.unwrap();
    assert_eq!(on_their_way(), 0);
}

/// The sockets in a handle, as anybody has them who gets one.
fn sockets<T>(queue: &Queue<T>) -> Vec<Passed> {
    let sockets = Packet::encode(queue).unwrap().descriptors;
    sockets.into_iter().filter(|socket| rustix::net::sockopt::socket_type(socket).is_ok()).collect()
}

#[test]
fn an_item_whose_message_is_gone_or_another_is_an_error_for_it_alone() {
    let _alone = alone();
    let queue = queue::<(u32, Passed)>(options(4));
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let writer = Passed::new(writer);
    let put = |number| queue.put((number, writer.clone())).unwrap();
    (0..4).for_each(put);
    let sockets = sockets(&queue);
    let take_out = |slot: usize| recv(&sockets[slot], &mut [0u8; 64], RecvFlags::DONTWAIT).unwrap();
    take_out(0); // gone
    take_out(1);
    send(&sockets[0], b"\0something", SendFlags::empty()).unwrap(); // another one, in the slot of the second
    assert!(matches!(queue.get(), Err(GetError::DescriptorsMissing)));
    assert!(matches!(queue.lease(), Err(GetError::DescriptorsMissing)));
    assert_eq!((queue.get().unwrap().0, queue.get().unwrap().0), (2, 3));
    queue.join_for(Duration::ZERO).unwrap();
    // What somebody leaves in a free slot harms nobody.
    for number in 0..10 {
        for socket in &sockets {
            send(socket, b"\0something", SendFlags::DONTWAIT).unwrap();
        }
        put(number);
        assert_eq!(queue.get().unwrap().0, number);
    }
    // Sockets that are shut, neither.
    sockets.iter().for_each(|socket| rustix::net::shutdown(socket, rustix::net::Shutdown::Both).unwrap());
    assert!(matches!(queue.put((0, writer.clone())), Err(PutError::Send { source: SendError::Gone, .. })));
    drop((sockets, queue, writer));
    assert!(is_over(&reader, Duration::ZERO));
}

#[test]
fn a_handle_with_other_sockets_is_refused() {
    let _alone = alone();
    let queue = queue::<Passed>(options(2));
    let message = Packet::encode(&queue).unwrap();
    drop(queue);
    let mut fewer = message.clone();
    fewer.descriptors[2] = file("no socket");
    assert!(fewer.decode::<Queue<Passed>>().is_err());
    let same: Queue<Passed> = message.decode().unwrap();
    same.put(file("1")).unwrap();
    assert_eq!(text(&same.get().unwrap()), "1");
}

#[test]
fn what_is_read_as_something_else_goes_back() {
    let _alone = alone();
    let queue = queue::<(u32, Passed)>(options(1));
    let other: Queue<(Passed, String)> = Packet::encode(&queue).unwrap().decode().unwrap();
    queue.put((1, file("1"))).unwrap();
    assert!(matches!(other.get(), Err(GetError::Decode(_))));
    let lease = queue.lease().unwrap();
    assert_eq!((lease.0, lease.deliveries(), text(&lease.1).as_str()), (1, 2, "1"));
    drop(lease);
    assert_eq!((queue.len(), queue.dead_letters()), (1, 0));
    assert!(matches!(other.get(), Err(GetError::Decode(_))));
    assert_eq!((queue.len(), queue.dead_letters()), (0, 1));
    assert!(matches!(other.take_dead_letter(), Err(GetError::Decode(_))));
    assert!(queue.try_put((2, file("2"))).is_err(), "a dead letter keeps its slot");
    assert_eq!(text(&queue.take_dead_letter().unwrap().unwrap().done().1), "1");
    queue.try_put((2, file("2"))).unwrap();
}

#[test]
fn by_task_done_a_slot_is_kept_until_then() {
    let _alone = alone();
    let queue = queue::<Passed>(QueueOptions { acknowledge: Acknowledge::ByTaskDone, ..options(1) });
    queue.put(file("1")).unwrap();
    let got = queue.get().unwrap();
    assert!(queue.try_put(file("2")).is_err());
    // With its last handle here, the process gives it up; another one gets it, descriptor and all.
    let message = Packet::encode(&queue).unwrap();
    drop(queue);
    let queue: Queue<Passed> = message.decode().unwrap();
    assert_eq!(inode(&queue.get().unwrap()), inode(&got));
    queue.task_done().unwrap();
    queue.try_put(file("2")).unwrap();
}

#[test]
fn a_queue_in_an_item_of_its_own_is_no_leak() {
    let _alone = alone();
    let before = open_descriptors();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let queue = queue::<Vec<(Knot, Passed)>>(options(2));
    let message = Packet::encode(&queue).unwrap();
    let knot = Knot(message.descriptors.clone());
    drop(message);
    queue.put(vec![(knot, Passed::new(writer))]).unwrap();
    assert!(!is_over(&reader, Duration::ZERO));
    drop(queue);
    // Now its sockets are open nowhere but in themselves. The kernel looks for such knots whenever a socket is closed.
    let begun = std::time::Instant::now();
    while !is_over(&reader, Duration::from_millis(20)) {
        assert!(begun.elapsed() < PATIENCE, "it is there for good");
        drop(shm::wire::Socket::pair().unwrap());
    }
    let mut nothing = Vec::new();
    File::from(reader).read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    // Fewer than before: what another test's threads were still closing then.
    assert!(open_descriptors() <= before, "{} descriptors, {before} before", open_descriptors());
}

/// All that a queue's handle is made of.
#[derive(serde::Serialize, serde::Deserialize)]
struct Knot(Vec<Passed>);
