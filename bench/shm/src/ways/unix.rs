//! A Unix socket with the payload in it: datagrams as long as they fit, else a stream.

use std::os::fd::OwnedFd;

use bench::Outcome;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use serde::{Deserialize, Serialize};
use shm::wire::Passed;

use super::{Ends, Lane, Reads, Writes};

/// A datagram is capped by the socket's send buffer, some 200 KiB by default.
const MAX_DATAGRAM: usize = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket(Passed);

struct Writing(Vec<OwnedFd>);

pub struct Reading {
    socket: OwnedFd,
    buffer: Vec<u8>,
    is_stream: bool,
}

pub fn open(lane: &Lane) -> Outcome<Ends> {
    let kind = if lane.bytes > MAX_DATAGRAM { SocketType::STREAM } else { SocketType::SEQPACKET };
    let (mut ours, mut tickets) = (Vec::new(), Vec::new());
    for _ in 0..lane.readers {
        let (one, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        ours.push(one);
        tickets.push(super::Ticket::UnixSocket(Ticket(Passed::new(other))));
    }
    Ok((Box::new(Writing(ours)), tickets))
}

impl Ticket {
    pub fn open(self, lane: &Lane) -> Outcome<Reading> {
        let is_stream = lane.bytes > MAX_DATAGRAM;
        Ok(Reading { socket: self.0.into_owned()?, buffer: vec![0; lane.bytes], is_stream })
    }
}

impl Writes for Writing {
    fn write(&mut self, payload: &[u8]) -> Outcome {
        for socket in &self.0 {
            let mut rest = payload;
            while !rest.is_empty() {
                rest = &rest[send(socket, rest, SendFlags::NOSIGNAL)?..];
            }
        }
        Ok(())
    }
}

impl Reads for Reading {
    fn read(&mut self, look: &mut dyn FnMut(&[u8])) -> Outcome {
        let mut bytes = 0;
        loop {
            let (_, got) = recv(&self.socket, &mut self.buffer[bytes..], RecvFlags::empty())?;
            bytes += got;
            if got == 0 {
                return Err("read a socket: the other side is gone".into());
            }
            if !self.is_stream || bytes == self.buffer.len() {
                break;
            }
        }
        look(&self.buffer[..bytes]);
        Ok(())
    }
}
