//! A question to a process, and every way in which it can end.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use shm::wire::Packet;

use crate::{
    Exit,
    connection::{Answer, Connection},
    message::{Kind, Message},
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

    fn wait_until(mut self, end: Option<Instant>) -> Result<R, CallError> {
        loop {
            self.connection.wait_open(end)?;
            let (again, sent) = (self.again(), self.send(end)?);
            match (sent.answer.wait(end), again) {
                (Some(Err(CallError::Died { .. })), Some(again)) => self = again,
                (Some(answer), _) => return sent.decode(answer),
                (None, _) => return Err(CallError::TimedOut { name: sent.connection.name.clone() }),
            }
        }
    }

    /// The same call, to be put again if it meets a death.
    fn again(&self) -> Option<Self> {
        let again = || Self { connection: self.connection.clone(), command: self.command.clone(), answer: PhantomData };
        self.connection.puts_again().then(again)
    }

    /// Asks, and doesn't want to know. If it can't even be asked, that is logged.
    pub fn detach(self) {
        let command = self.command.map_err(|why| CallError::NotSent { name: self.connection.name.clone(), why });
        let id = self.connection.next_id();
        let sent = command.and_then(|command| {
            self.connection.send(id, &Message::wrap(Kind::Call, id, command), None, Some(Instant::now()))
        });
        if let Err(error) = sent {
            tracing::warn!("could not {error}");
        }
    }

    fn send(self, end: Option<Instant>) -> Result<Sent, CallError> {
        let Self { connection, command, .. } = self;
        let command = command.map_err(|why| CallError::NotSent { name: connection.name.clone(), why })?;
        let (id, answer) = (connection.next_id(), Arc::new(Answer::default()));
        connection.send(id, &Message::wrap(Kind::Call, id, command), Some(answer.clone()), end)?;
        Ok(Sent { connection, id, answer, answered: false })
    }
}

/// A call in flight. Dropped before its answer came, it is cancelled.
#[derive(Debug)]
struct Sent {
    connection: Arc<Connection>,
    id: u64,
    answer: Arc<Answer>,
    answered: bool,
}

impl Sent {
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

/// A [`Call`] being awaited, under any runtime. Dropping it cancels the call: a command that the process hasn't begun is
/// never run.
#[derive(Debug)]
pub struct CallFuture<R> {
    call: Option<Call<R>>,
    sent: Option<Sent>,
    again: Option<Call<R>>,
}

impl<R: DeserializeOwned> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> CallFuture<R> {
        CallFuture { call: Some(self), sent: None, again: None }
    }
}

impl<R: DeserializeOwned> Future for CallFuture<R> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Some(call) = this.call.take() {
                if !call.connection.poll_open(cx.waker()) {
                    this.call = Some(call);
                    return Poll::Pending;
                }
                this.again = call.again();
                // A process that doesn't read its messages isn't waited for here: that would block the runtime.
                this.sent = Some(call.send(Some(Instant::now()))?);
            }
            let Some(sent) = this.sent.take() else { panic!("a call was polled after it had been answered") };
            match sent.answer.poll(cx.waker()) {
                Some(Err(CallError::Died { .. })) if this.again.is_some() => this.call = this.again.take(),
                Some(answer) => return Poll::Ready(sent.decode(answer)),
                None => {
                    this.sent = Some(sent);
                    return Poll::Pending;
                }
            }
        }
    }
}
