//! Reads a ring at an address, whoever writes it, and says how late each frame was: one line of microseconds for each.
//!
//! `cargo run --release -p framewire-python --example follow -- @ADDRESS` while a Python program writes there
//! (`writer.serve("@ADDRESS")`). `python/bench/frames.py` measures with it what a reader in Rust has, beside one in Python. Before the
//! first frame it prints `joined`; it ends when the writer does.

use std::{error::Error, time::Duration};

use shm::{
    clock::monotonic_ns,
    ring::{Address, Allow, Policy, ReadError, Ring, Wish},
};

fn main() -> Result<(), Box<dyn Error>> {
    let address: Address = std::env::args().nth(1).ok_or("usage: follow ADDRESS")?.parse()?;
    let wish = Wish { policy: Policy::DropOldest { depth: 4 }, leases: 2 };
    let mut reader = Ring::connect(&address, Allow::SameUser, wish, Duration::from_secs(10))?;
    println!("joined");
    let mut late_us = Vec::new();
    loop {
        match reader.next_for(Duration::from_secs(60)) {
            Ok(Some(frame)) => {
                let now = i64::try_from(monotonic_ns())?;
                late_us.push((now - frame.info().captured_ns) as f64 / 1000.0);
            }
            Ok(None) => return Err("follow: nothing came within a minute".into()),
            Err(ReadError::WriterGone) => break,
            Err(error) => return Err(error.into()),
        }
    }
    late_us.iter().for_each(|late| println!("{late:.1}"));
    Ok(())
}
