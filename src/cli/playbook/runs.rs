//! Where runs of playbooks are on Kafka: their newest states, and what is said to the role that runs them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::saying::{Pipe, actor, new_id, now_us};
use crate::error::Error;
use crate::incident::fact::{Fact, What};
use crate::incident::facts::push_edit;
use crate::incident::id::{FactId, IncidentId};
use crate::incident::order::Order;
use crate::incident::time_text::TimeText;
use crate::kafka::{At, Error as KafkaError, PartitionReader, partition_of};
use crate::respond::run::RunState;
use crate::respond::run::state::{Frame, Waits};
use crate::respond::run::task::Wait;

/// The state of a run, as far as tables and commands need it.
#[derive(Debug, Deserialize)]
pub struct Seen {
    pub id: String,
    pub playbook: String,
    pub state: RunState,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub began_us: i64,
    #[serde(default)]
    pub waits: Vec<Waits>,
    #[serde(default)]
    incident: Value,
    #[serde(default)]
    frames: BTreeMap<u32, Frame>,
}

impl Seen {
    /// Reads it.
    pub fn read(value: &[u8]) -> Option<Seen> {
        serde_json::from_slice(value).ok()
    }

    /// A member of its incident, as text.
    pub fn incident(&self, name: &str) -> &str {
        self.incident.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Commands whose results it waits for.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.frames.values().flat_map(|frame| &frame.tasks).filter_map(|task| match task.wait.as_deref() {
            Some(Wait::Call(pending)) if task.status == crate::respond::run::Status::Running => Some(pending.command.as_str()),
            Some(Wait::Generic(generic)) if task.status == crate::respond::run::Status::Running => Some(generic.command.as_str()),
            _ => None,
        })
    }
}

/// One run, and where it is.
pub struct Found {
    pub run: Seen,
    pub partition: i32,
}

/// The runs of a pipeline.
pub struct Runs {
    pub pipe: Pipe,
    partitions: i32,
}

impl Runs {
    /// Finds them.
    pub fn of(pipe: Pipe) -> Result<Runs, Error> {
        let topics = pipe.admin.existing(&[&pipe.names.runs, &pipe.names.incidents]).map_err(|error: KafkaError| {
            let hint = matches!(error, KafkaError::NoSuchTopic { .. });
            let error = Error::from(error);
            if hint { error.hint("`catchment topics PIPELINE --create` makes it for pipelines that have playbooks") } else { error }
        })?;
        let partitions = topics.iter().map(|topic| topic.partitions).min().unwrap_or(1);
        Ok(Runs { pipe, partitions })
    }

    /// What `make` makes of the newest state of each run whose id begins so; none of those that are forgotten, and of those
    /// for which it makes nothing.
    pub fn newest<T>(&self, prefix: &str, mut make: impl FnMut(&[u8], i32) -> Option<T>) -> Result<BTreeMap<String, T>, Error> {
        let mut found = BTreeMap::new();
        let mut reader = PartitionReader::open(&self.pipe.reader)?;
        for partition in 0..self.partitions {
            reader.read_to_end(&self.pipe.names.runs, partition, None, |record| -> Result<(), Error> {
                let key = record.key().and_then(|key| std::str::from_utf8(key).ok()).filter(|key| key.starts_with(prefix));
                if let Some(key) = key {
                    match make(record.payload(), partition) {
                        Some(made) => drop(found.insert(key.to_owned(), made)),
                        None => drop(found.remove(key)),
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The run whose id is, or begins with, this.
    pub fn one(&self, prefix: &str) -> Result<Found, Error> {
        if prefix.is_empty() || prefix.len() > 32 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::user("that is no run's id").hint("an id is 32 hex digits; as many of them as tell it from all others are enough"));
        }
        let prefix = prefix.to_lowercase();
        let mut found = self.newest(&prefix, |value, partition| Seen::read(value).map(|run| Found { run, partition }))?;
        match found.len() {
            0 => Err(Error::user(format!("there is no run {prefix}")).hint("`catchment playbook top PIPELINE` lists what waits")),
            1 => found.pop_first().map(|(_, found)| found).ok_or_else(|| Error::bug("one run was found")),
            several => Err(Error::user(format!("{several} runs have ids that begin with {prefix}")).hint("give more digits")),
        }
    }

    /// Where the next state of a run will stand at the earliest.
    pub fn end(&self, partition: i32) -> Result<i64, Error> {
        let ends = self.pipe.admin.offsets(&[(&self.pipe.names.runs, partition)], At::End)?;
        ends.first().copied().ok_or_else(|| Error::bug("one partition was asked for"))
    }

    /// The newest state of a run from an offset of its partition on, and where to go on reading.
    pub fn since(&self, run: &str, partition: i32, from: i64) -> Result<(Option<Seen>, i64), Error> {
        let mut newest = None;
        let mut reader = PartitionReader::open(&self.pipe.reader)?;
        let read = reader.read_to_end(&self.pipe.names.runs, partition, Some(from), |record| -> Result<(), Error> {
            if record.key() == Some(run.as_bytes()) {
                newest = Seen::read(record.payload());
            }
            Ok(())
        })?;
        Ok((newest, read.next))
    }

    /// Tells the role that runs them.
    pub fn say(&self, found: &Found, order: Order, named: Option<&str>) -> Result<(), Error> {
        let id = found.run.incident("id");
        let about = IncidentId::parse(id).ok_or_else(|| Error::environment("the newest state of this run names no incident"))?;
        self.say_of(about, new_id(), order, named)
    }

    /// The partition of an incident, and of its runs.
    pub fn partition(&self, incident: IncidentId) -> i32 {
        partition_of(&incident.hex(), self.partitions)
    }

    /// Tells it something about an incident.
    pub fn say_of(&self, about: IncidentId, id: FactId, order: Order, named: Option<&str>) -> Result<(), Error> {
        let fact = Fact { id, about, actor: Some(actor(named).into()), at: now_us(), if_version: None, what: What::Order(order) };
        let mut out = Vec::new();
        push_edit(&mut out, &fact, &mut TimeText::default());
        let key = about.hex();
        self.pipe.write(&self.pipe.names.incidents, self.partitions, self.partition(about), &key, &out)
    }
}
