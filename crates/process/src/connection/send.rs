//! How calls get into a process's line. Callers put them there by themselves: one that blocks waits for room itself, and one
//! that awaits has the supervisor tell when there is some.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shm::wire::{Packet, SendError};

use super::{Connection, Inner, lock};
use crate::{
    CallError, DuringRestart,
    answer::Answer,
    line::{Line, Right},
    message::Message,
    wakers::Place,
};

/// Why a call isn't under way.
#[derive(Debug)]
pub(crate) enum NotPut {
    /// No incarnation takes calls now; there may be one later.
    Closed(CallError),
    /// There is no room in its line, or no incarnation yet, and no time left to wait for that.
    NotNow,
    /// For a reason that time doesn't change.
    Failed(CallError),
}

impl Connection {
    /// Sends, having first made a place for the answer if one is wanted. Waits until `end` for a process that doesn't
    /// read. Gives where the answer will come.
    pub(crate) fn send(
        &self,
        id: u64,
        packet: &Packet,
        answer: Option<Arc<Answer>>,
        end: Option<Instant>,
    ) -> Result<Arc<Line>, CallError> {
        let sent = self.begin(id, answer).and_then(|(line, count)| {
            let sent = self.push(&line, packet, end);
            self.begun(id, packet, &count, sent).map(|()| line)
        });
        sent.map_err(|error| match error {
            NotPut::NotNow => CallError::TimedOut { name: self.name.clone() },
            NotPut::Closed(error) | NotPut::Failed(error) => error,
        })
    }

    /// As [`send`](Self::send), for a caller that is going to wait: with the right to read there, if that is to be had. It
    /// is had before the process can answer, so that the answer wakes nobody else.
    pub(crate) fn ask(
        &self,
        id: u64,
        packet: &Packet,
        answer: Arc<Answer>,
        end: Option<Instant>,
    ) -> Result<(Arc<Line>, Option<Right>), NotPut> {
        let (line, count) = self.begin(id, Some(answer))?;
        let mut right = line.for_caller();
        let sent = match line.try_send(packet) {
            Err(SendError::Full) => {
                // It may be waiting for somebody to read what it says.
                right = None;
                self.push(&line, packet, end)
            }
            sent => self.sent(sent),
        };
        self.begun(id, packet, &count, sent).map(|()| (line, right))
    }

    /// As [`send`](Self::send), for a caller that awaits: this never waits. After [`NotPut::NotNow`],
    /// [`poll_ready`](Self::poll_ready) tells when to try again.
    pub(crate) fn try_put(&self, id: u64, packet: &Packet, answer: Arc<Answer>) -> Result<Arc<Line>, NotPut> {
        let (line, count) = self.begin(id, Some(answer))?;
        let sent = match line.try_send(packet) {
            Err(SendError::Full) => {
                line.want_room();
                Err(NotPut::NotNow)
            }
            sent => self.sent(sent),
        };
        self.begun(id, packet, &count, sent).map(|()| line)
    }

    /// Makes a place for the answer.
    fn begin(&self, id: u64, answer: Option<Arc<Answer>>) -> Result<(Arc<Line>, Arc<AtomicU64>), NotPut> {
        let mut inner = lock(&self.inner);
        if self.takes_no_calls.load(Ordering::Relaxed) {
            return Err(NotPut::Failed(CallError::TakesNoCalls { name: self.name.clone() }));
        }
        let Some(line) = inner.line.clone() else { return Err(NotPut::Closed(self.not_running(&inner))) };
        let incarnation = inner.incarnation;
        inner.pending.extend(answer.map(|answer| (id, (incarnation, answer))));
        Ok((line, inner.sent.clone()))
    }

    fn begun(&self, id: u64, packet: &Packet, count: &AtomicU64, sent: Result<(), NotPut>) -> Result<(), NotPut> {
        match sent {
            Ok(()) if Message::is_call(packet) => _ = count.fetch_add(1, Ordering::Relaxed),
            Ok(()) => {}
            Err(_) => self.forget(id),
        }
        sent
    }

    fn push(&self, line: &Line, packet: &Packet, end: Option<Instant>) -> Result<(), NotPut> {
        loop {
            match line.try_send(packet) {
                Err(SendError::Full) => {}
                sent => return self.sent(sent),
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(NotPut::NotNow);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            // An error here (a signal) only means another turn.
            let _ = poll(&mut [PollFd::from_borrowed_fd(line.as_fd(), PollFlags::OUT)], left.as_ref());
        }
    }

    fn sent(&self, sent: Result<(), SendError>) -> Result<(), NotPut> {
        match sent {
            // It is dying. `close` will tell whoever waits how, in a moment.
            Ok(()) | Err(SendError::Gone) => Ok(()),
            Err(source) => Err(NotPut::Failed(CallError::NotSent { name: self.name.clone(), why: source.to_string() })),
        }
    }

    fn not_running(&self, inner: &Inner) -> CallError {
        let name = self.name.clone();
        match (&inner.last_exit, inner.over) {
            (Some(how), _) => CallError::Died { name, how: how.clone() },
            (None, over) => CallError::NotRunning { name, over },
        }
    }
}

impl Connection {
    /// Whether a call that met a death is put again, to the next incarnation.
    pub(crate) fn puts_again(&self) -> bool {
        self.during_restart == DuringRestart::Wait
    }

