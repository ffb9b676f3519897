//! The crate ipc-channel: small payloads as bytes in its channel, large ones as its shared memory.

use bench::Outcome;
use ipc_channel::ipc::{
    self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory,
};
use serde::{Deserialize, Serialize};

use super::{Ends, Lane, Reads, Writes};

/// From here on its shared memory is faster than its channel.
const LARGE: usize = 64 * 1024;

/// Where the reader hands the writer the sending end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket {
    server: String,
    is_large: bool,
}

#[derive(Serialize, Deserialize)]
enum Sending {
    Bytes(IpcBytesSender),
    Memory(IpcSender<IpcSharedMemory>),
}

pub enum Reading {
    Bytes(IpcBytesReceiver),
    Memory(IpcReceiver<IpcSharedMemory>),
}

struct Writing {
    servers: Vec<IpcOneShotServer<Sending>>,
    readers: Vec<Sending>,
}

pub fn open(lane: &Lane) -> Outcome<Ends> {
    let (mut servers, mut tickets) = (Vec::new(), Vec::new());
    for _ in 0..lane.readers {
        let (ours, server) = IpcOneShotServer::new()?;
        servers.push(ours);
        tickets.push(super::Ticket::IpcChannel(Ticket { server, is_large: lane.bytes > LARGE }));
    }
    Ok((Box::new(Writing { servers, readers: Vec::new() }), tickets))
}

impl Ticket {
    pub fn open(self) -> Outcome<Reading> {
        let (sending, reading) = if self.is_large {
            let (sender, receiver) = ipc::channel()?;
            (Sending::Memory(sender), Reading::Memory(receiver))
        } else {
            let (sender, receiver) = ipc::bytes_channel()?;
            (Sending::Bytes(sender), Reading::Bytes(receiver))
        };
        IpcSender::connect(self.server)?.send(sending)?;
        Ok(reading)
    }
}

impl Writes for Writing {
    fn ready(&mut self) -> Outcome {
        for server in self.servers.drain(..) {
            self.readers.push(server.accept()?.1);
        }
        Ok(())
    }

    fn write(&mut self, payload: &[u8]) -> Outcome {
        let mut memory = None;
        for reader in &self.readers {
            match reader {
                Sending::Bytes(sender) => sender.send(payload)?,
                Sending::Memory(sender) => {
                    sender.send(memory.get_or_insert_with(|| IpcSharedMemory::from_bytes(payload)).clone())?;
                }
            }
        }
        Ok(())
    }
}

impl Reads for Reading {
    fn read(&mut self, look: &mut dyn FnMut(&[u8])) -> Outcome {
        match self {
            Self::Bytes(receiver) => look(&receiver.recv()?),
            Self::Memory(receiver) => look(&receiver.recv()?),
        }
        Ok(())
    }
}
