//! The writer: one thread that puts batches into transactions, in order: facts, dead
//! letters, index blocks, a ledger record, and the positions of the input, all or nothing.
//!
//! A transaction is cut when it is old enough, or large enough; the next one fills in the
//! channel while this one commits. Each costs five requests whatever its size, so behind a
//! lag, where nobody gains by less, they may grow. When something goes wrong the transaction is aborted
//! (or the producer made anew), the generation of the input ends, and the poll thread
//! reads again from the committed offsets: nothing is lost and nothing is doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::gate::Gate;
use super::records::ledger_record;
use crate::ingest::batch::Partitions;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;
use crate::ingest::spare::Spare;
use crate::kafka::{Delivery, Error, Membership, OutputBatch, OutputTopic, Progress, Settings, Transactor, TxnError};
use crate::run::failpoint;
use crate::run::health::RoleHealth;
use crate::serve::latency::{TRANSACTION, TRANSACTION_END};

/// Wait for a batch when no transaction is open.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Pause before trying again after a failure; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: a person who has mended something should not wait for long.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// So long without the end of any partition, while events come, is a lag.
const BEHIND_AFTER: Duration = Duration::from_millis(250);
/// What a transaction may be more, behind a lag: times as old, as many bytes and rows.
const BEHIND_TIMES: u32 = 4;
/// How old it is at most because of that.
const BEHIND_LINGER_MAX: Duration = Duration::from_millis(200);

/// Number of the topic of facts among the writer's topics.
pub const INCIDENTS: u16 = 0;
/// Number of the topic of dead letters.
pub const DEAD_LETTERS: u16 = 1;
/// Number of the index topic.
pub const INDEX: u16 = 2;

/// When a transaction is cut.
#[derive(Debug, Clone, Copy)]
pub struct TxnCut {
    /// Age of its first batch.
    pub linger: Duration,
    /// Bytes of its records.
    pub bytes: usize,
    /// Events read.
    pub rows: u64,
}

/// One batch on its way to Kafka.
pub struct Chunk {
    /// When it was encoded.
    pub made: Instant,
    /// Its records and offsets.
    pub batch: OutputBatch,
    /// Of which generation of the input.
    pub generation: u32,
    /// What became of its events.
    pub counts: Counts,
    /// Its source.
    pub source: u16,
    /// It was a control: all before it is to be committed.
    pub barrier: Option<u64>,
}

/// What the writer needs.
pub struct WriterSpec {
    /// Properties of the producer.
    pub settings: Settings,
    /// What is promised.
    pub delivery: Delivery,
    /// The topics, in the order of the constants above.
    pub topics: Vec<OutputTopic>,
    /// Whose offsets move.
    pub member: Membership,
    /// Names of the input's partitions.
    pub partitions: Arc<Partitions>,
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// Against commits of what was given away.
    pub gate: Arc<Gate>,
    /// When a transaction is cut.
    pub cut: TxnCut,
    /// Per partition of the input: the committed offset, as far as this process knows.
    pub positions: Arc<[AtomicI64]>,
    /// How far reading is.
    pub progress: Arc<Progress>,
    /// Buffers of records go back to it.
    pub spare: Spare,
    /// Raised to give up where a broker stays away.
    pub stop: Arc<AtomicBool>,
    /// Where trouble is told.
    pub health: Arc<RoleHealth>,
    /// Raised when the topics are not what they were at the start.
    pub changed: Arc<AtomicBool>,
}

/// Called after each commit, inside the gate, with the chunks of the transaction. Must not block.
pub type OnCommit = Box<dyn FnMut(&[Chunk]) + Send>;

/// Totals of a writer's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterTotals {
    /// Transactions committed.
    pub transactions: u64,
    /// Records in them.
    pub records: u64,
    /// Transactions aborted.
    pub aborted: u64,
}

/// Starts the thread. It ends when the channel closes and all in it is committed.
///
/// # Errors
/// If the thread cannot be started.
pub fn spawn(spec: WriterSpec, chunks: Receiver<Chunk>, on_commit: OnCommit) -> std::io::Result<JoinHandle<Result<WriterTotals, Error>>> {
    let mut writer = Writer {
        spec,
        transactor: None,
        open: Vec::new(),
        bytes: 0,
        rows: 0,
        since: Instant::now(),
        begun: Instant::now(),
        on_commit,
        totals: WriterTotals::default(),
        pause: PAUSE_MIN,
        caught_up: (0, Instant::now()),
    };
    std::thread::Builder::new().name("writer".into()).spawn(move || writer.run(&chunks))
}

