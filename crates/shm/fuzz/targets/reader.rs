//! The oracle is described in `tests/hostile/reader.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| framewire_shm_fuzz::reader::run(bytes));
