//! The outputs of a block, from inside.

use std::{collections::HashMap, marker::PhantomData, sync::Arc};

use shm::{
    ring::{Info, Port, RingError, RingOptions, Slot, Writer},
    status::{Number, StatusPage},
    wire::Socket,
};

use crate::Payload;

/// The writing end of an output.
#[derive(Debug)]
pub struct Output<T> {
    writer: Writer,
    status: Arc<StatusPage>,
    payload: PhantomData<fn(T)>,
}

/// A slot to fill. Dropped without [`publish`](Self::publish), nobody sees it.
#[derive(Debug)]
#[must_use = "a slot that isn't published is given back"]
pub struct OutputSlot<'o> {
    slot: Slot<'o>,
    status: &'o StatusPage,
}

impl<T: Payload> Output<T> {
    pub(crate) fn create(options: RingOptions, status: Arc<StatusPage>) -> Result<Self, RingError> {
        Ok(Self { writer: Writer::create(options)?, status, payload: PhantomData })
    }

    pub(crate) fn port(&self) -> Port {
        self.writer.port()
    }

    /// Lends a slot for a frame of so many bytes.
    ///
    /// # Errors
    ///
    /// If it is larger than any before, and there is no memory for more of its size.
    pub fn reserve(&mut self, bytes: usize) -> Result<OutputSlot<'_>, RingError> {
        Ok(OutputSlot { slot: self.writer.reserve(bytes)?, status: &self.status })
    }

    /// Whether anybody reads it.
    #[must_use]
    pub fn has_readers(&self) -> bool {
        self.writer.port().readers() > 0
    }
}

impl OutputSlot<'_> {
    /// The bytes to fill; they hold what an earlier frame left there.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.slot.bytes_mut()
    }

    /// Shortens it.
    pub fn truncate(&mut self, bytes: usize) {
        self.slot.truncate(bytes);
    }

    /// Makes it the newest frame.
    pub fn publish(self, info: Info) {
        self.slot.publish(info);
        self.status.add(Number::FramesOut, 1);
    }
}

/// More readers than any output has.
const MAX_EARLY: usize = 64;

/// All outputs of a block, from the side where readers come in.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    /// Made by the block, and not yet known to the event loop.
    pub created: Vec<NewOutput>,
    /// Given up by the block; the event loop may still watch these.
    pub closed: Vec<String>,
    ports: HashMap<String, Port>,
    /// Readers that came before their output was made.
    early: HashMap<String, Vec<Socket>>,
}

#[derive(Debug)]
pub(crate) struct NewOutput {
    pub name: String,
    pub port: Port,
}

impl Outputs {
    /// Takes on what the block has made; the event loop is to watch these.
    pub(crate) fn adopt(&mut self) -> Result<Vec<NewOutput>, RingError> {
        let mut adopted = Vec::new();
        for NewOutput { name, port } in self.created.drain(..) {
            for session in self.early.remove(&name).unwrap_or_default() {
                port.add(session)?;
            }
            self.ports.insert(name.clone(), port.clone());
            adopted.push(NewOutput { name, port });
        }
        Ok(adopted)
    }

    /// Forgets what the block has given up; the event loop is to watch these no longer.
    pub(crate) fn abandon(&mut self) -> Vec<String> {
        self.closed.drain(..).filter(|name| self.ports.remove(name).is_some()).collect()
    }

    /// Whether it is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.ports.contains_key(name) || self.created.iter().any(|output| output.name == name)
    }

    /// Lets a reader in, now or when the output is there.
    pub(crate) fn attach(&mut self, name: String, session: Socket) -> Result<(), RingError> {
        match self.ports.get(name.as_str()) {
            Some(port) => port.add(session),
            None => {
                let early = self.early.entry(name).or_default();
                // The oldest are of readers that were restarted since.
                if early.len() == MAX_EARLY {
                    early.remove(0);
                }
                early.push(session);
                Ok(())
            }
        }
    }
}
