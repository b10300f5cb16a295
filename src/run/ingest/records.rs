//! What a batch became, as Kafka records: facts, dead letters, index blocks; and the
//! ledger record of a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::prepare::block_key;
use super::writer::{Chunk, DEAD_LETTERS, INCIDENTS, INDEX};
use crate::error::Error;
use crate::incident::time_text::TimeText;
use crate::ingest::batch::Partitions;
use crate::ingest::decide::Notes;
use crate::ingest::decide::block::{Header, encode};
use crate::ingest::facts_out::{FactAt, take_facts};
use crate::ingest::ledger::Counts;
use crate::ingest::offsets::Interval;
use crate::ingest::output::{LetterEnd, Output};
use crate::ingest::plan::Plan;
use crate::ingest::worker::Shared;
use crate::kafka::OutputBatch;

/// Key of ledger records in the index topic; blocks have keys with a slash.
pub const LEDGER_KEY: &[u8] = b"ledger";

/// Makes chunks; holds the buffers that it reuses.
pub struct Encoder {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    times: TimeText,
    block: Vec<u8>,
    facts: Vec<FactAt>,
}

impl Encoder {
    /// For outputs of this pipeline.
    pub fn new(plan: &Arc<Plan>, shared: &Arc<Shared>) -> Encoder {
        Encoder { plan: plan.clone(), shared: shared.clone(), times: TimeText::default(), block: Vec::new(), facts: Vec::new() }
    }

    /// The records of one output.
    ///
    /// # Errors
    /// A bug: more than 4 GiB of records in one batch.
    pub fn chunk(&mut self, output: &mut Output) -> Result<Chunk, Error> {
        let mut batch = OutputBatch { seq: output.seq, offsets: std::mem::take(&mut output.offsets), ..Default::default() };
        self.facts.clear();
        let facts = &mut self.facts;
        // Facts stay where they were written, and hold their keys.
        batch.bytes = take_facts(output, &self.plan, &self.shared.partitions, &mut self.times, &mut |fact| facts.push(fact));
        let mut fits = true;
        batch.records.reserve(self.facts.len() + output.letters.len() + batch.offsets.intervals().len());
        for (number, FactAt { key, fact }) in self.facts.drain(..).enumerate() {
            // Facts of created incidents come first, in the order of lines.
            let created = output.lines.get(number).map_or(0, |line| line.created);
            fits &= batch.push_written(INCIDENTS, key, fact, created);
        }
        let mut from = 0;
        for letter in &output.letters {
            let line = output.dead.get(from..letter.end).unwrap_or_default().trim_ascii_end();
            from = letter.end;
            let key = self.coordinates(letter);
            let room = self.record_bytes().saturating_sub(key.len());
            let short = if line.len() > room { shortened(line, room) } else { None };
            fits &= batch.push(DEAD_LETTERS, key.as_bytes(), short.as_deref().map_or(line, str::as_bytes), 0);
        }
        if let Some(notes) = output.notes.take() {
            for interval in batch.offsets.intervals().to_vec() {
                fits &= self.block(&mut batch, &notes, interval);
            }
        }
        if !fits {
            return Err(Error::bug("an output batch outgrew 4 GiB"));
        }
        Ok(Chunk {
            made: Instant::now(),
            batch,
            generation: output.generation,
            counts: std::mem::take(&mut output.counts),
            source: output.source,
            barrier: output.control.take().map(|acted| acted.ticket),
        })
    }

    /// The key of a dead letter: `topic/partition/offset/element`, with `-` for the message as a whole.
    fn coordinates(&self, letter: &LetterEnd) -> String {
        let (topic, partition) = self.shared.partitions.name(letter.partition);
        let element = letter.element.map_or_else(|| "-".to_owned(), |element| element.to_string());
        format!("{topic}/{partition}/{}/{element}", letter.offset)
    }

    /// What the index of one partition remembers of the batch. Also where that is nothing: the
    /// clock of the partition moves on.
    fn block(&mut self, batch: &mut OutputBatch, notes: &Notes, interval: Interval) -> bool {
        let number = interval.partition;
        let (topic, partition) = self.shared.partitions.name(interval.partition);
        let header = Header { pipeline: &self.plan.name, version: &self.plan.version, topic, partition, from: interval.from, to: interval.to };
        self.block.clear();
        encode(&header, &self.plan.decide, notes, interval.partition, &[], &mut self.block);
        if self.block.len() > self.record_bytes()
            && let Some([first, second]) = notes.halves(number)
        {
            // Many rules, or long values for `where`: more than one record takes.
            return self.block(batch, &first, interval) && self.block(batch, &second, interval);
        }
        let key = block_key(self.shared.partitions.identity(interval.partition), partition);
        let fits = batch.push(INDEX, &key, &self.block, 0);
        batch.set_partition(partition);
        fits
    }
}

impl Encoder {
    /// What a record may take, in bytes.
    fn record_bytes(&self) -> usize {
        self.shared.record_bytes_max.unwrap_or(usize::MAX)
    }
}

/// A dead letter with less of its message. Such a message came from a topic that takes more than this one.
fn shortened(letter: &[u8], room: usize) -> Option<String> {
    crate::incident::shorten::letter(std::str::from_utf8(letter).ok()?, room)
}

/// The ledger of a transaction: what became of the events of these offsets. The partition of the
/// index topic that it goes to, and its JSON; `None` for no offsets.
pub fn ledger_record(ends: &BTreeMap<u16, (i64, i64)>, counts: &Counts, plan: &Plan, partitions: &Partitions) -> Option<(i32, Vec<u8>)> {
    let (_, home) = partitions.name(*ends.keys().next()?);
    let offsets: Vec<Value> = ends
        .iter()
        .map(|(number, (from, to))| {
            let (topic, partition) = partitions.name(*number);
            json!({ "topic": topic, "partition": partition, "from": from, "to": to })
        })
        .collect();
    let record = json!({ "ledger": 1, "pipeline": plan.name, "pipeline_version": plan.version, "offsets": offsets, "counts": counts.to_json(plan) });
    Some((home, record.to_string().into_bytes()))
}
