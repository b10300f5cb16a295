//! The output topics of a transactional producer: which partition a record goes to, and the records of a
//! batch by partition.

use std::sync::Arc;

use crate::prefetch::fetch;

use super::error::Error;
use super::output::OutputBatch;
use super::partitioner::partition_of;
use super::producer::OutputTopic;
use super::txn_error::TxnError;

/// So many records before a key is read, it is asked for: what the memory needs meanwhile.
const KEYS_AHEAD: usize = 8;

/// All topics, by number.
pub(super) struct Targets(Vec<Target>);

struct Target {
    name: Arc<str>,
    partitions: i32,
    turn: i32,
    /// Per partition: the records of the batch at hand that go there, by number.
    numbers: Vec<Vec<u32>>,
}

impl Targets {
    /// Topics that have no records yet.
    pub(super) fn new(topics: Vec<OutputTopic>) -> Targets {
        Targets(topics.into_iter().map(|topic| Target { name: topic.name.into(), partitions: topic.partitions, turn: 0, numbers: Vec::new() }).collect())
    }

    /// How many topics there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name of a topic; empty for one that was not declared.
    pub(super) fn name(&self, topic: u16) -> Arc<str> {
        self.0.get(topic as usize).map(|target| Arc::clone(&target.name)).unwrap_or_default()
    }

    /// The partition of a record: its own, that of its key, or the next in turn.
    pub(super) fn partition(&mut self, topic: u16, partition: Option<i32>, key: &[u8]) -> Result<i32, TxnError> {
        let unknown = || Error::TopicTable { topic: format!("number {topic}"), problem: "not declared for the producer" };
        let target = self.0.get_mut(topic as usize).ok_or_else(|| TxnError::Abort(unknown()))?;
        let partitions = target.partitions.max(1);
        Ok(match partition {
            Some(partition) => partition,
            None if key.is_empty() => {
                target.turn = (target.turn + 1) % partitions;
                target.turn
            }
            None => partition_of(key, partitions),
        })
    }

    /// Finds out which records of a batch go to which partition.
    pub(super) fn divide(&mut self, batch: &OutputBatch) -> Result<(), TxnError> {
        let bad = |record: usize| TxnError::Abort(Error::BadRange { seq: batch.seq, record });
        self.0.iter_mut().flat_map(|target| &mut target.numbers).for_each(Vec::clear);
        for (number, record) in batch.records.iter().enumerate() {
            // Keys stand among the values, each in lines of their own that another core wrote.
            let ahead = batch.records.get(number + KEYS_AHEAD).and_then(|record| batch.slice(&record.key));
            if let Some(key) = ahead.and_then(<[u8]>::first_chunk::<32>) {
                fetch(key);
            }
            let key = batch.slice(&record.key).ok_or_else(|| bad(number))?;
            let partition = self.partition(record.topic, record.partition, key)?;
            let at = usize::try_from(partition).map_err(|_| bad(number))?;
            let Some(target) = self.0.get_mut(record.topic as usize) else { continue };
            if target.numbers.len() <= at {
                target.numbers.resize_with(at + 1, Vec::new);
            }
            if let Some(numbers) = target.numbers.get_mut(at) {
                numbers.push(number as u32);
            }
        }
        Ok(())
    }

    /// How many partitions of a topic had records so far.
    pub(super) fn partitions(&self, topic: usize) -> usize {
        self.0.get(topic).map_or(0, |target| target.numbers.len())
    }

    /// The records of the batch divided last that go to a partition, by number.
    pub(super) fn numbers(&self, topic: usize, partition: usize) -> &[u32] {
        self.0.get(topic).and_then(|target| target.numbers.get(partition)).map(Vec::as_slice).unwrap_or_default()
    }
}
