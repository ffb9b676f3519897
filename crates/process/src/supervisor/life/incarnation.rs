//! One life of a process: what exists between its start and its end.

use std::time::Instant;

use rustix::process::Signal;

use super::chance;
use crate::{
    Exit, Recycle,
    cgroup::Leaf,
    launch::Launched,
    memory_limit::LOOK_EVERY,
    supervisor::{
        Plan,
        output::{Output, Stream},
        watch::{Watcher, What},
    },
};

/// A process whose main function was left by a panic.
const PANICKED: i32 = 101;
/// What a process ends by that finds no memory, and one whose memory the kernel takes back.
const ABORTED: Exit = Exit::Signal(6);
const KILLED: Exit = Exit::Signal(9);

pub(super) struct Incarnation {
    /// It is the how many-th of its process.
    pub number: u64,
    /// When it was launched.
    pub begun: Instant,
    pub launched: Launched,
    /// Its control group, where there are such.
    pub group: Option<Leaf>,
    pub output: Output,
    /// What it said of its end before it came.
    pub last_words: Option<Exit>,
    pub last_panic: Option<String>,
    /// Why we killed it.
    pub killed_for: Option<Exit>,
    /// It closed its line first, and was killed for that.
    pub hung_up: bool,
    /// A foreign program that is about to become one: its line closes when it has.
    pub announced: bool,
    /// When its memory is looked at next.
    pub look_at: Option<Instant>,
    pub stacks: Vec<String>,
    /// Its heartbeat as it was seen first, and when.
    pub beat: (u64, Instant),
    /// When its heartbeat is looked at next, or, once it was found unresponsive, when it is killed at the latest.
    pub beat_at: Option<Instant>,
    /// Its private memory, when it was looked at last.
    pub memory_bytes: Option<u64>,
    /// A random number from 0 to 1 of its own.
    pub chance: f64,
}

impl Incarnation {
    pub(super) fn new(number: u64, launched: Launched, group: Option<Leaf>, plan: &Plan, now: Instant) -> Self {
        let is_kept = group.as_ref().is_some_and(|group| group.limit_bytes().is_some());
        let is_looked_at =
            plan.memory_limit.is_some_and(|_| !is_kept) || plan.recycle.is_some_and(Recycle::looks_at_memory);
        Self {
            number,
            begun: now,
            launched,
            group,
            output: Output::awaiting(plan.ready_line.clone()),
            last_words: None,
            last_panic: None,
            killed_for: None,
            hung_up: false,
            announced: false,
            look_at: is_looked_at.then(|| now + LOOK_EVERY),
            stacks: Vec::new(),
            beat: (0, now),
            beat_at: None,
            memory_bytes: None,
            chance: chance(),
        }
    }

    /// Its line is of no use any more.
    pub(super) fn hang_up(&mut self, watcher: &mut Watcher) {
        watcher.remove_one(What::Message, &self.launched);
        self.hung_up = true;
        self.launched.signal(Signal::KILL);
    }

    /// Takes what is left of one that has ended: how it did, and what it wrote last.
    pub(super) fn bury(mut self, plan: &Plan, watcher: &mut Watcher) -> (Exit, Vec<String>) {
        let name = &plan.blueprint.name;
        self.output.finish(name, Stream::Stdout, &self.launched.stdout);
        self.output.finish(name, Stream::Stderr, &self.launched.stderr);
        watcher.remove(&self.launched);
        let exit = match (self.launched.reap(), self.last_panic, self.last_words) {
            (exit, ..) if self.killed_for.is_some() => self.killed_for.unwrap_or(exit),
            (Exit::Code(PANICKED), Some(panic), _) => Exit::Panic(panic),
            (Exit::Code(_), _, Some(last_words)) => last_words,
            // Our signal overtook its own end.
            (Exit::Signal(_), _, Some(last_words)) if self.hung_up => last_words,
            (exit, ..) => exit,
        };
        watcher.orphans.of(self.launched.pid);
        // Its own words last: they say more, and where there is little room the end is what is shown.
        let mut lines = self.stacks;
        lines.append(&mut self.output.take_last());
        let exit = match (exit, plan.memory_limit) {
            (ABORTED, Some(limit_bytes)) if self.output.wanted_memory() => Exit::OutOfMemory { limit_bytes },
            // Whichever process in it the kernel chose.
            (KILLED, Some(limit_bytes)) if self.group.as_ref().is_some_and(Leaf::was_out_of_memory) => {
                Exit::OutOfMemory { limit_bytes }
            }
            (exit, _) => exit,
        };
        if let (Some(tree), Some(group)) = (&plan.tree, self.group) {
            tree.bury(group);
        }
        (exit, lines)
    }
}
