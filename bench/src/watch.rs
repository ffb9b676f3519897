//! Nothing here may hang: a step that takes too long ends the run and is named.

use std::{
    process,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Longer than any step takes on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// What is being done, and by when it must have ended.
static STEP: Mutex<Option<(String, Instant)>> = Mutex::new(None);

/// Starts watching. `at_end` puts away what would be left behind, if it must end the run.
pub fn begin(at_end: fn()) {
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1)); // sleep: a watch has nothing to wait for but time
            let step = STEP.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((what, _)) = step.filter(|(_, end)| *end < Instant::now()) {
                eprintln!("error: could not {what}: it has taken {} s", LIMIT.as_secs());
                // The other processes are killed by the kernel when this one ends.
                at_end();
                process::exit(1);
            }
        }
    });
}

/// From here on it is this that must end in time.
pub fn step(what: impl Into<String>) {
    *STEP.lock().unwrap_or_else(PoisonError::into_inner) = Some((what.into(), Instant::now() + LIMIT));
}
