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

use rustix::{event::epoll, io::Errno};

use super::{Frame, ReadError, Reader, timer::Timer};
use crate::{
    call,
    clock::monotonic_ns,
    doorbell,
    wait::{Watch, timespec},
};

/// What a reader that waits by itself sleeps on.
#[derive(Debug, Default)]
pub(super) struct Sleeper {
    /// How long to look for a frame in a loop before sleeping.
    pub spin: Duration,
    /// The bell, the news and the timer; made at the first wait.
    epoll: Option<OwnedFd>,
    timer: Option<Timer>,
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
        if let Some(frame) = self.look()? {
            return Ok(Some(frame));
        }
        if let Some(frame) = self.spin(limit)? {
            return Ok(Some(frame));
        }
        let mut now_ns = monotonic_ns();
        let end_ns = now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        loop {
            let is_over = now_ns >= end_ns;
            // Also without time to sleep, what the writer says is heard.
            if (self.arm() || is_over) && self.sleep(now_ns, end_ns)?.news {
                self.service()?;
            }
            if let Some(frame) = self.look()? {
                return Ok(Some(frame));
            }
            if is_over {
                return Ok(None);
            }
            now_ns = monotonic_ns();
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
                if let Some(frame) = self.look()? {
                    return Ok(Some(frame));
                }
                std::hint::spin_loop();
            }
        }
        Ok(None)
    }

    /// Sleeps until the bell rings, the writer says something, or `end_ns` at the latest.
    fn sleep(&mut self, now_ns: u64, end_ns: u64) -> io::Result<Woken> {
        const BELL: u64 = 0;
        const NEWS: u64 = 1;
        const TIMER: u64 = 2;
        /// Shorter limits tend to be over, or to change each time: then a timer is of no use.
        const LONG_NS: u64 = 100_000_000;
        let epoll = match &self.sleeper.epoll {
            Some(epoll) => epoll,
            None => {
                let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?;
                epoll::add(&epoll, self.bell().event(), epoll::EventData::new_u64(BELL), doorbell::EDGE)
                    .map_err(call::failed("epoll_ctl"))?;
                epoll::add(&epoll, &*self, epoll::EventData::new_u64(NEWS), epoll::EventFlags::IN)
                    .map_err(call::failed("epoll_ctl"))?;
                // Edge-triggered: it goes off once for each time that it is set, and is never read.
                let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
                self.sleeper.timer = Timer::new()
                    .filter(|timer| epoll::add(&epoll, timer, epoll::EventData::new_u64(TIMER), edge).is_ok());
                self.sleeper.epoll.insert(epoll)
            }
        };
        let left_ns = end_ns.saturating_sub(now_ns);
        let timed = left_ns > LONG_NS
            && end_ns < u64::MAX
            && self.sleeper.timer.as_mut().is_some_and(|timer| timer.go_off_by(now_ns, end_ns));
        let limit = if timed || end_ns == u64::MAX { None } else { Some(timespec(Duration::from_nanos(left_ns))) };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 3];
        match epoll::wait(epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => {
                let woken_by = |kind| events.iter().any(|event| event.data.u64() == kind);
                Ok(Woken { bell: woken_by(BELL), news: woken_by(NEWS) })
            }
            Err(Errno::INTR) => Ok(Woken::default()),
            Err(errno) => Err(call::failed("epoll_wait")(errno)),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Result<Poll<Frame>, ReadError> {
        /// Whoever keeps ringing mustn't keep the runtime's thread.
        const ROUNDS: u32 = 64;
        let mut quiet = false;
        for _ in 0..ROUNDS {
            self.check_birthplace()?; // in a forked child, the sleep would take its parent's events
            // Old events first: what rings after arming must be a new one, to end the watch.
            let woken = self.sleep(0, 0)?;
            if woken.news {
                self.service()?;
            }
            if let Some(frame) = self.look()? {
                return Ok(Poll::Ready(frame));
            }
            if !woken.bell && !woken.news && self.arm() {
                quiet = true;
                break;
            }
        }
        if !quiet {
            cx.waker().wake_by_ref();
            return Ok(Poll::Pending);
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
