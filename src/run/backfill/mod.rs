//! Backfill: events of a time that has passed, through the pipeline as it is now.
//!
//! The member of a group of its own reads from as far before that time as rules remember. What comes
//! before it only fills an index of its own; what lies in it is decided and written. All events go in
//! the order of their Kafka times, at a bounded rate, and nothing else of the pipeline is touched:
//! neither its positions nor its index, and no playbook starts for what is marked.
//!
//! Decisions follow from the events alone, so a backfill that was interrupted reads all of it again and
//! writes what is beyond its committed positions: exactly once.
//!
//! | file | job |
//! |---|---|
//! | `lanes` | partitions → one stream in the order of time |
//! | `feed` | the stream → batches, not faster than allowed |
//! | `write` | what batches became → transactions |

mod feed;
mod lanes;
mod write;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::ingest::{FRAMING_BYTES, Input, fingerprint_key, message_bytes};
use super::names::Names;
use crate::config::limits::MemoryShares;
use crate::config::model::Source;
use crate::error::Error;
use crate::expr::value::push_time;
use crate::ingest::decode::DecodeLimits;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;
use crate::ingest::pool::Pool;
use crate::ingest::worker::Shared;
use crate::kafka::{Admin, At, Member, Settings};
use crate::load::pace::Pace;
use feed::Feed;
use lanes::{Lane, Lanes};
use write::{Existing, Writer};

/// How long the brokers may take to answer questions.
const ADMIN_WAIT: Duration = Duration::from_secs(15);
/// How long committed positions may take: as long as a transaction of a run that was killed stays open.
const COMMITTED_WAIT: Duration = Duration::from_secs(60);
/// How long the group may take to give out partitions.
const JOIN_WAIT: Duration = Duration::from_secs(90);
/// Transactions of a run that was killed end after this.
const TXN_TIMEOUT: Duration = Duration::from_secs(10);
/// The header of facts that a backfill made, and the member of their incidents; both say which time.
pub const MARK: &str = "backfill";
/// What the one member of the group is called.
const INSTANCE: &str = "backfill";

/// Where facts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this topic, all of them.
    Topic(String),
    /// To the pipeline's own: incidents that are not there yet, and what belongs to these.
    Merge,
}

/// What a backfill needs.
pub struct BackfillSpec {
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// Its sources.
    pub sources: Vec<Source>,
    /// Its topics.
    pub names: Names,
    /// The brokers.
    pub bootstrap: String,
    /// The user's librdkafka properties.
    pub properties: BTreeMap<String, String>,
    /// The time, milliseconds since 1970: from (inclusive) to (exclusive), by the Kafka times of events.
    pub window: (i64, i64),
    /// How far back rules remember, in milliseconds.
    pub reach_ms: i64,
    /// Where facts go.
    pub target: Target,
    /// How fast events are read at the most.
    pub rate: Pace,
    /// Worker threads.
    pub workers: usize,
    /// How memory is divided.
    pub shares: MemoryShares,
    /// Limits of the decoder.
    pub decode: DecodeLimits,
}

/// How far a backfill is; may be looked at meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    /// Events there are to read, about: offsets.
    pub total: AtomicU64,
    /// Of these, read.
    pub read: AtomicU64,
    /// Milliseconds that rules remember of and the brokers do not keep any more; 0: none.
    pub short_ms: AtomicI64,
}

/// What a backfill did.
#[derive(Debug, Default)]
pub struct Report {
    /// Events that only filled the index, or were written by an earlier run.
    pub before: u64,
    /// What became of the events of the time.
    pub counts: Counts,
    /// Facts written, by kind: created, attached, linked.
    pub written: [u64; 3],
    /// Incidents that are there already.
    pub existing: u64,
}

impl BackfillSpec {
    /// Tells this backfill from others: the same words, and a pipeline that is the same, go on where
    /// they were interrupted.
    fn key(&self) -> String {
        let mut hash = SipHasher13::new_with_key(b"catchment backfi");
        let target = match &self.target {
            Target::Topic(name) => name.as_str(),
            Target::Merge => "",
        };
        for part in [&*self.plan.version, target] {
            hash.write(&(part.len() as u64).to_le_bytes());
            hash.write(part.as_bytes());
        }
        hash.write(&self.window.0.to_le_bytes());
        hash.write(&self.window.1.to_le_bytes());
        format!("{:016x}", hash.finish())
    }

    /// The group that holds its positions.
    pub fn group(&self) -> String {
        format!("{}.backfill-{}", self.names.pipeline, self.key())
    }

    /// `from/until`, for [`MARK`].
    fn mark(&self) -> String {
        let mut text = String::new();
        push_time(&mut text, self.window.0.saturating_mul(1000));
        text.push('/');
        push_time(&mut text, self.window.1.saturating_mul(1000));
        text
    }
}

