//! A question to a process, and every way in which it can end.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use shm::wire::Packet;

use crate::{
    Exit,
    answer::Answer,
    connection::{Connection, NotPut},
    line::{Line, Read, Right},
    message::{Kind, Message},
    wakers::Place,
};

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The process ended before it answered.
    #[error("call {name}: it died ({how})")]
    Died {
        /// The process.
        name: String,
        /// How it ended.
        how: Exit,
    },
    /// It doesn't run.
    #[error("call {name}: it {}", if *over { "isn't running any more" } else { "isn't ready yet" })]
    NotRunning {
        /// The process.
        name: String,
        /// Whether it won't run again either.
        over: bool,
    },
    /// It is a program that isn't ours ([`System::spawn_program`](crate::System::spawn_program)): it takes no calls, now or
    /// ever.
    #[error("call {name}: it is a foreign program, which takes no calls; talk to it as it is made for")]
    TakesNoCalls {
        /// The process.
        name: String,
    },
    /// The limit was over before it answered. The late answer is dropped.
    #[error("call {name}: no answer within the limit")]
    TimedOut {
        /// The process.
        name: String,
    },
    /// The handler panicked, or its answer has no encoding. The process lives.
    #[error("call {name}: its handler failed: {why}")]
    HandlerFailed {
        /// The process.
        name: String,
        /// The panic's message and place, or what the encoder said.
        why: String,
        /// Where in the process it was: the stack at the panic, if the process has `RUST_BACKTRACE` set
        /// ([`Spawn::env`](crate::Spawn::env)).
        trace: Option<String>,
    },
    /// The command couldn't be encoded or sent.
    #[error("call {name}: could not {why}")]
    NotSent {
        /// The process.
        name: String,
        /// What was said.
        why: String,
    },
    /// What came back isn't what was asked for.
    #[error("call {name}: could not {why}")]
    BadMessage {
        /// The process.
        name: String,
        /// What was said.
        why: String,
    },
}

/// What becomes of calls when their process dies and is [restarted](crate::Restart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuringRestart {
    /// Those in flight end with [`CallError::Died`], and new ones too until it is ready again.
    #[default]
    Fail,
    /// They wait for it, those in flight too: these are put again, so **a handler may run twice** for one call. They end
    /// when the process won't be back, or their limit is over. [`Call::detach`] never waits.
    Wait,
}

/// A question that hasn't been put yet: [`wait`](Self::wait), [`wait_for`](Self::wait_for), `.await` or
/// [`detach`](Self::detach) does.
#[must_use = "a call does nothing until it is waited for, awaited or detached"]
#[derive(Debug)]
pub struct Call<R> {
    connection: Arc<Connection>,
    command: Result<Packet, String>,
    answer: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Call<R> {
    pub(crate) fn new(connection: Arc<Connection>, command: Result<Packet, String>) -> Self {
        Self { connection, command, answer: PhantomData }
    }

    /// The question alone, for whoever puts it elsewhere.
    pub(crate) fn into_command(self) -> Result<Packet, String> {
        self.command
    }

    /// Asks and waits for the answer, however long the process takes, but not longer than it lives.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; never `TimedOut`.
    pub fn wait(self) -> Result<R, CallError> {
        self.wait_until(None)
    }

    /// Asks and waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn wait_for(self, limit: Duration) -> Result<R, CallError> {
        self.wait_until(Instant::now().checked_add(limit))
    }

    fn wait_until(self, end: Option<Instant>) -> Result<R, CallError> {
        let mut asked = self.into_future();
        asked.block(end).unwrap_or_else(|| {
            let name = asked.call.connection.name.clone();
            Err(CallError::TimedOut { name })
        })
    }

    /// Asks, and doesn't want to know. If it can't even be asked, that is logged.
    pub fn detach(self) {
        let id = self.connection.next_id();
        let sent = self.message(id).and_then(|message| self.connection.send(id, &message, None, Some(Instant::now())));
        if let Err(error) = sent {
            tracing::warn!("could not {error}");
        }
    }

    fn message(&self, id: u64) -> Result<Packet, CallError> {
        match &self.command {
            Ok(command) => Ok(Message::wrap(Kind::Call, id, command)),
            Err(why) => Err(CallError::NotSent { name: self.connection.name.clone(), why: why.clone() }),
        }
    }

    /// Puts it now, or not at all.
    fn put(&mut self) -> Result<Sent, NotPut> {
        let (id, answer) = (self.connection.next_id(), Arc::new(Answer::default()));
        let line = self.connection.try_put(id, &self.message(id).map_err(NotPut::Failed)?, answer.clone())?;
        Ok(self.sent(id, answer, &line))
    }

    /// Puts it until `end`, for whoever waits for the answer right here.
    fn ask(&mut self, end: Option<Instant>) -> Result<(Sent, Option<Right>), NotPut> {
        self.connection.wait_open(end)?;
        let (id, answer) = (self.connection.next_id(), Arc::new(Answer::default()));
        let (line, right) = self.connection.ask(id, &self.message(id).map_err(NotPut::Failed)?, answer.clone(), end)?;
        Ok((self.sent(id, answer, &line), right))
    }

    fn sent(&mut self, id: u64, answer: Arc<Answer>, line: &Arc<Line>) -> Sent {
        if !self.connection.puts_again() {
            // It may be large, or hold descriptors that somebody waits to see closed.
            self.command = Ok(Packet::default());
        }
        Sent { connection: self.connection.clone(), id, answer, line: Arc::downgrade(line), answered: false }
    }
}

