//! A graph in the making: blocks and wires, in code.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use process::{Restart, Spawn, StartError, System};
use shm::{ring::Wish, status::StatusPage};

use crate::{Block, BlockHost, BlockHostHandle, Heard, InputPort, OutputPort, Payload, Runtime};

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

/// How a block is started.
pub(crate) enum Start {
    /// It is waited for, and without it there is no graph.
    Needed(Once),
    /// The others go on without it. It has so long to stop.
    Optional(Begin, Duration),
}

type Started = Result<BlockHostHandle, StartError>;

/// Starts a block, and waits for it.
type Once = Box<dyn FnOnce(&System) -> Started>;

/// Begins an optional block, as often as need be.
pub(crate) type Begin = Box<dyn Fn(&System) -> Started>;

/// From an output to an input, by the places of their blocks in the graph.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub from: (usize, String),
    pub to: (usize, String),
    pub label: String,
    pub wish: Wish,
    /// Whether whoever reads it next goes on where the reader before was.
    pub goes_on: bool,
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
        self.push(
            name,
            Start::Needed(Box::new(move |system| {
                let spawn = system.spawn::<BlockHost<B>>(config).name(process_name);
                spawn.restart(restart).status(page).start()
            })),
        )
    }

    /// Adds a block that the others can do without: nobody waits until it is ready, nobody minds if it never is, and it can be
    /// [renewed](Runtime::renew). `spawn` says what it is started with, each time; its name is `name`. It has `grace` to stop:
    /// it may have something to save.
    pub fn add_optional<B: Block>(
        &mut self,
        name: &str,
        grace: Duration,
        spawn: impl for<'s> Fn(&'s System) -> Spawn<'s, BlockHost<B>> + 'static,
    ) -> Node<B> {
        let process_name = name.to_owned();
        self.push(
            name,
            Start::Optional(
                Box::new(move |system| {
                    let starting = spawn(system).name(process_name.clone()).begin()?;
                    Ok(BlockHostHandle::from(starting.handle().clone()))
                }),
                grace,
            ),
        )
    }

    fn push<B>(&mut self, name: &str, start: Start) -> Node<B> {
        self.nodes.push(Planned { name: name.to_owned(), start });
        Node { index: self.nodes.len() - 1, block: PhantomData }
    }

    /// Joins an output to an input. The label tells the wires of one input apart: usually the camera's name. If the reading
    /// block [wishes](crate::BlockContext::wish) for a variant of the output, it gets that.
    pub fn wire<A, B, T: Payload>(
        &mut self,
        from: (Node<A>, OutputPort<T>),
        to: (Node<B>, InputPort<T>),
        label: &str,
        wish: Wish,
    ) {
        self.push_wire(from, to, label, wish, false);
    }

    /// As [`wire`](Self::wire), for frames that each mean something by itself and shall be handled once: if the reader dies, its
    /// successor goes on after the frame that was handled last, in place of the oldest that is kept. What was being handled just then
    /// comes once more.
    pub fn wire_that_goes_on<A, B, T: Payload>(
        &mut self,
        from: (Node<A>, OutputPort<T>),
        to: (Node<B>, InputPort<T>),
        label: &str,
        wish: Wish,
    ) {
        self.push_wire(from, to, label, wish, true);
    }

    fn push_wire<A, B, T: Payload>(
        &mut self,
        from: (Node<A>, OutputPort<T>),
        to: (Node<B>, InputPort<T>),
        label: &str,
        wish: Wish,
        goes_on: bool,
    ) {
        let (from, to) = ((from.0.index, from.1.name().to_owned()), (to.0.index, to.1.name().to_owned()));
        self.wires.push(Wire { from, to, label: label.to_owned(), wish, goes_on });
    }

    /// Starts all blocks, consumers before those that feed them.
    ///
    /// # Errors
    ///
    /// The first block that can't be started and isn't optional; those started before are stopped.
    ///
    /// `hear` is called when a block has said something; it must not wait, and what it is given goes to
    /// [`Runtime::hear`].
    pub fn start(self, system: &System, hear: impl Fn(Heard) + Send + Sync + 'static) -> Result<Runtime, StartError> {
        Runtime::start(self, system, Arc::new(hear))
    }
}
