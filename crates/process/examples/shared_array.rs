//! Numbers that several processes write at once: an array in shared memory, with the lock that belongs to it.
//!
//! `cargo run -p framewire-process --example shared_array`

use std::process::ExitCode;

use process::{BoxError, Context, Process, Program, System, commands};
use shm::{
    arena::Arena,
    lock::{Array, LockError},
};

const LENGTH: usize = 8;

/// Adds to numbers that it shares with others.
struct Adder {
    numbers: Array<u64>,
}

impl Process for Adder {
    const KIND: &'static str = "adder";
    /// The array itself travels: not a copy, but the memory, by its descriptor.
    type Config = Array<u64>;
    type Event = ();

    fn start(numbers: Array<u64>, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self { numbers })
    }
}

#[commands]
impl Adder {
    /// Adds 1 to each number, so many times.
    pub fn add(&mut self, times: u32) -> Result<(), String> {
        for _ in 0..times {
            // Locked until the guard goes. Nobody else writes meanwhile, in no process.
            let mut numbers = self.numbers.lock().map_err(|error| error.to_string())?;
            numbers.iter_mut().for_each(|number| *number += 1);
        }
        Ok(())
    }

    /// Begins to add, and is killed in the middle of it.
    pub fn die_halfway(&mut self) {
        let mut numbers = self.numbers.lock().unwrap_or_else(|_| panic!("nobody has died yet"));
        numbers[..LENGTH / 2].iter_mut().for_each(|number| *number += 1);
        std::process::abort();
    }
}

fn main() -> ExitCode {
    Program::new().process::<Adder>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    // All that is shared lives in an arena. It has no name, and is gone with the last process that has it.
    let arena = Arena::create(64 * 1024)?;
    let numbers = Array::create(&arena, LENGTH, 0u64)?;
    let adder = |index| system.spawn::<Adder>(numbers.clone()).name(format!("adder.{index}")).start();
    let adders = (0..4).map(adder).collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        for adder in &adders {
            scope.spawn(|| adder.add(1000).wait());
        }
    });
    println!("{:?}", &numbers.lock().map_err(LockError::without_guard)?[..]);

    // Whoever comes after one that died with the lock is told, and decides what the numbers are worth.
    let told = adders[0].die_halfway().wait();
    println!("{}", told.err().map_or_else(String::new, |error| error.to_string()));
    match numbers.lock() {
        Err(LockError::OwnerDied(mut numbers)) => {
            println!("half done: {:?}", &numbers[..]);
            let least = numbers.iter().copied().min().unwrap_or_default();
            numbers.fill(least);
            numbers.mark_consistent();
        }
        _ => println!("unexpected: nobody has died"),
    }
    adders[1].add(1).wait()??;
    println!("in order again: {:?}", &numbers.lock().map_err(LockError::without_guard)?[..]);
    Ok(())
}
