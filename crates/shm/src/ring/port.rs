//! Where a ring's readers join and leave.

use std::{error::Error, io, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc};

use rustix::event::{Timespec, epoll};

use super::{
    Counts, Policy, RingError, Wish,
    layout::{MAX_LEASES, MAX_READERS, ReaderPage},
    policy::Progress,
    protocol::ReaderWords,
    session::{Answer, Join, Joining, VERSION},
    sessions::{DEATH, Session, segment_message},
    writer::{Shared, State},
};
use crate::{
    call, doorbell,
    fork::Forked,
    life,
    memory::{self, Sealing},
    sync::Ordering,
    wire::{Packet, Passed, ReceiveError, Socket},
};

/// A handle on a ring's readers, for whoever lets them in: a block's event loop, while another thread writes.
#[derive(Clone, Debug)]
pub struct Port(Arc<Shared>);

impl Port {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(super) fn check_birthplace(&self) -> Result<(), Forked> {
        self.0.birthplace.check()
    }

    /// Takes on the writer's end of a session. The reader has joined once [`service`](Self::service) has seen its
    /// wish.
    ///
    /// # Errors
    ///
    /// [`RingError::Forked`] in a forked process, or what the kernel says, such as too many open files.
    pub fn add(&self, session: Socket) -> Result<(), RingError> {
        self.0.birthplace.check()?;
        let sessions = &mut self.0.lock().sessions;
        if sessions.closed {
            return Ok(()); // dropping the session tells the reader
        }
        let token = sessions.next_token;
        epoll::add(&sessions.epoll, &session, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
            .map_err(call::failed("epoll_ctl"))?;
        sessions.next_token += 1;
        sessions.waiting.push((token, session));
        sessions.limit_waiting();
        Ok(())
    }

    /// Lets in who wishes to join, and forgets who is gone. Never waits. Call it when [`descriptor`](Self::descriptor) is
    /// readable.
    pub fn service(&self) {
        if !self.0.birthplace.is_here() {
            return; // the sessions are our parent's
        }
        let state = &mut *self.0.lock();
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 32];
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Level-triggered: what doesn't fit into one round, or is interrupted, is there in the next.
        let Ok((events, _)) = epoll::wait(&state.sessions.epoll, &mut events, Some(&no_wait)) else { return };
        for event in events {
            let token = event.data.u64();
            if let Some(index) = state.sessions.waiting.iter().position(|(waiting, _)| *waiting == token) {
                let (token, socket) = state.sessions.waiting.swap_remove(index);
                self.admit(state, token, socket);
            } else {
                state.sessions.listen(token, event.flags);
            }
        }
    }

    fn admit(&self, state: &mut State, token: u64, socket: Socket) {
        let join = match socket.try_receive_inline() {
            Ok(packet) => packet.decode::<Join>().map_err(|error| format!("could not {error}")),
            Err(ReceiveError::Empty) => return state.sessions.waiting.push((token, socket)),
            // It went before it came in, or we can't hear it: it sees the session end.
            Err(_) => return state.sessions.unwatch(&socket),
        };
        match join.and_then(|join| self.join(state, token, &socket, join)) {
            Ok(joined) => state.sessions.joined.push(joined.with(socket)),
            // A reader that doesn't hear why sees the session end all the same.
            Err(why) => {
                state.sessions.unwatch(&socket);
                drop(Packet::encode(&Answer::Refused { why }).map(|answer| socket.try_send(&answer)));
            }
        }
    }

    fn join(&self, state: &mut State, token: u64, socket: &Socket, join: Join) -> Result<Joined, String> {
        let Join { version, wish, bell, life } = join;
        if version != VERSION {
            return Err(format!("the reader speaks version {version} of the ring, the writer {VERSION}"));
        }
        if wish.leases == 0 || wish.leases > MAX_LEASES {
            return Err(format!("it wishes to hold {} frames; 1 to {MAX_LEASES} are possible", wish.leases));
        }
        wish.policy.check()?;
        if state.sessions.joined.len() >= MAX_READERS {
            return Err(format!(
                "{MAX_READERS} readers have joined, which is the most; let one of them pass the frames on over a ring of its own"
            ));
        }
        let keep =
            |passed: Passed| passed.into_owned().map_err(|error| format!("could not keep its descriptors: {error}"));
        let (bell, life) = (keep(bell)?, keep(life)?);
        doorbell::check(&bell)?;
        life::check(&life)?;
        self.add_slots(state, wish.leases)?;
        let first = Progress::begin(wish.policy, state.slots.newest(), self.0.depth).first;
        let watch = epoll::EventData::new_u64(token | DEATH);
        epoll::add(&state.sessions.epoll, &life, watch, epoll::EventFlags::IN)
            .map_err(|errno| format!("could not watch its process: epoll_ctl: {errno}"))?;
        // Last, since from then on it may hold frames: what fails must fail before.
        let welcomed = self.welcome(state, socket, wish, first);
        let (page, room) = welcomed.map_err(|error| {
            state.sessions.unwatch(&life);
            format!("could not {error}")
        })?;
        state.sessions.timed += usize::from(matches!(wish.policy, Policy::MaxRate { .. }));
        Ok(Joined { token, life, page, bell, room, wish, first })
    }

