//! How many small items a second go from one process to another.
use shm::{
    arena::Arena,
    queue::{Queue, QueueOptions},
    wire::{Packet, Socket},
};
use std::{
    os::fd::AsFd,
    process::{Command, Stdio},
    time::Instant,
};
fn main() {
    let n: u64 = 5_000_000;
    if std::env::args().nth(1).is_some() {
        let socket = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        let queue: Queue<u64> = socket.receive().unwrap().decode().unwrap();
        let mut sum = 0u64;
        for _ in 0..n {
            sum += queue.get().unwrap();
        }
        socket.send(&Packet::encode(&sum).unwrap()).unwrap();
        return;
    }
    let options = QueueOptions::default();
    let arena = Arena::create(options.bytes().unwrap()).unwrap();
    let queue: Queue<u64> = Queue::create(&arena, options).unwrap();
    let began = Instant::now();
    for i in 0..n {
        queue.put(i).unwrap();
        assert_eq!(queue.get().unwrap(), i);
    }
    println!(
        "one thread: {:.1} M/s, {:.0} ns put+get",
        n as f64 / began.elapsed().as_secs_f64() / 1e6,
        began.elapsed().as_nanos() as f64 / n as f64
    );
    if std::env::var_os("ONE").is_some() {
        return;
    }
    for _ in 0..3 {
        let (ours, theirs) = Socket::pair().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("x")
            .stdin(Stdio::from(theirs.into_owned()))
            .spawn()
            .unwrap();
        ours.send(&Packet::encode(&queue).unwrap()).unwrap();
        queue.put(0).unwrap();
        queue.join().unwrap();
        let began = Instant::now();
        for i in 1..n {
            queue.put(i).unwrap();
        }
        let sum: u64 = ours.receive().unwrap().decode().unwrap();
        let took = began.elapsed().as_secs_f64();
        assert_eq!(sum, n * (n - 1) / 2);
        child.wait().unwrap();
        println!("two processes: {:.2} M/s ({:.0} ns)", n as f64 / took / 1e6, took * 1e9 / n as f64);
    }
}
