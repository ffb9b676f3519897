//! The process around a block: its event loop, its wires, and the two commands by which these are joined.

use std::collections::HashMap;

use process::{BoxError, Context, Process, Turn, Watch, commands};
use serde::{Deserialize, Serialize};
use shm::{
    cursor::Cursor,
    ring::Wish,
    wire::{Passed, Socket},
};

use crate::{
    Arrived, Block, BlockContext,
    complaints::Complaints,
    input::{Ended, Input, Look},
    output::NewOutput,
};

/// A block as a process.
pub struct BlockHost<B: Block> {
    block: B,
    cx: BlockContext,
    inputs: Vec<(Input, Option<Watch>)>,
    /// Wires that were lost, for their successors to follow.
    lost: Vec<Ended>,
    /// Where readers of each output come in.
    entrances: HashMap<String, Watch>,
    /// Of readers that can't be given an output: they come again and again.
    refused: Complaints,
    /// Of wires that can't be joined: they are tried again and again.
    unjoined: Complaints,
}

/// What a block says unasked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// A wire is lost; it is to be joined anew if both ends live.
    Lost {
        /// The input.
        input: String,
        /// The wire's label.
        label: String,
    },
    /// It wishes for a variant of whatever feeds an input. It says so before it is ready.
    Wishes {
        /// The input.
        input: String,
        /// The variant.
        variant: String,
    },
}

impl<B: Block> Process for BlockHost<B> {
    const KIND: &'static str = B::KIND;
    type Config = B::Config;
    type Event = Said;

    fn start(config: B::Config, cx: &mut Context<Self>) -> Result<Self, BoxError> {
        let mut block_cx = BlockContext::new(cx.name(), cx.status().clone(), cx.bell().clone());
        let block = B::start(config, &mut block_cx)?;
        for (input, variant) in block_cx.wishes.drain(..) {
            cx.emit(&Said::Wishes { input, variant });
        }
        let mut host = Self {
            block,
            cx: block_cx,
            inputs: Vec::new(),
            lost: Vec::new(),
            entrances: HashMap::new(),
            refused: Complaints::default(),
            unjoined: Complaints::default(),
        };
        host.adopt_outputs(cx)?;
        Ok(host)
    }

    fn turn(&mut self, cx: &mut Context<Self>) -> Result<Turn, BoxError> {
        let mut busy = false;
        // One frame of each wire, then commands get their turn again.
        let mut index = 0;
        while let Some((input, _)) = self.inputs.get_mut(index) {
            match input.look(self.cx.status())? {
                Look::Frame(frame) => {
                    busy = true;
                    let from = Arrived { input: &input.port, label: &input.label };
                    self.block.frame(from, frame, &mut self.cx)?;
                    input.handled();
                    // How long one may take is said of a frame, not of a round.
                    cx.progress();
                }
                Look::Nothing => {}
                Look::Lost => {
                    self.lose(index, cx);
                    continue;
                }
            }
            index += 1;
        }
        self.adopt_outputs(cx)?;
        let quiet = !busy && self.inputs.iter().all(|(input, _)| input.reader.arm());
        Ok(if quiet { Turn::Sleep } else { Turn::Again })
    }

    fn stop(self) {
        self.block.stop();
    }
}

#[commands]
impl<B: Block> BlockHost<B> {
    /// Somebody will read this output: the other end of `session`.
    pub fn attach(&mut self, output: String, session: Passed, cx: &mut Context<Self>) -> Result<(), String> {
        let attached = || -> Result<(), BoxError> {
            let session = Socket::from_owned(session.into_owned()?);
            if !self.cx.outputs.has(&output) {
                self.block.wanted(&output, &mut self.cx)?;
            }
            self.cx.outputs.attach(output.clone(), session)?;
            self.adopt_outputs(cx)
        };
        let attached = attached().map_err(|error| format!("could not {error}"));
        match &attached {
            Err(why) if self.refused.is_new(&output, why) => {
                tracing::warn!(output, "no reader: {why}; it is tried again now and then");
            }
            Err(_) => {}
            Ok(()) if self.refused.over(&output) => tracing::info!(output, "it has a reader now"),
            Ok(()) => {}
        }
        attached
    }