    /// Sees to it that there are slots for `leases` more.
    fn add_slots(&self, state: &mut State, leases: u32) -> Result<(), String> {
        let granted: u32 = state.sessions.joined.iter().map(|session| session.wish.leases).sum();
        let missing = (granted + leases).saturating_sub(state.sessions.lease_slots);
        if missing > 0 {
            let new_segment = state.add_slots(missing).map_err(|error| format!("could not {error}"))?;
            state.sessions.lease_slots += missing;
            if new_segment {
                state.sessions.announce_last(&state.store);
            }
        }
        Ok(())
    }

    /// Sends a reader all that it needs; gives its page, and what it rings if the writer waits for it.
    fn welcome(
        &self,
        state: &mut State,
        socket: &Socket,
        wish: Wish,
        first: u64,
    ) -> Result<(ReaderPage, Option<Passed>), Box<dyn Error>> {
        let (mapping, descriptor) = memory::create("framewire-reader", ReaderPage::BYTES, Sealing::ManyWriters)?;
        let page = ReaderPage::new(mapping, wish.leases);
        page.taken().store(first, Ordering::Relaxed);
        let life = Passed::new(life::own()?);
        for segment in state.store.segments() {
            socket.try_send(&segment_message(segment)?)?;
        }
        let blocks = matches!(wish.policy, Policy::Block { .. });
        if blocks {
            self.0.blockable.store(true, Ordering::Relaxed);
        }
        let room = blocks.then(|| state.sessions.new_room_bell()).transpose()?.map(Passed::new);
        let (control, inline_bytes) = state.store.control();
        let joining = Joining {
            depth: self.0.depth,
            epoch: state.sessions.epoch,
            head: state.slots.newest(),
            inline_bytes,
            control: control.clone(),
            page: Passed::new(descriptor),
            room: room.clone(),
            life,
        };
        socket.try_send(&Packet::encode(&Answer::Joined(Box::new(joining)))?)?;
        Ok((page, room))
    }

    /// How many readers have joined; none in a forked process.
    #[must_use]
    pub fn readers(&self) -> usize {
        if !self.0.birthplace.is_here() {
            return 0;
        }
        self.0.lock().sessions.joined.iter().filter(|session| !session.leaving).count()
    }

    /// What has become of the frames, for each reader that has joined. A reader's own word: trust it as far as
    /// the reader.
    #[must_use]
    pub fn counts(&self) -> Vec<Counts> {
        if !self.0.birthplace.is_here() {
            return Vec::new();
        }
        let state = self.0.lock();
        let head = state.slots.newest();
        state.sessions.joined.iter().map(|session| session.counts(head, self.0.depth)).collect()
    }

    /// A descriptor that is readable while [`service`](Self::service) has something to do, for an event loop.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left for a copy.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.birthplace.check().map_err(io::Error::other)?;
        self.0.lock().sessions.epoll.try_clone().map_err(call::failed("fcntl"))
    }

    /// The writer is gone, so no slot is filled any more: readers see `WriterGone`, and their frames keep what they
    /// need of the memory by themselves.
    pub(super) fn close(&self) {
        let state = &mut *self.0.lock();
        state.sessions.close();
        state.store.clear();
    }
}

/// A session that is all there but for its socket.
struct Joined {
    token: u64,
    life: OwnedFd,
    page: ReaderPage,
    bell: OwnedFd,
    room: Option<Passed>,
    wish: Wish,
    first: u64,
}

impl Joined {
    fn with(self, socket: Socket) -> Session {
        let Self { token, life, page, bell, room, wish, first } = self;
        Session { token, socket, life, page, bell, room, wish, first, leaving: false, given_up_at: None }
    }
}
