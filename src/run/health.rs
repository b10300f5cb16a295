//! How a member is: alive, ready, and if not, why. Read by the health endpoints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of all roles of a process.
#[derive(Debug, Default)]
pub struct Health {
    roles: Mutex<Vec<Arc<RoleHealth>>>,
}

/// Of one role.
#[derive(Debug)]
pub struct RoleHealth {
    name: &'static str,
    /// Whether it is in its group and reads what it was given.
    pub reading: Arc<AtomicBool>,
    trouble: Mutex<Option<String>>,
}

impl Health {
    /// Begins to look after a role.
    pub fn role(&self, name: &'static str) -> Arc<RoleHealth> {
        let role = Arc::new(RoleHealth { name, reading: Arc::default(), trouble: Mutex::default() });
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).push(role.clone());
        role
    }

    /// `Ok` when every role works, else why not.
    ///
    /// # Errors
    /// One line for a person.
    pub fn ready(&self) -> Result<(), String> {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong: Vec<String> = roles.iter().filter_map(|role| role.wrong()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

impl RoleHealth {
    /// Whether partitions were given to us and are read, or there were none to give.
    pub fn set_reading(&self, on: bool) {
        self.reading.store(on, Ordering::Release);
    }

    /// What keeps work from going on; `None`: nothing.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn wrong(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, self.reading.load(Ordering::Acquire)) {
            (Some(trouble), _) => Some(format!("{}: {trouble}", self.name)),
            (None, false) => Some(format!("{}: no partitions are read yet", self.name)),
            (None, true) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_all_roles() {
        let health = Health::default();
        let (ingest, keeper) = (health.role("ingest"), health.role("keeper"));
        assert!(health.ready().unwrap_err().contains("ingest"));
        ingest.set_reading(true);
        keeper.reading.store(true, Ordering::Release);
        health.ready().unwrap();
        keeper.set_trouble(Some("no broker".into()));
        assert_eq!(health.ready().unwrap_err(), "keeper: no broker");
    }
}
