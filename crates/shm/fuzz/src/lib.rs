//! The oracles of `tests/hostile`, for libFuzzer.
//!
//! ```text
//! cargo install cargo-fuzz
//! cd crates/shm && cargo +nightly fuzz run reader     # or writer, or packets
//! ```
//!
//! What it finds belongs into `tests/hostile/directed.rs`, as a test that says what was wrong.

use std::time::Duration;

#[path = "../../tests/hostile/packets.rs"]
pub mod packets;
#[path = "../../tests/hostile/reader.rs"]
pub mod reader;
#[path = "../../tests/hostile/script.rs"]
pub mod script;
#[path = "../../tests/hostile/wild.rs"]
pub mod wild;
#[path = "../../tests/hostile/writer.rs"]
pub mod writer;

/// As in `tests/hostile/main.rs`.
pub const LIMIT: Duration = Duration::from_secs(5);
