//! libFuzzer over `bodies::playbook`.
#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code)]
mod bodies;

thread_local! {
    static DIR: Option<tempfile::TempDir> = tempfile::tempdir().ok();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| DIR.with(|dir| {
    if let Some(dir) = dir {
        bodies::playbook(data, dir.path());
    }
}));
