//! One end of a private `SOCK_SEQPACKET` pair.

use std::{
    cell::RefCell,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
    },
};

use super::{Packet, Passed};
use crate::{
    call,
    memory::{self, Budget, Mapping, MemoryError, Sealing},
};

/// The kernel's `SCM_MAX_FD`: how many descriptors one datagram can carry.
pub const MAX_DESCRIPTORS: usize = 253;

/// Larger payloads go as a memfd: a datagram is capped by the socket's send buffer (some 200 KiB by default), which
/// several of this size must fit into.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// What is smaller is sent in one piece.
const SMALL_BYTES: usize = 256;

/// More than is needed, and so much that the allocator has the kernel map it (glibc from 128 KiB on): then only the pages that
/// messages have filled exist, usually one. In a process with two threads that saves a third of its private memory.
const ROOM_BYTES: usize = 256 * 1024;
const _: () = assert!(ROOM_BYTES > MAX_INLINE_BYTES);

/// The largest message. Streams are for rings; what is larger than this is a file, and can be passed as one.
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// First byte of a datagram: the payload follows.
const INLINE: u8 = 0;
/// First byte of a datagram: eight bytes of length follow, then the payload's [`HEAD_BYTES`] first bytes, and all of it is in
/// the last descriptor.
const IN_MEMORY: u8 = 1;

/// So much of the beginning of a message is known also of one that can't be received ([`Unreceived::head`]).
pub const HEAD_BYTES: usize = 16;

