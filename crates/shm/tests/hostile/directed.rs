//! What was found, each by itself; and that the attacker's knowledge is right.

use std::time::Duration;

use shm::{
    doorbell::Doorbell,
    ring::{Info, Late, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::{Packet, Passed, Socket},
};

use crate::{
    packets, soon,
    wild::{self, Answer, Given, HONEST, Join, Joining, Wild},
};

const ALL: Policy = Policy::DropOldest { depth: 4 };

fn writer(frame_bytes: usize) -> Writer {
    Writer::create(RingOptions { depth: 4, frame_bytes }).unwrap()
}

/// Joins by hand, and gives what was told.
fn join(writer: &Writer, policy: Policy, bell: Passed, life: Passed) -> (Socket, Vec<Answer>) {
    let (ours, theirs) = Socket::pair().unwrap();
    writer.port().add(ours).unwrap();
    let join = Join { version: wild::VERSION, wish: Wish { policy, leases: 2 }, bell, life };
    theirs.send(&Packet::encode(&join).unwrap()).unwrap();
    writer.port().service();
    let answers = std::iter::from_fn(|| theirs.try_receive().ok()).map(|packet| packet.decode().unwrap()).collect();
    (theirs, answers)
}

fn joining(answers: &[Answer]) -> &Joining {
    match answers.last() {
        Some(Answer::Joined(joining)) => joining,
        other => panic!("{other:?}"),
    }
}

fn refusal(answers: &[Answer]) -> &str {
    match answers {
        [Answer::Refused { why }] => why,
        other => panic!("{other:?}"),
    }
}

/// If this fails, `wild.rs` is old, and the rest of this test proves little.
#[test]
fn the_attacker_knows_the_layout() {
    let mut writer = writer(2000);
    let blocks = Policy::Block { timeout: Duration::ZERO, late: Late::Drop };
    let (_socket, answers) = join(&writer, blocks, Passed::new(wild::bell()), wild::life());
    let joining = joining(&answers);
    let Some(Answer::Segment { id, bytes, memory }) = answers.first() else { panic!("{answers:?}") };
    assert!(joining.room.is_some() && shm::memory::Mapping::read_only(memory, *bytes as usize).is_ok());
    let control = shm::memory::Mapping::read_only(&joining.control, wild::control_bytes(0)).unwrap();
    assert!(
        shm::memory::Mapping::read_only(&joining.control, wild::control_bytes(0) + 1).is_err() && control.len() > 0
    );
    let page = Wild::map(joining.page.clone().into_owned().unwrap(), wild::PAGE).unwrap();
    page.put32(wild::ARMED, 1);
    for _ in 0..5 {
        writer.reserve(7).unwrap().publish(Info::default());
    }
    assert_eq!(page.get32(wild::ARMED), 0, "it was woken");
    page.put64(wild::TURN, 1);
    (0..3).for_each(|word| page.put64(wild::ACCOUNTS + 24 + word * 8, [4, 3, 1][word]));
    let counts = writer.port().counts()[0];
    assert_eq!((counts.read, counts.dropped, counts.waiting), (3, 1, 1));
    // The words of the control memory, by the other side's file.
    let file = std::fs::File::from(joining.control.clone().into_owned().unwrap());
    let word = |offset: usize, bytes: usize| {
        let mut word = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut word[..bytes], offset as u64).unwrap();
        u64::from_ne_bytes(word)
    };
    let slot = word(wild::ENTRIES + 5 * 4, 4);
    assert_eq!(word(wild::HEAD, 8), wild::head(5, slot));
    let slot = wild::SLOTS + slot as usize * wild::HEADER;
    assert_eq!((word(slot, 8), word(slot + 8, 4), word(slot + 24, 8)), (5, u64::from(*id), 7));
}

/// A writer that lets a reader in by hand: control memory, page, and a segment of one page.
fn hostile(policy: Policy) -> (Socket, Wild, Wild, Reader) {
    let (ours, theirs) = Socket::pair().unwrap();
    let reader = Reader::connect(theirs, &Doorbell::new().unwrap(), Wish { policy, leases: 2 }).unwrap();
    let (control, page) = (Wild::new(wild::control_bytes(0), HONEST), Wild::new(wild::PAGE, HONEST_PAGE));
    welcome(&ours, &control, &page, |_| ());
    (ours, control, page, reader)
}

const HONEST_PAGE: Given = Given { write: false, ..HONEST };

fn welcome(socket: &Socket, control: &Wild, page: &Wild, spoil: impl FnOnce(&mut Joining)) {
    let mut joining = Joining {
        depth: 4,
        epoch: 1,
        head: 0,
        inline_bytes: 0,
        control: control.passed(),
        page: page.passed(),
        room: None,
        life: wild::life(),
    };
    spoil(&mut joining);
    socket.send(&Packet::encode(&Answer::Joined(joining)).unwrap()).unwrap();
}

