//! How many small items a second a queue carries: within one thread, from one process to another, and with a descriptor in each.
//!
//! `cargo run --release -p framewire-shm --example queue_rate`

use std::{
    error::Error,
    os::fd::AsFd,
    process::{Command, Stdio},
    time::Instant,
};

use shm::{
    arena::Arena,
    queue::{Queue, QueueOptions},
    wire::{Packet, Passed, Socket},
};

const ITEMS: u64 = 3_000_000;
const TIMES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some_and(|role| role == "consume") {
        return consume();
    }
    let options = QueueOptions::default();
    let arena = Arena::create(options.bytes()?)?;
    let queue: Queue<u64> = Queue::create(&arena, options)?;
    let began = Instant::now();
    for number in 0..ITEMS {
        queue.put(number)?;
        queue.get()?;
    }
    report("one thread, put and get", began, ITEMS);
    for _ in 0..TIMES {
        to_a_process(&queue)?;
    }
    with_descriptors()
}

fn with_descriptors() -> Result<(), Box<dyn Error>> {
    const ITEMS: u64 = 200_000;
    let options = QueueOptions { descriptor_slots: 2, ..QueueOptions::default() };
    let arena = Arena::create(options.bytes()?)?;
    let queue: Queue<Passed> = Queue::create(&arena, options)?;
    let file = Passed::new(std::io::stdin().as_fd().try_clone_to_owned()?);
    let began = Instant::now();
    for _ in 0..ITEMS {
        queue.put(file.clone())?;
        queue.get()?;
    }
    report("one thread, put and get, with a descriptor", began, ITEMS);
    Ok(())
}

fn to_a_process(queue: &Queue<u64>) -> Result<(), Box<dyn Error>> {
    let (ours, theirs) = Socket::pair()?;
    let mut child =
        Command::new(std::env::current_exe()?).arg("consume").stdin(Stdio::from(theirs.into_owned())).spawn()?;
    ours.send(&Packet::encode(queue)?)?;
    queue.put(0)?;
    queue.join()?; // it is up
    let began = Instant::now();
    for number in 1..ITEMS {
        queue.put(number)?;
    }
    let sum: u64 = ours.receive()?.decode()?;
    report("two processes", began, ITEMS);
    assert_eq!(sum, ITEMS * (ITEMS - 1) / 2, "lost or doubled");
    child.wait()?;
    Ok(())
}

fn consume() -> Result<(), Box<dyn Error>> {
    let socket = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned()?);
    let queue: Queue<u64> = socket.receive()?.decode()?;
    let mut sum = 0;
    for _ in 0..ITEMS {
        sum += queue.get()?;
    }
    socket.send(&Packet::encode(&sum)?)?;
    Ok(())
}

fn report(what: &str, began: Instant, items: u64) {
    let took = began.elapsed();
    let each = took.as_nanos() as f64 / items as f64;
    println!("{what}: {:.2} million a second, {each:.0} ns each", 1e3 / each);
}
