//! Where a ring's readers join and leave.

use std::{error::Error, io, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc};

use rustix::{
    event::{Timespec, epoll},
    fs::{OFlags, fcntl_getfl},
    process::{PidfdFlags, getpid, pidfd_open},
};

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
    doorbell::Doorbell,
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
            .map_err(io::Error::from)?;
        sessions.next_token += 1;
        sessions.waiting.push((token, session));
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
                state.sessions.listen(token);
            }
        }
    }

    fn admit(&self, state: &mut State, token: u64, socket: Socket) {
        let join = match socket.try_receive() {
            Ok(packet) => packet.decode::<Join>().map_err(|error| format!("could not {error}")),
            Err(ReceiveError::Empty) => return state.sessions.waiting.push((token, socket)),
            // It went before it came in.
            Err(_) => return,
        };
        match join.and_then(|join| self.join(state, token, &socket, join)) {
            Ok(joined) => state.sessions.joined.push(joined.with(socket)),
            // A reader that doesn't hear why sees the session end all the same.
            Err(why) => drop(Packet::encode(&Answer::Refused { why }).map(|answer| socket.try_send(&answer))),
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
        // The writer rings it: it mustn't be able to wait there. (Who clears the flag later harms only its ring.)
        if !fcntl_getfl(&bell).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK)) {
            return Err("its doorbell would block".to_owned());
        }
        self.add_slots(state, wish.leases)?;
        let first = Progress::begin(wish.policy, state.slots.newest(), self.0.depth).first;
        let page = self.welcome(state, socket, wish, first).map_err(|error| format!("could not {error}"))?;
        let watch = epoll::EventData::new_u64(token | DEATH);
        epoll::add(&state.sessions.epoll, &life, watch, epoll::EventFlags::IN)
            .map_err(|errno| format!("could not watch its process: {errno}"))?;
        state.sessions.timed += usize::from(matches!(wish.policy, Policy::MaxRate { .. }));
        Ok(Joined { token, life, page, bell, wish, first })
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

    /// Sends a reader all that it needs, and gives its page.
    fn welcome(
        &self,
        state: &mut State,
        socket: &Socket,
        wish: Wish,
        first: u64,
    ) -> Result<ReaderPage, Box<dyn Error>> {
        let (mapping, descriptor) = memory::create("framewire-reader", ReaderPage::BYTES, Sealing::ManyWriters)?;
        let page = ReaderPage::new(mapping, wish.leases);
        page.taken().store(first, Ordering::Relaxed);
        let room = match wish.policy {
            Policy::Block { .. } => Some(state.sessions.room()?.passed()?),
            _ => None,
        };
        for segment in state.store.segments() {
            socket.try_send(&segment_message(segment)?)?;
        }
        let (control, inline_bytes) = state.store.control();
        let joining = Joining {
            depth: self.0.depth,
            epoch: state.sessions.epoch,
            head: state.slots.newest(),
            inline_bytes,
            control: Passed::new(control.try_clone()?),
            page: Passed::new(descriptor),
            room,
            life: Passed::new(pidfd_open(getpid(), PidfdFlags::empty())?),
        };
        socket.try_send(&Packet::encode(&Answer::Joined(Box::new(joining)))?)?;
        Ok(page)
    }

    /// How many readers have joined.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.lock().sessions.joined.iter().filter(|session| !session.leaving).count()
    }

    /// What has become of the frames, for each reader that has joined. A reader's own word: trust it as far as
    /// the reader.
    #[must_use]
    pub fn counts(&self) -> Vec<Counts> {
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
        self.0.lock().sessions.epoll.try_clone()
    }

    /// The writer is gone, so no slot is filled any more: readers see `WriterGone`, and their frames keep what they
    /// need of the memory by themselves.
    pub(super) fn close(&self) {
        let state = &mut *self.0.lock();
        state.sessions.closed = true;
        state.sessions.joined.clear();
        state.sessions.waiting.clear();
        state.store.clear();
    }
}

/// A session that is all there but for its socket.
struct Joined {
    token: u64,
    life: OwnedFd,
    page: ReaderPage,
    bell: OwnedFd,
    wish: Wish,
    first: u64,
}

impl Joined {
    fn with(self, socket: Socket) -> Session {
        let Self { token, life, page, bell, wish, first } = self;
        Session { token, socket, life, page, bell, wish, first, leaving: false, given_up_at: None }
    }
}

impl super::sessions::Sessions {
    /// What blocking readers ring when they take a frame.
    fn room(&mut self) -> io::Result<Doorbell> {
        Ok(match &self.room {
            Some(room) => room.clone(),
            None => self.room.insert(Doorbell::new()?).clone(),
        })
    }
}