#[test]
fn a_head_at_the_end_of_all_numbers_ends_no_wait_late() {
    const WAIT: Duration = Duration::from_millis(10);
    for policy in [ALL, Policy::Latest, Policy::Every { n: 3 }, Policy::max_rate(1e9)] {
        let (_socket, control, _page, mut reader) = hostile(policy);
        assert!(reader.try_next().unwrap().is_none() && reader.is_joined());
        const LAST: u64 = u64::MAX >> 10;
        for head in [LAST, LAST - 1, 1 << 52, (1 << 52) + 1, 1 << 53] {
            control.put64(wild::HEAD, wild::head(head, 0));
            control.put32(wild::SLOTS + 8, wild::INLINE);
            // Every entry names slot 0, which says that it is the frame that is looked for.
            for sequence in [head - 1, head, (1 << 52) - 1, 1 << 52] {
                control.put64(wild::SLOTS, sequence);
                let _ = soon(|| reader.next_for(WAIT)).is_ok();
                let mut future = std::pin::pin!(reader.next());
                let waker = std::task::Waker::noop();
                let _ = soon(|| future.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
            }
        }
    }
}

use std::future::Future;

#[test]
fn a_segment_that_isnt_there_costs_its_reader_nothing() {
    let (socket, _control, _page, mut reader) = hostile(ALL);
    reader.try_next().unwrap();
    // More than any machine has, and a hole from end to end.
    let hole = rustix::fs::memfd_create("hole", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    let bytes = 1u64 << 44;
    rustix::fs::ftruncate(&hole, bytes).unwrap();
    let seals = rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::FUTURE_WRITE;
    rustix::fs::fcntl_add_seals(&hole, seals).unwrap();
    socket.send(&Packet::encode(&Answer::Segment { id: 0, bytes, memory: Passed::new(hole) }).unwrap()).unwrap();
    let told = soon(|| reader.service()).unwrap_err();
    assert!(matches!(&told, ReadError::Memory(_)) && told.to_string().contains("hasn't paid"), "{told}");
    // And one that could become a hole.
    let wild = Wild::new(4096, Given { write: false, ..HONEST });
    let message = Packet::encode(&Answer::Segment { id: 0, bytes: 4096, memory: wild.passed() }).unwrap();
    socket.send(&message).unwrap();
    assert!(matches!(reader.service(), Err(ReadError::Memory(_))));
}

#[test]
fn a_bell_that_would_hold_its_ringer_up_does_not() {
    let mut writer = writer(64);
    let bell = wild::full_bell();
    let (_socket, answers) = join(&writer, ALL, Passed::new(bell.try_clone().unwrap()), wild::life());
    let page = Wild::map(joining(&answers).page.clone().into_owned().unwrap(), wild::PAGE).unwrap();
    for _ in 0..10 {
        page.put32(wild::ARMED, 1);
        soon(|| writer.reserve(1).unwrap().publish(Info::default()));
        assert_eq!(page.get32(wild::ARMED), 0, "it was rung");
    }
}

/// The same from the other side: the writer's bell, which a reader rings when it takes what the writer waits for.
#[test]
fn a_writer_cannot_hold_its_reader_up_by_the_bell_for_room() {
    let (ours, theirs) = Socket::pair().unwrap();
    let policy = Policy::Block { timeout: Duration::MAX, late: Late::Drop };
    let mut reader = Reader::connect(theirs, &Doorbell::new().unwrap(), Wish { policy, leases: 2 }).unwrap();
    let (control, page) = (Wild::new(wild::control_bytes(0), HONEST), Wild::new(wild::PAGE, HONEST_PAGE));
    let segment = Wild::new(4096, HONEST);
    let message = Answer::Segment { id: 0, bytes: 4096, memory: segment.passed() };
    ours.send(&Packet::encode(&message).unwrap()).unwrap();
    welcome(&ours, &control, &page, |joining| joining.room = Some(Passed::new(wild::full_bell())));
    assert!(reader.try_next().unwrap().is_none() && reader.is_joined());
    control.put64(wild::SLOTS + 24, 10);
    control.put64(wild::SLOTS, 1);
    control.put64(wild::HEAD, wild::head(1, 0));
    page.put32(wild::WAITED_FOR, 1);
    assert_eq!(soon(|| reader.try_next()).unwrap().unwrap().bytes(), [0; 10]);
    assert_eq!((page.get32(wild::WAITED_FOR), page.get64(wild::TAKEN)), (0, 1));
}

/// Blocking readers have a bell each: one that reads its own empty harms nobody else.
#[test]
fn a_reader_that_spoils_its_bell_for_room_harms_no_other() {
    let mut writer = writer(64);
    let blocks = Policy::Block { timeout: Duration::from_secs(30), late: Late::Drop };
    let (_socket, answers) = join(&writer, blocks, Passed::new(wild::bell()), wild::life());
    let rogue = joining(&answers);
    rustix::io::read(rogue.room.as_ref().unwrap(), &mut [0; 8]).unwrap();
    let page = Wild::map(rogue.page.clone().into_owned().unwrap(), wild::PAGE).unwrap();
    page.put64(wild::TAKEN, u64::MAX); // so that only the honest one is waited for
    let (ours, theirs) = Socket::pair().unwrap();
    writer.port().add(ours).unwrap();
    let wish = Wish { policy: blocks, leases: 1 };
    let mut honest = Reader::connect(theirs, &Doorbell::new().unwrap(), wish).unwrap();
    writer.port().service();
    for _ in 0..4 {
        writer.reserve(1).unwrap().publish(Info::default());
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| soon(|| writer.reserve(1).unwrap().publish(Info::default())));
        std::thread::sleep(Duration::from_millis(30)); // sleep: so that the writer usually waits already
        assert_eq!(honest.next_for(crate::LIMIT).unwrap().unwrap().sequence(), 1);
        assert_eq!(waiting.join().unwrap(), 5);
    });
}

