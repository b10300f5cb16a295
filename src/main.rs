//! The binary: parses what the user typed, runs it, prints what went wrong.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    catchment::cli::main()
}
