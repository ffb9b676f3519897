//! What the supervisor waits for: one epoll for all children.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc, time::Duration};

use rustix::event::{Timespec, epoll};

use super::{orders::Orders, orphans::Orphans};
use crate::{launch::Launched, line::Watch};

/// Something to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Somebody has an order.
    Orders,
    /// Something happened to one of a child's two incarnations.
    Child { id: u64, slot: u64, what: What },
}

/// Which of a child's descriptors is ready, in the order of [`Launched::descriptors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Ended = 0,
    Message = 1,
    Stdout = 2,
    Stderr = 3,
    /// Of the descriptor of messages: what is sent to it finds room again. Watched only while somebody waits for that.
    Room,
}

const ALL: [What; 4] = [What::Ended, What::Message, What::Stdout, What::Stderr];
const ORDERS: u64 = u64::MAX;

/// It looks around this often in any case. Beyond 24 days the kernel wants to be asked by a call that older ones don't have.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

pub(super) struct Watcher {
    epoll: Arc<OwnedFd>,
    orders: Orders,
    /// What is looked at without a descriptor that tells.
    pub orphans: Orphans,
}

impl Watcher {
    pub(super) fn new(orders: Orders) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, orders.bell(), epoll::EventData::new_u64(ORDERS), epoll::EventFlags::IN)?;
        Ok(Self { epoll: Arc::new(epoll), orders, orphans: Orphans::default() })
    }

    /// `calls`: when so many are answered that is something to see too.
    pub(super) fn add(&mut self, id: u64, slot: u64, calls: Option<u64>, launched: &Launched) -> io::Result<()> {
        let token = |what| id * 8 + slot * 4 + what as u64;
        for (what, descriptor) in ALL.into_iter().zip(launched.descriptors()) {
            let token = epoll::EventData::new_u64(token(what));
            epoll::add(&self.epoll, descriptor, token, epoll::EventFlags::IN)?;
        }
        let (epoll, orders) = (self.epoll.clone(), self.orders.clone());
        launched.line.watched(Watch { epoll, token: token(What::Message), orders, id, slot, calls });
        Ok(())
    }

    pub(super) fn remove(&mut self, launched: &Launched) {
        // The socket may be open in a caller's hands for a moment longer, so closing ours wouldn't do.
        for descriptor in launched.descriptors() {
            let _ = epoll::delete(&self.epoll, descriptor);
        }
    }

    pub(super) fn remove_one(&mut self, what: What, launched: &Launched) {
        let _ = epoll::delete(&self.epoll, launched.descriptors()[what as usize]);
    }

    /// Waits until there is something to see, or `limit` is over.
    pub(super) fn wait(&mut self, limit: Option<Duration>) -> Vec<Seen> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
        let limit = limit.and_then(|limit| Timespec::try_from(limit.min(LONGEST_WAIT)).ok());
        // The only errors are an interruption and our own mistakes; both mean another turn.
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, limit.as_ref()) else { return Vec::new() };
        let seen = events.iter().flat_map(|event| {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == ORDERS {
                return [Some(Seen::Orders), None];
            }
            let of = |what| Seen::Child { id: token / 8, slot: token / 4 % 2, what };
            let has_room = flags.contains(epoll::EventFlags::OUT).then(|| of(What::Room));
            let other = (flags != epoll::EventFlags::OUT).then(|| of(ALL[token as usize % 4]));
            [has_room, other]
        });
        seen.flatten().collect()
    }
}
