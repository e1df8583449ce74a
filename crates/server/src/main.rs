//! The program `milvus-cdc`. Everything it does is in the library.

use std::process::ExitCode;

/// Messages of very different sizes come and go on many threads: with the system's allocator a third
/// of the memory is holes. See `docs/decisions/allocator.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    server::cli::main()
}
