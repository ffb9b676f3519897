//! What the benchmarks measure with: cores, clocks, statistics, reports, and what the machine does without any of our code.

#![forbid(unsafe_code)]

pub mod contender;
pub mod cores;
pub mod doorbells;
pub mod machine;
pub mod picture;
pub mod python;
pub mod rows;
pub mod samples;
pub mod watch;

/// A failure, saying what was tried.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