/// A call in flight. Dropped before its answer came, it is cancelled.
#[derive(Debug)]
struct Sent {
    connection: Arc<Connection>,
    id: u64,
    answer: Arc<Answer>,
    /// Where its answer comes. Whoever holds a line itself may be about to send something there.
    line: Weak<Line>,
    answered: bool,
}

impl Sent {
    /// Waits for the answer, and reads it off the line if this thread may, which `right` says if that is known.
    fn wait(&self, right: Option<Right>, end: Option<Instant>) -> Option<Result<Packet, CallError>> {
        if let Some(mut right) = right.or_else(|| self.line.upgrade()?.for_caller().map(Right::sleeping)) {
            loop {
                // Before it sleeps, as its answer may have come before it had the right. From then on nobody else reads.
                if let Some(answer) = self.answer.take() {
                    return Some(answer);
                }
                match right.read(&self.connection, end) {
                    // The answers of others may come for longer than this one wants to wait.
                    Read::Delivered if end.is_none_or(|end| Instant::now() < end) => {}
                    Read::Delivered | Read::TimedOut => return self.answer.take(),
                    Read::NoMore => break,
                }
            }
        }
        self.answer.wait(end)
    }

    fn decode<R: DeserializeOwned>(mut self, answer: Result<Packet, CallError>) -> Result<R, CallError> {
        self.answered = true;
        let name = || self.connection.name.clone();
        answer?.decode().map_err(|error| CallError::BadMessage { name: name(), why: error.to_string() })
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.connection.cancel(self.id);
    }
}

/// A [`Call`] being awaited, under any runtime, or waited for in steps ([`wait_for`](Self::wait_for)). Dropping it cancels the
/// call: a command that the process hasn't begun is never run, and an `async` one is dropped where it awaits.
/// If the process hasn't read what it was sent before, so that there is no room for more, that is waited for too.
#[derive(Debug)]
pub struct CallFuture<R> {
    call: Call<R>,
    stage: Stage,
    place: Place,
}

#[derive(Debug)]
enum Stage {
    /// To be put, perhaps again.
    Open,
    Sent(Sent),
    Over,
}

impl<R: DeserializeOwned> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> CallFuture<R> {
        CallFuture { call: self, stage: Stage::Open, place: Place::default() }
    }
}

impl<R: DeserializeOwned> CallFuture<R> {
    /// Asks, if that isn't done yet, and waits for the answer on this thread, no longer than `limit` (`None`: for as long as
    /// it takes). `None` if that is over: the call goes on, and can be waited for again, or awaited. That is for whoever has
    /// to look at something else now and then.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; never `TimedOut`.
    ///
    /// # Panics
    ///
    /// If it has been answered before.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn ask(handle: &process::Handle) -> Result<u64, process::CallError> {
    /// let mut asked = handle.call::<_, u64>(&("count",)).into_future();
    /// loop {
    ///     if let Some(answer) = asked.wait_for(Some(Duration::from_millis(50))) {
    ///         return answer;
    ///     }
    ///     // look whether to go on
    /// }
    /// # }
    /// ```
    pub fn wait_for(&mut self, limit: Option<Duration>) -> Option<Result<R, CallError>> {
        // What no clock reaches is no limit.
        self.block(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    fn block(&mut self, end: Option<Instant>) -> Option<Result<R, CallError>> {
        loop {
            let (sent, right) = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Sent(sent) => (sent, None),
                Stage::Open => match self.call.ask(end) {
                    Ok((sent, right)) => (sent, right),
                    Err(NotPut::NotNow) => {
                        self.stage = Stage::Open;
                        return None;
                    }
                    // Its incarnation has ended since it was looked for.
                    Err(NotPut::Closed(_)) if self.call.connection.comes_back() => {
                        self.stage = Stage::Open;
                        continue;
                    }
                    Err(NotPut::Closed(error) | NotPut::Failed(error)) => return Some(Err(error)),
                },
                Stage::Over => panic!("a call was waited for after it had been answered"),
            };
            match sent.wait(right, end) {
                Some(Err(CallError::Died { .. })) if self.call.connection.puts_again() => self.stage = Stage::Open,
                Some(answer) => return Some(sent.decode(answer)),
                None => {
                    self.stage = Stage::Sent(sent);
                    return None;
                }
            }
        }
    }
}

impl<R: DeserializeOwned> Future for CallFuture<R> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let sent = match std::mem::replace(&mut this.stage, Stage::Over) {
                Stage::Sent(sent) => sent,
                Stage::Open => {
                    if this.call.connection.poll_ready(&mut this.place, cx.waker()).is_pending() {
                        this.stage = Stage::Open;
                        return Poll::Pending;
                    }
                    this.place.leave();
                    match this.call.put() {
                        Ok(sent) => sent,
                        Err(NotPut::NotNow) => {
                            this.stage = Stage::Open;
                            continue;
                        }
                        // Its incarnation has ended since it was looked for.
                        Err(NotPut::Closed(_)) if this.call.connection.comes_back() => {
                            this.stage = Stage::Open;
                            continue;
                        }
                        Err(NotPut::Closed(error) | NotPut::Failed(error)) => return Poll::Ready(Err(error)),
                    }
                }
                Stage::Over => panic!("a call was polled after it had been answered"),
            };
            match sent.answer.poll(cx.waker()) {
                Some(Err(CallError::Died { .. })) if this.call.connection.puts_again() => this.stage = Stage::Open,
                Some(answer) => return Poll::Ready(sent.decode(answer)),
                None => {
                    this.stage = Stage::Sent(sent);
                    return Poll::Pending;
                }
            }
        }
    }
}
