//! How a member is: alive, ready, and if not, why. Read by the health endpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    worked: AtomicBool,
    /// What keeps work from going on, by the part of the role that says so.
    troubles: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// Begins to look after a role.
    pub fn role(&self, name: &'static str) -> Arc<RoleHealth> {
        let role = Arc::new(RoleHealth { name, reading: Arc::default(), worked: AtomicBool::default(), troubles: Mutex::default() });
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
        if on {
            self.worked.store(true, Ordering::Release);
        }
    }

    /// Whether it was ever so far: what is missing now was there, and may come back.
    pub fn worked(&self) -> bool {
        self.worked.load(Ordering::Acquire)
    }

    /// What keeps work from going on; `None`: nothing.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.tell("work", trouble);
    }

    /// The same, of one part of the role: others keep theirs.
    pub fn tell(&self, part: &'static str, trouble: Option<String>) {
        let mut troubles = self.troubles();
        match trouble {
            Some(trouble) => drop(troubles.insert(part, trouble)),
            None => drop(troubles.remove(part)),
        }
    }

    fn wrong(&self) -> Option<String> {
        let troubles = self.troubles();
        if !troubles.is_empty() {
            return Some(format!("{}: {}", self.name, troubles.values().map(String::as_str).collect::<Vec<_>>().join("; ")));
        }
        (!self.reading.load(Ordering::Acquire)).then(|| format!("{}: no partitions are read yet", self.name))
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
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
