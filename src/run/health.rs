//! How a member is: alive, ready, and if not, why. Read by the health endpoints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared by the roles of a process.
#[derive(Debug, Default)]
pub struct Health {
    reading: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Health {
    /// Whether partitions were given to us and are read, or there were none to give.
    pub fn set_reading(&self, on: bool) {
        self.reading.store(on, Ordering::Release);
    }

    /// What keeps work from going on; `None`: nothing.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// `Ok` when events are read and written, else why not.
    ///
    /// # Errors
    /// One line for a person.
    pub fn ready(&self) -> Result<(), String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, self.reading.load(Ordering::Acquire)) {
            (Some(trouble), _) => Err(trouble.clone()),
            (None, false) => Err("no partitions are read yet".to_owned()),
            (None, true) => Ok(()),
        }
    }
}
