//! A zygote's first child, which only finds out whether its children can be what they must.

use std::{
    error::Error,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use rustix::process::{getpid, getppid};
use shm::{
    clone::{self, CloneError, Twin},
    wire::{Passed, Socket},
};

use super::{
    TRIAL_CODE,
    host::{self, Host},
    inside::tell,
    words::Word,
};
use crate::BoxError;

/// Makes the trial child. An error says why there can be no zygote; the child itself says what it has found out.
pub(super) fn hold(application: &Socket, host: &mut dyn Host) -> Result<(), BoxError> {
    clone::check()?;
    let (zygote, parent) = (getpid(), getppid());
    match host::twin(host)? {
        Twin::Original { pidfd, .. } => tell(application, &Word::Trial { pidfd: Passed::new(pidfd) }),
        Twin::Copy(sound) => {
            let found = sound.map_err(BoxError::from).and_then(|()| {
                clone::check()?;
                if getpid() == zygote || getppid() != parent {
                    return Err("a copy isn't its parent's child".into());
                }
                threads_work()
            });
            match found {
                Ok(()) => tell(application, &Word::Sound),
                Err(error) => tell(application, &refusal(&*error)),
            }
            // At once: a host's libraries may have things to do at an exit that they can't do here.
            clone::leave(TRIAL_CODE);
        }
    }
    Ok(())
}

/// Why there can be no zygote, or none now.
pub(super) fn refusal(error: &(dyn Error + Send + Sync + 'static)) -> Word {
    let why = error.to_string();
    if may_pass(error) { Word::NotNow(why) } else { Word::Unfit(why) }
}

/// Whether the system has too little of something just now, such as processes, and may have it later.
fn may_pass(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let system = match error.downcast_ref() {
        Some(CloneError::System(system)) => Some(system),
        _ => error.downcast_ref::<io::Error>(),
    };
    system.is_some_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory))
}

/// Starts a thread, and lets it wake this one: that needs the numbers of threads, locks and sleeping.
fn threads_work() -> Result<(), BoxError> {
    let woken = Arc::new((Mutex::new(false), Condvar::new()));
    let waker = woken.clone();
    let other = thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        *waker.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        waker.1.notify_one();
    })?;
    let mut is_woken = woken.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !*is_woken {
        is_woken = woken.1.wait(is_woken).unwrap_or_else(PoisonError::into_inner);
    }
    drop(is_woken);
    other.join().map_err(|_| "a copy's thread panicked".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_may_come_back_and_what_is_forbidden_does_not() {
        let of = |kind: io::ErrorKind| BoxError::from(CloneError::System(io::Error::new(kind, "clone3")));
        assert!(may_pass(&*of(io::ErrorKind::WouldBlock)));
        assert!(may_pass(&*BoxError::from(io::Error::from(io::ErrorKind::OutOfMemory))));
        assert!(!may_pass(&*of(io::ErrorKind::Unsupported)));
        assert!(!may_pass(&*BoxError::from(CloneError::Threads(2))));
    }
}