    /// There is something to read for this input, at the other end of `session`. A wire of the same input and label
    /// that was there before is replaced. With a cursor it goes on after the frame that this, or whoever was here before, has handled
    /// last.
    pub fn connect(
        &mut self,
        input: String,
        label: String,
        session: Passed,
        wish: Wish,
        cursor: Option<Passed>,
        cx: &mut Context<Self>,
    ) -> Result<(), String> {
        let joined = || -> Result<(Input, Option<Watch>), BoxError> {
            let session = Socket::from_owned(session.into_owned()?);
            let cursor = cursor.map(|cursor| Ok::<_, BoxError>(Cursor::open(cursor.into_owned()?)?)).transpose()?;
            let joined = Input::connect(input.clone(), label.clone(), session, cx.bell(), wish, cursor)?;
            let (input, label) = (input.clone(), label.clone());
            let watch = cx.watch(&joined.reader, move |host, cx| {
                host.hear(&input, &label, cx);
                Ok(())
            })?;
            Ok((joined, Some(watch)))
        };
        // Nobody waits for this answer: the supervisor doesn't wait for its children. So it is told here.
        let wire = format!("{input} {label}");
        let joined = joined().map_err(|error| format!("could not {error}")).inspect_err(|why| {
            if self.unjoined.is_new(&wire, why) {
                tracing::warn!(input, label, "no wire: {why}; it is tried again now and then");
            }
            cx.emit(&Said::Lost { input: input.clone(), label: label.clone() });
        })?;
        let (mut joined, watch) = joined;
        if self.unjoined.over(&wire) {
            tracing::info!(input, label, "the wire is joined now");
        }
        if let Some(former) = self.find(&input, &label) {
            let (former, watch) = self.inputs.swap_remove(former);
            watch.into_iter().for_each(|watch| cx.unwatch(watch));
            joined.follow(&former.ended());
        } else if let Some(former) = self.lost.iter().position(|lost| lost.port == input && lost.label == label) {
            joined.follow(&self.lost.swap_remove(former));
        }
        self.inputs.push((joined, watch));
        Ok(())
    }

    fn find(&self, port: &str, label: &str) -> Option<usize> {
        self.inputs.iter().position(|(input, _)| input.port == port && input.label == label)
    }

    /// A writer has said something.
    fn hear(&mut self, port: &str, label: &str, cx: &mut Context<Self>) {
        let Some(index) = self.find(port, label) else { return };
        let (input, watch) = &mut self.inputs[index];
        if !input.service() {
            self.lose(index, cx);
        } else if input.reader.has_ended() {
            // Watching what has hung up would wake us for ever. `turn` reads what is left, then lets go of the wire.
            watch.take().into_iter().for_each(|watch| cx.unwatch(watch));
        }
    }

    fn lose(&mut self, index: usize, cx: &mut Context<Self>) {
        let (input, watch) = self.inputs.swap_remove(index);
        tracing::debug!(input = input.port, label = input.label, "the wire is gone");
        watch.into_iter().for_each(|watch| cx.unwatch(watch));
        cx.emit(&Said::Lost { input: input.port.clone(), label: input.label.clone() });
        self.lost.retain(|lost| lost.port != input.port || lost.label != input.label);
        self.lost.push(input.ended());
    }

    fn adopt_outputs(&mut self, cx: &mut Context<Self>) -> Result<(), BoxError> {
        for name in self.cx.outputs.abandon() {
            self.entrances.remove(&name).into_iter().for_each(|watch| cx.unwatch(watch));
        }
        for NewOutput { name, port } in self.cx.outputs.adopt()? {
            let descriptor = port.descriptor()?;
            let watch = cx.watch(descriptor, move |_, _| {
                port.service();
                Ok(())
            })?;
            // One that was made again replaces its former self.
            self.entrances.insert(name, watch).into_iter().for_each(|former| cx.unwatch(former));
        }
        Ok(())
    }
}
