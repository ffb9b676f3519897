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
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    net::{Shutdown, shutdown},
};
use shm::wire::{Packet, ReceiveError, SendError, Socket, Unreceived};

use crate::{
    connection::{Connection, lock},
    message::{Lost, Message, NotAMessage},
    spin::Spin,
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
    /// Somebody awaits room for what the child is to be sent. It changes under the lock of `turn`.
    wants_room: AtomicBool,
    /// The child was asked to stop: nothing further is asked of it.
    hushed: AtomicBool,
    watch: OnceLock<Watch>,
}

#[derive(Debug, Default)]
struct Turn {
    reader: Option<Reader>,
    /// What callers have read and the supervisor hasn't heard, in order. While there is something, callers don't read on.
    left: VecDeque<Left>,
    /// The supervisor waits for `given_back`.
    is_awaited: bool,
    /// Of callers, one after the other.
    spin: Spin,
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
    Lost(Lost),
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
    /// It was one, and can't be had.
    Lost(Lost),
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
    /// A caller's that looks before it sleeps, as long as it has the right.
    spin: Option<Spin>,
}

impl Line {
    pub(crate) fn new(socket: Socket) -> Arc<Self> {
        let (turn, given_back, answered, wants_room, hushed, watch) = Default::default();
        Arc::new(Self { socket, turn, given_back, answered, wants_room, hushed, watch })
    }

    /// The supervisor watches it from now on, for whatever comes.
    pub(crate) fn watched(&self, watch: Watch) {
        let _ = self.watch.set(watch); // a line is watched once
    }

    /// Sends a call. One that was asked to stop is as good as gone: it would leave it unread, and calls for which there is
    /// no room would be in the way of the stop itself.
    pub(crate) fn try_send(&self, packet: &Packet) -> Result<(), SendError> {
        if self.hushed.load(Ordering::Relaxed) { Err(SendError::Gone) } else { self.tell(packet) }
    }

    /// Sends what isn't a call.
    pub(crate) fn tell(&self, packet: &Packet) -> Result<(), SendError> {
        self.socket.try_send(packet)
    }

    /// The child is asked to stop: no further call is sent, but for such as are under way in other threads.
    pub(crate) fn hush(&self) {
        self.hushed.store(true, Ordering::Relaxed);
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
        self.watch_for(Some(Reader::Caller)).then_some(())?;
        turn.reader = Some(Reader::Caller);
        let spin = Some(turn.spin);
        drop(turn);
        Some(Right { line: self.clone(), reader: Reader::Caller, tells: false, spin })
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
        Some(Right { line: self.clone(), reader: Reader::Supervisor, tells: false, spin: None })
    }

    /// As [`for_supervisor`](Self::for_supervisor), of a child that has ended: a caller that reads is sent away. What the child has
    /// said stays there; nothing comes any more, though a child of its own may hold its end.
    pub(crate) fn for_last_words(self: &Arc<Self>) -> Right {
        // Nothing comes any more, whoever holds the other end. It can only fail if there is no line, which ends a caller's wait too.
        let _ = shutdown(&self.socket, Shutdown::Read);
        let mut turn = lock(&self.turn);
        while turn.reader.is_some() {
            // Not long: it reads what is there, waits for nothing, and leaves.
            turn.is_awaited = true;
            turn = self.given_back.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        (turn.reader, turn.is_awaited) = (Some(Reader::Supervisor), false);
        drop(turn);
        Right { line: self.clone(), reader: Reader::Supervisor, tells: false, spin: None }
    }
}

impl Line {
    /// The child has left unread what fills its line: the supervisor is told as soon as it has read some of it.
    pub(crate) fn want_room(&self) {
        let turn = lock(&self.turn);
        if !self.wants_room.swap(true, Ordering::Relaxed) {
            // Where this fails the line is at its end, which wakes those who wait too.
            self.watch_for(turn.reader);
        }
    }

    /// Whether somebody waits for room, of which there was none and nobody was told since. Whoever is to be woken looks at
    /// this after it has said so: by the lock under which that is done, either it sees what
    /// [`room_came`](Self::room_came) did, or it is woken after that.
    pub(crate) fn wants_room(&self) -> bool {
        self.wants_room.load(Ordering::Relaxed)
    }

