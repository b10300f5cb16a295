//! The binary: parses what the user typed, runs it, prints what went wrong. Owns the allocator.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h.
const PURGE_DELAY: c_int = 15;
/// How long mimalloc 2 keeps free memory before the system gets it back, in ms (whole segments ten times
/// as long); 10 by its own. A transaction frees its requests of 1 MB and the next one, some 50 ms later,
/// wants as many: the system cleared their pages anew each time, 5 % of our CPU time. mimalloc 3 waits as long.
const PURGE_DELAY_MS: c_long = 1000;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

fn main() -> ExitCode {
    // Whoever sets the variable knows better.
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: writes one number in mimalloc's table of options, which the library bounds; before there are other threads.
        unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
    }
    catchment::cli::main()
}
