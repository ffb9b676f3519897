//! Where a ring's readers join and leave.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc};

use rustix::{event::epoll, fs::OFlags};

use super::{
    Counts, RingError, Wish,
    layout::{MAX_LEASES, ReaderPage},
    protocol::Slots,
    session::{Answer, Join, VERSION},
    store::Store,
    writer::{Shared, State},
};
use crate::{
    clock::monotonic_ns,
    doorbell,
    memory::{self, Sealing},
    sync::Ordering,
    wire::{Packet, Passed, ReceiveError, Socket},
};

/// A handle on a ring's readers, for whoever lets them in: a block's event loop, while another thread writes.
#[derive(Clone, Debug)]
pub struct Port(Arc<Shared>);

/// All readers of a ring, joined or about to join.
#[derive(Debug)]
pub(super) struct Sessions {
    control: OwnedFd,
    /// Readable when a session has something for us; itself a descriptor that an event loop can watch.
    epoll: OwnedFd,
    next_token: u64,
    /// Everybody who may hold a frame. Whoever is here keeps its page, and with it its holds, until its socket says
    /// that it is gone, whatever else goes wrong.
    joined: Vec<Session>,
    /// The writer is gone: nobody is let in any more.
    closed: bool,
    waiting: Vec<(u64, Socket)>,
    epoch: u64,
    /// Slots beyond depth + 1.
    lease_slots: u32,
}

#[derive(Debug)]
struct Session {
    token: u64,
    socket: Socket,
    page: ReaderPage,
    bell: OwnedFd,
    wish: Wish,
    /// We have ended it from our side; it may still hold frames.
    leaving: bool,
}

impl Port {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Takes on the writer's end of a session. The reader has joined once [`service`](Self::service) has seen its
    /// wish.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as too many open files.
    pub fn add(&self, session: Socket) -> Result<(), RingError> {
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
        let state = &mut *self.0.lock();
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 32];
        let no_wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
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
        let joined = join.and_then(|join| {
            let bell =
                join.bell.clone().into_owned().map_err(|error| format!("could not keep its doorbell: {error}"))?;
            // The writer rings it: it mustn't be able to wait there. (Who clears the flag later harms only its ring.)
            if !rustix::fs::fcntl_getfl(&bell).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK)) {
                return Err("its doorbell would block".to_owned());
            }
            self.join(state, &socket, &join).map(|page| (page, bell, join.wish))
        });
        match joined {
            Ok((page, bell, wish)) => {
                state.sessions.joined.push(Session { token, socket, page, bell, wish, leaving: false });
            }
            // A reader that doesn't hear why sees the session end all the same.
            Err(why) => drop(Packet::encode(&Answer::Refused { why }).map(|answer| socket.try_send(&answer))),
        }
    }

    fn join(&self, state: &mut State, socket: &Socket, join: &Join) -> Result<ReaderPage, String> {
        let (version, leases) = (join.version, join.wish.leases);
        if version != VERSION {
            return Err(format!("the reader speaks version {version} of the ring, the writer {VERSION}"));
        }
        if leases == 0 || leases > MAX_LEASES {
            return Err(format!("it wishes to hold {leases} frames; 1 to {MAX_LEASES} are possible"));
        }
        let granted: u32 = state.sessions.joined.iter().map(|session| session.wish.leases).sum();
        let missing = (granted + leases).saturating_sub(state.sessions.lease_slots);
        if missing > 0 {
            state.add_slots(missing).map_err(|error| format!("could not {error}"))?;
            state.sessions.lease_slots += missing;
            state.sessions.announce_last(&state.store);
        }
        let (page, descriptor) = memory::create("framewire-reader", ReaderPage::BYTES, Sealing::ManyWriters)
            .map_err(|error| format!("could not {error}"))?;
        let sessions = &state.sessions;
        let joined = || -> Result<(), Box<dyn std::error::Error>> {
            for segment in state.store.segments() {
                socket.try_send(&segment_message(segment)?)?;
            }
            let (depth, epoch, head) = (self.0.depth, sessions.epoch, state.slots.next() - 1);
            let (control, page) = (Passed::new(sessions.control.try_clone()?), Passed::new(descriptor));
            Ok(socket.try_send(&Packet::encode(&Answer::Joined { depth, epoch, head, control, page })?)?)
        };
        joined().map_err(|error| format!("could not {error}"))?;
        Ok(ReaderPage::new(page, leases))
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
        let of = |session: &Session| {
            let [read, dropped, skipped] = session.page.counts().map(|word| word.load(Ordering::Relaxed));
            Counts { read, dropped, skipped }
        };
        state.sessions.joined.iter().map(of).collect()
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

impl Sessions {
    pub(super) fn new(control: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            control,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            next_token: 0,
            joined: Vec::new(),
            closed: false,
            waiting: Vec::new(),
            // Two rings of one writer, or of it and its successor, are never made in the same nanosecond.
            epoch: monotonic_ns(),
            lease_slots: 0,
        })
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = &ReaderPage> + Clone {
        self.joined.iter().map(|session| &session.page)
    }

    /// Wakes every reader that sleeps.
    pub(super) fn wake(&self) {
        for session in self.joined.iter().filter(|session| Slots::must_wake(&session.page)) {
            doorbell::ring(&session.bell);
        }
    }

    /// Tells all readers of the newest segment, before anything in it is published.
    pub(super) fn announce_last(&mut self, store: &Store) {
        match store.segments().last().map(segment_message) {
            Some(Ok(message)) => self.tell(&message),
            // Nobody can be told, so nobody could read what comes.
            Some(Err(_)) => self.joined.iter_mut().for_each(Session::leave),
            None => {}
        }
    }

    /// Tells all readers that a segment isn't used any more.
    pub(super) fn retire(&mut self, id: u32) {
        if let Ok(message) = Packet::encode(&Answer::Retired { id }) {
            self.tell(&message);
        }
    }

    /// A reader that doesn't take its messages couldn't read the frames that need them: its session ends, and it
    /// sees so.
    fn tell(&mut self, message: &Packet) {
        for session in &mut self.joined {
            if session.socket.try_send(message).is_err() {
                session.leave();
            }
        }
    }

    /// A reader has nothing more to say once it has joined. Its end is the end of its socket, which its frames keep
    /// open too: only then is its page dropped.
    fn listen(&mut self, token: u64) {
        let Some(index) = self.joined.iter().position(|session| session.token == token) else { return };
        match self.joined[index].socket.try_receive() {
            Err(ReceiveError::Gone) => drop(self.joined.swap_remove(index)),
            Err(ReceiveError::Empty) => {}
            Ok(_) | Err(_) => self.joined[index].leave(),
        }
    }
}

impl Session {
    /// Ends it from our side: the reader sees `WriterGone`. What it holds stays held.
    fn leave(&mut self) {
        self.leaving = true;
        // An error can only be that it is gone already, which `listen` is about to see.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }
}

fn segment_message(segment: &super::store::Segment) -> Result<Packet, Box<dyn std::error::Error>> {
    let memory = Passed::new(segment.memory.try_clone()?);
    Ok(Packet::encode(&Answer::Segment { id: segment.id, bytes: segment.bytes, memory })?)
}
