//! What several tests begin with.

use std::time::Duration;

use shm::{
    doorbell::Doorbell,
    ring::{Info, Policy, Reader, Wish, Writer},
    wire::Socket,
};

/// Longer than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(20);

pub fn attach(writer: &Writer, policy: Policy, leases: u32) -> Reader {
    attach_with(writer, policy, leases, &Doorbell::new().unwrap())
}

pub fn attach_with(writer: &Writer, policy: Policy, leases: u32, bell: &Doorbell) -> Reader {
    let (ours, theirs) = Socket::pair().unwrap();
    writer.port().add(ours).unwrap();
    let reader = Reader::connect(theirs, bell, Wish { policy, leases }).unwrap();
    writer.port().service();
    reader
}

pub fn publish(writer: &mut Writer, bytes: &[u8]) -> u64 {
    let mut slot = writer.reserve(bytes.len()).unwrap();
    slot.bytes_mut().copy_from_slice(bytes);
    slot.publish(Info { pts_ns: bytes.len() as i64, ..Info::default() })
}
