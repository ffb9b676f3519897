//! A graph at work: who is ready, and which wires to join now.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use process::{BoxError, Change, StartError, State, System};
use shm::{
    cursor::Cursor,
    wire::{Passed, Socket},
};

use crate::{
    BlockHostHandle, Graph, Said,
    build::{Begin, Planned, Start, Wire},
    port::variant_of,
    rejoin::Rejoins,
};

/// How long the blocks of one level have to stop, but for optional ones. A graph is some five levels deep, and all of it shall be
/// gone within two seconds, also if every single block hangs.
const GRACE: Duration = Duration::from_millis(350);

/// What the runtime is to hear of a block.
#[derive(Clone, Debug)]
pub struct Heard {
    node: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Said(Said),
    /// It was stopped, to be started anew.
    Stopped,
}

/// Whoever passes on what is heard.
type Hear = Arc<dyn Fn(Heard) + Send + Sync>;

/// A running graph.
pub struct Runtime {
    system: System,
    nodes: Vec<Running>,
    wires: Vec<Wire>,
    /// Of wires that go on: how far their readers are. Made when they are joined first.
    cursors: HashMap<usize, Cursor>,
    /// Wires to be joined anew.
    rejoins: Rejoins,
    hear: Hear,
}

struct Running {
    name: String,
    /// `None`: an optional one that couldn't even be begun.
    handle: Option<BlockHostHandle>,
    ready: bool,
    /// How it is started again; optional ones only.
    begin: Option<Begin>,
    /// How long it has to stop.
    grace: Duration,
    renewing: bool,
    /// For inputs by name: which variant of the output that feeds it.
    wishes: HashMap<String, String>,
}

impl Runtime {
    pub(crate) fn start(graph: Graph, system: &System, hear: Hear) -> Result<Self, StartError> {
        let Graph { nodes, wires } = graph;
        let levels = levels(nodes.len(), &wires);
        let mut order: Vec<(usize, Planned)> = nodes.into_iter().enumerate().collect();
        order.sort_by_key(|(index, _)| std::cmp::Reverse(levels[*index]));
        let mut started: Vec<(usize, Running)> = Vec::new();
        for (index, Planned { name, start }) in order {
            let mut running = Running::new(name);
            match start {
                Start::Needed(start) => match start(system) {
                    Ok(handle) => running.begun(index, handle, &hear),
                    Err(error) => {
                        let names: Vec<&str> = started.iter().map(|(_, running)| running.name.as_str()).collect();
                        system.stop(&names, GRACE);
                        return Err(error);
                    }
                },
                Start::Optional(begin, grace) => {
                    (running.begin, running.grace) = (Some(begin), grace);
                    running.begin(index, system, &hear);
                }
            }
            started.push((index, running));
        }
        started.sort_by_key(|(index, _)| *index);
        let nodes = started.into_iter().map(|(_, running)| running).collect();
        Ok(Self { system: system.clone(), nodes, wires, cursors: HashMap::new(), rejoins: Rejoins::default(), hear })
    }

    /// Follows a change of some process, of those that [`System::changes`] told since before the start: a block that
    /// has become ready gets its wires, and so do those at their other ends.
    pub fn follow(&mut self, change: &Change) {
        let Some(index) = self.nodes.iter().position(|node| node.name == change.name) else { return };
        self.nodes[index].ready = change.state == State::Ready;
        if !self.nodes[index].ready {
            return;
        }
        let touches = |wire: &Wire| wire.from.0 == index || wire.to.0 == index;
        let touched: Vec<usize> = (0..self.wires.len()).filter(|wire| touches(&self.wires[*wire])).collect();
        for wire in touched {
            self.rejoins.renewed(wire);
            self.join_if_ready(wire);
        }
    }

    /// Takes note of what a block has said. If it has lost a wire whose writer died, that is joined when the writer is back; if
    /// both ends live, in a moment.
    pub fn hear(&mut self, Heard { node, what }: Heard) {
        match what {
            What::Said(Said::Wishes { input, variant }) => {
                self.nodes[node].wishes.insert(input, variant);
            }
            What::Said(Said::Lost { input, label }) => {
                let is_it = |wire: &Wire| wire.to.0 == node && wire.to.1 == input && wire.label == label;
                let Some(wire) = self.wires.iter().position(is_it) else { return };
                self.rejoins.lost(wire, Instant::now());
            }
            What::Stopped => {
                self.nodes[node].renewing = false;
                self.nodes[node].begin(node, &self.system, &self.hear);
            }
        }
    }

    /// Stops an [optional](Graph::add_optional) block and starts it anew, with what it is started with now; also one that
    /// has failed. It returns at once; the others go on.
    pub fn renew(&mut self, name: &str) {
        let Some(index) = self.nodes.iter().position(|node| node.name == name && node.begin.is_some()) else { return };
        let (node, hear) = (&mut self.nodes[index], self.hear.clone());
        // One that is on its way down will be started with what is there then.
        if std::mem::replace(&mut node.renewing, true) {
            return;
        }
        let (handle, grace) = (node.handle.take(), node.grace);
        // Its stop is waited for elsewhere: here, wires of others are to be joined.
        let stopping = thread::Builder::new().name("renew".to_owned()).spawn(move || {
            handle.into_iter().for_each(|handle| handle.stop(grace));
            hear(Heard { node: index, what: What::Stopped });
        });
        if let Err(error) = stopping {
            node.renewing = false;
            tracing::error!(process = name, "could not stop it, to start it anew: {error}");
        }
    }

