//! How a reader waits for its next frame: by sleeping, by spinning first, or as a future.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use super::{Frame, ReadError, Reader};
use crate::wait::Watch;

/// What a reader that waits by itself sleeps on.
#[derive(Debug, Default)]
pub(super) struct Sleeper {
    /// How long to look for a frame in a loop before sleeping.
    pub spin: Duration,
    /// The bell and the news; made at the first wait.
    epoll: Option<OwnedFd>,
    /// Wakes a future; made at the first one.
    watch: Option<Watch>,
}

/// What ended a sleep.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    bell: bool,
    news: bool,
}

impl Reader {
    /// Waits for the next frame; `None` when `limit` is over. A shared doorbell must be waited for by its owner
    /// instead ([`arm`](Self::arm), then the bell and the descriptor).
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub fn next_for(&mut self, limit: Duration) -> Result<Option<Frame>, ReadError> {
        if let Some(frame) = self.try_next()? {
            return Ok(Some(frame));
        }
        if let Some(frame) = self.spin(limit)? {
            return Ok(Some(frame));
        }
        let end = Instant::now().checked_add(limit);
        loop {
            if self.arm() {
                let left = end.map(|end| end.saturating_duration_since(Instant::now()));
                if left == Some(Duration::ZERO) {
                    return Ok(None);
                }
                if self.sleep(left)?.news {
                    self.service()?;
                }
            }
            if let Some(frame) = self.try_next()? {
                return Ok(Some(frame));
            }
        }
    }

    /// The next frame, as a future for any runtime, or none: a thread of this crate wakes it.
    ///
    /// Cancel safe: a future that is dropped before it is ready has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    ///
    /// ```
    /// # use shm::{doorbell::Doorbell, ring::{Info, Policy, Reader, RingOptions, Wish, Writer}, wire::Socket};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: 16 })?;
    /// # let (ours, theirs) = Socket::pair()?;
    /// # writer.port().add(ours)?;
    /// # let mut reader = Reader::connect(theirs, &Doorbell::new()?, Wish { policy: Policy::Latest, leases: 1 })?;
    /// # writer.port().service();
    /// let later = std::thread::spawn(move || writer.reserve(2).map(|slot| slot.publish(Info::default())));
    /// let frame = reader.next().await?;
    /// assert_eq!(frame.sequence(), 1);
    /// # later.join().unwrap()?;
    /// # Ok(()) }
    /// ```
    #[expect(clippy::should_implement_trait, reason = "a ring's end is an error, and a reader never ends otherwise")]
    pub fn next(&mut self) -> Next<'_> {
        Next(self)
    }

    fn spin(&mut self, limit: Duration) -> Result<Option<Frame>, ReadError> {
        let spin = self.sleeper.spin.min(limit);
        if spin.is_zero() {
            return Ok(None);
        }
        /// So many looks cost less than one at the clock.
        const LOOKS: u32 = 16;
        let begun = Instant::now();
        while begun.elapsed() < spin {
            for _ in 0..LOOKS {
                if let Some(frame) = self.try_next()? {
                    return Ok(Some(frame));
                }
                std::hint::spin_loop();
            }
        }
        Ok(None)
    }

    /// Sleeps until the bell rings, the writer says something, or `limit` is over.
    fn sleep(&mut self, limit: Option<Duration>) -> io::Result<Woken> {
        const BELL: u64 = 0;
        const NEWS: u64 = 1;
        let epoll = match &self.sleeper.epoll {
            Some(epoll) => epoll,
            None => {
                let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                // Edge-triggered: every ring is an event, so the counter needn't be read: one system call a wake-up,
                // not two. It would take 2^64 rings to fill it.
                let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
                epoll::add(&epoll, self.bell(), epoll::EventData::new_u64(BELL), edge)?;
                epoll::add(&epoll, &*self, epoll::EventData::new_u64(NEWS), epoll::EventFlags::IN)?;
                self.sleeper.epoll.insert(epoll)
            }
        };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
        // A limit beyond the clock's range is no limit.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match epoll::wait(epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => {
                let woken_by = |kind| events.iter().any(|event| event.data.u64() == kind);
                Ok(Woken { bell: woken_by(BELL), news: woken_by(NEWS) })
            }
            Err(Errno::INTR) => Ok(Woken::default()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Result<Poll<Frame>, ReadError> {
        loop {
            // Old events first: what rings after arming must be a new one, to end the watch.
            let woken = self.sleep(Some(Duration::ZERO))?;
            if woken.news {
                self.service()?;
            }
            if let Some(frame) = self.try_next()? {
                return Ok(Poll::Ready(frame));
            }
            if !woken.bell && !woken.news && self.arm() {
                break;
            }
        }
        let Sleeper { epoll, watch, .. } = &mut self.sleeper;
        let epoll = epoll.as_ref().ok_or_else(|| io::Error::other("there is nothing to wait on"))?;
        let watch = match watch {
            Some(watch) => watch,
            None => watch.insert(Watch::new(epoll)?),
        };
        watch.wake_when_readable(cx.waker())?;
        Ok(Poll::Pending)
    }
}

/// The future of [`Reader::next`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Next<'r>(&'r mut Reader);

impl Future for Next<'_> {
    type Output = Result<Frame, ReadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.poll_next(cx) {
            Ok(Poll::Ready(frame)) => Poll::Ready(Ok(frame)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
