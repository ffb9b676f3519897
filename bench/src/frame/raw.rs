//! The same copy and the same sum without a ring.

use std::sync::{Arc, Mutex, PoisonError};

use super::{BYTES, Times, sum};
use crate::{
    Outcome,
    cores::Core,
    doorbells::{Doorbells, ring, wait},
    samples::now_ns,
};

/// One thread that writes and then reads. Two buffers in turn, as a ring of depth 1 has.
pub struct Alone([Vec<u8>; 2]);

impl Alone {
    pub fn new() -> Self {
        Self([vec![0; BYTES], vec![0; BYTES]])
    }

    pub fn pass(&mut self, picture: &[u8], index: usize) -> (Times, u64) {
        let start = now_ns();
        self.0[index].copy_from_slice(picture);
        let written = now_ns();
        let sum = sum(&self.0[index]);
        (Times { start, written, had: written, read: now_ns() }, sum)
    }
}

/// A second thread that reads, woken by an eventfd.
pub struct Threads {
    shared: Arc<Shared>,
    bells: Doorbells,
}

#[derive(Default)]
struct Shared {
    buffers: [Mutex<Vec<u8>>; 2],
    /// Which buffer to read next, and what came of it: `had`, `read`, the sum.
    next: Mutex<usize>,
    result: Mutex<(i64, i64, u64)>,
}

impl Threads {
    /// Starts the reading thread; it ends with the process.
    pub fn start(reader: Core) -> Outcome<Self> {
        let shared = Arc::new(Shared { buffers: [const { Vec::new() }; 2].map(Mutex::new), ..Shared::default() });
        shared.buffers.iter().for_each(|buffer| locked(buffer).resize(BYTES, 0));
        let bells = Doorbells::new()?;
        let (theirs, their_bells) = (shared.clone(), bells.copy());
        std::thread::spawn(move || {
            if let Err(error) = reader.pin().and_then(|()| read(&theirs, &their_bells)) {
                eprintln!("error: could not {error}");
                std::process::exit(1);
            }
        });
        Ok(Self { shared, bells })
    }

    pub fn pass(&mut self, picture: &[u8], index: usize) -> Outcome<(Times, u64)> {
        let start = now_ns();
        locked(&self.shared.buffers[index]).copy_from_slice(picture);
        let written = now_ns();
        *locked(&self.shared.next) = index;
        ring(&self.bells.readers)?;
        wait(&self.bells.writers)?;
        let (had, read, sum) = *locked(&self.shared.result);
        Ok((Times { start, written, had, read }, sum))
    }
}

fn read(shared: &Shared, bells: &Doorbells) -> Outcome {
    loop {
        wait(&bells.readers)?;
        let buffer = locked(&shared.buffers[*locked(&shared.next)]);
        let had = now_ns();
        let sum = sum(&buffer);
        let read = now_ns();
        drop(buffer);
        *locked(&shared.result) = (had, read, sum);
        ring(&bells.writers)?;
    }
}

/// Never contended, as the bells take turns: some nanoseconds.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