    /// When [`on_time`](Self::on_time) is to be called next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.rejoins.next()
    }

    /// Joins the wires whose time has come.
    pub fn on_time(&mut self) {
        self.rejoins.take_due(Instant::now()).into_iter().for_each(|wire| self.join_if_ready(wire));
    }

    fn join_if_ready(&mut self, index: usize) {
        let wire = &self.wires[index];
        let (from, to) = (&self.nodes[wire.from.0], &self.nodes[wire.to.0]);
        if from.ready && to.ready {
            let cursor = wire.goes_on.then(|| cursor(&mut self.cursors, index)).transpose();
            if let Err(error) = cursor.and_then(|cursor| join(wire, from, to, cursor)) {
                tracing::error!(from = from.name, to = to.name, "could not join a wire: {error}");
            }
            self.rejoins.joined(index);
        }
    }

    /// Stops all blocks in order: those that feed others first, and of one level the optional ones last, which may take longer.
    /// Returns when all are gone, at most some seconds later.
    pub fn stop(self) {
        let levels = levels(self.nodes.len(), &self.wires);
        let deepest = levels.iter().max().copied().unwrap_or_default();
        for level in 0..=deepest {
            let here = self.nodes.iter().zip(&levels).filter(|(_, its)| **its == level).map(|(node, _)| node);
            let (optional, needed): (Vec<&Running>, Vec<&Running>) = here.partition(|node| node.begin.is_some());
            for nodes in [needed, optional] {
                let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
                let grace = nodes.iter().map(|node| node.grace).max();
                grace.into_iter().for_each(|grace| self.system.stop(&names, grace));
            }
        }
    }
}

impl Running {
    fn new(name: String) -> Self {
        let wishes = HashMap::new();
        Self { name, handle: None, ready: false, begin: None, grace: GRACE, renewing: false, wishes }
    }

    fn begin(&mut self, index: usize, system: &System, hear: &Hear) {
        let Some(begin) = &self.begin else { return };
        match begin(system) {
            Ok(handle) => self.begun(index, handle, hear),
            Err(error) => tracing::error!(process = self.name, "could not {error}"),
        }
    }

    fn begun(&mut self, index: usize, handle: BlockHostHandle, hear: &Hear) {
        let hear = hear.clone();
        handle.on_event(move |said| hear(Heard { node: index, what: What::Said(said) }));
        self.handle = Some(handle);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        f.debug_struct("Runtime").field("nodes", &names).field("wires", &self.wires).finish_non_exhaustive()
    }
}

/// Hands each side one end of a new session. If either dies meanwhile, it is joined anew when it is back.
fn join(wire: &Wire, from: &Running, to: &Running, cursor: Option<Passed>) -> Result<(), BoxError> {
    let (Some(writer), Some(reader)) = (&from.handle, &to.handle) else { return Ok(()) };
    let (writing, reading) = Socket::pair()?;
    let (writing, reading) = (Passed::new(writing.into_owned()), Passed::new(reading.into_owned()));
    let (output, input) = (&wire.from.1, &wire.to.1);
    let output = to.wishes.get(input).map_or_else(|| output.clone(), |variant| variant_of(output, variant));
    writer.attach(output, writing).detach();
    reader.connect(input.clone(), wire.label.clone(), reading, wire.wish, cursor).detach();
    Ok(())
}

/// A descriptor of how far the reader of a wire is.
fn cursor(cursors: &mut HashMap<usize, Cursor>, wire: usize) -> Result<Passed, BoxError> {
    let cursor = match cursors.entry(wire) {
        Entry::Occupied(made) => made.into_mut(),
        Entry::Vacant(place) => place.insert(Cursor::create()?),
    };
    Ok(cursor.share()?)
}

/// How far each block is from a source: 0 if nothing feeds it.
fn levels(nodes: usize, wires: &[Wire]) -> Vec<usize> {
    let mut levels = vec![0; nodes];
    // A graph without cycles settles within as many rounds as it has blocks; one with a cycle is cut there.
    for _ in 0..nodes {
        for wire in wires {
            levels[wire.to.0] = levels[wire.to.0].max((levels[wire.from.0] + 1).min(nodes));
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use shm::ring::{Policy, Wish};

    use super::*;

    fn wire(from: usize, to: usize) -> Wire {
        let wish = Wish { policy: Policy::Latest, leases: 1 };
        Wire { from: (from, "out".to_owned()), to: (to, "in".to_owned()), label: String::new(), wish, goes_on: false }
    }

    #[test]
    fn a_consumer_is_deeper_than_all_that_feed_it() {
        let wires = [wire(2, 3), wire(0, 1), wire(1, 2), wire(0, 3)];
        assert_eq!(levels(5, &wires), [0, 1, 2, 3, 0]);
    }

    #[test]
    fn a_cycle_ends() {
        assert_eq!(levels(2, &[wire(0, 1), wire(1, 0)]).len(), 2);
    }
}
