//! CPython's ways, measured by CPython itself in the same turns.

pub use bench::python::Python;

/// What it runs; each part of it is a way.
pub const SCRIPT: &str = include_str!("peers.py");

/// By what it reads a picture.
pub const SCAN_NOTE: &str = "cpython-sharedmemory: a memoryview copied in, zlib.adler32 as the scan, a Pipe to wake";
