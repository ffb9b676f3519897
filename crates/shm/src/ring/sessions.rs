//! The readers of a ring, as its writer sees them.

use std::{
    error::Error,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::event::epoll;

use super::{
    Counts, Policy, Wish,
    layout::{MAX_READERS, ReaderPage},
    protocol::Slots,
    session::Answer,
    store::{Segment, Store},
};
use crate::{
    call,
    clock::monotonic_ns,
    doorbell, life,
    wire::{Packet, Passed, ReceiveError, Socket},
};

/// Marks the event of a reader's pidfd; without it, the number is its socket's.
pub(super) const DEATH: u64 = 1 << 63;

/// All readers of a ring, joined or about to join.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Readable when a session has something for us; itself a descriptor that an event loop can watch.
    pub epoll: OwnedFd,
    pub next_token: u64,
    /// Everybody who may hold a frame. Whoever is here keeps its page, and with it its holds, until its socket or its
    /// pidfd says that it is gone, whatever else goes wrong.
    pub joined: Vec<Session>,
    /// The writer is gone: nobody is let in any more.
    pub closed: bool,
    pub waiting: Vec<(u64, Socket)>,
    pub epoch: u64,
    /// Slots beyond depth + 1.
    pub lease_slots: u32,
    /// What a blocked writer sleeps on: this, and the bells of the blocking readers. Made when the first of them joins.
    pub room: Option<Arc<OwnedFd>>,
    /// Rung when a reader is gone or let go: whoever serviced that may be another thread than the blocked writer.
    pub stir: Option<OwnedFd>,
    /// How many readers want to know when a frame was published.
    pub timed: usize,
}

/// One reader that has joined.
#[derive(Debug)]
pub(super) struct Session {
    pub token: u64,
    pub socket: Socket,
    /// Its process, also if a forked child of it still holds its end of the socket.
    pub life: OwnedFd,
    pub page: ReaderPage,
    pub bell: OwnedFd,
    /// What it rings when it takes a frame that the writer waits for. Each has its own: none can spoil another's.
    pub room: Option<Passed>,
    pub wish: Wish,
    /// The sequence before its first.
    pub first: u64,
    /// We have ended it from our side; it may still hold frames.
    pub leaving: bool,
    /// The writer has waited for it in vain, and doesn't again while it has taken only so much.
    pub given_up_at: Option<u64>,
}

impl Sessions {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?,
            next_token: 0,
            joined: Vec::new(),
            closed: false,
            waiting: Vec::new(),
            // Two rings of one writer, or of it and its successor, are never made in the same nanosecond.
            epoch: monotonic_ns(),
            lease_slots: 0,
            room: None,
            stir: None,
            timed: 0,
        })
    }

    /// Turns the oldest away while too many have come and not said what they wish.
    pub(super) fn limit_waiting(&mut self) {
        const MOST: usize = 2 * MAX_READERS;
        if self.waiting.len() > MOST
            && let Some(oldest) = (0..self.waiting.len()).min_by_key(|index| self.waiting[*index].0)
        {
            let (_, socket) = self.waiting.swap_remove(oldest);
            self.unwatch(&socket);
        }
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = &ReaderPage> + Clone {
        self.joined.iter().map(|session| &session.page)
    }

    /// What to write down as the time of publication.
    pub(super) fn published_ns(&self) -> u64 {
        if self.timed > 0 { monotonic_ns() } else { 0 }
    }

    /// Wakes every reader that sleeps for what was just published.
    pub(super) fn wake(&self, sequence: u64, published_ns: u64) {
        if self.joined.is_empty() {
            return;
        }
        Slots::before_waking();
        for session in &self.joined {
            let now = if matches!(session.wish.policy, Policy::MaxRate { .. }) { published_ns } else { sequence };
            if Slots::must_wake(&session.page, |due| now >= due) {
                doorbell::ring(&session.bell);
            }
        }
    }

    /// Tells all readers of the newest segment, before anything in it is published.
    pub(super) fn announce_last(&mut self, store: &Store) {
        match store.segments().last().map(segment_message) {
            Some(Ok(message)) => self.tell(&message),
            // Nobody can be told, so nobody could read what comes.
            Some(Err(_)) => {
                self.joined.iter_mut().for_each(Session::leave);
                self.stir();
            }
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
        self.stir();
    }

    /// A reader has nothing more to say once it has joined. Its end is the end of its socket, which its frames keep
    /// open too, or of its process: only then is its page dropped.
    pub(super) fn listen(&mut self, event: u64, flags: epoll::EventFlags) {
        let Some(index) = self.joined.iter().position(|session| session.token == event & !DEATH) else { return };
        let session = &mut self.joined[index];
        if event & DEATH != 0 {
            if life::is_over(&session.life) {
                self.forget(index);
            }
            return;
        }
        if flags.contains(epoll::EventFlags::HUP) {
            return self.forget(index);
        }
        match session.socket.try_receive_inline() {
            Err(ReceiveError::Gone) => self.forget(index),
            Err(ReceiveError::Empty) => {}
            Ok(_) | Err(_) => {
                session.leave();
                // Of one that goes on talking, only the end is still of interest.
                let only_its_end = epoll::EventFlags::empty();
                let data = epoll::EventData::new_u64(session.token);
                let _ = epoll::modify(&self.epoll, &session.socket, data, only_its_end);
                self.stir();
            }
        }
    }

    fn forget(&mut self, index: usize) {
        let session = self.joined.swap_remove(index);
        self.unwatch(&session.socket);
        self.unwatch(&session.life);
        if let Some(room) = &session.room {
            self.unwatch(room);
        }
        self.timed -= usize::from(matches!(session.wish.policy, Policy::MaxRate { .. }));
        self.stir();
    }

    /// Has a blocked writer look again whom it waits for.
    fn stir(&self) {
        self.stir.iter().for_each(doorbell::ring);
    }

    /// The writer is gone. Said over the connection itself: a forked child may hold another copy of our end.
    pub(super) fn close(&mut self) {
        self.closed = true;
        let joined = self.joined.drain(..).map(|session| session.socket);
        for socket in joined.chain(self.waiting.drain(..).map(|(_, socket)| socket)) {
            let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }

    /// Takes a descriptor out of both epolls. Its other copies may live on, in a forked child or where it came from: closing
    /// ours wouldn't end the watch.
    pub(super) fn unwatch(&self, descriptor: impl AsFd) {
        for epoll in [Some(&self.epoll), self.room.as_deref()].into_iter().flatten() {
            let _ = epoll::delete(epoll, &descriptor);
        }
    }
}

impl Session {
    /// Ends it from our side: the reader sees `WriterGone`. What it holds stays held.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        // An error can only be that it is gone already, which `listen` is about to see.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }

    /// What became of the frames, by the reader's own word.
    pub(super) fn counts(&self, head: u64, depth: u32) -> Counts {
        self.page.shown(self.first).counts(self.wish.policy, head, depth)
    }
}

/// The message that hands a reader a segment.
pub(super) fn segment_message(segment: &Segment) -> Result<Packet, Box<dyn Error>> {
    let Segment { id, bytes, memory, .. } = segment;
    Ok(Packet::encode(&Answer::Segment { id: *id, bytes: *bytes, memory: memory.clone() })?)
}
