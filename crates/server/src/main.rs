//! The program `milvus-cdc`. Everything it does is in the library.

use std::process::ExitCode;

/// Many threads allocate and free messages of very different sizes. With the system's allocator a
/// third of the memory is lost to fragmentation: `docs/decisions/allocator.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    server::cli::main()
}
