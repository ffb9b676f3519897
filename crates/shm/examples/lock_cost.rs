//! What an uncontended lock and unlock costs: `cargo run --release -p framewire-shm --example lock_cost`.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use shm::{arena::Arena, lock::Lock};

const ROUNDS: u32 = 10_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arena = Arena::create(1 << 20)?;
    let lock = Lock::create(&arena, 0u64)?;
    let mutex = std::sync::Mutex::new(0u64);
    let word = AtomicU32::new(0);
    for _ in 0..3 {
        measure("shm::lock::Lock", || {
            if let Ok(mut guard) = black_box(&lock).lock() {
                *guard += 1;
            }
        });
        measure("std::sync::Mutex", || {
            if let Ok(mut guard) = black_box(&mutex).lock() {
                *guard += 1;
            }
        });
        measure("two compare-and-swaps", || {
            let word = black_box(&word);
            let _ = word.compare_exchange(0, 5, Ordering::Acquire, Ordering::Relaxed);
            let _ = word.compare_exchange(5, 0, Ordering::Release, Ordering::Relaxed);
        });
    }
    Ok(())
}

fn measure(what: &str, operation: impl Fn()) {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        operation();
    }
    println!("{what}: {:.1} ns", began.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
}
