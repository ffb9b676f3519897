//! The sockets that descriptors wait in while their items wait in memory.
//!
//! A slot is the receive queue of one socket, and what is sent to it comes from the socket's partner: so a pair makes two slots,
//! and each process that takes part has one descriptor for each slot. The kernel keeps a message, and what is in it, for as long as
//! any process has the sockets. Whoever reads it only peeks, which copies the descriptors and leaves the message for the next one,
//! should this one die.

use std::{io, os::fd::AsFd};

use rustix::net::{AddressFamily, RecvFlags, SocketType, recv, sockopt};

use super::QueueError;
use crate::{
    crash,
    wire::{self, Passed, ReceiveError, SendError, Socket},
};

/// The most slots that a queue can have: its handle takes a descriptor for each and one for its arena, and shall fit into one
/// message of 253 with room for others.
pub(super) const MAX_SLOTS: usize = 200;

/// More messages than this process ever put into a slot are somebody's malice, and aren't looked for to the last.
const MOST_STRAY: u32 = 64;

/// What distinguishes a message from any that was in the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub cell: u32,
    /// How often the slot was used.
    pub uses: u32,
}

/// Why an item's descriptors can't be had.
pub(super) enum Unread {
    /// This process can't take them just now.
    Here(ReceiveError),
    /// Nobody can: they aren't there.
    Missing,
}

/// One for each slot, and one more if their number is odd.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Passed>);

impl Sockets {
    pub(super) fn create(slots: u32) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(sockets_for(slots));
        while sockets.len() < sockets_for(slots) {
            let (one, other) = Socket::pair()?;
            sockets.extend([one, other].map(|socket| Passed::new(socket.into_owned())));
        }
        Ok(Self(sockets))
    }

    /// Those that came with a handle: that many, and sockets of the right kind. Whether each is another's partner can't be told;
    /// if it isn't, messages are missing, and that is an error for each item.
    pub(super) fn received(sockets: Vec<Passed>, slots: u32) -> Result<Self, QueueError> {
        let is_ours = |socket: &Passed| {
            sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
                && sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET)
        };
        if sockets.len() == sockets_for(slots) && sockets.iter().all(is_ours) {
            Ok(Self(sockets))
        } else {
            Err(QueueError::Alleged)
        }
    }

    /// All of them, for a handle on its way.
    pub(super) fn all(&self) -> &[Passed] {
        &self.0
    }

    /// Puts the one message into a slot of this process's.
    pub(super) fn send(&self, slot: u32, tag: Tag, descriptors: &[Passed]) -> Result<(), SendError> {
        // It is empty already if everybody keeps to the protocol, and this says so at the cost of one system call.
        for _ in 0..MOST_STRAY {
            if !self.empty(slot) {
                break;
            }
        }
        crash::point();
        wire::try_send_over(self.socket(slot ^ 1), &tag.bytes(), descriptors)
    }

    /// Copies of the descriptors in a slot of this process's. They stay there.
    pub(super) fn peek(&self, slot: u32, tag: Tag) -> Result<Vec<Passed>, Unread> {
        match wire::try_peek(self.socket(slot)) {
            Ok(packet) if packet.bytes == tag.bytes() => Ok(packet.descriptors),
            Ok(_) | Err(ReceiveError::Empty | ReceiveError::Gone | ReceiveError::Malformed(_)) => Err(Unread::Missing),
            Err(error) => Err(Unread::Here(error)),
        }
    }

    /// Throws the message in a slot of this process's away, and closes what was in it. `false` if there was none.
    pub(super) fn empty(&self, slot: u32) -> bool {
        // Without room for descriptors the kernel doesn't hand any out.
        let received =
            rustix::io::retry_on_intr(|| recv(self.socket(slot), &mut [0u8; Tag::BYTES][..], RecvFlags::DONTWAIT));
        received.is_ok_and(|(bytes, _)| bytes > 0)
    }

    fn socket(&self, index: u32) -> impl AsFd {
        // Every index that comes here was checked against the shape, of which there are as many sockets.
        self.0[index as usize].as_fd()
    }
}

/// They come in pairs.
fn sockets_for(slots: u32) -> usize {
    (slots as usize).next_multiple_of(2)
}

impl Tag {
    const BYTES: usize = 8;

    fn bytes(self) -> [u8; Self::BYTES] {
        (u64::from(self.cell) << 32 | u64::from(self.uses)).to_le_bytes()
    }
}
