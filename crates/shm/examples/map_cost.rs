//! What a map's operations cost beside its lock alone: `cargo run --release -p framewire-shm --example map_cost`.

use std::{hint::black_box, time::Instant};

use shm::{
    arena::Arena,
    lock::Lock,
    map::{Map, MapOptions},
};

const ROUNDS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arena = Arena::create(1 << 16)?;
    let lock = Lock::create(&arena, 0u64)?;
    let map = Map::create(&arena, MapOptions::default())?;
    let many = Map::create(&arena, MapOptions::default())?;
    let keys: Vec<String> = (0..10_000).map(|number| format!("key {number}")).collect();
    for key in &keys {
        many.set(key, &[7; 64])?;
    }
    map.set("key", &[7; 64])?;
    for _ in 0..3 {
        measure("a lock alone", |_| drop(black_box(&lock).lock()));
        measure("get 64 B", |_| assert!(black_box(&map).get("key").is_ok()));
        measure("set 64 B", |turn| assert!(black_box(&map).set("key", &[turn as u8; 64]).is_ok()));
        measure("get 64 B of 10,000", |turn| assert!(many.get(&keys[turn as usize % keys.len()]).is_ok()));
        measure("set 64 B of 10,000", |turn| {
            assert!(many.set(&keys[turn as usize % keys.len()], &[turn as u8; 64]).is_ok());
        });
    }
    let large = vec![7; 1 << 20];
    measure_for(1000, "set 1 MiB", |_| assert!(map.set("large", &large).is_ok()));
    measure_for(1000, "get 1 MiB", |_| assert!(map.get("large").is_ok()));
    Ok(())
}

fn measure(what: &str, operation: impl Fn(u32)) {
    measure_for(ROUNDS, what, operation);
}

fn measure_for(rounds: u32, what: &str, operation: impl Fn(u32)) {
    let began = Instant::now();
    for turn in 0..rounds {
        operation(turn);
    }
    println!("{what}: {:.1} ns", began.elapsed().as_nanos() as f64 / f64::from(rounds));
}
