//! The same copy and the same sum without a ring, on two cores.

use std::sync::{Arc, Mutex, PoisonError};

use framewire_bench::{
    Outcome,
    cores::Core,
    doorbells::{Doorbells, ring, wait},
    picture::{BYTES, Times, sum},
    samples::now_ns,
};

/// A second thread that reads, woken by an eventfd.
pub struct Threads {
    shared: Arc<Shared>,
    bells: Doorbells,
}

struct Shared {
    buffers: Vec<Mutex<Vec<u8>>>,
    /// Which buffer to read next, and what came of it: `had`, `read`, the sum.
    next: Mutex<usize>,
    result: Mutex<(i64, i64, u64)>,
}

impl Threads {
    /// Starts the reading thread; it ends with the process.
    pub fn start(reader: Core, buffers: usize) -> Outcome<Self> {
        let buffers = (0..buffers).map(|_| Mutex::new(vec![0; BYTES])).collect();
        let shared = Arc::new(Shared { buffers, next: Mutex::default(), result: Mutex::default() });
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

    pub fn pass(&mut self, picture: &[u8]) -> Outcome<(Times, u64)> {
        let index = (*locked(&self.shared.next) + 1) % self.shared.buffers.len();
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
