//! The loop of a child: commands, doorbell, watched descriptors, one after the other.

use std::{
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
};
use shm::wire::{Packet, SendError};

use super::{
    Context, Line, Shared, calls,
    calls::Calls,
    control::{Inbox, too_many},
    panics,
    running::End,
    standby::Back,
};
use crate::{
    BoxError, Commands,
    message::{Failure, Kind, Message},
    pool::Bench,
    process::Dispatched,
    spin::Spin,
};

/// Token of the process's doorbell.
pub(super) const BELL: u64 = 0;
/// Token of the parent's messages that the control thread has read.
const INBOX: u64 = 1;
/// Token of the parent's messages that nobody has read.
pub(super) const LINE: u64 = 2;
/// Token of a pool's bell.
const POOL: u64 = u64::MAX;
/// The first token of what the process watches.
pub(super) const FIRST_WATCH: u64 = 3;

/// As many messages are looked at in a round; then asynchronous calls, turns and watches have theirs, however fast more
/// messages come. It makes the round's own system call a small part of its cost.
const MESSAGES_A_ROUND: usize = 64;

/// What a process wants after a [turn](crate::Process::turn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Another turn: there is more to do.
    Again,
    /// To sleep until something happens; everything that could ring is armed.
    Sleep,
}

impl Turn {
    fn or(self, other: Self) -> Self {
        if self == Self::Again { self } else { other }
    }
}

/// Runs until the parent says stop, or something fails.
pub(super) fn run<P: Commands>(process: P, cx: Context<P>, inbox: &Inbox) -> Result<(), BoxError> {
    const { assert!(P::CONCURRENT_CALLS > 0, "Process::CONCURRENT_CALLS is at least 1") };
    epoll::add(&cx.epoll, &inbox.bell, epoll::EventData::new_u64(INBOX), epoll::EventFlags::IN)?;
    let shared = Shared::new(process, cx);
    let done = Loop::new(&shared, inbox).run();
    // Asynchronous commands are gone, and their destructors have run. Where else somebody keeps a `Shared` it is empty.
    let Some((process, cx)) = shared.take() else { return done };
    if done.is_ok() {
        // Its children may be stopped by handles that are dropped in here.
        inbox.stop().and_then(|stop| stop.term_at).inspect(|at| cx.ends_at(*at));
        process.stop();
        cx.stop_children();
    }
    done
}

struct Loop<'l, P: Commands> {
    shared: &'l Shared<P>,
    inbox: &'l Inbox,
    line: Line,
    calls: Calls,
    bench: Option<Bench>,
    /// It was asked to stop: until when its asynchronous calls may go on.
    stop_at: Option<Instant>,
    /// It has answered a call since it has slept, so that another one may come soon.
    has_answered: bool,
    spin: Spin,
    /// What it was woken by.
    events: Vec<epoll::Event>,
}

impl<'l, P: Commands> Loop<'l, P> {
    fn new(shared: &'l Shared<P>, inbox: &'l Inbox) -> Self {
        let line = shared.with_context(|_, cx| cx.line().clone());
        let calls = Calls::new(P::CONCURRENT_CALLS, &inbox.bell);
        let (spin, events) = (Spin::default(), Vec::with_capacity(32));
        Self { shared, inbox, line, calls, bench: None, stop_at: None, has_answered: false, spin, events }
    }

    fn run(mut self) -> Result<(), BoxError> {
        loop {
            let mut turn = self.look_at_messages()?;
            self.inbox.unwanted().into_iter().for_each(|id| self.calls.cancel(id));
            turn = turn.or(self.go_on()?);
            if self.is_over() {
                return Ok(());
            }
            turn = turn.or(self.shared.with_context(|process, cx| process.turn(cx))?);
            if let Some(bench) = self.bench.as_mut().filter(|_| self.stop_at.is_none()) {
                turn = turn.or(bench.work(self.shared)?);
            }
            self.shared.with_context(|_, cx| cx.progress());
            self.wait(turn)?;
        }
    }

    /// Goes on with the asynchronous calls that can.
    fn go_on(&mut self) -> Result<Turn, BoxError> {
        let (inbox, line, has_answered) = (self.inbox, &self.line, &mut self.has_answered);
        self.calls.go_on(|id, end| {
            inbox.ended(id);
            *has_answered = true;
            match end {
                End::Answered(answer) => reply(line, id, Ok(answer)),
                End::Failed(failure) => reply(line, id, Err(failure)),
                End::Cancelled => Ok(()),
            }
        })
    }

    fn look_at_messages(&mut self) -> Result<Turn, BoxError> {
        for _ in 0..MESSAGES_A_ROUND {
            // What comes after a stop isn't done; whoever asked hears of the process's end.
            let Some(message) = self.inbox.next().filter(|_| self.stop_at.is_none()) else { return Ok(Turn::Sleep) };
            self.shared.with_context(|_, cx| cx.progress());
            match message.kind {
                Kind::Stop => {
                    // Calls that came before it have had some of their time already.
                    self.stop_at = Some(self.inbox.stop().map_or_else(Instant::now, |stop| stop.calls_until));
                    self.calls.drop_waiting();
                }
                Kind::Call => self.answer(&message)?,
                Kind::Pool => {
                    let joined = Bench::join(&message, calls::waker(&self.inbox.bell))?;
                    let joined = self.bench.insert(joined);
                    self.shared.with_context(|_, cx| {
                        epoll::add(&cx.epoll, joined, epoll::EventData::new_u64(POOL), epoll::EventFlags::IN)
                    })?;
                }
                other => tracing::warn!("the parent said {other:?} to a running process"),
            }
        }
        Ok(Turn::Again)
    }

