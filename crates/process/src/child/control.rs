//! The child's end of its line to the parent, and the two threads that read there in turns.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Signal, getpid, kill_process, kill_process_group},
};
use serde::Serialize;
use shm::{
    doorbell::Doorbell,
    status::{Number, StatusPage},
    wire::{Packet, ReceiveError, SendError, Socket},
};

use super::{emit::Emitter, standby::Standby};
use crate::{
    BoxError, grace,
    message::{Failure, Kind, Lost, Message},
};

/// As many messages are taken in before the other thread may: an event loop mustn't take in a flood for ever.
const MESSAGES_A_TURN: usize = 64;

/// Calls beyond these are refused: the line must be read on, or the parent's end would be missed. Asynchronous ones
/// that wait for room have the same bound, but one of their own: what ends them may be a plain command.
pub(super) const MAX_WAITING: usize = 4096;

/// What a refused call is told.
pub(super) fn too_many() -> Failure {
    Failure { why: format!("{MAX_WAITING} calls wait already; ask more slowly"), trace: None }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// The call that is being dispatched (0: none), and whether its answer isn't wanted any more.
    call: u64,
    cancelled: bool,
    /// The asynchronous calls, running or waiting for room, whose answers are wanted still.
    begun: HashSet<u64>,
    /// Those of them that aren't wanted any more, and the event loop doesn't know yet.
    unwanted: Vec<u64>,
    /// A stop has come; the event loop may not have come to it yet.
    stop: Option<Stop>,
}

/// Until when there is time for what, once a stop has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// For calls that run, and for those that came before the stop and wait.
    pub calls_until: Instant,
    /// SIGTERM. `None`: never.
    pub term_at: Option<Instant>,
}

impl Stop {
    fn within(grace: Duration) -> Self {
        let now = Instant::now();
        let (calls, term) = (grace::for_calls(grace), grace::until_term(grace));
        Self { calls_until: now.checked_add(calls).unwrap_or(now), term_at: now.checked_add(term) }
    }
}

/// The line to the parent. Clones are the same line.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<Socket>);

/// What the parent has said and the event loop hasn't done yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    line: Line,
    /// Held by whoever takes a message off the line, until it is in the queue: so there they are in order.
    reading: Mutex<()>,
    queue: Mutex<Queue>,
    emitter: Arc<Emitter>,
    status: Arc<StatusPage>,
    /// The event loop's.
    pub bell: Doorbell,
    pub standby: Standby,
}

