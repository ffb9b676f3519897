//! The process that is killed, and that waits for others that are.

use std::time::{Duration, Instant};

use process::{BoxError, Context, Process, commands};
use serde::{Deserialize, Serialize};
use shm::{
    arena::Arena,
    lock::{Barrier, BarrierError, Condition, Event, Lock, LockError, Value},
    queue::Queue,
};

/// How a handler says that it has begun, and who it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Begun {
    by: Value<i32>,
    event: Event,
}

impl Begun {
    pub fn create(arena: &Arena) -> Self {
        Self { by: Value::create(arena, 0).unwrap(), event: Event::create(arena).unwrap() }
    }

    fn say(&self) {
        self.by.set(std::process::id() as i32).unwrap();
        self.event.set().unwrap();
    }

    /// Waits until somebody says so, and gives who; the next one may then.
    pub fn wait(&self) -> i32 {
        self.event.wait_for(super::runner::LIMIT).unwrap();
        self.event.clear().unwrap();
        self.by.get().unwrap()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config;

pub struct Subject;

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Config;
    type Event = ();

    fn start(_config: Config, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Subject {
    pub fn square(&mut self, number: u64) -> u64 {
        number * number
    }

    pub fn reverse(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.reverse();
        bytes
    }

    pub fn panic(&mut self) -> u64 {
        panic!("on purpose")
    }

    /// Computes for ever.
    pub fn stay(&mut self, begun: Begun) -> u64 {
        begun.say();
        loop {
            std::hint::spin_loop();
        }
    }

    /// Waits until the gate is open.
    pub fn wait_for(&mut self, number: u64, begun: Begun, gate: Event) -> u64 {
        begun.say();
        gate.wait().unwrap();
        number
    }

    /// Takes the lock and keeps it.
    pub fn hold(&mut self, lock: Lock<u64>) {
        lock.lock().unwrap().keep();
    }

    /// Waits for the lock, and tells whether its owner died.
    pub fn take(&mut self, lock: Lock<u64>, begun: Begun) -> bool {
        begun.say();
        matches!(lock.lock(), Err(LockError::OwnerDied(_)))
    }

    /// Waits until the number is another one than this.
    pub fn await_change(&mut self, condition: Condition<u64>, from: u64) -> u64 {
        let mut guard = condition.lock().lock().unwrap();
        while *guard == from {
            guard = condition.wait(guard).unwrap();
        }
        *guard
    }

    /// Waits at the barrier for so long, and tells whether it broke.
    pub fn meet(&mut self, barrier: Barrier, milliseconds: u64) -> bool {
        matches!(barrier.wait_for(Duration::from_millis(milliseconds)), Err(BarrierError::Broken))
    }

    /// Waits for an item, for so long.
    pub fn get(&mut self, queue: Queue<u64>, milliseconds: u64, begun: Begun) -> Option<u64> {
        begun.say();
        queue.get_for(Duration::from_millis(milliseconds)).ok()
    }

    /// Takes an item and never says that it is done with it.
    pub fn keep_one(&mut self, queue: Queue<u64>, begun: Begun) {
        let _item = queue.get().unwrap();
        begun.say();
        loop {
            std::thread::park();
        }
    }

    /// Takes items and is done with each, until this one.
    pub fn work_off(&mut self, queue: Queue<u64>, last: u64) {
        while queue.get().unwrap() != last {
            queue.task_done().unwrap();
        }
        queue.task_done().unwrap();
    }

    /// Computes for so long.
    pub fn compute(&mut self, microseconds: u64) -> u64 {
        let end = Instant::now() + Duration::from_micros(microseconds);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        microseconds
    }
}
