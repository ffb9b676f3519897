//! The parent's end of a child's line, and those who read it in turns: the supervisor, and callers that wait for an answer.
//!
//! A caller that waits could be woken by the answer itself, and needn't be by a supervisor that was. So it takes the *right to
//! read* before it asks, and sleeps on the line; while it has the right the supervisor doesn't watch for messages. There is one
//! right, under a lock that nobody keeps while it waits, so messages are taken off the line and delivered in order, whoever
//! reads. What isn't an answer is the supervisor's: the caller leaves it, gives the right back, and waits as all others do.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    net::{Shutdown, shutdown},
};
use shm::wire::{Packet, ReceiveError, SendError, Socket};

use crate::{
    connection::{Connection, lock},
    message::{Message, NotAMessage},
    supervisor::{Order, Orders},
};

#[derive(Debug)]
pub(crate) struct Line {
    socket: Socket,
    turn: Mutex<Turn>,
    /// The supervisor waits for this when the child has ended, and nobody else does.
    given_back: Condvar,
    /// How many calls the child has answered.
    answered: AtomicU64,
    watch: OnceLock<Watch>,
}

#[derive(Debug, Default)]
struct Turn {
    reader: Option<Reader>,
    /// What callers have read and the supervisor hasn't heard, in order. While there is something, callers don't read on.
    left: VecDeque<Left>,
    /// The supervisor waits for `given_back`.
    is_awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Caller,
    Supervisor,
}

/// Something that is the supervisor's.
#[derive(Debug)]
enum Left {
    Message(Message),
    /// The line is broken.
    Broken(ReceiveError),
}

/// How the supervisor watches a line.
#[derive(Debug)]
pub(crate) struct Watch {
    pub epoll: Arc<OwnedFd>,
    pub token: u64,
    /// Where it is told that it has something to hear of this incarnation.
    pub orders: Orders,
    pub id: u64,
    pub slot: u64,
    /// It wants to know when so many calls were answered.
    pub calls: Option<u64>,
}

/// What the supervisor hears next.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Message),
    /// It is dropped.
    NotAMessage(NotAMessage),
    /// Nothing is there for now.
    Nothing,
    Gone,
    Broken(ReceiveError),
}

/// What has come of a caller's reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Something was delivered: perhaps what it waits for.
    Delivered,
    /// Its time is over.
    TimedOut,
    /// Whoever reads on is the supervisor.
    NoMore,
}

/// The right to read a line, until this is dropped.
#[derive(Debug)]
pub(crate) struct Right {
    line: Arc<Line>,
    reader: Reader,
    /// The supervisor has something to look at besides what was left.
    tells: bool,
}

impl Line {
    pub(crate) fn new(socket: Socket) -> Arc<Self> {
        let (turn, given_back, answered, watch) = Default::default();
        Arc::new(Self { socket, turn, given_back, answered, watch })
    }

    /// The supervisor watches it from now on, for whatever comes.
    pub(crate) fn watched(&self, watch: Watch) {
        let _ = self.watch.set(watch); // a line is watched once
    }

    pub(crate) fn try_send(&self, packet: &Packet) -> Result<(), SendError> {
        self.socket.try_send(packet)
    }

    /// How many calls were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Counts an answer. Whether the supervisor wants to know of it.
    pub(crate) fn count_answer(&self) -> bool {
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        self.watch.get().is_some_and(|watch| watch.calls == Some(answered))
    }

    /// The right, for a caller that is about to wait. `None` if somebody has it, or the supervisor is to read first.
    pub(crate) fn for_caller(self: &Arc<Self>) -> Option<Right> {
        // Whoever has the lock is taking the right, or gives it back.
        let mut turn = self.turn.try_lock().ok()?;
        if turn.reader.is_some() || !turn.left.is_empty() {
            return None;
        }
        // A line that the supervisor doesn't watch any more is at its end.
        self.watch.get().filter(|watch| watch.pause(&self.socket))?;
        turn.reader = Some(Reader::Caller);
        drop(turn);
        Some(Right { line: self.clone(), reader: Reader::Caller, tells: false })
    }

    /// The right, for the supervisor. `None` if a caller has it: as that gives it back, the supervisor is woken if there
    /// is anything to read.
    pub(crate) fn for_supervisor(self: &Arc<Self>) -> Option<Right> {
        let mut turn = lock(&self.turn);
        if turn.reader.is_some() {
            return None;
        }
        turn.reader = Some(Reader::Supervisor);
        drop(turn);
        Some(Right { line: self.clone(), reader: Reader::Supervisor, tells: false })
    }

