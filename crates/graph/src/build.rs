//! A graph in the making: blocks and wires, in code.

use std::{marker::PhantomData, sync::Arc};

use process::{Restart, StartError, System};
use shm::{ring::Wish, status::StatusPage};

use crate::{Block, BlockHost, BlockHostHandle, InputPort, LostWire, OutputPort, Payload, Runtime};

pub(crate) type Start = Box<dyn FnOnce(&System) -> Result<BlockHostHandle, StartError>>;

/// Blocks and the wires between them, not started yet.
#[derive(Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Planned>,
    pub(crate) wires: Vec<Wire>,
}

pub(crate) struct Planned {
    pub name: String,
    pub start: Start,
}

/// From an output to an input, by the places of their blocks in the graph.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub from: (usize, &'static str),
    pub to: (usize, &'static str),
    pub label: String,
    pub wish: Wish,
}

/// A block of a graph.
#[derive(Debug)]
pub struct Node<B> {
    index: usize,
    block: PhantomData<fn() -> B>,
}

impl<B> Clone for Node<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Node<B> {}

impl Graph {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a block under a name that is unique in the graph. `page` is where it will say how it does.
    pub fn add<B: Block>(&mut self, name: &str, config: B::Config, restart: Restart, page: Arc<StatusPage>) -> Node<B> {
        let process_name = name.to_owned();
        let start: Start = Box::new(move |system| {
            let spawn = system.spawn::<BlockHost<B>>(config).name(process_name);
            spawn.restart(restart).status(page).start()
        });
        self.nodes.push(Planned { name: name.to_owned(), start });
        Node { index: self.nodes.len() - 1, block: PhantomData }
    }

    /// Joins an output to an input. The label tells the wires of one input apart: usually the camera's name.
    pub fn wire<A, B, T: Payload>(
        &mut self,
        from: (Node<A>, OutputPort<T>),
        to: (Node<B>, InputPort<T>),
        label: &str,
        wish: Wish,
    ) {
        let (from, to) = ((from.0.index, from.1.name()), (to.0.index, to.1.name()));
        self.wires.push(Wire { from, to, label: label.to_owned(), wish });
    }

    /// Starts all blocks, consumers before those that feed them.
    ///
    /// # Errors
    ///
    /// The first block that can't be started; those started before are stopped.
    ///
    /// `hear` is called when a block has lost a wire; it must not wait, and what it is given goes to
    /// [`Runtime::lost`].
    pub fn start(
        self,
        system: &System,
        hear: impl Fn(LostWire) + Clone + Send + 'static,
    ) -> Result<Runtime, StartError> {
        Runtime::start(self, system, &hear)
    }
}