/// Runs a backfill to its end, or until `stop`; what was decided by then is written.
///
/// # Errors
/// Topics that are missing, brokers that refuse or stay away. A new start goes on where it was.
pub fn run(spec: &BackfillSpec, stop: &AtomicBool, progress: &Progress) -> Result<Report, Error> {
    let reader = Settings::reader(&spec.bootstrap).with_user(&spec.properties)?;
    let admin = Admin::connect(&reader, ADMIN_WAIT)?;
    let target = match &spec.target {
        Target::Topic(name) => name.as_str(),
        Target::Merge => spec.names.incidents.as_str(),
    };
    let mut except = spec.names.own();
    except.push(target);
    let input = Input::find(&spec.sources, &except, &admin)?;
    let topics = Arc::new(input.topics);
    if topics.topics().iter().any(|topic| topic.name == target) {
        return Err(Error::user(format!("`{target}` is a topic that the pipeline reads")));
    }
    let found = admin.existing(&[target, &spec.names.index])?;
    let [facts, index] = &found[..] else { return Err(Error::bug("two topics were asked for")) };
    let message_bytes = message_bytes(&[target], &admin)?;

    let mut lanes = lanes(spec, &admin, &topics)?;
    let group = spec.group();
    let settings = Settings::member(&spec.bootstrap, &group, INSTANCE).prefetch(spec.shares.fetch / 4).with_user(&spec.properties)?;
    let names: Vec<&str> = topics.topics().iter().map(|topic| topic.name.as_str()).collect();
    let mut member = Member::join(&settings, &names)?;
    let assigned = feed::assigned(&mut member, lanes.len(), JOIN_WAIT, stop)?;
    if assigned < lanes.len() {
        return Err(Error::environment("the group did not give all partitions in time: is this backfill running elsewhere?"));
    }
    let parts: Vec<(String, i32)> = lanes.iter().map(|lane| (lane.topic.clone(), lane.partition)).collect();
    let asked: Vec<(&str, i32)> = parts.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    for (lane, committed) in lanes.iter_mut().zip(member.committed(&asked, COMMITTED_WAIT)?) {
        lane.emit_from = lane.emit_from.max(committed.unwrap_or(0));
    }
    if lanes.iter().all(|lane| lane.emit_from >= lane.until) {
        return Ok(Report { counts: Counts::new(&spec.plan), ..Report::default() });
    }
    progress.total.store(lanes.iter().map(Lane::left).sum(), Ordering::Relaxed);

    let plan = spec.plan.clone();
    let mut decide = plan.decide.clone();
    decide.index_bytes_max = usize::try_from(spec.shares.index + spec.shares.candidates).unwrap_or(usize::MAX) / lanes.len().max(1);
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        partitions: topics.partitions().clone(),
        cluster: admin.cluster_id().to_owned(),
        arrival: None,
        fingerprint_key: fingerprint_key(admin.cluster_id(), &index.identity(), &plan.name),
        decode: spec.decode,
        record_bytes_max: Some(message_bytes.saturating_sub(FRAMING_BYTES)),
        trace: false,
        decide: Some(decide),
        facts: true,
        spare: Default::default(),
    });
    let existing = match spec.target {
        Target::Topic(_) => Existing::None,
        Target::Merge => Existing::read(spec, &admin, &reader)?,
    };
    let mut pool = Pool::start(shared.clone(), spec.workers)?;
    let Some(batches) = pool.sender() else { return Err(Error::bug("the pool takes no batches")) };
    pool.close();
    let transactional = Settings::transactional(&spec.bootstrap, &format!("{}-backfill-{}", spec.names.pipeline, spec.key()), TXN_TIMEOUT)
        .message_bytes(message_bytes)
        .with_user(&spec.properties)?;
    let writer = Writer::start(&transactional, (target, facts.partitions), member.membership(), shared, existing, spec.mark())?;
    let done = AtomicBool::new(false);
    let feed = Feed::new(spec, &topics, Lanes::new(lanes), batches);
    std::thread::scope(|scope| {
        let writing = std::thread::Builder::new().name("backfill-writer".into()).spawn_scoped(scope, || {
            let report = writer.run(&mut pool);
            done.store(true, Ordering::Release);
            report
        })?;
        let fed = feed.run(&mut member, stop, &done, progress);
        let report = writing.join().unwrap_or_else(|_| Err(Error::bug("the writing thread failed")));
        // Who could not write knows more than who had nobody to feed.
        let report = report?;
        fed?;
        Ok(report)
    })
}

/// Where each partition begins, where its events of the time begin, and where they end.
fn lanes(spec: &BackfillSpec, admin: &Admin, topics: &crate::kafka::SourceTopics) -> Result<Vec<Lane>, Error> {
    let partitions = topics.partitions();
    let numbers = 0..u16::try_from(partitions.len()).unwrap_or(u16::MAX);
    let parts: Vec<(&str, i32)> = numbers.clone().map(|number| partitions.name(number)).collect();
    let (from, until) = spec.window;
    let begins = admin.offsets(&parts, At::Time(from.saturating_sub(spec.reach_ms)))?;
    let emits = admin.offsets(&parts, At::Time(from))?;
    let ends = admin.offsets(&parts, At::Time(until))?;
    let firsts = admin.offsets(&parts, At::Begin)?;
    let mut lanes = Vec::with_capacity(parts.len());
    for (number, (topic, partition)) in numbers.zip(parts) {
        let at = number as usize;
        let source = topics.topics().iter().find(|known| known.name == topic).map_or(0, |known| known.source);
        let (begin, emit, end) = (begins[at], emits[at], ends[at]);
        let mut lane = Lane::new(topic, partition, number, source, (begin.min(emit), emit, end.max(emit)));
        lane.is_cut = begin > 0 && firsts[at] >= begin;
        lanes.push(lane);
    }
    Ok(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_says_which_time() {
        let mut text = String::new();
        push_time(&mut text, 1_772_323_200_000_000);
        assert_eq!(text, "2026-03-01T00:00:00Z");
    }
}
