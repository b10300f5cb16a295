//! The loop of a keeper: one thread serves its membership, folds facts, and commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::KeeperSpec;
use super::batch::{Batch, FactRecord};
use super::measure::{KeeperTotals, record_latencies};
use crate::error::Error;
use crate::incident::id::IncidentId;
use crate::incident::time_text::TimeText;
use crate::kafka::{Admin, At, Delivery, Error as KafkaError, Member, MemberEvent, OutputTopic, Part, Record, Transactor, TxnError};
use crate::run::failpoint;
use crate::run::states::parts::{Parts, Wrong};
use crate::run::states::restore::{Cached, Restorer, Source};
use crate::run::states::store::{Store, StoreError};
use crate::run::states::watch::{Standing, Watch, WatchSpec};

/// One wait for records while there is nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// One wait for records while partitions are restored: the cache is written in between.
const RESTORE_WAIT: Duration = Duration::from_millis(1);
/// How often the cache learns up to where it is filled: what a crash costs is reading the states
/// of this long.
const MARK_EVERY: Duration = Duration::from_secs(30);
/// How often the thread that watches is told where the loop stands.
const STANDS_EVERY: Duration = Duration::from_secs(1);
/// Transactions taken back one after the other before the keeper ends, to be started again later (count).
const ABORTS_MAX: u32 = 5;

/// Memory of encoded states that is kept between transactions, in bytes: what most of them need.
const VALUES_BYTES_KEPT: usize = 2 * super::CUT_BYTES;

/// A running keeper.
pub struct Keeper<'a> {
    spec: &'a KeeperSpec,
    admin: Arc<Admin>,
    store: Store,
    /// Raised when the cache cannot be used any more.
    cache_failed: &'a AtomicBool,
    /// Before the member: the thread that restores holds the membership, too.
    parts: Parts,
    member: Member,
    transactor: Transactor,
    partitions: i32,
    record_bytes_max: usize,
    batch: Batch,
    aborts: u32,
    began: Instant,
    /// The group took this member for replaced.
    fenced: bool,
    marked: Instant,
    told: Instant,
    watch: Watch,
    totals: KeeperTotals,
    times: TimeText,
    /// The values of the transaction's records, one after the other: for the topic and the cache.
    values: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// What the member's queue asked for, without what belongs to the queue.
enum Step {
    Nothing,
    Assigned(Vec<Part>),
    Revoked {
        parts: Vec<Part>,
        lost: bool,
    },
    Trimmed(i32),
    /// The group took this member for replaced.
    Fenced,
    Failed(Error),
}

impl<'a> Keeper<'a> {
    /// Claims the transactional id and joins the group.
    pub fn start(
        spec: &'a KeeperSpec,
        admin: Admin,
        store: Store,
        cache_failed: &'a AtomicBool,
        partitions: i32,
        record_bytes_max: usize,
    ) -> Result<Keeper<'a>, Error> {
        let transactor = transactor(spec, partitions, record_bytes_max)?;
        let member = Member::join(&spec.member, &[&spec.names.incidents])?;
        let admin = Arc::new(admin);
        let source = Source {
            admin: admin.clone(),
            settings: spec.reader.clone(),
            membership: member.membership(),
            facts: spec.names.incidents.clone(),
            states: spec.names.incident_state.clone(),
            cached,
        };
        Ok(Keeper {
            spec,
            admin,
            store,
            cache_failed,
            member,
            transactor,
            parts: Parts::new(Restorer::start(source)?),
            partitions,
            record_bytes_max,
            batch: Batch::new(record_bytes_max),
            aborts: 0,
            began: Instant::now(),
            fenced: false,
            marked: Instant::now(),
            told: Instant::now(),
            watch: Watch::start(WatchSpec {
                settings: spec.admin.clone(),
                facts: spec.names.incidents.clone(),
                partitions,
                group: spec.names.keeper_group.clone(),
                instance: spec.instance.clone(),
                health: spec.health.clone(),
                sizes: super::measure::record_sizes,
            })?,
            totals: KeeperTotals::default(),
            times: TimeText::default(),
            values: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Works until told to stop.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            self.answers()?;
            match self.poll()? {
                Step::Nothing => {}
                Step::Assigned(parts) => self.assigned(&parts)?,
                Step::Revoked { parts, lost } => self.revoked(&parts, lost)?,
                Step::Trimmed(partition) => {
                    // Opening it anew finds out what is left.
                    tracing::error!(partition, "facts were deleted by the broker before they were read");
                    self.rewind()?;
                }
                Step::Fenced => {
                    self.fenced = true;
                    return Err(KafkaError::Fenced.into());
                }
                Step::Failed(error) => return Err(error),
            }
            if self.batch.is_due() {
                self.commit(&[])?;
            }
            if self.marked.elapsed() >= MARK_EVERY {
                self.marked = Instant::now();
                self.commit_and_mark(&self.parts.all())?;
            }
            if self.told.elapsed() >= STANDS_EVERY {
                self.told = Instant::now();
                let standing = self.standing();
                if self.watch.stands(standing) {
                    self.member.rejoin(&[self.spec.names.incidents.as_str()])?;
                }
            }
        }
        self.commit_and_mark(&self.parts.all())
    }