    /// As [`for_supervisor`](Self::for_supervisor), of a child that has ended: a caller that reads is sent away. What the child has
    /// said stays there; nothing comes any more, though a child of its own may hold its end.
    pub(crate) fn for_last_words(self: &Arc<Self>) -> Right {
        let mut turn = lock(&self.turn);
        while turn.reader.is_some() {
            // It can only fail if there is no line any more, which ends a caller's wait too.
            let _ = shutdown(&self.socket, Shutdown::Read);
            // Not long: it reads what is there, waits for nothing, and leaves.
            turn.is_awaited = true;
            turn = self.given_back.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        (turn.reader, turn.is_awaited) = (Some(Reader::Supervisor), false);
        drop(turn);
        Right { line: self.clone(), reader: Reader::Supervisor, tells: false }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Watch {
    /// The supervisor isn't told of messages for now. Whether it would have been.
    fn pause(&self, socket: &Socket) -> bool {
        // An end is always told: once, and not for as long as the caller takes to see it too.
        let only_the_end = epoll::EventFlags::ONESHOT;
        epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(self.token), only_the_end).is_ok()
    }

    /// It is told again, and at once if there is anything.
    fn resume(&self, socket: &Socket) {
        // It fails if the supervisor has done with it.
        let _ = epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(self.token), epoll::EventFlags::IN);
    }

    fn tell(&self) {
        self.orders.give(Order::Look { id: self.id, slot: self.slot });
    }
}

impl Right {
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// A caller's: waits for a message, until `end`, and delivers it. The line is the supervisor's if that is `NoMore`.
    pub(crate) fn read(&mut self, connection: &Connection, end: Option<Instant>) -> Read {
        let left = match self.receive(end) {
            Ok(packet) => match Message::take_apart(packet) {
                Ok(message) => match connection.deliver(&self.line, message) {
                    Ok(tells) => {
                        self.tells |= tells;
                        return Read::Delivered;
                    }
                    Err(other) => Left::Message(other),
                },
                Err(error) => {
                    tracing::warn!(process = connection.name, "could not {error}");
                    return Read::Delivered;
                }
            },
            Err(ReceiveError::Empty) => return Read::TimedOut,
            // The supervisor sees that by itself.
            Err(ReceiveError::Gone) => return Read::NoMore,
            Err(error) => Left::Broken(error),
        };
        lock(&self.line.turn).left.push_back(left);
        Read::NoMore
    }

    fn receive(&self, end: Option<Instant>) -> Result<Packet, ReceiveError> {
        let socket = &self.line.socket;
        let Some(end) = end else { return socket.receive() };
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).ok();
            // An error here (a signal) only means another turn.
            let _ = poll(&mut [PollFd::new(socket, PollFlags::IN)], limit.as_ref());
            match socket.try_receive() {
                Err(ReceiveError::Empty) if !left.is_zero() => {}
                received => return received,
            }
        }
    }

    /// The supervisor's: the next of what was said, without waiting.
    pub(crate) fn hear(&mut self) -> Heard {
        let left = lock(&self.line.turn).left.pop_front();
        let received = match left {
            Some(Left::Message(message)) => return Heard::Message(message),
            Some(Left::Broken(error)) => Err(error),
            None => self.line.socket.try_receive(),
        };
        match received.map(Message::take_apart) {
            Ok(Ok(message)) => Heard::Message(message),
            Ok(Err(error)) => Heard::NotAMessage(error),
            Err(ReceiveError::Empty) => Heard::Nothing,
            Err(ReceiveError::Gone) => Heard::Gone,
            Err(error) => Heard::Broken(error),
        }
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        let mut turn = lock(&self.line.turn);
        turn.reader = None;
        // The supervisor goes on by itself with what it hasn't heard yet.
        let mut tells = None;
        if let (Reader::Caller, Some(watch)) = (self.reader, self.line.watch.get()) {
            // Under the lock: the next caller's pause must come after this.
            watch.resume(&self.line.socket);
            tells = Some(watch).filter(|_| self.tells || !turn.left.is_empty());
        }
        let is_awaited = turn.is_awaited;
        drop(turn);
        if is_awaited {
            self.line.given_back.notify_one();
        }
        tells.inspect(|watch| watch.tell());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        task::{Wake, Waker},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::{DuringRestart, Overflow, connection::Answer, message::Kind, supervisor::Received};

    const TOKEN: u64 = 7;

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
            connection.open(1, line.clone());
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
            std::iter::from_fn(|| self.received.next())
                .filter(|it| matches!(it, Order::Look { id: 3, slot: 1 }))
                .count()
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
}
