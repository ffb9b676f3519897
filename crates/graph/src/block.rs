//! What a block is.

use std::sync::Arc;

use process::BoxError;
use serde::{Serialize, de::DeserializeOwned};
use shm::{
    doorbell::Doorbell,
    ring::{Frame, RingOptions},
    status::StatusPage,
};

use crate::{
    InputPort, Output, OutputPort, Payload,
    output::{NewOutput, Outputs},
};

/// A block, as it goes in its own process. One thread runs all of it.
pub trait Block: Sized + 'static {
    /// The kind's name, such as `decoder`.
    const KIND: &'static str;
    /// What it is started with.
    type Config: Serialize + DeserializeOwned;

    /// Makes it ready: opens what it needs, loads its model, makes its outputs.
    ///
    /// # Errors
    ///
    /// Anything that keeps it from working.
    fn start(config: Self::Config, cx: &mut BlockContext) -> Result<Self, BoxError>;

    /// Takes a frame. It may keep it, up to the number of leases of the wire.
    ///
    /// # Errors
    ///
    /// What makes it useless to go on: the process ends with it and is restarted. A frame that is merely bad is
    /// logged and passed over.
    fn frame(&mut self, from: Arrived<'_>, frame: Frame, cx: &mut BlockContext) -> Result<(), BoxError> {
        let _ = (from, frame, cx);
        Ok(())
    }

    /// Somebody wants to read an output that isn't there. It may make it now ([`BlockContext::output`]), or later; until then
    /// the reader waits.
    ///
    /// # Errors
    ///
    /// Why there will never be such an output. It is logged, and the reader is let go.
    fn wanted(&mut self, output: &str, cx: &mut BlockContext) -> Result<(), BoxError> {
        let _ = (output, cx);
        Ok(())
    }

    /// The last thing it does when it is stopped.
    fn stop(self) {}
}

/// Which wire a frame came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived<'a> {
    /// The input's name.
    pub input: &'a str,
    /// The wire's label: for which camera it is.
    pub label: &'a str,
}

/// What a block can reach outside of itself.
#[derive(Debug)]
pub struct BlockContext {
    name: String,
    status: Arc<StatusPage>,
    bell: Doorbell,
    pub(crate) outputs: Outputs,
    /// Inputs, and which variants of the outputs that feed them it wishes for.
    pub(crate) wishes: Vec<(String, String)>,
}

impl BlockContext {
    pub(crate) fn new(name: &str, status: Arc<StatusPage>, bell: Doorbell) -> Self {
        Self { name: name.to_owned(), status, bell, outputs: Outputs::default(), wishes: Vec::new() }
    }

    /// The process's name, such as `door.decoder`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The page on which the process says how it does. Frames in, out and dropped are counted without its doing.
    #[must_use]
    pub fn status(&self) -> &Arc<StatusPage> {
        &self.status
    }

    /// Wakes the block's loop, from another thread of it.
    #[must_use]
    pub fn bell(&self) -> &Doorbell {
        &self.bell
    }

    /// Makes the ring behind an output. It can be moved to another thread to write there. Readers that came before it
    /// was made are let in now; making it again replaces it.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn output<T: Payload>(&mut self, port: OutputPort<T>, options: RingOptions) -> Result<Output<T>, BoxError> {
        let output = Output::create(options, self.status.clone())?;
        self.outputs.created.push(NewOutput { name: port.name().to_owned(), port: output.port() });
        Ok(output)
    }

    /// Forgets an output that was made here, and that nobody reads any more. Its memory goes with the [`Output`] itself.
    pub fn close<T: Payload>(&mut self, port: &OutputPort<T>) {
        self.outputs.closed.push(port.name().to_owned());
    }

    /// Wishes for a [variant](OutputPort::variant) of whatever output feeds this input. To be said in [`Block::start`]: wires
    /// are joined when that is over.
    pub fn wish<T: Payload>(&mut self, input: &InputPort<T>, variant: &str) {
        self.wishes.push((input.name().to_owned(), variant.to_owned()));
    }
}
