//! Passes bytes to every decoder of `milvus-wire`: `cargo +nightly fuzz run decoders`. Never
//! expects them to be well-formed.

#![no_main]

#[path = "../../crates/milvus-wire/tests/it/everything.rs"]
mod everything;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| everything::read(bytes));
