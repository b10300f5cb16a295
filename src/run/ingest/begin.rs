//! Owns where reading begins in partitions of which nobody has committed an offset, for sources with
//! `start: latest`. That says what to do with the past: what was there when this process first looked
//! is left out. What comes after that is read, also where the group gives a partition later, and so are
//! topics and partitions that were made since then, or since the group began, from their first record on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::config::model::Start;
use crate::error::Error;
use crate::kafka::Admin;

/// Where to begin in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Where this leads when it is asked.
    Rule(Start),
    /// Here, or behind what the broker has deleted.
    Offset(i64),
}

/// A topic that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its Kafka id.
    pub identity: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// As its source says.
    pub start: Start,
}

/// What this process has seen of the cluster, from one start of the role to the next.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Option<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Topics of the cluster; none where the sources have no patterns.
    names: BTreeSet<String>,
    /// By topic: its id, and the ends of its partitions when they were seen first; `None`: of those that
    /// are new all is read.
    ends: BTreeMap<String, (String, Vec<Option<i64>>)>,
}

impl Seen {
    /// Where to begin, by topic in their order and by partition. `names`: all topics of the cluster, if
    /// the sources have patterns.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn begin(&self, asked: &[Asked], names: Option<Vec<String>>, group: &str, admin: &Admin) -> Result<Vec<Vec<Begin>>, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names: BTreeSet<String> = names.into_iter().flatten().collect();
        let mut ends = BTreeMap::new();
        let mut begins = Vec::with_capacity(asked.len());
        for topic in asked {
            if topic.start != Start::Latest {
                begins.push(vec![Begin::Rule(topic.start); topic.partitions.max(0) as usize]);
                continue;
            }
            let before = match known.as_ref().and_then(|known| known.before(&topic.name, &topic.identity)) {
                Some(before) => before,
                None => first_look(topic, group, admin)?,
            };
            let of_topic = sized(before, topic.partitions);
            begins.push(of_topic.iter().map(|end| end.map_or(Begin::Rule(Start::Earliest), Begin::Offset)).collect());
            ends.insert(topic.name.clone(), (topic.identity.clone(), of_topic));
        }
        *known = Some(Known { names, ends });
        Ok(begins)
    }
}

impl Known {
    /// The ends of a topic's partitions as they were seen first; empty: it was made since then. `None`:
    /// it was there, but nobody has looked.
    fn before(&self, name: &str, identity: &str) -> Option<Vec<Option<i64>>> {
        match self.ends.get(name) {
            Some((known, ends)) if known == identity => Some(ends.clone()),
            Some(_) => Some(Vec::new()),
            None if !self.names.is_empty() && !self.names.contains(name) => Some(Vec::new()),
            None => None,
        }
    }
}

fn first_look(topic: &Asked, group: &str, admin: &Admin) -> Result<Vec<Option<i64>>, Error> {
    let places: Vec<(&str, i32)> = (0..topic.partitions).map(|partition| (topic.name.as_str(), partition)).collect();
    let committed = admin.committed(group, &places)?;
    let ends: Vec<i64> = admin.watermarks(&topic.name, topic.partitions)?.into_iter().map(|(_, end)| end).collect();
    Ok(first(&committed, &ends))
}

/// Where the group has begun already, partitions that it has no offset of came later.
fn first(committed: &[Option<i64>], ends: &[i64]) -> Vec<Option<i64>> {
    let begun = committed.iter().any(Option::is_some);
    ends.iter().map(|end| (!begun).then_some(*end)).collect()
}

/// What is beyond the partitions that were seen first is new.
fn sized(mut ends: Vec<Option<i64>>, partitions: i32) -> Vec<Option<i64>> {
    ends.resize(partitions.max(0) as usize, None);
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_left_out_only_where_the_group_begins() {
        assert_eq!(first(&[None, None], &[5, 0]), [Some(5), Some(0)]);
        assert_eq!(first(&[Some(3), None], &[5, 7]), [None, None]);
    }

    #[test]
    fn what_is_new_is_read_whole() {
        let known = Known { names: ["a", "b"].map(String::from).into(), ends: BTreeMap::from([("a".to_owned(), ("1".to_owned(), vec![Some(4), None]))]) };
        assert_eq!(known.before("a", "1").map(|ends| sized(ends, 3)), Some(vec![Some(4), None, None]), "a partition more");
        assert_eq!(known.before("a", "2").map(|ends| sized(ends, 2)), Some(vec![None, None]), "made anew");
        assert_eq!(known.before("b", "1"), None, "there, and not read before");
        assert_eq!(known.before("c", "1"), Some(Vec::new()), "made since then");
        assert_eq!(Known::default().before("c", "1"), None, "without patterns every topic was named from the start");
    }
}