impl Line {
    /// The line came as descriptor 0. It moves away from there at once, so that nothing reads it by mistake.
    pub(crate) fn take_over_stdin() -> io::Result<Self> {
        let stdin = io::stdin();
        // SEQPACKET, or this was started by hand.
        rustix::net::sockopt::socket_type(stdin.as_fd())?;
        let socket = Socket::from_owned(rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3)?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self(Arc::new(socket)))
    }

    /// It came otherwise.
    pub(crate) fn over(socket: Socket) -> Self {
        Self(Arc::new(socket))
    }

    pub(crate) fn receive(&self) -> Result<Message, BoxError> {
        Ok(Message::take_apart(self.0.receive()?)?)
    }

    fn try_receive(&self) -> Result<Option<Result<Message, Lost>>, BoxError> {
        match self.0.try_receive_or_head().map_err(Lost::of) {
            Ok(packet) => Ok(Some(Ok(Message::take_apart(packet)?))),
            Err(Ok(lost)) => Ok(Some(Err(lost))),
            Err(Err(ReceiveError::Empty)) => Ok(None),
            Err(Err(error)) => Err(error.into()),
        }
    }

    /// Says something that may be lost if the parent doesn't listen: it isn't worth to stop for. Whether it was said.
    pub(crate) fn say<T: Serialize>(&self, kind: Kind, id: u64, body: &T) -> bool {
        Message::encode(kind, id, body).is_ok_and(|message| self.0.try_send(&message).is_ok())
    }

    /// As [`say`](Self::say), and tells whether it could be.
    pub(super) fn try_event(&self, lost: u64, body: &Packet, wait: bool) -> bool {
        let event = Message::wrap(Kind::Event, lost, body);
        let sent = if wait { self.0.send(&event) } else { self.0.try_send(&event) };
        sent.is_ok()
    }

    /// Says something that mustn't be lost, and waits while the parent doesn't listen. If the parent is gone, so
    /// are we in a moment.
    pub(crate) fn say_surely<T: Serialize>(&self, kind: Kind, body: &T) {
        if let Ok(message) = Message::encode(kind, 0, body) {
            let _ = self.0.send(&message);
        }
    }

    /// Ends this process.
    fn has_ended(&self, error: &dyn std::fmt::Display) -> ! {
        // If the parent is gone nobody hears this. If it isn't, this is why.
        self.say(Kind::Failed, 0, &format!("its line to the parent broke: could not {error}"));
        // The whole group: what this process has started must not outlive it either. Not `exit`: that runs other
        // people's clean-up code, which may wait for a lock.
        let _ = kill_process_group(getpid(), Signal::KILL);
        let _ = kill_process(getpid(), Signal::KILL);
        std::process::abort() // not reached: one may always kill oneself
    }

    /// Answers a call.
    pub(crate) fn answer(&self, kind: Kind, id: u64, body: Packet) -> Result<(), SendError> {
        self.0.send(&Message::wrap(kind, id, &body))
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Inbox {
    pub(super) fn new(line: Line, emitter: Arc<Emitter>, status: Arc<StatusPage>) -> io::Result<Self> {
        status.set(Number::CallsTaken, 0);
        let (bell, standby) = (Doorbell::new()?, Standby::new(line.clone())?);
        Ok(Self { line, reading: Mutex::default(), queue: Mutex::default(), emitter, status, bell, standby })
    }

    /// The event loop's, whenever it has slept and before it does anything else: takes in what it was woken for. From then on
    /// the control thread hears of what comes, and of what this leaves unread.
    pub(super) fn look(&self) {
        let reading = match self.reading.try_lock() {
            Ok(reading) => Some(reading),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            // The control thread is at it. Not waited for: it may be taking in something large.
            Err(TryLockError::WouldBlock) => None,
        };
        let is_dry = reading.is_some_and(|_reading| self.take_in(|| {}));
        if !is_dry {
            self.standby.ring();
        }
    }

    /// Takes in some of what is on the line, and tells whether that was all. The caller holds `reading`.
    fn take_in(&self, taken: impl Fn()) -> bool {
        for _ in 0..MESSAGES_A_TURN {
            match self.line.try_receive() {
                Ok(Some(Ok(message))) => {
                    self.put(message, &taken).into_iter().for_each(|refused| self.refuse(refused, &too_many()));
                }
                Ok(Some(Err(lost))) if lost.kind == Kind::Call => {
                    self.taken(1);
                    let why = format!("its arguments could not be had: could not {}", lost.why);
                    self.refuse(lost.id, &Failure { why, trace: None });
                }
                // What only a pool says, and without which this is no worker.
                Ok(Some(Err(lost))) => self.line.has_ended(&lost.why),
                Ok(None) => return true,
                Err(error) => self.line.has_ended(&*error),
            }
        }
        false
    }

    /// The next message, in order.
    pub(crate) fn next(&self) -> Option<Message> {
        let mut queue = self.lock();
        if queue.stop.is_some_and(|stop| stop.calls_until <= Instant::now()) {
            self.drop_calls(&mut queue, |_| true);
        }
        let message = queue.messages.pop_front()?;
        if message.kind == Kind::Call {
            (queue.call, queue.cancelled) = (message.id, false);
            self.taken(1);
        }
        Some(message)
    }

    /// Whether the answer to the call that is being dispatched isn't wanted any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// The call that was taken last is done with.
    pub(super) fn done(&self) {
        let mut queue = self.lock();
        (queue.call, queue.cancelled) = (0, false);
    }

    /// The call that was taken last is an asynchronous one: from now on its [`unwanted`](Self::unwanted) tells when it is
    /// cancelled. `false`: it was already.
    pub(super) fn begun(&self, id: u64) -> bool {
        let mut queue = self.lock();
        let is_wanted = !queue.cancelled;
        (queue.call, queue.cancelled) = (0, false);
        is_wanted && queue.begun.insert(id)
    }

    /// An asynchronous call has ended.
    pub(super) fn ended(&self, id: u64) {
        self.lock().begun.remove(&id);
    }

    /// The asynchronous calls that were cancelled since this was asked.
    pub(super) fn unwanted(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().unwanted)
    }

    /// The stop that has come.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.lock().stop
    }

    /// Calls that wait aren't done.
    fn drop_calls(&self, queue: &mut Queue, which: impl Fn(u64) -> bool) {
        let before = queue.messages.len();
        queue.messages.retain(|waiting| waiting.kind != Kind::Call || !which(waiting.id));
        self.taken(before - queue.messages.len());
    }

    /// Tells the supervisor, without a message, that so many more calls don't wait to be looked at.
    fn taken(&self, count: usize) {
        self.status.add(Number::CallsTaken, count as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call that isn't taken, and waits while the parent doesn't read. Meanwhile this reads nothing, and
    /// whoever sends on finds the line full. If the parent ends this ends too.
    fn refuse(&self, id: u64, why: &Failure) {
        match Packet::encode(why).map(|why| self.line.answer(Kind::CallFailed, id, why)) {
            // An end of the line is read next.
            Ok(Ok(()) | Err(SendError::Gone)) => {}
            Ok(Err(error)) => self.line.has_ended(&error),
            Err(error) => self.line.has_ended(&error),
        }
    }

    /// Puts it where it belongs. Gives a call that is to be refused.
    fn put(&self, message: Message, taken: impl Fn()) -> Option<u64> {
        let mut queue = self.lock();
        match message.kind {
            Kind::Cancel => {
                self.drop_calls(&mut queue, |id| id == message.id);
                queue.cancelled |= queue.call == message.id;
                // Only of calls that are begun, and of each once, so this list has their bound.
                if !queue.begun.remove(&message.id) {
                    return None;
                }
                queue.unwanted.push(message.id);
            }
            Kind::Read => {
                self.emitter.more(message.id);
                return None;
            }
            Kind::Call if queue.messages.len() >= MAX_WAITING => {
                self.taken(1);
                return Some(message.id);
            }
            kind => {
                if kind == Kind::Stop {
                    queue.stop = Some(Stop::within(Duration::from_nanos(message.id)));
                    // A handler that waits for its events to be read must come to hear of it.
                    self.emitter.end();
                }
                queue.messages.push_back(message);
            }
        }
        drop(queue);
        taken();
        None
    }

    /// The control thread's: reads what comes while the event loop doesn't sleep.
    fn attend(&self) {
        loop {
            match self.standby.wait() {
                Ok(()) | Err(Errno::INTR) => {}
                Err(errno) => self.line.has_ended(&errno),
            }
            while !self.take_in_as_second() {}
        }
    }

    fn take_in_as_second(&self) -> bool {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_in(|| self.bell.ring())
    }
}

/// Starts the thread that listens while a handler computes. When the parent is gone it ends this process, whatever that
/// does: there is nobody left to work for.
pub(super) fn listen(inbox: Arc<Inbox>) -> io::Result<()> {
    inbox.standby.watch()?;
    let control = thread::Builder::new().name("control".to_owned()).stack_size(128 * 1024);
    control.spawn(move || inbox.attend()).map(drop)
}