    /// Whether it was asked to stop and its asynchronous calls have ended, or have had their time.
    fn is_over(&self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        let running = self.calls.running();
        let is_late = Instant::now() >= stop_at;
        if running > 0 && is_late {
            tracing::warn!("{running} asynchronous calls were dropped: the process was to stop before they had ended");
        }
        running == 0 || is_late
    }

    fn wait(&mut self, turn: Turn) -> Result<(), BoxError> {
        let left = match turn {
            Turn::Again => Some(Duration::ZERO),
            Turn::Sleep => self.stop_at.map(|at| at.saturating_duration_since(Instant::now())),
        };
        self.events.clear();
        let shared = self.shared;
        let (waited, back) = shared.with_context(|_, cx| {
            cx.sleeps(turn == Turn::Sleep);
            let waited = match turn {
                Turn::Again => (wait(&cx.epoll, &mut self.events, left), None),
                Turn::Sleep => self.sleep(&cx.epoll, left),
            };
            cx.sleeps(false);
            waited
        });
        // Whatever has ended the sleep: a message that came until then is known to nobody else.
        if turn == Turn::Sleep {
            self.inbox.look();
        }
        drop(back);
        match waited {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(format!("wait for something to do: {errno}").into()),
        }
        for event in &self.events {
            match event.data.u64() {
                BELL => self.shared.with_context(|_, cx| cx.bell().quiet()),
                INBOX => self.inbox.bell.quiet(),
                LINE => {} // looked at already, or the control thread knows of it
                POOL => {} // the bench looks at its line itself
                token => self.shared.with_context(|process, cx| {
                    // An earlier callback of this round may have ended this watch.
                    let callback = cx.watched.iter().find(|watched| watched.token == token);
                    callback.map(|watched| watched.callback.clone()).map_or(Ok(()), |callback| callback(process, cx))
                })?,
            }
        }
        Ok(())
    }

    /// Sleeps until there is something to do; behind a call it looks for the next one first. While looking pays, the control
    /// thread stands back: until what was found is read, or it would be woken for that.
    fn sleep(&mut self, epoll: &OwnedFd, limit: Option<Duration>) -> (Result<usize, Errno>, Option<Back<'l>>) {
        if std::mem::take(&mut self.has_answered) {
            let back = self.spin.pays().then(|| self.inbox.standby.stand_back()).flatten();
            let found = self.spin.until(self.stop_at, || match wait(epoll, &mut self.events, Some(Duration::ZERO)) {
                Ok(0) => None,
                found => Some(found),
            });
            if let Some(found) = found {
                return (found, back);
            }
        }
        (wait(epoll, &mut self.events, limit), None)
    }

    fn answer(&mut self, message: &Message) -> Result<(), BoxError> {
        let plain = |error: &dyn std::fmt::Display| Failure { why: format!("could not {error}"), trace: None };
        let done = match message.read::<P::Command>() {
            // A panic in a handler is the error of that call. What it may have left half done is the handler's own.
            Ok(command) => match catch_unwind(AssertUnwindSafe(|| P::dispatch(self.shared, command))) {
                Ok(Dispatched::Done(answer)) => answer.map_err(|error| plain(&error)),
                Ok(Dispatched::Begun(begun)) => match self.calls.take(message.id, begun) {
                    true => {
                        if !self.inbox.begun(message.id) {
                            // It was cancelled in between: that ends it before it has done anything.
                            self.calls.cancel(message.id);
                        }
                        // If it isn't over soon the rest of this is done in the next round.
                        return self.go_on().map(drop);
                    }
                    false => Err(too_many()),
                },
                Err(panic) => Err(panics::failure(&*panic)),
            },
            Err(error) => Err(plain(&error)),
        };
        self.inbox.done();
        self.has_answered = true;
        reply(&self.line, message.id, done)
    }
}

fn wait(epoll: &OwnedFd, events: &mut Vec<epoll::Event>, limit: Option<Duration>) -> Result<usize, Errno> {
    // A time that is too long for the kernel is for ever.
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    epoll::wait(epoll, spare_capacity(events), limit.as_ref())
}

fn reply(line: &Line, id: u64, done: Result<Packet, Failure>) -> Result<(), BoxError> {
    let answered = match done {
        Ok(answer) => line.answer(Kind::Answer, id, answer),
        Err(failure) => line.answer(Kind::CallFailed, id, Packet::encode(&failure)?),
    };
    match answered {
        Ok(()) => Ok(()),
        Err(SendError::Gone) => Err("answer a call: the parent is gone".into()),
        // It could not be sent as it is (too many descriptors, no memory): that is this call's error too.
        Err(error) => {
            let failure = Failure { why: format!("its answer could not be sent: could not {error}"), trace: None };
            Ok(line.answer(Kind::CallFailed, id, Packet::encode(&failure)?)?)
        }
    }
}
