//! SIGINT, which whatever a script starts in the background ignores, and whatever that starts too: tests that send it would
//! wait for ever.

use std::{
    fs,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{consts::SIGINT, flag};

use crate::Outcome;

/// Has the programs that this one starts from now on end by SIGINT, as they do in a terminal.
pub fn hear() -> Outcome {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| format!("look at our signals: {error}"))?;
    if is_ignored(&status) {
        // What a handler hears, a program that is executed has its default for. We go on ignoring it ourselves.
        flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// Whether a process with this `/proc/…/status` ignores SIGINT.
fn is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (SIGINT - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_mask_is_understood() {
        assert!(is_ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001006\nSigCgt:\t0000000000000000\n"));
        assert!(!is_ignored("SigBlk:\t0000000000000002\nSigIgn:\t0000000000001004\nSigCgt:\t0000000000000002\n"));
        assert!(!is_ignored(""));
    }
}
