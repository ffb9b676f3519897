//! What is looked at while a process works: its heartbeat and its memory.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shm::status::Number;

use super::{Child, KILL_AGAIN_AFTER};
use crate::{
    Exit,
    memory_limit::{self, LOOK_EVERY},
    supervisor::{orders::Orders, stacks},
};

/// An unresponsive process is killed after this even if its stacks can't be read: its successor waits.
const STACKS_WITHIN: Duration = Duration::from_millis(500);

impl Child {
    pub(super) fn look_at_memory(&mut self, slot: u64, now: Instant) {
        let limit_bytes = self.plan.memory_limit;
        let Some(incarnation) = self.at(slot) else { return };
        incarnation.look_at = Some(now + LOOK_EVERY);
        incarnation.memory_bytes = memory_limit::private_bytes(incarnation.launched.pid.as_raw_pid());
        if let (Some(limit_bytes), Some(has)) = (limit_bytes, incarnation.memory_bytes)
            && has > limit_bytes
        {
            incarnation.killed_for = Some(Exit::OutOfMemory { limit_bytes });
            incarnation.launched.signal(Signal::KILL);
        }
    }

    pub(super) fn look_at_heart(&mut self, id: u64, orders: &Orders, now: Instant) {
        let Some(limit) = self.plan.responsive_within else { return };
        let beat = self.plan.status.view().get(Number::Heartbeat);
        let may_wait = self.plan.connection.events.holds_up(self.working);
        let taken = self.plan.status.view().get(Number::CallsTaken);
        let has_something_to_do = beat % 2 == 1 || self.plan.connection.has_untaken(taken);
        let Some(incarnation) = self.incarnation() else { return };
        if incarnation.killed_for == Some(Exit::Unresponsive) {
            // Its stacks are late.
            incarnation.beat_at = Some(now + KILL_AGAIN_AFTER);
            return incarnation.launched.signal(Signal::KILL);
        }
        if beat != incarnation.beat.0 || !has_something_to_do || may_wait {
            incarnation.beat = (beat, now);
        }
        incarnation.beat_at = Some(now + look_every(limit));
        if now.duration_since(incarnation.beat.1) >= limit {
            incarnation.killed_for = Some(Exit::Unresponsive);
            incarnation.beat_at = Some(now + STACKS_WITHIN);
            // Reading them can take a while, as whatever holds the process up may hold up who looks: not here.
            let asked = stacks::read(id, &incarnation.launched, orders.clone());
            if asked.is_err() {
                incarnation.launched.signal(Signal::KILL);
            }
        }
    }

    /// What the threads of an unresponsive process are at: now it can go.
    pub(in crate::supervisor) fn has_stacks(&mut self, pid: i32, lines: Vec<String>) {
        for slot in [self.slot, self.slot ^ 1] {
            let incarnation = self.at(slot).filter(|incarnation| incarnation.launched.pid.as_raw_pid() == pid);
            if let Some(incarnation) = incarnation {
                incarnation.stacks = lines;
                return incarnation.launched.signal(Signal::KILL);
            }
        }
    }
}

/// How often a heartbeat is looked at: so that the limit is kept by a quarter.
pub(super) fn look_every(limit: Duration) -> Duration {
    (limit / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}
