//! The system's own mutex for several processes, one of which may die with it.

use std::{cell::UnsafeCell, io, mem::MaybeUninit};

use bench::Outcome;

/// A robust pthread mutex, shared among processes.
pub struct RobustMutex(Box<UnsafeCell<libc::pthread_mutex_t>>);

impl RobustMutex {
    pub fn new() -> Outcome<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: each call is made on what an earlier one initialised; all zeros are a mutex to initialise.
        let mutex = unsafe {
            check(libc::pthread_mutexattr_init(attributes.as_mut_ptr()))?;
            check(libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED))?;
            check(libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST))?;
            let mutex = Box::new(UnsafeCell::new(MaybeUninit::zeroed().assume_init()));
            check(libc::pthread_mutex_init(mutex.get(), attributes.as_ptr()))?;
            mutex
        };
        Ok(Self(mutex))
    }

    /// Locks and unlocks it.
    pub fn pass(&self) {
        // SAFETY: initialised in `new`, never moved, and unlocked by the thread that has just locked it.
        let done = unsafe { libc::pthread_mutex_lock(self.0.get()) | libc::pthread_mutex_unlock(self.0.get()) };
        assert_eq!(done, 0, "a mutex of our own can be locked");
    }
}

impl Drop for RobustMutex {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and nobody has it locked.
        unsafe { libc::pthread_mutex_destroy(self.0.get()) };
    }
}

fn check(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
