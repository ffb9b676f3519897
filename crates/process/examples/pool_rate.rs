//! How many tasks a second a pool does, for tasks of several lengths. Beside it: CPython's `multiprocessing.Pool`.
//!
//! `cargo run --release -p framewire-process --example pool_rate [WORKERS]`

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use process::{BoxError, Context, Process, Program, System, commands};

struct Worker;

impl Process for Worker {
    const KIND: &'static str = "worker";
    type Config = ();
    type Event = ();

    fn start(_config: (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Worker {
    /// The next number, after so many microseconds of computing.
    pub fn next(&mut self, number: u64, microseconds: u64) -> u64 {
        if microseconds > 0 {
            let end = Instant::now() + Duration::from_micros(microseconds);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        }
        number + 1
    }

    /// As many bytes as it was given.
    pub fn echo(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

fn main() -> ExitCode {
    Program::new().process::<Worker>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let workers = std::env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let pool = system.pool::<Worker>(workers, |_| ())?;
    for microseconds in [0, 10, 100, 1000] {
        let count = if microseconds == 0 { 1_000_000 } else { 1_000_000 / microseconds.max(10) };
        let rate = best(count, || {
            let results = pool.map(0..count, |worker, number| worker.next(number, microseconds))?;
            results.into_iter().enumerate().try_for_each(|(number, result)| {
                if result? == number as u64 + 1 { Ok(()) } else { Err(BoxError::from("count")) }
            })
        })?;
        println!("map, unchunked, tasks of {microseconds:4} µs: {rate:9.0} a second");
    }
    let rate = best(1_000_000, || {
        let mut results = pool.imap_unordered(0..1_000_000, |worker, number| worker.next(number, 0))?;
        results.try_for_each(|result| result.map(drop).map_err(BoxError::from))
    })?;
    println!("imap_unordered, tasks of 0 µs: {rate:9.0} a second");
    let rate = best(20_000, || {
        (0..20_000).try_for_each(|number| pool.apply(|worker| worker.next(number, 0)).map(drop).map_err(BoxError::from))
    })?;
    println!("apply, one after the other: {:.1} µs each", 1e6 / rate);
    let rate = best(20, || {
        let results = pool.map(0..20, |worker, _| worker.echo(vec![1; 10 << 20]))?;
        results.into_iter().try_for_each(|result| result.map(drop).map_err(BoxError::from))
    })?;
    println!("10 MiB there and back: {:.0} MiB/s", rate * 20.0);
    Ok(())
}

/// The best of three, as tasks a second.
fn best(count: u64, mut run: impl FnMut() -> Result<(), BoxError>) -> Result<f64, BoxError> {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        run()?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(count as f64 / best)
}
