//! One reader of a ring.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use super::{
    Counts, Frame, Wish,
    frame::Joined,
    layout::{ControlMap, MAX_LEASES, ReaderPage},
    protocol::{self, Hold},
    session::{Answer, Join, VERSION},
};
use crate::{
    doorbell::Doorbell,
    memory::{Mapping, MemoryError},
    sync::{AtomicU64, Ordering},
    wire::{DecodeError, EncodeError, Packet, ReceiveError, SendError, Socket},
};

/// Why there is no frame, and won't be by waiting.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The writer has ended, and everything it left has been read. Frames that are held stay.
    #[error("read the ring: its writer is gone; attach to its successor")]
    WriterGone,
    /// The writer didn't let us join.
    #[error("join the ring: the writer refused: {0}")]
    Refused(String),
    /// As many frames are held as were wished for.
    #[error("read the ring: all {leases} frames that this reader may hold are held; drop some, or ask for more leases")]
    AllLeasesHeld {
        /// How many those are.
        leases: u32,
    },
    /// The other side doesn't follow the protocol.
    #[error("read the ring: the writer broke the protocol: {0}")]
    Protocol(String),
    /// Memory it sent can't be mapped.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The system failed us.
    #[error("read the ring: {0}")]
    System(#[from] io::Error),
}

/// The reading end.
#[derive(Debug)]
pub struct Reader {
    session: Arc<Socket>,
    bell: Doorbell,
    wish: Wish,
    joined: Option<Arc<Joined>>,
    segments: HashMap<u32, Arc<Mapping>>,
    cursor: u64,
    counts: Counts,
    /// The session has ended; what is still in the ring can be read.
    ended: bool,
    /// What a blocking wait sleeps on; made at the first one.
    sleeper: Option<OwnedFd>,
}

/// A mismatch without progress can only be a broken writer, but a fast one may lap us a few times in a row.
const MAX_LAPS: u32 = 1000;

impl Reader {
    /// Asks to join the ring at the other end of `session`. It never waits: the answer is seen by the reading
    /// methods. `bell` is rung when there is something new; several readers of one thread may share it.
    ///
    /// # Errors
    ///
    /// [`ReadError::WriterGone`] if the other end is closed, [`ReadError::System`] if the kernel refuses.
    pub fn connect(session: Socket, bell: &Doorbell, wish: Wish) -> Result<Self, ReadError> {
        if wish.leases == 0 || wish.leases > MAX_LEASES {
            let why = format!("{} leases were wished for; 1 to {MAX_LEASES} are possible", wish.leases);
            return Err(ReadError::Refused(why));
        }
        let join = Join { version: VERSION, wish, bell: bell.passed()? };
        let join = Packet::encode(&join).map_err(|error: EncodeError| ReadError::Protocol(error.to_string()))?;
        session.try_send(&join).map_err(|error| match error {
            SendError::Gone => ReadError::WriterGone,
            error => ReadError::System(io::Error::other(error)),
        })?;
        Ok(Self {
            session: Arc::new(session),
            bell: bell.clone(),
            wish,
            joined: None,
            segments: HashMap::new(),
            cursor: 0,
            counts: Counts::default(),
            ended: false,
            sleeper: None,
        })
    }

    /// Whether the writer has let us in.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Whether the writer has ended. What it left can still be read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What was read and what wasn't, since joining.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in what the writer says. Call it when the descriptor ([`AsFd`]) is readable; never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError::Refused`], or what makes reading impossible. The writer's end is no error here.
    pub fn service(&mut self) -> Result<(), ReadError> {
        while !self.ended {
            match self.session.try_receive() {
                Ok(packet) => self.hear(&packet)?,
                Err(ReceiveError::Empty) => break,
                Err(ReceiveError::Gone) => self.ended = true,
                Err(ReceiveError::System(error)) => return Err(error.into()),
                Err(error @ ReceiveError::DescriptorsLost) => return Err(io::Error::other(error).into()),
                Err(error) => return Err(ReadError::Protocol(error.to_string())),
            }
        }
        Ok(())
    }

    fn hear(&mut self, packet: &Packet) -> Result<(), ReadError> {
        let answer = packet.decode().map_err(|error: DecodeError| ReadError::Protocol(error.to_string()))?;
        match answer {
            Answer::Joined { depth, epoch, head, control, page } if self.joined.is_none() => {
                let control = ControlMap::new(Mapping::read_only(control, ControlMap::BYTES)?);
                let page = ReaderPage::new(Mapping::read_write(page, ReaderPage::BYTES)?, self.wish.leases);
                self.cursor = self.wish.policy.join(head, depth);
                let (session, held) = (self.session.clone(), AtomicU64::new(0));
                self.joined = Some(Arc::new(Joined { control, page, depth, epoch, session, held }));
                Ok(())
            }
            Answer::Joined { .. } => Err(ReadError::Protocol("it let us join twice".to_owned())),
            Answer::Refused { why } => Err(ReadError::Refused(why)),
            Answer::Segment { id, bytes, memory } => {
                let bytes = usize::try_from(bytes).map_err(|_| ReadError::Protocol("an impossible size".to_owned()))?;
                self.segments.insert(id, Arc::new(Mapping::read_only(memory, bytes)?));
                Ok(())
            }
            Answer::Retired { id } => {
                self.segments.remove(&id);
                Ok(())
            }
        }
    }

