//! Ends a thread that works beside a loop: it was told to stop, and gets a little time to notice. One
//! that hangs in a call to a broker is left behind; it holds nothing that the next one needs.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread may take to notice.
const END_WAIT: Duration = Duration::from_secs(2);

/// Waits for a thread that was told to stop, for a bounded time.
pub fn end(thread: &mut Option<JoinHandle<()>>) {
    let since = Instant::now();
    while thread.as_ref().is_some_and(|thread| !thread.is_finished()) && since.elapsed() < END_WAIT {
        std::thread::sleep(Duration::from_millis(1));
    }
    if let Some(thread) = thread.take_if(|thread| thread.is_finished()) {
        let _ = thread.join();
    }
}