    /// Ends: a transaction that is open is taken back; a cache that failed is wiped.
    pub fn end(mut self, done: Result<(), Error>) -> Result<KeeperTotals, Error> {
        self.parts.cancel();
        if self.transactor.is_open()
            && let Err(error) = self.transactor.abort()
        {
            tracing::warn!(error = %error.error(), "the last transaction is left to the broker to take back");
        }
        match done {
            // Whatever failed, this is why.
            Err(_) if self.fenced || self.member.is_fenced() => Err(self.spec.fencing.judge(self.began.elapsed())),
            done => done.map(|()| self.totals),
        }
    }

    fn poll(&mut self) -> Result<Step, Error> {
        let idle = if self.parts.opening() { RESTORE_WAIT } else { IDLE_WAIT };
        let wait = self.batch.due_at().map_or(idle, |due| due.saturating_duration_since(Instant::now()).min(idle));
        let Keeper { member, batch, store, parts, .. } = self;
        let step = member.poll(wait, |event| -> Result<Step, StoreError> {
            Ok(match event {
                // Not even a record that was on its way when its partition was closed gets through.
                MemberEvent::Record(record) if !is_due(parts, batch, record.partition, record.offset) => Step::Nothing,
                MemberEvent::Record(record) => {
                    let (key, value) = (record.key(), record.payload());
                    batch.add(&FactRecord { partition: record.partition, offset: record.offset, key, value, timestamp_ms: record.timestamp_ms }, store)?;
                    Step::Nothing
                }
                MemberEvent::End { partition, offset, .. } => {
                    batch.passed(partition, offset);
                    Step::Nothing
                }
                MemberEvent::Assigned(parts) => Step::Assigned(parts),
                MemberEvent::Revoked { parts, lost } => Step::Revoked { parts, lost },
                MemberEvent::Failed(KafkaError::Trimmed { partition, .. }) => Step::Trimmed(partition),
                MemberEvent::Failed(KafkaError::Fenced) => Step::Fenced,
                MemberEvent::Failed(error) => Step::Failed(error.into()),
            })
        });
        step.unwrap_or(Ok(Step::Nothing)).map_err(|error| self.broken(error))
    }

    /// The cache cannot be trusted any more: without it the next start reads the topic.
    fn broken(&mut self, error: StoreError) -> Error {
        self.store.distrust();
        self.cache_failed.store(true, Ordering::Relaxed);
        error.into()
    }

    /// The group gave partitions: none is read before its states are here.
    fn assigned(&mut self, parts: &[Part]) -> Result<(), Error> {
        self.member.assign(&[])?;
        for (_, partition) in parts {
            self.open(*partition)?;
        }
        self.tell_reading();
        Ok(())
    }

    fn open(&mut self, partition: i32) -> Result<(), Error> {
        let done = self.parts.open(&mut self.store, partition);
        done.map_err(|wrong| self.wrong(wrong))
    }

    fn wrong(&mut self, wrong: Wrong) -> Error {
        match wrong {
            Wrong::Store(error) => self.broken(error),
            Wrong::Other(error) => error,
        }
    }

