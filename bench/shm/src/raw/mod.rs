//! What the machine can do at best: plain shared memory, with nothing of ours on it. Raw limits need raw means, so this
//! folder is the one place of the benchmarks with unsafe code.

#![expect(unsafe_code, reason = "a limit that stood on safe code of ours would be no limit of the machine")]

mod lane;
mod memory;
mod mutex;
mod spsc;

pub use self::{
    lane::{Ticket, open},
    mutex::RobustMutex,
    spsc::{Spsc, SpscTicket},
};