    /// Whether a call that found nobody to take it waits for the next incarnation.
    pub(crate) fn comes_back(&self) -> bool {
        self.puts_again() && !lock(&self.inner).over
    }

    /// Waits for an incarnation to call, if that is wanted, and if there will be one, until `end`.
    pub(crate) fn wait_open(&self, end: Option<Instant>) -> Result<(), NotPut> {
        let mut inner = lock(&self.inner);
        while self.must_wait(&inner) {
            inner = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.opened.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(NotPut::NotNow),
                Some(left) => self.opened.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        Ok(())
    }

    fn must_wait(&self, inner: &Inner) -> bool {
        self.puts_again() && inner.line.is_none() && !inner.over && !self.takes_no_calls.load(Ordering::Relaxed)
    }

    /// As [`wait_open`](Self::wait_open), and for room in the line if there was none: `waker` is woken when it is worth to
    /// try. While somebody waits for room nobody else that awaits tries to send, which would cost much and find none.
    pub(crate) fn poll_ready(&self, place: &mut Place, waker: &Waker) -> Poll<()> {
        let is_ready = || {
            let inner = lock(&self.inner);
            !self.must_wait(&inner) && inner.line.as_ref().is_none_or(|line| !line.wants_room())
        };
        if is_ready() {
            return Poll::Ready(());
        }
        place.take(&self.callers, waker);
        // What has changed before that has woken nobody here.
        if is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// There is room in a line in which there was none, or there is another one: those who await that try again.
    pub(crate) fn has_room(&self) {
        self.callers.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, IntoFuture},
        pin::Pin,
        sync::atomic::AtomicBool,
        task::Context,
        thread,
    };

    use shm::wire::Socket;

    use super::*;
    use crate::{Call, Change, Exit, Overflow, State};

    /// A process of which one incarnation after the other dies at once, while `call` calls it for a while.
    fn while_it_dies<T>(call: impl FnOnce(Call<()>) -> T) -> T {
        let connection = Connection::new("t".to_owned(), Overflow::default(), DuringRestart::Wait, None);
        let (dies, is_over) = (connection.clone(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                for incarnation in 1.. {
                    let (ours, _theirs) = Socket::pair().unwrap();
                    dies.open(incarnation, Line::new(ours), &Change::of("t".to_owned(), State::Ready));
                    dies.close(incarnation, &Exit::Signal(9));
                    if is_over.load(Ordering::Relaxed) {
                        return dies.end();
                    }
                }
            });
            // Large, as it is put together between the look whether it can be put, and that.
            let told = call(Call::new(connection, Ok(Packet { bytes: vec![0; 50_000], descriptors: Vec::new() })));
            is_over.store(true, Ordering::Relaxed);
            told
        })
    }

    const FOR: Duration = Duration::from_millis(500);

    #[test]
    fn a_call_that_waits_hears_of_no_death_while_there_may_be_another_incarnation() {
        let told = while_it_dies(|call| call.into_future().wait_for(Some(FOR)));
        assert!(told.is_none(), "{told:?}");
    }

    #[test]
    fn an_awaited_call_hears_of_none_either() {
        let told = while_it_dies(|call| {
            let (mut asked, end) = (call.into_future(), Instant::now() + FOR);
            let poll = || Pin::new(&mut asked).poll(&mut Context::from_waker(Waker::noop()));
            std::iter::repeat_with(poll).find(|told| told.is_ready() || Instant::now() >= end)
        });
        assert!(matches!(told, Some(Poll::Pending)), "{told:?}");
    }

    #[test]
    fn nobody_sees_it_ready_and_closed_or_open_and_not_ready() {
        let connection = Connection::new("t".to_owned(), Overflow::default(), DuringRestart::Fail, None);
        thread::scope(|scope| {
            let opens = scope.spawn(|| {
                for restarts in 1..=5_000 {
                    let ready = Change { restarts, ..Change::of("t".to_owned(), State::Ready) };
                    connection.open(restarts, Line::new(Socket::pair().unwrap().0), &ready);
                }
            });
            let (told, open) = (|| connection.record().restarts, || lock(&connection.inner).incarnation);
            while !opens.is_finished() {
                let (told_now, open_then) = (told(), open());
                assert!(open_then >= told_now, "ready {told_now} times, and open {open_then} times");
                let (open_now, told_then) = (open(), told());
                assert!(told_then >= open_now, "open {open_now} times, and ready {told_then} times");
            }
        });
    }
}