    /// Takes over what the restoring thread has read.
    fn answers(&mut self) -> Result<(), Error> {
        loop {
            let opened = self.parts.opened(&mut self.store);
            let Some((partition, opened)) = opened.map_err(|wrong| self.wrong(wrong))? else { return Ok(()) };
            self.totals.lost(opened.lost);
            tracing::info!(partition, records = opened.records, took = ?opened.took, "incident states restored");
            self.totals.opened(opened.records, opened.took);
            self.member.assign(&[(&self.spec.names.incidents, partition, opened.start)])?;
            self.tell_reading();
        }
    }

    /// The group takes partitions: what was folded of them is committed before they go.
    fn revoked(&mut self, parts: &[Part], lost: bool) -> Result<(), Error> {
        let gone: Vec<i32> = parts.iter().map(|(_, partition)| *partition).collect();
        if !lost {
            self.commit_and_mark(&gone)?;
        } else if gone.iter().any(|partition| self.batch.next(*partition).is_some()) {
            // Somebody else reads them already; our part of it must not be committed.
            self.batch.clear();
            self.rewind()?;
        }
        failpoint::hit("in_revoke");
        let mut read = Vec::new();
        for partition in gone {
            if self.parts.remove(partition) {
                read.push((self.spec.names.incidents.as_str(), partition));
            }
        }
        self.member.unassign(&read)?;
        self.tell_reading();
        Ok(())
    }

    /// Opens all partitions anew, from the positions that are committed.
    fn rewind(&mut self) -> Result<(), Error> {
        let all = self.parts.all();
        let read: Vec<(&str, i32)> = self.parts.read().map(|(partition, _)| (self.spec.names.incidents.as_str(), partition)).collect();
        self.member.unassign(&read)?;
        self.batch.clear();
        all.into_iter().try_for_each(|partition| self.open(partition))?;
        self.tell_reading();
        Ok(())
    }

    /// Commits the batch, and tells the cache up to where it is filled in these partitions.
    ///
    /// The end of a partition of `incident-state` says that only if nobody else has written there:
    /// a member that stood still may have lost the partition without knowing. So the end is asked for
    /// first, and noted only if the commit after it, which the group checks, goes through: then all
    /// before that end was written by us or read at the opening, and is in the cache.
    fn commit_and_mark(&mut self, partitions: &[i32]) -> Result<(), Error> {
        let dirty = self.parts.written(partitions);
        let asked: Vec<(&str, i32)> = dirty.iter().map(|(partition, _)| (self.spec.names.incident_state.as_str(), *partition)).collect();
        let ends = self.admin.offsets(&asked, At::End).unwrap_or_else(|error| {
            // Only a cache: a later mark does.
            tracing::debug!(%error, "the cache is not marked");
            Vec::new()
        });
        let marks: Vec<(i32, i64)> = dirty.iter().zip(ends).map(|((partition, _), end)| (*partition, end)).collect();
        if !marks.is_empty() {
            dirty.iter().for_each(|(partition, next)| self.batch.position(*partition, *next));
        }
        self.commit(&marks)
    }

    /// Commits the batch; if that cannot be done, takes it back and reads it again.
    fn commit(&mut self, marks: &[(i32, i64)]) -> Result<(), Error> {
        if self.batch.is_empty() {
            self.batch.clear();
            return Ok(());
        }
        match self.write() {
            Ok(()) => self.aborts = 0,
            Err(error) => return self.failed(error),
        }
        failpoint::hit("keeper_after_commit");
        let mut write = self.store.write();
        let mut states = 0;
        let mut done = Ok(());
        let mut start = 0;
        for (state, end) in self.batch.writes().zip(&self.ends) {
            states += 1;
            let value = self.values.get(start..*end).unwrap_or_default();
            start = *end;
            done = done.and_then(|()| write.put(state.partition, state.id.0, value, &state.incident.facts_header()));
            self.parts.set_written(state.partition, true);
        }
        for (partition, end) in marks {
            write.filled(*partition, *end);
            // What this very commit wrote stands behind the mark.
            self.parts.set_written(*partition, self.batch.writes().any(|state| state.partition == *partition));
        }
        done.and_then(|()| write.commit()).map_err(|error| self.broken(error))?;
        for (partition, to) in self.batch.positions() {
            self.parts.committed(partition, to);
        }
        let strangers = self.batch.outcome("unknown_incident");
        if strangers > 0 {
            tracing::warn!(facts = strangers, "facts about incidents that are not there were left out");
        }
        self.totals.committed(&self.batch.counts, states);
        record_latencies(&self.batch.times);
        self.batch.clear();
        Ok(())
    }

