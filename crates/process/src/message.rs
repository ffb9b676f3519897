//! What parent and child say to each other: a fixed header of 16 bytes (kind, then an id), then MessagePack.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shm::wire::{DecodeError, EncodeError, HEAD_BYTES, Packet, Passed, ReceiveError, Unreceived};

use crate::surroundings::Surroundings;

const HEADER_BYTES: usize = 16;
/// It is known of each message that is lost.
const _: () = assert!(HEADER_BYTES <= HEAD_BYTES);

/// Stands for any protocol: of a side that dispatches by names.
pub(crate) const ANY_PROTOCOL: u64 = 0;

/// What a message is. The numbers are the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    // To the child.
    /// [`Hello`]: who it is.
    Hello = 1,
    /// The kind's own configuration.
    Config = 2,
    /// A command; the answer bears the same id.
    Call = 3,
    /// The answer to this id isn't wanted any more.
    Cancel = 4,
    /// Stop in order. The id is the time until SIGKILL, in nanoseconds.
    Stop = 5,
    /// So many events were read; the id is the number.
    Read = 6,
    /// [`Offer`](crate::pool::Offer): it is a pool's worker from now on.
    Pool = 7,
    // To the parent.
    /// It works.
    Ready = 16,
    /// It can't go on: a text.
    Failed = 17,
    /// The answer to a call.
    Answer = 18,
    /// A call went wrong inside: a [`Failure`].
    CallFailed = 19,
    /// An event of the kind's own. Its id is how many were lost before it.
    Event = 20,
    /// [`Record`](crate::logs::Record): a line for the log.
    Log = 21,
    /// It panics: a text. Its last message, unless the panic is caught.
    Panic = 22,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        use Kind::*;
        let all = [Hello, Config, Call, Cancel, Stop, Read, Pool, Ready, Failed, Answer, CallFailed, Event, Log, Panic];
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The first message to a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The process's own name, such as `door.camera`.
    pub name: String,
    /// Whoever started it: if that isn't its parent any more, it is an orphan.
    pub parent: i32,
    /// What the parent takes the kind's protocol to be.
    pub protocol: u64,
    /// The page in which it says how it does.
    pub status: Passed,
    /// What it takes before anything else of it runs.
    pub surroundings: Surroundings,
    /// How many events it may say before some are read; `None`: as many as it likes.
    pub event_credit: Option<u64>,
}

/// What went wrong in a handler. Unwound with ([`std::panic::resume_unwind`]), it is the error of the call being handled:
/// for handlers in another language, whose errors are no panics.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What it is, in a few words.
    pub why: String,
    /// Where it was, in as many lines as that takes.
    pub trace: Option<String>,
}

/// A message, taken apart.
#[derive(Debug)]
pub(crate) struct Message {
    pub kind: Kind,
    pub id: u64,
    pub body: Packet,
}

/// What came isn't a message.
#[derive(Debug, thiserror::Error)]
#[error("take a message apart: it has {bytes} bytes and begins with {first:?}")]
pub(crate) struct NotAMessage {
    bytes: usize,
    first: Option<u8>,
}

impl Message {
    pub(crate) fn encode<T: Serialize>(kind: Kind, id: u64, body: &T) -> Result<Packet, EncodeError> {
        Ok(Self::wrap(kind, id, &Packet::encode(body)?))
    }

    /// Puts the header before an encoded body.
    pub(crate) fn wrap(kind: Kind, id: u64, body: &Packet) -> Packet {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.bytes.len());
        bytes.extend([kind as u8, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(id.to_le_bytes());
        bytes.extend_from_slice(&body.bytes);
        Packet { bytes, descriptors: body.descriptors.clone() }
    }

    /// Whether it is a [`Kind::Call`], of a message that was put together here.
    pub(crate) fn is_call(packet: &Packet) -> bool {
        packet.bytes.first() == Some(&(Kind::Call as u8))
    }

    pub(crate) fn take_apart(mut packet: Packet) -> Result<Self, NotAMessage> {
        let wrong = NotAMessage { bytes: packet.bytes.len(), first: packet.bytes.first().copied() };
        let (kind, id) = Self::header(&packet.bytes).ok_or(wrong)?;
        packet.bytes.drain(..HEADER_BYTES);
        Ok(Self { kind, id, body: packet })
    }

    /// Its kind and its id.
    fn header(bytes: &[u8]) -> Option<(Kind, u64)> {
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let id = header.last_chunk::<8>().map_or(0, |id| u64::from_le_bytes(*id));
        Some((Kind::from_number(header[0])?, id))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.body.decode()
    }
}

/// A message that came, and of which only this could be had: this process has no descriptor or no memory left for more. That
/// is whoever's misfortune it was for, and not the line's.
#[derive(Debug)]
pub(crate) struct Lost {
    pub kind: Kind,
    pub id: u64,
    pub why: String,
}

impl Lost {
    /// Gives the error back if the line is at its end, or isn't to be understood any more.
    pub(crate) fn of(unreceived: Unreceived) -> Result<Self, ReceiveError> {
        let Unreceived { error, head } = unreceived;
        let passes = matches!(error, ReceiveError::DescriptorsLost | ReceiveError::Memory(_));
        match Message::header(&head).filter(|_| passes) {
            Some((kind, id)) => Ok(Self { kind, id, why: error.to_string() }),
            None => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_apart_as_it_was_put_together() {
        let packet = Message::encode(Kind::Call, 0x0102_0304_0506_0708, &"what").unwrap();
        let message = Message::take_apart(packet).unwrap();
        assert_eq!((message.kind, message.id), (Kind::Call, 0x0102_0304_0506_0708));
        assert_eq!(message.read::<String>().unwrap(), "what");
    }

    #[test]
    fn what_is_none_is_refused() {
        for bytes in [vec![], vec![3; 15], vec![99; 16]] {
            assert!(Message::take_apart(Packet { bytes, descriptors: Vec::new() }).is_err());
        }
    }
}
