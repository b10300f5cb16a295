//! Partitions that come and go: they are read from where the tables end, and what was read of them is
//! committed before they go.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::ring::{Feed, Topic};
use super::work::{Role, target_of};
use crate::error::Error;
use crate::kafka::{At, Part, Start};

/// A partition that is read.
pub(super) struct Owned {
    pub(super) app: String,
    /// What the table holds.
    pub(super) stored: Option<i64>,
    /// Behind the last record that was read.
    pub(super) next: Option<i64>,
    /// States below this offset are kept whatever their version: the facts before them are gone.
    pub(super) first: i64,
    /// `first` is not in the table yet.
    pub(super) note: bool,
}

impl Role<'_> {
    fn feed(&self, part: &Part) -> Option<(Feed, String)> {
        let (topic, id, _) = self.ids.get(&part.0)?;
        Some(((*topic, part.1), format!("{}/{id}/{}", self.cluster, part.1)))
    }

    /// Reads partitions from where the tables end.
    pub(super) fn assigned(&mut self, parts: &[Part]) -> Result<(), Error> {
        let mut starts: Vec<(&str, i32, Start)> = Vec::new();
        for part in parts {
            let Some((feed, app)) = self.feed(part) else { continue };
            let owned = self.opened(feed, app)?;
            let start = match (owned.stored, feed.0) {
                (Some(next), _) => Start::Offset(next),
                // The index topic forgets with the rules, and the ledger with it.
                (None, _) => Start::Earliest,
            };
            starts.push((&part.0, part.1, start));
            self.owned.insert(feed, owned);
        }
        self.member.assign(&starts)?;
        self.tell();
        Ok(())
    }

    fn opened(&mut self, feed: Feed, app: String) -> Result<Owned, Error> {
        let table = &mut self.targets[target_of(feed.0)].table;
        let first_app = format!("{app}/first");
        let positions = self.runtime.block_on(async {
            table.refresh().await?;
            table.positions(&[app.clone(), first_app.clone()]).await
        })?;
        let stored = positions.get(&app).copied().flatten();
        let noted = positions.get(&first_app).copied().flatten();
        let mut owned = Owned { app, stored, next: stored, first: noted.unwrap_or(0), note: false };
        if stored.is_none() && feed.0 == Topic::States {
            // Where facts were deleted already, states of version 1 stand for them.
            let facts = self.admin.offsets(&[(&self.spec.names.incidents, feed.1)], At::Begin)?;
            if facts.first().is_some_and(|begin| *begin > 0) {
                let ends = self.admin.offsets(&[(&self.spec.names.incident_state, feed.1)], At::End)?;
                owned.first = ends.first().copied().unwrap_or(0);
                owned.note = true;
            }
        }
        Ok(owned)
    }

    /// What was read of these partitions is committed before they go.
    pub(super) fn revoked(&mut self, parts: &[Part], lost: bool) -> Result<(), Error> {
        if lost {
            // Somebody else reads them already.
            self.forget();
        } else {
            self.commit()?;
        }
        let mut read = Vec::new();
        for part in parts {
            if let Some((feed, _)) = self.feed(part)
                && self.owned.remove(&feed).is_some()
            {
                read.push((part.0.as_str(), part.1));
            }
        }
        self.member.unassign(&read)?;
        self.tell();
        if lost { self.reopen() } else { Ok(()) }
    }

    /// The broker has deleted what was to be read next.
    pub(super) fn trimmed(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        tracing::error!(topic, partition, "records were deleted by the broker before they were archived");
        self.member.unassign(&[(topic, partition)])?;
        Ok(self.member.assign(&[(topic, partition, Start::Earliest)])?)
    }

    fn forget(&mut self) {
        for target in &mut self.targets {
            target.feeds.clear();
            target.covers.clear();
            (target.since, target.bytes) = (None, 0);
            target.ring.forget();
        }
    }

    /// Reads all partitions anew from where the tables end.
    pub(super) fn reopen(&mut self) -> Result<(), Error> {
        self.forget();
        let parts: Vec<Part> = self.owned.keys().filter_map(|feed| Some((self.name(feed.0)?.to_owned(), feed.1))).collect();
        let read: Vec<(&str, i32)> = parts.iter().map(|part| (part.0.as_str(), part.1)).collect();
        self.member.unassign(&read)?;
        self.owned.clear();
        self.assigned(&parts)
    }

    fn name(&self, topic: Topic) -> Option<&str> {
        self.ids.iter().find(|(_, (known, _, _))| *known == topic).map(|(name, _)| name.as_str())
    }

    /// Tells rings and health which partitions are read here.
    fn tell(&self) {
        for (number, target) in self.targets.iter().enumerate() {
            let all = self
                .ids
                .values()
                .filter(|(topic, _, _)| target_of(*topic) == number)
                .flat_map(|(topic, _, partitions)| (0..*partitions).map(|partition| (*topic, partition)));
            let here: BTreeSet<Feed> = self.owned.keys().filter(|feed| target_of(feed.0) == number).copied().collect();
            target.ring.reading(here, all.collect());
        }
        self.spec.reading.store(true, Ordering::Release);
        // One member looks after the tables: whoever has the first partition.
        self.upkeep.lead(self.owned.contains_key(&(Topic::Facts, 0)));
    }
}