struct Writer {
    spec: WriterSpec,
    transactor: Option<Transactor>,
    /// The chunks of the open transaction, produced already.
    open: Vec<Chunk>,
    bytes: usize,
    rows: u64,
    /// When what it carries was encoded, and when it was begun.
    since: Instant,
    begun: Instant,
    on_commit: OnCommit,
    totals: WriterTotals,
    pause: Duration,
    /// How often the ends of partitions were reached, and when that last changed or nothing came.
    caught_up: (u64, Instant),
}

impl Writer {
    fn run(&mut self, chunks: &Receiver<Chunk>) -> Result<WriterTotals, Error> {
        self.transactor = Some(self.connect()?);
        loop {
            let wait = if self.open.is_empty() { IDLE_WAIT } else { self.cut().linger.saturating_sub(self.since.elapsed()) };
            match chunks.recv_timeout(wait) {
                Ok(chunk) => self.take(chunk)?,
                Err(RecvTimeoutError::Timeout) if self.open.is_empty() => self.caught_up.1 = Instant::now(),
                Err(RecvTimeoutError::Timeout) => self.commit()?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit()?;
                    return Ok(self.totals);
                }
            }
        }
    }

    fn take(&mut self, chunk: Chunk) -> Result<(), Error> {
        if chunk.generation != self.spec.gate.generation() {
            // Of a generation that has ended: it is read again. Others of it must not be committed either.
            return self.give_up();
        }
        if let Some(ticket) = chunk.barrier {
            self.commit()?;
            if chunk.generation == self.spec.gate.generation() {
                self.spec.gate.flushed_to(ticket);
            }
            return Ok(());
        }
        if chunk.batch.offsets.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.add(chunk) {
            return self.fail(error);
        }
        // Age alone cuts only when nothing waits any more: what came while the last transaction was
        // committed is old from the beginning, and should become one transaction, not many.
        let cut = self.cut();
        if self.bytes >= cut.bytes || self.rows >= cut.rows || self.begun.elapsed() >= cut.linger {
            self.commit()?;
        }
        Ok(())
    }

    /// When the open transaction is to be cut, as things are.
    fn cut(&mut self) -> TxnCut {
        let seen = self.spec.progress.ends_seen();
        if seen != self.caught_up.0 {
            self.caught_up = (seen, Instant::now());
        }
        let cut = self.spec.cut;
        if self.caught_up.1.elapsed() < BEHIND_AFTER {
            return cut;
        }
        TxnCut {
            linger: cut.linger.max((cut.linger * BEHIND_TIMES).min(BEHIND_LINGER_MAX)),
            bytes: cut.bytes.saturating_mul(BEHIND_TIMES as usize),
            rows: cut.rows.saturating_mul(u64::from(BEHIND_TIMES)),
        }
    }

    fn add(&mut self, mut chunk: Chunk) -> Result<(), TxnError> {
        let Some(transactor) = &mut self.transactor else { return Ok(()) };
        if self.open.is_empty() {
            transactor.begin()?;
            // As old as what it carries: what waited for the transaction before does not wait for linger, too.
            (self.since, self.begun, self.bytes, self.rows) = (chunk.made, Instant::now(), 0, 0);
        }
        self.bytes += chunk.batch.bytes.len();
        transactor.produce_batch(&mut chunk.batch)?;
        failpoint::hit("after_produce");
        // What librdkafka has copied; the rest comes back when the transaction has ended.
        self.spec.spare.give(std::mem::take(&mut chunk.batch.bytes));
        self.rows += chunk.counts.events;
        self.open.push(chunk);
        Ok(())
    }

    /// Commits what is open, if its generation still lives.
    fn commit(&mut self) -> Result<(), Error> {
        let Some(first) = self.open.first() else { return Ok(()) };
        let gate = Arc::clone(&self.spec.gate);
        let Some(pass) = gate.enter(first.generation) else { return self.give_up() };
        match self.commit_inside() {
            Ok(()) => {
                drop(pass);
                Ok(())
            }
            Err(error) => {
                drop(pass);
                self.fail(error)
            }
        }
    }

    fn commit_inside(&mut self) -> Result<(), TxnError> {
        let Some(transactor) = &mut self.transactor else { return Ok(()) };
        let began = Instant::now();
        let mut counts = Counts::new(&self.spec.plan);
        let mut ends: BTreeMap<u16, (i64, i64)> = BTreeMap::new();
        for chunk in &self.open {
            counts.add(&chunk.counts);
            for interval in chunk.batch.offsets.intervals() {
                let end = ends.entry(interval.partition).or_insert((interval.from, interval.to));
                *end = (end.0.min(interval.from), end.1.max(interval.to));
            }
        }
        if let Some((partition, value)) = ledger_record(&ends, &counts, &self.spec.plan, &self.spec.partitions) {
            transactor.produce(INDEX, Some(partition), b"ledger", &value, &[], 0)?;
        }
        let offsets: Vec<(&str, i32, i64)> = ends
            .iter()
            .map(|(number, (_, to))| {
                let (topic, partition) = self.spec.partitions.name(*number);
                (topic, partition, *to)
            })
            .collect();
        transactor.send_offsets(&self.spec.member, &offsets)?;
        failpoint::hit("after_send_offsets");
        transactor.commit()?;
        failpoint::hit("after_end_txn");
        transactor.bytes().for_each(|bytes| self.spec.spare.give(bytes));
        for (number, (_, to)) in &ends {
            if let Some(position) = self.spec.positions.get(*number as usize) {
                position.store(*to, Ordering::Release);
            }
        }
        TRANSACTION_END.record_since(began);
        TRANSACTION.record_since(self.since);
        self.totals.transactions += 1;
        self.totals.records += self.open.iter().map(|chunk| chunk.batch.records.len() as u64).sum::<u64>();
        (self.on_commit)(&self.open);
        self.open.clear();
        if self.pause != PAUSE_MIN {
            self.pause = PAUSE_MIN;
            self.tell(None);
            tracing::info!("writing again");
        }
        Ok(())
    }

    /// The generation has ended elsewhere: what is open is taken back.
    fn give_up(&mut self) -> Result<(), Error> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.open.clear();
        self.totals.aborted += 1;
        let aborted = self.transactor.as_mut().map_or(Ok(()), Transactor::abort);
        if let Err(error) = aborted {
            tracing::warn!(error = %error, "the transaction could not be aborted: a new producer takes its place");
            self.transactor = None;
            self.transactor = Some(self.connect()?);
        }
        Ok(())
    }

    /// Takes back what is open, waits, and has the input read again.
    fn fail(&mut self, error: TxnError) -> Result<(), Error> {
        let fatal = matches!(error, TxnError::Fatal(_));
        let refused = matches!(error, TxnError::Refused(_));
        let error = error.into_error();
        if refused {
            tracing::error!(%error, "the broker refuses: nothing is lost, reading waits until this is mended (permissions, topics, size limits: `catchment topics` compares them)");
        } else {
            tracing::warn!(%error, fatal, "the transaction is aborted, and its input read again");
        }
        self.tell(Some(error.to_string()));
        self.open.clear();
        self.totals.aborted += 1;
        if fatal || self.transactor.as_mut().is_none_or(|transactor| transactor.abort().is_err()) {
            // The old one goes first: its name is claimed by the new one.
            self.transactor = None;
            self.transactor = Some(self.connect()?);
        }
        self.rest();
        if error.is_too_large() {
            // A topic takes less than it did, or more now.
            self.spec.changed.store(true, Ordering::Release);
        }
        self.spec.gate.fail();
        Ok(())
    }

    /// A producer, however long the brokers are away; an error only when the run is to stop.
    fn connect(&mut self) -> Result<Transactor, Error> {
        loop {
            match Transactor::start(&self.spec.settings, self.spec.delivery, self.spec.topics.clone()) {
                Ok(transactor) => return Ok(transactor),
                Err(error) => {
                    let error = error.into_error();
                    if matches!(error, Error::Property { .. }) || self.spec.stop.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                    tracing::warn!(%error, "no producer yet: trying again");
                    self.tell(Some(error.to_string()));
                    self.rest();
                }
            }
        }
    }

    fn rest(&mut self) {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        while Instant::now() < until && !self.spec.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn tell(&self, trouble: Option<String>) {
        self.spec.health.set_trouble(trouble);
    }
}
