//! process/macros
