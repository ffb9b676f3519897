//! There and back through a bare pair of SEQPACKET sockets.

use std::{io, thread, time::Duration};

use bench::{
    Outcome,
    contender::{Contender, Turn},
    cores::Placement,
    samples::now_ns,
};

use super::{BYTES, Raw, Role, die_with_parent, hear, tell};
use crate::crowd::pin_process;

/// How many messages are on their way to each process at once: more than that don't make it faster.
const WINDOW: u64 = 64;

/// One message after the other.
pub struct Echo(Raw);

/// Many at once, to two processes.
pub struct Pipelined([Raw; 2]);

impl Echo {
    pub fn start() -> Outcome<Self> {
        Ok(Self(Raw::start(Role::Echo)?))
    }
}

impl Contender for Echo {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        pin_process(self.0.child.id(), place.reader)?;
        let (mut samples, mut message) = (Vec::with_capacity(count as usize), [0; BYTES]);
        for number in 0..u64::from(count) {
            let start = now_ns();
            message[..8].copy_from_slice(&number.to_ne_bytes());
            self.0.tell(&message)?;
            self.0.hear(&mut message)?;
            samples.push((now_ns() - start) as f64);
            if message[..8] != number.to_ne_bytes() {
                return Err("pass a message there and back: it came back changed".into());
            }
        }
        Ok(Turn { samples, ..Turn::default() })
    }
}

impl Pipelined {
    pub fn start() -> Outcome<Self> {
        Ok(Self([Raw::start(Role::Echo)?, Raw::start(Role::Echo)?]))
    }
}

impl Contender for Pipelined {
    fn turn(&mut self, _place: Placement, count: u32) -> Outcome<Turn> {
        let (begun, mut left) = (now_ns(), u64::from(count));
        let mut message = [0; BYTES];
        while left > 0 {
            // As many come back as were sent, or the next turn would find them, and in time a full line.
            let asked = self.0.each_ref().map(|raw| {
                let share = WINDOW.min(left);
                left -= share;
                (raw, share)
            });
            for (raw, share) in asked {
                (0..share).try_for_each(|_| raw.tell(&message))?;
            }
            for (raw, share) in asked {
                (0..share).try_for_each(|_| raw.hear(&mut message).map(drop))?;
            }
        }
        let seconds = (now_ns() - begun) as f64 / 1e9;
        Ok(Turn { samples: vec![f64::from(count) / seconds], ..Turn::default() })
    }
}

/// The other side.
pub fn serve(role: Role) -> Outcome {
    die_with_parent()?;
    let line = io::stdin();
    match role {
        Role::Echo => {}
        Role::Idle => tell(&line, b"!")?,
        Role::Ticking => loop {
            thread::sleep(Duration::from_millis(100)); // sleep: it is the control
        },
    }
    let mut message = [0; BYTES];
    loop {
        match hear(&line, &mut message)? {
            0 => return Ok(()),
            count => tell(&line, &message[..count])?,
        }
    }
}
