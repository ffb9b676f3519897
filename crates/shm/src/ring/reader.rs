//! One reader of a ring.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::event::epoll;

use super::{
    Counts, Frame, Policy, Wish,
    frame::Joined,
    layout::{ControlMap, INLINE, MAX_DEPTH, MAX_INLINE_BYTES, MAX_LEASES, MAX_SLOTS, ReaderPage},
    policy::{Progress, next_due_ns},
    protocol::{self, Hold, MAX_SEQUENCE},
    session::{Answer, Join, Joining, Line, VERSION},
    sleep::Sleeper,
};
use crate::{
    call,
    doorbell::{self, Doorbell},
    fork::{Birthplace, Forked},
    life,
    memory::{Mapping, MemoryError},
    sync::AtomicU64,
    wire::{DecodeError, EncodeError, Packet, Passed, ReceiveError, SendError, Socket},
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
    /// This is a forked process, and the reader its parent's.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// The system failed us.
    #[error("read the ring: {0}")]
    System(#[from] io::Error),
}

/// The reading end.
#[derive(Debug)]
pub struct Reader {
    session: Arc<Line>,
    bell: Doorbell,
    wish: Wish,
    birthplace: Birthplace,
    joined: Option<Arc<Joined>>,
    /// The memory that frames are in, by number. There are few: one, and more while the ring grows.
    segments: Vec<(u32, Arc<Mapping>)>,
    progress: Progress,
    /// When the next frame is due to a [`Policy::MaxRate`] reader.
    due_ns: u64,
    /// The session has ended; what was published by then can still be read.
    ended: bool,
    /// The newest when the session ended: a writer that let us go may publish on, but not for us.
    last: u64,
    /// How often in a row there was nothing new.
    idle: u32,
    /// Readable when the writer says something, or is dead: its socket and its pidfd.
    news: OwnedFd,
    pub(super) sleeper: Sleeper,
}

/// A mismatch without progress can only be a broken writer, but a fast one may lap us a few times in a row.
const MAX_LAPS: u32 = 1000;

/// How many messages are taken in at once: more than a socket holds, so that a writer that never stops talking doesn't keep
/// us listening.
const MAX_MESSAGES: u32 = 1024;

impl Reader {
    /// Asks to join the ring at the other end of `session`. It never waits: the answer is seen by the reading
    /// methods. `bell` is rung when there is something new; several readers of one thread may share it.
    ///
    /// # Errors
    ///
    /// [`ReadError::Refused`] for a wish that no writer grants, [`ReadError::WriterGone`] if the other end is closed,
    /// [`ReadError::System`] if the kernel refuses.
    pub fn connect(session: Socket, bell: &Doorbell, wish: Wish) -> Result<Self, ReadError> {
        if wish.leases == 0 || wish.leases > MAX_LEASES {
            let why = format!("{} leases were wished for; 1 to {MAX_LEASES} are possible", wish.leases);
            return Err(ReadError::Refused(why));
        }
        wish.policy.check().map_err(ReadError::Refused)?;
        let life = Passed::new(life::own()?);
        let join = Join { version: VERSION, wish, bell: bell.passed()?, life };
        let join = Packet::encode(&join).map_err(|error: EncodeError| ReadError::Protocol(error.to_string()))?;
        let news = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?;
        watch(&news, &session)?;
        session.try_send(&join).map_err(|error| match error {
            SendError::Gone => ReadError::WriterGone,
            error => ReadError::System(io::Error::other(error)),
        })?;
        Ok(Self {
            session: Arc::new(Line { socket: session, birthplace: Birthplace::here() }),
            bell: bell.clone(),
            wish,
            birthplace: Birthplace::here(),
            joined: None,
            segments: Vec::new(),
            progress: Progress::default(),
            due_ns: 0,
            ended: false,
            last: u64::MAX,
            idle: 0,
            news,
            sleeper: Sleeper::default(),
        })
    }

    /// Has [`next_for`](Self::next_for) look for a frame in a loop for so long before it sleeps: it costs a core, and saves
    /// the time that waking takes. 20 to 50 µs are a good choice where a frame is expected any moment. The default is none.
    #[must_use]
    pub fn spinning(mut self, before_sleeping: Duration) -> Self {
        self.sleeper.spin = before_sleeping;
        self
    }

    /// What is rung when there is something new.
    #[must_use]
    pub fn bell(&self) -> &Doorbell {
        &self.bell
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
        match &self.joined {
            Some(joined) => self.progress.counts(self.wish.policy, self.newest(joined), joined.depth),
            None => Counts::default(),
        }
    }

    /// Takes in what the writer says. Call it when the descriptor ([`AsFd`]) is readable; never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError::Refused`], or what makes reading impossible. The writer's end is no error here.
    pub fn service(&mut self) -> Result<(), ReadError> {
        self.birthplace.check()?;
        for _ in 0..MAX_MESSAGES {
            if self.ended {
                break;
            }
            match self.session.socket.try_receive() {
                Ok(packet) => self.hear(&packet)?,
                Err(ReceiveError::Empty) => {
                    // A forked child of the writer may hold its end of the socket, but isn't the writer.
                    if self.joined.as_ref().is_some_and(|joined| life::is_over(&joined.life)) {
                        self.end();
                    }
                    break;
                }
                Err(ReceiveError::Gone) => self.end(),
                Err(ReceiveError::System(error)) => return Err(error.into()),
                Err(error @ ReceiveError::DescriptorsLost) => return Err(io::Error::other(error).into()),
                Err(error) => return Err(ReadError::Protocol(error.to_string())),
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        self.last = self.joined.as_ref().map_or(0, |joined| protocol::newest(&joined.control));
    }

    /// The newest that is meant for us.
    fn newest(&self, joined: &Joined) -> u64 {
        protocol::newest(&joined.control).min(self.last)
    }

    fn hear(&mut self, packet: &Packet) -> Result<(), ReadError> {
        let answer = packet.decode().map_err(|error: DecodeError| ReadError::Protocol(error.to_string()))?;
        match answer {
            Answer::Joined(joining) if self.joined.is_none() => self.begin(*joining),
            Answer::Joined(_) => Err(ReadError::Protocol("it let us join twice".to_owned())),
            Answer::Refused { why } => Err(ReadError::Refused(why)),
            Answer::Segment { id, bytes, memory } => {
                let bytes = usize::try_from(bytes).map_err(|_| ReadError::Protocol("an impossible size".to_owned()))?;
                let mapping = Arc::new(Mapping::read_only_paid(memory, bytes)?);
                self.segments.retain(|(known, _)| *known != id);
                // Slots stand in it, and a moment ago one stood in each of those before.
                if self.segments.len() > MAX_SLOTS as usize {
                    return Err(ReadError::Protocol("more segments than slots".to_owned()));
                }
                self.segments.push((id, mapping));
                Ok(())
            }
            Answer::Retired { id } => {
                self.segments.retain(|(known, _)| *known != id);
                Ok(())
            }
        }
    }

    fn begin(&mut self, joining: Joining) -> Result<(), ReadError> {
        let Joining { depth, epoch, head, inline_bytes, control, page, room, life } = joining;
        let inline_bytes = inline_bytes as usize;
        if inline_bytes > MAX_INLINE_BYTES || !inline_bytes.is_multiple_of(256) || !(1..=MAX_DEPTH).contains(&depth) {
            return Err(ReadError::Protocol(format!("no ring is {depth} deep with {inline_bytes} bytes inline")));
        }
        if head > MAX_SEQUENCE {
            return Err(ReadError::Protocol(format!("no ring has come to frame {head}")));
        }
        life::check(&life).map_err(ReadError::Protocol)?;
        room.iter().try_for_each(doorbell::check).map_err(ReadError::Protocol)?;
        let control = Mapping::read_only_as_it_comes(control, ControlMap::bytes(inline_bytes))?;
        let control = ControlMap::new(control, inline_bytes);
        let page = ReaderPage::new(Mapping::read_write(page, ReaderPage::BYTES)?, self.wish.leases);
        watch(&self.news, &life)?;
        self.progress = Progress::begin(self.wish.policy, head, depth);
        page.show(&self.progress);
        let (session, held, birthplace) = (self.session.clone(), AtomicU64::new(0), self.birthplace);
        self.joined = Some(Arc::new(Joined { control, page, depth, epoch, session, room, life, held, birthplace }));
        Ok(())
    }

    /// The next frame by the policy, or `None` if nothing is new. Never waits.
    ///
    /// # Errors
    ///
    /// [`ReadError::WriterGone`] once the writer has ended and nothing is left to read;
    /// [`ReadError::AllLeasesHeld`], and the frame stays to be read, if too many are held.
    pub fn try_next(&mut self) -> Result<Option<Frame>, ReadError> {
        /// Who only ever asks for the next frame must see the writer's end as well, but not pay for it each time.
        const IDLE: u32 = 16;
        let frame = self.look()?;
        self.idle = if frame.is_some() { 0 } else { self.idle + 1 };
        if self.idle < IDLE {
            return Ok(frame);
        }
        self.idle = 0;
        self.service()?;
        self.look()
    }

    pub(super) fn check_birthplace(&self) -> Result<(), Forked> {
        self.birthplace.check()
    }

    /// The next frame, without listening to what the writer says.
    pub(super) fn look(&mut self) -> Result<Option<Frame>, ReadError> {
        self.birthplace.check()?;
        if self.joined.is_none() {
            self.service()?;
        }
        let joined = match &self.joined {
            Some(joined) if self.wanted(joined).is_some() => joined.clone(),
            _ if self.ended => return Err(ReadError::WriterGone),
            _ => return Ok(None),
        };
        let mut laps = 0;
        loop {
            let head = self.newest(&joined);
            let Some(wanted) = self.progress.next(self.wish.policy, head, joined.depth) else {
                return if self.ended { Err(ReadError::WriterGone) } else { Ok(None) };
            };
            let leases = self.wish.leases;
            let lease = joined.take_lease().ok_or(ReadError::AllLeasesHeld { leases })?;
            if let Hold::Held(slot) = protocol::hold(&joined.control, &joined.page, lease, wanted) {
                match self.take(&joined, lease, slot, wanted)? {
                    Some(frame) => return Ok(Some(frame)),
                    // It wasn't due yet; is there another one?
                    None if laps < MAX_LAPS => {
                        laps += 1;
                        continue;
                    }
                    None => return Ok(None),
                }
            }
            joined.give_back(lease);
            // An honest writer takes back a slot among the last `depth` only by publishing more.
            laps += 1;
            if self.ended {
                // It let us go and publishes on: what was left for us is gone by now.
                self.last = self.last.min(self.progress.cursor);
            } else if protocol::newest(&joined.control) == head || laps > MAX_LAPS {
                return Err(ReadError::Protocol(format!("frame {wanted} of {head} isn't where it should be")));
            }
        }
    }

    /// Makes a frame of a slot that is held, or passes over it if none was due when it was published.
    fn take(&mut self, joined: &Arc<Joined>, lease: u32, slot: u32, sequence: u64) -> Result<Option<Frame>, ReadError> {
        let placed = joined.control.placed(slot);
        if let Policy::MaxRate { period } = self.wish.policy {
            if placed.published_ns < self.due_ns {
                joined.give_back(lease);
                self.progress.pass(sequence);
                joined.page.show(&self.progress);
                return Ok(None);
            }
            self.due_ns = next_due_ns(period, self.due_ns, placed.published_ns);
        }
        let inline = placed.segment == INLINE;
        if !inline && self.segment(placed.segment).is_none() {
            // Its message was sent before the frame was published.
            self.service().inspect_err(|_| joined.give_back(lease))?;
        }
        let bytes = usize::try_from(placed.length).unwrap_or(usize::MAX);
        let place = if inline {
            let (offset, room) = joined.control.inline(slot);
            (bytes <= room).then(|| (joined.control.memory().clone(), offset, bytes))
        } else {
            self.segment(placed.segment).and_then(|segment| {
                let offset = usize::try_from(placed.offset).ok()?;
                (offset.checked_add(bytes)? <= segment.len()).then(|| (segment.clone(), offset, bytes))
            })
        };
        let Some(place) = place else {
            joined.give_back(lease);
            // A writer that can't tell us of a segment lets us go, but goes on publishing to the others.
            if self.ended && !inline && self.segment(placed.segment).is_none() {
                return Err(ReadError::WriterGone);
            }
            return Err(ReadError::Protocol(format!("frame {sequence} lies outside of the ring's memory")));
        };
        self.progress.take(self.wish.policy, sequence);
        joined.page.show(&self.progress);
        if let Some(room) = &joined.room
            && protocol::show_taken(&joined.page, sequence)
        {
            doorbell::ring(room);
        }
        // SAFETY: `lease` holds the slot, whose place was just checked to lie inside its memory.
        Ok(Some(unsafe { Frame::new(joined.clone(), lease, slot, sequence, place) }))
    }

    fn segment(&self, id: u32) -> Option<&Arc<Mapping>> {
        self.segments.iter().find(|(known, _)| *known == id).map(|(_, mapping)| mapping)
    }

    /// Whether [`try_next`](Self::try_next) would give a frame or an error.
    pub(crate) fn is_ready(&self) -> bool {
        self.ended || self.joined.as_ref().is_some_and(|joined| self.wanted(joined).is_some())
    }

    /// The sequence to take next, if it is there.
    fn wanted(&self, joined: &Joined) -> Option<u64> {
        self.progress.next(self.wish.policy, self.newest(joined), joined.depth)
    }

    /// Says that this thread is about to wait for the doorbell. `false` if there is something to read: then don't.
    ///
    /// The bell isn't rung for what the policy doesn't ask for. The rest is for [`AsFd`]: what the writer says, and its
    /// end.
    #[must_use = "if it says false, there is a frame, and the bell may not ring for it"]
    pub fn arm(&self) -> bool {
        // The answer to our wish makes the session readable.
        let Some(joined) = &self.joined else { return true };
        if !self.birthplace.is_here() {
            return false; // `try_next` says why
        }
        let cursor = self.progress.cursor;
        let (seen, due) = match self.wish.policy {
            Policy::MaxRate { .. } => (cursor, self.due_ns),
            policy => {
                let due = self.progress.due(policy, protocol::newest(&joined.control), joined.depth);
                (due - 1, due)
            }
        };
        protocol::arm(&joined.control, &joined.page, seen, due)
    }
}

/// Readable when the writer says something, or is gone: then call [`Reader::service`]. New frames ring the doorbell.
impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

fn watch(news: &OwnedFd, descriptor: impl AsFd) -> io::Result<()> {
    epoll::add(news, descriptor, epoll::EventData::new_u64(0), epoll::EventFlags::IN).map_err(call::failed("epoll_ctl"))
}
