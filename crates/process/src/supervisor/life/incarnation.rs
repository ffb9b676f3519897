//! One life of a process: what exists between its start and its end.

use std::time::Instant;

use crate::{
    Exit,
    launch::Launched,
    memory_limit::LOOK_EVERY,
    supervisor::{Plan, output::Output},
};

pub(super) struct Incarnation {
    pub launched: Launched,
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
}

impl Incarnation {
    pub(super) fn new(launched: Launched, plan: &Plan, now: Instant) -> Self {
        Self {
            launched,
            output: Output::awaiting(plan.ready_line.clone()),
            last_words: None,
            last_panic: None,
            killed_for: None,
            hung_up: false,
            announced: false,
            look_at: plan.memory_limit.map(|_| now + LOOK_EVERY),
            stacks: Vec::new(),
            beat: (0, now),
            beat_at: None,
        }
    }
}
