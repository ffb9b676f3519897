//! The program as its user has it: started, watched in a browser, killed at every place, stopped.
//!
//! The tests that are ignored need a browser, Node, ffprobe, GStreamer or the Python package; `cargo xtask test e2e` installs and runs them.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod analyse;
mod browser;
mod foreign;
mod install;
mod life;
mod program;
mod service;
mod trouble;
