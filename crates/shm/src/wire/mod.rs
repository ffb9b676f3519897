//! Messages between two processes: any serde value, of any size, with descriptors inside it.
//!
//! A message is MessagePack with field names (so that Python reads it as a dict) in one `SOCK_SEQPACKET` datagram:
//! it arrives whole or not at all, so the death of a sender can't leave half of one. What is too large for a datagram
//! travels as a sealed memfd.

mod blob;
mod codec;
mod inherited;
mod passed;
mod private;
mod raw;
mod socket;

pub use blob::Blob;
pub use codec::{DecodeError, EncodeError, Packet};
pub(crate) use codec::{decode_from, encode_onto};
pub use inherited::inherited;
pub use passed::Passed;
pub use private::Private;
pub use raw::Raw;
pub use socket::{HEAD_BYTES, MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, ReceiveError, SendError, Socket, Unreceived};
pub(crate) use socket::{try_peek, try_send_over};
