//! The oracle is described in `tests/hostile/writer.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| framewire_shm_fuzz::writer::run(bytes));