    /// States and positions in one transaction.
    fn write(&mut self) -> Result<(), TxnError> {
        self.transactor.begin()?;
        self.values.clear();
        self.ends.clear();
        if self.values.capacity() > VALUES_BYTES_KEPT {
            self.values = Vec::new();
        }
        for state in self.batch.writes() {
            let start = self.values.len();
            state.incident.push(&mut self.values, &mut self.times);
            self.ends.push(self.values.len());
            let value = self.values.get(start..).unwrap_or_default();
            let version = state.incident.state.version.to_string();
            let (fact, facts) = (state.fact.hex(), state.incident.facts_header());
            let headers: [(&str, &[u8]); 4] =
                [("version", version.as_bytes()), ("fact", &fact), ("outcome", state.outcome.name().as_bytes()), ("facts", &facts)];
            self.transactor.produce(0, Some(state.partition), &state.id.hex(), value, &headers, 0)?;
        }
        failpoint::hit("keeper_after_produce");
        let positions: Vec<(&str, i32, i64)> = self.batch.positions().map(|(partition, next)| (self.spec.names.incidents.as_str(), partition, next)).collect();
        self.transactor.send_offsets(&self.member.membership(), &positions)?;
        self.transactor.commit()
    }

    fn failed(&mut self, error: TxnError) -> Result<(), Error> {
        self.totals.aborted();
        self.aborts += 1;
        tracing::warn!(error = %error.error(), "a transaction of the keeper is taken back");
        let fatal = matches!(error, TxnError::Fatal(_)) || self.transactor.abort().is_err();
        self.batch.clear();
        if let TxnError::Refused(error) = error {
            return Err(error.into());
        }
        if self.aborts > ABORTS_MAX {
            return Err(error.into_error().into());
        }
        if fatal {
            // Its open transaction is resolved before the new one is given out.
            self.transactor = transactor(self.spec, self.partitions, self.record_bytes_max)?;
        }
        self.rewind()
    }

    fn standing(&mut self) -> Standing {
        let positions: Vec<(i32, i64)> = self.parts.read().collect();
        let cached = positions.iter().map(|(partition, _)| self.store.approximate_len(*partition)).sum();
        Standing { positions, cached }
    }

    /// Ready is who reads all that it was given, also where that is nothing.
    fn tell_reading(&self) {
        self.spec.health.set_reading(!self.parts.opening());
    }
}

/// True for a record that is read for the first time since its partition was opened.
fn is_due(parts: &Parts, batch: &Batch, partition: i32, offset: i64) -> bool {
    parts.next(partition).is_some_and(|next| offset >= batch.next(partition).unwrap_or(next))
}

fn transactor(spec: &KeeperSpec, partitions: i32, record_bytes_max: usize) -> Result<Transactor, Error> {
    let settings = spec.transactional.clone().message_bytes(record_bytes_max);
    let topics = vec![OutputTopic { name: spec.names.incident_state.clone(), partitions }];
    Transactor::start(&settings, Delivery::ExactlyOnce, topics).map_err(|error| error.into_error().into())
}

/// A record of `incident-state` for the cache; `None` for one whose key is no incident's.
fn cached(record: &Record<'_>) -> Option<Cached> {
    let id = IncidentId::parse(std::str::from_utf8(record.key()?).ok()?)?;
    if record.payload().is_empty() {
        return Some((id.0, None));
    }
    let mut facts = Vec::new();
    record.headers(|name, value| {
        if name == "facts" {
            facts = value.to_vec();
        }
    });
    Some((id.0, Some((record.payload().to_vec(), facts))))
}
