use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Wake, Waker},
    thread,
    time::Duration,
};

use super::*;
use crate::{Change, DuringRestart, Overflow, State, answer::Answer, message::Kind, supervisor::Received};

const TOKEN: u64 = 7;

fn ready() -> Change {
    Change::of("t".to_owned(), State::Ready)
}

/// A line without a process: its other end, and all that the supervisor would see of it.
struct Test {
    connection: Arc<Connection>,
    line: Arc<Line>,
    child: Socket,
    epoll: Arc<OwnedFd>,
    received: Received,
}

impl Test {
    fn new() -> Self {
        let (ours, child) = Socket::pair().unwrap();
        let (line, (orders, received)) = (Line::new(ours), Orders::new().unwrap());
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        epoll::add(&epoll, &line, epoll::EventData::new_u64(TOKEN), epoll::EventFlags::IN).unwrap();
        line.watched(Watch { epoll: epoll.clone(), token: TOKEN, orders, id: 3, slot: 1, calls: Some(2) });
        let connection = Connection::new("t".to_owned(), Overflow::default(), DuringRestart::default(), None);
        connection.open(1, line.clone(), &ready());
        Self { connection, line, child, epoll, received }
    }

    /// Puts a call; gives where its answer will arrive.
    fn ask(&self, id: u64) -> (Arc<Answer>, Option<Right>) {
        let (answer, call) = (Arc::new(Answer::default()), Message::wrap(Kind::Call, id, &Packet::default()));
        let (_, right) = self.connection.ask(id, &call, answer.clone(), None).unwrap();
        (answer, right)
    }

    fn say(&self, kind: Kind, id: u64) {
        self.child.send(&Message::wrap(kind, id, &Packet::default())).unwrap();
    }

    fn is_told(&self) -> bool {
        is_told(&self.epoll)
    }

    fn looks(&self) -> usize {
        std::iter::from_fn(|| self.received.next()).filter(|it| matches!(it, Order::Look { id: 3, slot: 1 })).count()
    }

    fn heard(&self) -> Vec<u64> {
        let mut right = self.line.for_supervisor().unwrap();
        let next = || match right.hear() {
            Heard::Message(message) => Some(message.id),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }
}

/// Whether the supervisor is told of something.
fn is_told(epoll: &OwnedFd) -> bool {
    let (mut events, now) = ([std::mem::MaybeUninit::<epoll::Event>::uninit()], Timespec::default());
    !epoll::wait(epoll, &mut events, Some(&now)).unwrap().0.is_empty()
}

#[test]
fn what_a_caller_reads_the_supervisor_is_not_told_of() {
    let test = Test::new();
    let (answer, right) = test.ask(1);
    let mut right = right.unwrap();
    assert!(test.line.for_caller().is_none() && test.line.for_supervisor().is_none(), "there is one right");
    test.say(Kind::Answer, 1);
    assert!(!test.is_told());
    assert_eq!(right.read(&test.connection, None), Read::Delivered);
    assert!(answer.take().unwrap().is_ok());
    test.say(Kind::Event, 5);
    assert!(!test.is_told());
    drop(right);
    assert!(test.is_told(), "of what nobody has read");
    assert_eq!((test.heard(), test.looks()), (vec![5], 0));
}

#[test]
fn a_caller_reads_the_answers_of_others() {
    let test = Test::new();
    let (first, right) = test.ask(1);
    let (second, none) = test.ask(2);
    assert!(none.is_none());
    let mut right = right.unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| second.wait(None).unwrap().is_ok());
        test.say(Kind::Answer, 2);
        assert_eq!(right.read(&test.connection, None), Read::Delivered);
        assert!(waiting.join().unwrap() && first.take().is_none());
    });
    assert_eq!(test.looks(), 0);
    test.say(Kind::CallFailed, 1);
    assert_eq!(right.read(&test.connection, None), Read::Delivered);
    assert!(first.take().unwrap().is_err());
    drop(right);
    assert_eq!((test.line.answered(), test.looks()), (2, 1), "the supervisor wanted to know of two");
}

#[test]
fn what_is_no_answer_is_left_and_heard_in_order() {
    let test = Test::new();
    let (answer, right) = test.ask(1);
    let mut right = right.unwrap();
    for id in [10, 11] {
        test.say(Kind::Event, id);
    }
    test.say(Kind::Answer, 1);
    assert_eq!(right.read(&test.connection, None), Read::NoMore);
    drop(right);
    assert_eq!(test.looks(), 1);
    assert!(test.line.for_caller().is_none(), "nobody overtakes what was left");
    assert!(answer.take().is_none());
    assert_eq!(test.heard(), [10, 11, 1], "its answer is behind them");
    assert!(test.line.for_caller().is_some());
}

#[test]
fn a_message_that_breaks_the_line_is_told_to_the_supervisor() {
    let test = Test::new();
    let mut right = test.ask(1).1.unwrap();
    rustix::io::write(&test.child, b"\x09 isn't of this protocol").unwrap();
    assert_eq!(right.read(&test.connection, None), Read::NoMore);
    drop(right);
    assert_eq!(test.looks(), 1);
    assert!(matches!(test.line.for_supervisor().unwrap().hear(), Heard::Broken(ReceiveError::Malformed(_))));
}