/// One end of a connection. Sending and receiving take `&self`: the kernel keeps datagrams whole among threads.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// A message could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The other end's queue is full; try again when the socket is writable.
    #[error("send a message: the other side hasn't read the earlier ones yet")]
    Full,
    /// The other end is closed.
    #[error("send a message: the other side is gone")]
    Gone,
    /// More descriptors than one message carries.
    #[error("send {0} descriptors in one message: at most {MAX_DESCRIPTORS} can; split it")]
    TooManyDescriptors(usize),
    /// The kernel holds as many descriptors of this user's that nobody has received yet as one process may have open. (Or one
    /// of these is a socket that holds others, which hold others, and so on.)
    #[error(
        "send {0} descriptors: sendmsg: too many of this user's are on their way in sockets already; have some received, or \
         raise the limit (ulimit -n)"
    )]
    TooManyOnTheWay(usize),
    /// Larger than [`MAX_MESSAGE_BYTES`].
    #[error("send a message of {0} bytes: {MAX_MESSAGE_BYTES} is the most; pass a file, or use a ring")]
    TooLarge(usize),
    /// There is no memory for a large payload.
    #[error("send a large message: could not {0}")]
    Memory(#[from] MemoryError),
    /// Anything else.
    #[error("send a message: {0}")]
    System(#[source] io::Error),
}

/// A message could not be received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Nothing is there yet (only without waiting).
    #[error("receive a message: none is there yet")]
    Empty,
    /// The other end is closed, and everything it sent has been received.
    #[error("receive a message: the other side is gone")]
    Gone,
    /// Descriptors were lost on the way: this process has no number left for them.
    #[error("receive a message's descriptors: this process has too many open; raise its limit (ulimit -n)")]
    DescriptorsLost,
    /// The datagram isn't of this protocol.
    #[error("receive a message: {0}")]
    Malformed(&'static str),
    /// The memory with a large payload can't be mapped.
    #[error("receive a large message: could not {0}")]
    Memory(#[from] MemoryError),
    /// Anything else.
    #[error("receive a message: {0}")]
    System(#[source] io::Error),
}

/// A message could not be received, and this is what is known of it.
#[derive(Debug)]
pub struct Unreceived {
    /// Why.
    pub error: ReceiveError,
    /// The first [`HEAD_BYTES`] of a message that was taken off the socket, or as many as it has; nothing if none was. It is
    /// what the sender says: nobody has compared it with the rest.
    pub head: Vec<u8>,
}

impl From<ReceiveError> for Unreceived {
    fn from(error: ReceiveError) -> Self {
        Self { error, head: Vec::new() }
    }
}

impl From<Unreceived> for ReceiveError {
    fn from(unreceived: Unreceived) -> Self {
        unreceived.error
    }
}

impl Socket {
    /// Two connected ends. Both close on exec.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as too many open files.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(call::failed("socketpair"))?;
        Ok((Self(one), Self(other)))
    }

    /// Takes over a descriptor that is such an end.
    #[must_use]
    pub fn from_owned(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Gives the descriptor, to be passed on.
    #[must_use]
    pub fn into_owned(self) -> OwnedFd {
        self.0
    }

    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if it would have to wait; nothing was sent then.
    pub fn try_send(&self, packet: &Packet) -> Result<(), SendError> {
        send_over(&self.0, &packet.bytes, &packet.descriptors, SendFlags::DONTWAIT)
    }

    /// Sends, and waits while the other side's queue is full.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] if the other side is closed, also while waiting.
    pub fn send(&self, packet: &Packet) -> Result<(), SendError> {
        send_over(&self.0, &packet.bytes, &packet.descriptors, SendFlags::empty())
    }

    /// Receives what is there, without waiting.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Empty`] if nothing is there yet.
    pub fn try_receive(&self) -> Result<Packet, ReceiveError> {
        Ok(self.try_receive_or_head()?)
    }

    /// As [`try_receive`](Self::try_receive), and of a message that is lost it gives the beginning: for whoever has to tell
    /// somebody of it.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_receive_or_head(&self) -> Result<Packet, Unreceived> {
        self.receive_with(RecvFlags::DONTWAIT, unpack)
    }

    /// As [`try_receive`](Self::try_receive), but the message stays there, and its descriptors are copies: whoever dies with them
    /// has taken nothing away.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use shm::wire::{Packet, Passed, Socket};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (shelf, other) = Socket::pair()?;
    /// other.send(&Packet::encode(&("a file", Passed::new(std::fs::File::open("/dev/null")?)))?)?;
    /// for _ in 0..2 {
    ///     let (name, _file): (String, Passed) = shelf.try_peek()?.decode()?;
    ///     assert_eq!(name, "a file");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn try_peek(&self) -> Result<Packet, ReceiveError> {
        Ok(self.receive_with(RecvFlags::PEEK | RecvFlags::DONTWAIT, unpack)?)
    }

    /// As [`try_receive`](Self::try_receive), for a place where no message is large: one that is isn't unpacked.
    pub(crate) fn try_receive_inline(&self) -> Result<Packet, ReceiveError> {
        Ok(self.receive_with(RecvFlags::DONTWAIT, unpack_inline)?)
    }

    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Gone`] when the other side closes.
    pub fn receive(&self) -> Result<Packet, ReceiveError> {
        Ok(self.receive_or_head()?)
    }

    /// As [`receive`](Self::receive), and of a message that is lost it gives the beginning.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn receive_or_head(&self) -> Result<Packet, Unreceived> {
        self.receive_with(RecvFlags::empty(), unpack)
    }

    fn receive_with(&self, flags: RecvFlags, unpack: Unpack) -> Result<Packet, Unreceived> {
        thread_local! {
            /// Every receive needs room for the largest datagram; messages keep only what they are.
            static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM_BYTES]);
        }
        ROOM.with_borrow_mut(|room| receive_over(&self.0, &mut room[..=MAX_INLINE_BYTES], flags, unpack))
    }
}

/// As [`Socket::try_send`], over a descriptor that is shared.
pub(crate) fn try_send_over(socket: impl AsFd, bytes: &[u8], descriptors: &[Passed]) -> Result<(), SendError> {
    send_over(socket, bytes, descriptors, SendFlags::DONTWAIT)
}

/// As [`Socket::try_receive`], over a descriptor that is shared, but the message stays there, and what comes are copies of its
/// descriptors. For small messages: a longer one is malformed.
pub(crate) fn try_peek(socket: impl AsFd) -> Result<Packet, ReceiveError> {
    Ok(receive_over(socket, &mut [0; 64], RecvFlags::PEEK | RecvFlags::DONTWAIT, unpack_inline)?)
}

fn send_over(socket: impl AsFd, bytes: &[u8], descriptors: &[Passed], flags: SendFlags) -> Result<(), SendError> {
    let large = bytes.len() > MAX_INLINE_BYTES;
    let count = descriptors.len() + usize::from(large);
    if count > MAX_DESCRIPTORS {
        return Err(SendError::TooManyDescriptors(count));
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(SendError::TooLarge(bytes.len()));
    }
    if count == 0 && bytes.len() < SMALL_BYTES {
        // Two pieces and no descriptors cost the kernel more than a copy of what is small costs us.
        let mut datagram = [INLINE; SMALL_BYTES];
        datagram[1..=bytes.len()].copy_from_slice(bytes);
        let datagram = &datagram[..=bytes.len()];
        let sent = rustix::io::retry_on_intr(|| send(&socket, datagram, flags | SendFlags::NOSIGNAL));
        return sent.map(drop).map_err(|errno| not_sent("send", errno, count));
    }
    let memory = if large { Some(into_memory(bytes)?) } else { None };
    let descriptors: Vec<BorrowedFd<'_>> =
        descriptors.iter().map(AsFd::as_fd).chain(memory.as_ref().map(AsFd::as_fd)).collect();
    let length = (bytes.len() as u64).to_le_bytes();
    let about = if large { [&length[..], &bytes[..HEAD_BYTES]].concat() } else { Vec::new() };
    let datagram = if large {
        [IoSlice::new(&[IN_MEMORY]), IoSlice::new(&about)]
    } else {
        [IoSlice::new(&[INLINE]), IoSlice::new(bytes)]
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent = rustix::io::retry_on_intr(|| sendmsg(&socket, &datagram, &mut ancillary, flags | SendFlags::NOSIGNAL));
    sent.map(drop).map_err(|errno| not_sent("sendmsg", errno, count))
}

fn not_sent(what: &'static str, errno: Errno, descriptors: usize) -> SendError {
    match errno {
        Errno::AGAIN => SendError::Full,
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => SendError::Gone,
        Errno::TOOMANYREFS => SendError::TooManyOnTheWay(descriptors),
        errno => SendError::System(call::failed(what)(errno)),
    }
}

fn receive_over(socket: impl AsFd, room: &mut [u8], flags: RecvFlags, unpack: Unpack) -> Result<Packet, Unreceived> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut receive = || {
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        rustix::io::retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(room)], &mut ancillary, flags))
    };
    // The other side closed without having read all. The kernel says so once, before what that side sent.
    let received = receive().or_else(|errno| if errno == Errno::CONNRESET { receive() } else { Err(errno) });
    let received = match received {
        Ok(received) => received,
        Err(Errno::AGAIN) => return Err(ReceiveError::Empty.into()),
        Err(Errno::CONNRESET) => return Err(ReceiveError::Gone.into()),
        Err(errno) => return Err(ReceiveError::System(call::failed("recvmsg")(errno)).into()),
    };
    let descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => rights.map(Passed::new).collect(),
        _ => Vec::new(),
    });
    let descriptors: Vec<Passed> = descriptors.collect();
    let datagram = &room[..received.bytes.min(room.len())];
    let unpacked = if received.flags.contains(ReturnFlags::CTRUNC) {
        Err(ReceiveError::DescriptorsLost)
    } else if received.flags.contains(ReturnFlags::TRUNC) {
        Err(ReceiveError::Malformed("it is longer than any of this protocol"))
    } else {
        unpack(datagram, descriptors)
    };
    unpacked.map_err(|error| Unreceived { error, head: head(datagram) })
}

/// What a datagram tells of its message's beginning.
fn head(datagram: &[u8]) -> Vec<u8> {
    let payload = match datagram.split_first() {
        Some((&INLINE, payload)) => payload,
        Some((&IN_MEMORY, about)) => about.get(size_of::<u64>()..).unwrap_or_default(),
        _ => &[],
    };
    payload[..payload.len().min(HEAD_BYTES)].to_vec()
}

/// What makes a message of a datagram and its descriptors.
type Unpack = fn(&[u8], Vec<Passed>) -> Result<Packet, ReceiveError>;

fn unpack(datagram: &[u8], mut descriptors: Vec<Passed>) -> Result<Packet, ReceiveError> {
    match datagram.split_first() {
        // Every message has a first byte, so an empty read is the end of the connection.
        None => Err(ReceiveError::Gone),
        Some((&INLINE, payload)) => Ok(Packet { bytes: payload.to_vec(), descriptors }),
        Some((&IN_MEMORY, about)) => {
            let about = about.split_first_chunk::<8>().filter(|(_, head)| head.len() <= HEAD_BYTES);
            let (&length, _) = about.ok_or(ReceiveError::Malformed("its length isn't eight bytes"))?;
            let memory = descriptors.pop().ok_or(ReceiveError::Malformed("its payload is missing"))?;
            Ok(Packet { bytes: out_of_memory(&memory, u64::from_le_bytes(length))?, descriptors })
        }
        Some(_) => Err(ReceiveError::Malformed("its first byte is unknown")),
    }
}

fn unpack_inline(datagram: &[u8], descriptors: Vec<Passed>) -> Result<Packet, ReceiveError> {
    match datagram.first() {
        Some(&IN_MEMORY) => Err(ReceiveError::Malformed("it is larger than any message is here")),
        _ => unpack(datagram, descriptors),
    }
}

fn into_memory(bytes: &[u8]) -> Result<OwnedFd, MemoryError> {
    let (mapping, descriptor) = memory::create("framewire-message", bytes.len(), Sealing::OneWriter)?;
    // SAFETY: the memory was made on the line above and nobody else has its descriptor yet.
    unsafe { mapping.bytes_mut(0, bytes.len()) }.copy_from_slice(bytes);
    drop(mapping);
    // With the only writable mapping gone, FUTURE_WRITE means that nobody can ever write it again.
    Ok(descriptor)
}

fn out_of_memory(memory: &Passed, length: u64) -> Result<Vec<u8>, ReceiveError> {
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE_BYTES);
    let length = length.ok_or(ReceiveError::Malformed("it is longer than any message may be"))?;
    // Reading makes the kernel fill its holes, and the copy comes on top.
    Budget::now().check(2 * length as u64).map_err(MemoryError::from)?;
    let mapping = Mapping::read_only(memory, length)?;
    let mut bytes = vec![0; length];
    // A hostile sender may have kept a writable mapping: then this reads changing values, but it is no data race.
    mapping.copy_out(0, &mut bytes);
    Ok(bytes)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, io::Seek, io::Write};

    use super::*;

    #[test]
    fn small_and_large_messages_arrive_as_they_were() {
        let (one, other) = Socket::pair().unwrap();
        for size in [0, 1, 1000, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 3_000_003] {
            let bytes: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            one.send(&Packet { bytes: bytes.clone(), descriptors: Vec::new() }).unwrap();
            assert_eq!(other.receive().unwrap().bytes, bytes, "{size} bytes");
        }
    }

    #[test]
    fn a_descriptor_travels_as_a_field() {
        let (one, other) = Socket::pair().unwrap();
        let memory = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(memory.try_clone().unwrap());
        file.write_all(b"hello").unwrap();
        one.send(&Packet::encode(&("file", Some(Passed::new(memory)))).unwrap()).unwrap();
        let (name, passed): (String, Option<Passed>) = other.receive().unwrap().decode().unwrap();
        let mut received = File::from(passed.unwrap().into_owned().unwrap());
        received.rewind().unwrap();
        let mut text = String::new();
        received.read_to_string(&mut text).unwrap();
        assert_eq!((name.as_str(), text.as_str()), ("file", "hello"));
    }

    #[test]
    fn what_goes_wrong_is_said() {
        let (one, other) = Socket::pair().unwrap();
        assert!(matches!(other.try_receive(), Err(ReceiveError::Empty)));
        let many = Packet { bytes: Vec::new(), descriptors: vec![Passed::new(other.0.try_clone().unwrap()); 254] };
        assert!(matches!(one.send(&many), Err(SendError::TooManyDescriptors(254))));
        let filled = std::iter::repeat_with(|| one.try_send(&Packet { bytes: vec![0; 60_000], descriptors: vec![] }));
        assert!(matches!(filled.take(10_000).find(Result::is_err), Some(Err(SendError::Full))));
        drop((many, other)); // both hold the other end
        assert!(matches!(one.send(&Packet::default()), Err(SendError::Gone)));
    }

    #[test]
    fn what_was_said_before_the_end_is_heard_also_if_the_other_side_did_not_listen() {
        let (one, other) = Socket::pair().unwrap();
        one.send(&Packet { bytes: vec![1], descriptors: Vec::new() }).unwrap();
        other.send(&Packet { bytes: vec![2], descriptors: Vec::new() }).unwrap();
        drop(other); // with a message unread
        assert_eq!(one.receive().unwrap().bytes, [2]);
        assert!(matches!(one.receive(), Err(ReceiveError::Gone)));
    }

    #[test]
    fn of_a_message_that_is_lost_its_beginning_is_known() {
        let (one, other) = Socket::pair().unwrap();
        let large = vec![7; MAX_INLINE_BYTES + 1];
        one.send(&Packet { bytes: large.clone(), descriptors: Vec::new() }).unwrap();
        assert_eq!(other.try_receive_or_head().unwrap().bytes, large, "it isn't lost");
        let unsealed = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let datagram = [&[IN_MEMORY][..], &100u64.to_le_bytes(), &[8; HEAD_BYTES]].concat();
        for (datagram, known) in [(&datagram[..], HEAD_BYTES), (&datagram[..9], 0)] {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors = [unsealed.as_fd()];
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            sendmsg(&one, &[IoSlice::new(datagram)], &mut ancillary, SendFlags::empty()).unwrap();
            let lost = other.try_receive_or_head().unwrap_err();
            assert!(matches!(lost.error, ReceiveError::Memory(_)), "{lost:?}");
            assert_eq!(lost.head, vec![8; known]);
        }
        let none = other.try_receive_or_head().unwrap_err();
        assert!(matches!(none.error, ReceiveError::Empty) && none.head.is_empty());
        let longer = [&[IN_MEMORY][..], &100u64.to_le_bytes(), &[8; HEAD_BYTES + 1]].concat();
        assert!(matches!(unpack(&longer, Vec::new()), Err(ReceiveError::Malformed(_))));
    }

    #[test]
    fn hostile_datagrams_are_errors() {
        for datagram in [&[7u8][..], &[IN_MEMORY], &[IN_MEMORY, 1, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(unpack(datagram, Vec::new()).is_err(), "{datagram:?}");
        }
        let unsealed = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut datagram = vec![IN_MEMORY];
        datagram.extend(100u64.to_le_bytes());
        let told = unpack(&datagram, vec![Passed::new(unsealed)]);
        assert!(matches!(told, Err(ReceiveError::Memory(_))), "{told:?}");
        assert!(Packet { bytes: vec![3], descriptors: Vec::new() }.decode::<Passed>().is_err());
    }
}