#[test]
fn what_is_no_bell_and_no_life_is_refused_on_both_sides() {
    let writer = writer(64);
    let file = || Passed::new(std::fs::File::open("/proc/self/stat").unwrap());
    let (_socket, answers) = join(&writer, ALL, file(), wild::life());
    assert!(refusal(&answers).contains("no eventfd"), "{answers:?}");
    let (_socket, answers) = join(&writer, ALL, Passed::new(wild::bell()), file());
    assert!(refusal(&answers).contains("no pidfd"), "{answers:?}");

    let spoils: [fn(&mut Joining); 2] = [
        |joining| joining.life = Passed::new(wild::bell()),
        |joining| joining.room = Some(Passed::new(std::io::pipe().unwrap().1)),
    ];
    for spoil in spoils {
        let (ours, theirs) = Socket::pair().unwrap();
        let wish = Wish { policy: ALL, leases: 1 };
        let mut reader = Reader::connect(theirs, &Doorbell::new().unwrap(), wish).unwrap();
        let (control, page) = (Wild::new(wild::control_bytes(0), HONEST), Wild::new(wild::PAGE, HONEST_PAGE));
        welcome(&ours, &control, &page, spoil);
        assert!(matches!(reader.try_next(), Err(ReadError::Protocol(_))));
        assert!(!reader.is_joined());
    }
}

/// A reader that can't be let in must not believe that it is: what it held would be nobody's.
#[test]
fn who_is_refused_was_never_told_otherwise_and_leaves_no_watch() {
    let writer = writer(64);
    // A descriptor that is fit to ring, but as a life can't be watched.
    let life = wild::life();
    for _ in 0..10 {
        let (socket, answers) = join(&writer, ALL, Passed::new(wild::bell()), Passed::new(wild::bell()));
        refusal(&answers);
        drop(socket);
    }
    let (socket, _) = join(&writer, Policy::Every { n: 0 }, Passed::new(wild::bell()), life);
    drop(socket);
    writer.port().service();
    let events = writer.port().descriptor().unwrap();
    let mut watched = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::IN)];
    let no_wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut watched, Some(&no_wait)).unwrap(), 0, "there is nothing left to do");
}

#[test]
fn a_flood_is_heard_once() {
    let writer = writer(64);
    let (socket, answers) = join(&writer, ALL, Passed::new(wild::bell()), wild::life());
    joining(&answers);
    while socket.try_send(&Packet::default()).is_ok() {}
    writer.port().service();
    assert_eq!(writer.port().readers(), 0);
    let events = writer.port().descriptor().unwrap();
    let mut watched = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::IN)];
    let no_wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut watched, Some(&no_wait)).unwrap(), 0, "it may talk on, unheard");
    assert_eq!(writer.port().counts().len(), 1, "what it holds stays held");
    drop(socket);
    writer.port().service();
    assert_eq!(writer.port().counts().len(), 0, "until it is gone");
}

#[test]
fn depth_without_end_is_an_error_on_a_small_stack() {
    std::thread::Builder::new()
        .stack_size(2 << 20) // what a thread of Rust's usually has
        .spawn(|| {
            for depth in [100, 1000, 1022, 1024, 5000, 30_000] {
                for kind in 0..6 {
                    let _ = packets::nested(depth, kind).decode::<Answer>().is_ok();
                    let _ = packets::nested(depth, kind).decode::<Tree>().is_ok();
                }
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

use packets::Tree;