#[test]
fn a_limit_ends_it_and_the_right_goes_back() {
    let test = Test::new();
    let (_, right) = test.ask(1);
    let end = Instant::now() + Duration::from_millis(5);
    assert_eq!(right.unwrap().read(&test.connection, Some(end)), Read::TimedOut);
    assert!(Instant::now() >= end);
    test.say(Kind::Event, 1);
    assert!(test.is_told());
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("it can't be woken");
    }
}

#[test]
fn whoever_leaves_by_a_panic_gives_the_right_back() {
    let test = Test::new();
    let (_, right) = test.ask(1);
    let (awaited, _) = test.ask(2);
    assert!(awaited.poll(&Waker::from(Arc::new(Panics))).is_none());
    test.say(Kind::Answer, 2);
    test.say(Kind::Answer, 1);
    let mut right = right.unwrap();
    let connection = &test.connection;
    let left = catch_unwind(AssertUnwindSafe(move || right.read(connection, None)));
    assert!(left.is_err());
    assert!(test.is_told());
    assert!(test.line.for_caller().is_some());
}

#[test]
fn a_caller_that_reads_is_sent_away_at_the_end_and_all_is_heard() {
    let test = Test::new();
    let (answer, right) = test.ask(1);
    let other_end = test.child.as_fd().try_clone_to_owned().unwrap();
    thread::scope(|scope| {
        let line = &test.line;
        scope.spawn(|| {
            let mut right = right.unwrap();
            while right.read(&test.connection, None) != Read::NoMore {}
        });
        test.say(Kind::Answer, 1);
        let mut right = line.for_last_words(); // for ever, if the caller stayed
        assert!(matches!(right.hear(), Heard::Gone));
    });
    assert!(answer.take().unwrap().is_ok(), "what was said is heard");
    drop(other_end);
}

/// What the supervisor is told: of messages, or of room.
fn told(test: &Test) -> Option<epoll::EventFlags> {
    let (mut events, now) = ([std::mem::MaybeUninit::<epoll::Event>::uninit()], Timespec::default());
    epoll::wait(&test.epoll, &mut events, Some(&now)).unwrap().0.first().map(|event| event.flags)
}

/// Fills the line with a call more than it has room for.
fn fill(test: &Test) -> u64 {
    let put = |id: &u64| {
        let call = Message::wrap(Kind::Call, *id, &Packet::default());
        test.connection.try_put(*id, &call, Arc::default()).is_err()
    };
    (100..).find(put).unwrap()
}

#[test]
fn room_is_told_once_whoever_reads() {
    for reads in [false, true] {
        let test = Test::new();
        let right = reads.then(|| test.ask(1).1.unwrap());
        assert_eq!(told(&test), None, "there is room, and nobody waits for it");
        fill(&test);
        assert!(test.line.wants_room());
        assert_eq!(told(&test), None);
        while test.child.try_receive().is_ok() {}
        assert_eq!(told(&test), Some(epoll::EventFlags::OUT));
        test.line.room_came();
        assert_eq!(told(&test), None, "once");
        test.say(Kind::Event, 1);
        assert_eq!(told(&test).is_none(), reads);
        drop(right);
        assert_eq!(told(&test), Some(epoll::EventFlags::IN));
    }
}

#[test]
fn room_is_told_though_a_reader_comes_or_goes_meanwhile() {
    let test = Test::new();
    let (_, right) = test.ask(1);
    fill(&test);
    drop(right);
    let right = test.line.for_caller();
    assert!(right.is_some() && told(&test).is_none());
    while test.child.try_receive().is_ok() {}
    assert_eq!(told(&test), Some(epoll::EventFlags::OUT));
    // And its end, once that was told.
    test.line.room_came();
    let Test { child, .. } = test;
    drop(child);
    assert!(is_told(&test.epoll) && !is_told(&test.epoll));
    drop(right);
}

#[test]
fn who_waits_for_room_is_woken_by_whatever_makes_some() {
    let makes: [fn(&Test); 3] = [
        |test| {
            test.line.room_came();
            test.connection.has_room();
        },
        |test| test.connection.open(2, Line::new(Socket::pair().unwrap().0), &ready()),
        |test| test.connection.close(1, &crate::Exit::Signal(9)),
    ];
    for make in makes {
        let (test, flag) = (Test::new(), Arc::new(Flag::default()));
        fill(&test);
        let (mut place, waker) = (crate::wakers::Place::default(), Waker::from(flag.clone()));
        assert!(test.connection.poll_ready(&mut place, &waker).is_pending());
        make(&test);
        assert!(flag.0.load(Ordering::Relaxed));
        assert!(test.connection.poll_ready(&mut place, &waker).is_ready());
    }
}

#[derive(Default)]
struct Flag(std::sync::atomic::AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_end_is_told_once_while_a_caller_reads() {
    let test = Test::new();
    let (_, right) = test.ask(1);
    let Test { child, .. } = test;
    drop(child);
    let told = || is_told(&test.epoll);
    assert!(told() && !told(), "or the supervisor would spin until the caller has seen it too");
    assert_eq!(right.unwrap().read(&test.connection, None), Read::NoMore);
    assert!(told());
    assert!(matches!(test.line.for_supervisor().unwrap().hear(), Heard::Gone));
}