    /// The next frame by the policy, or `None` if nothing is new. Never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError::WriterGone`] once the writer has ended and nothing is left to read;
    /// [`ReadError::AllLeasesHeld`], and the frame stays to be read, if too many are held.
    pub fn try_next(&mut self) -> Result<Option<Frame>, ReadError> {
        if self.joined.is_none() {
            self.service()?;
        }
        let Some(joined) = self.joined.clone() else {
            return if self.ended { Err(ReadError::WriterGone) } else { Ok(None) };
        };
        let mut laps = 0;
        loop {
            let head = protocol::newest(&joined.control);
            let Some(wanted) = self.wish.policy.next(self.cursor, head, joined.depth) else {
                return if self.ended { Err(ReadError::WriterGone) } else { Ok(None) };
            };
            let leases = self.wish.leases;
            let lease = joined.take_lease().ok_or(ReadError::AllLeasesHeld { leases })?;
            if let Hold::Held(slot) = protocol::hold(&joined.control, &joined.page, lease, wanted) {
                return self.take(joined, lease, slot, wanted).map(Some);
            }
            joined.give_back(lease);
            // An honest writer takes back a slot among the last `depth` only by publishing more.
            laps += 1;
            if protocol::newest(&joined.control) == head || laps > MAX_LAPS {
                return Err(ReadError::Protocol(format!("frame {wanted} of {head} isn't where it should be")));
            }
        }
    }

    fn take(&mut self, joined: Arc<Joined>, lease: u32, slot: u32, sequence: u64) -> Result<Frame, ReadError> {
        // SAFETY: the slot is held by `lease`.
        let placed = unsafe { joined.control.placed(slot) };
        if !self.segments.contains_key(&placed.segment) {
            // Its message was sent before the frame was published.
            self.service().inspect_err(|_| joined.give_back(lease))?;
        }
        let place = self.segments.get(&placed.segment).and_then(|segment| {
            let (offset, bytes) = (usize::try_from(placed.offset).ok()?, usize::try_from(placed.length).ok()?);
            (offset.checked_add(bytes)? <= segment.len()).then(|| (segment.clone(), offset, bytes))
        });
        let Some(place) = place else {
            joined.give_back(lease);
            return Err(ReadError::Protocol(format!("frame {sequence} lies outside of the ring's memory")));
        };
        self.counts.step(self.wish.policy, self.cursor, sequence);
        self.cursor = sequence;
        let counts = [self.counts.read, self.counts.dropped, self.counts.skipped];
        for (word, count) in joined.page.counts().into_iter().zip(counts) {
            word.store(count, Ordering::Relaxed);
        }
        // SAFETY: `lease` holds the slot, whose place was just checked to lie inside its segment.
        Ok(unsafe { Frame::new(joined, lease, sequence, placed.info, place) })
    }

    /// Says that this thread is about to wait for the doorbell. `false` if there is something to read: then don't.
    #[must_use = "if it says false, there is a frame, and the bell may not ring for it"]
    pub fn arm(&self) -> bool {
        match &self.joined {
            Some(joined) => protocol::arm(&joined.control, &joined.page, self.cursor),
            // The answer to our wish makes the session readable.
            None => true,
        }
    }

    /// Waits for the next frame; `None` when `limit` is over. A shared doorbell must be waited for by its owner
    /// instead ([`arm`](Self::arm), then the bell and the session).
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub fn next_for(&mut self, limit: Duration) -> Result<Option<Frame>, ReadError> {
        let end = Instant::now().checked_add(limit);
        loop {
            if let Some(frame) = self.try_next()? {
                return Ok(Some(frame));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            if self.arm() && self.sleep(left)? {
                self.service()?;
            }
        }
    }

    /// Sleeps until the bell rings, the writer says something (then `true`), or `limit` is over.
    fn sleep(&mut self, limit: Option<Duration>) -> io::Result<bool> {
        const BELL: u64 = 0;
        const SESSION: u64 = 1;
        let epoll = match &self.sleeper {
            Some(epoll) => epoll,
            None => {
                let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                // Edge-triggered: every ring is an event, so the counter needn't be read: one system call a wake-up,
                // not two. It would take 2^64 rings to fill it.
                let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
                epoll::add(&epoll, &self.bell, epoll::EventData::new_u64(BELL), edge)?;
                epoll::add(&epoll, &self.session, epoll::EventData::new_u64(SESSION), epoll::EventFlags::IN)?;
                self.sleeper.insert(epoll)
            }
        };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
        // A limit beyond the clock's range is no limit.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match epoll::wait(epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => Ok(events.iter().any(|event| event.data.u64() == SESSION)),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.session.as_fd()
    }
}