    /// The supervisor's, before it wakes those who wait for room.
    pub(crate) fn room_came(&self) {
        let turn = lock(&self.turn);
        self.wants_room.store(false, Ordering::Relaxed);
        self.watch_for(turn.reader);
    }

    /// What the supervisor is told of while `reader` has the right to read. The caller holds the lock of `turn`. Whether it
    /// is told of anything.
    fn watch_for(&self, reader: Option<Reader>) -> bool {
        let messages = match reader {
            // An end is always told: once, and not for as long as the caller takes to see it too.
            Some(Reader::Caller) => epoll::EventFlags::ONESHOT,
            // At once if there is anything.
            Some(Reader::Supervisor) | None => epoll::EventFlags::IN,
        };
        let room = if self.wants_room() { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        self.watch.get().is_some_and(|watch| watch.set(&self.socket, messages | room))
    }

    /// Ends it for whoever waits to send something there: nobody reads it any more, though somebody may hold the other end.
    pub(crate) fn hang_up(&self) {
        let _ = shutdown(&self.socket, Shutdown::Both); // it fails if there is no line any more
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Watch {
    /// What the supervisor is told of from now on. `false` if it has done with this line.
    fn set(&self, socket: &Socket, flags: epoll::EventFlags) -> bool {
        epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(self.token), flags).is_ok()
    }

    fn tell(&self) {
        self.orders.give(Order::Look { id: self.id, slot: self.slot });
    }
}

impl Right {
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// A caller's that has waited before, in vain: it doesn't look again before it sleeps.
    pub(crate) fn sleeping(mut self) -> Self {
        self.spin = None;
        self
    }

    /// A caller's: waits for a message, until `end`, and delivers it. The line is the supervisor's if that is `NoMore`.
    pub(crate) fn read(&mut self, connection: &Connection, end: Option<Instant>) -> Read {
        let left = match self.receive(end).map_err(Lost::of) {
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
            Err(Ok(lost)) => match connection.deliver_lost(&self.line, lost) {
                Ok(tells) => {
                    self.tells |= tells;
                    return Read::Delivered;
                }
                Err(other) => Left::Lost(other),
            },
            Err(Err(ReceiveError::Empty)) => return Read::TimedOut,
            // The supervisor sees that by itself.
            Err(Err(ReceiveError::Gone)) => return Read::NoMore,
            Err(Err(error)) => Left::Broken(error),
        };
        lock(&self.line.turn).left.push_back(left);
        Read::NoMore
    }

    fn receive(&mut self, end: Option<Instant>) -> Result<Packet, Unreceived> {
        let socket = &self.line.socket;
        let look = || match socket.try_receive_or_head() {
            Err(Unreceived { error: ReceiveError::Empty, .. }) => None,
            received => Some(received),
        };
        if let Some(received) = self.spin.as_mut().and_then(|spin| spin.until(end, look)) {
            return received;
        }
        let Some(end) = end else { return socket.receive_or_head() };
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).ok();
            // An error here (a signal) only means another turn.
            let _ = poll(&mut [PollFd::new(socket, PollFlags::IN)], limit.as_ref());
            match socket.try_receive_or_head() {
                Err(Unreceived { error: ReceiveError::Empty, .. }) if !left.is_zero() => {}
                received => return received,
            }
        }
    }

    /// The supervisor's: the next of what was said, without waiting.
    pub(crate) fn hear(&mut self) -> Heard {
        let left = lock(&self.line.turn).left.pop_front();
        let received = match left {
            Some(Left::Message(message)) => return Heard::Message(message),
            Some(Left::Lost(lost)) => return Heard::Lost(lost),
            Some(Left::Broken(error)) => Err(Err(error)),
            None => self.line.socket.try_receive_or_head().map_err(Lost::of),
        };
        match received.map(Message::take_apart) {
            Ok(Ok(message)) => Heard::Message(message),
            Ok(Err(error)) => Heard::NotAMessage(error),
            Err(Ok(lost)) => Heard::Lost(lost),
            Err(Err(ReceiveError::Empty)) => Heard::Nothing,
            Err(Err(ReceiveError::Gone)) => Heard::Gone,
            Err(Err(error)) => Heard::Broken(error),
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
            turn.spin = self.spin.unwrap_or(turn.spin);
            // Under the lock: what the next caller sets must come after this.
            self.line.watch_for(None);
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
mod tests;
