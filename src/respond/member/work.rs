//! The loop: one thread serves the membership, reads facts, steps runs, commits, and lets calls begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::control::{Controls, Follower};
use super::facts::Origin;
use super::intake::{Beside, Heard, act, heard};
use super::journal::{KafkaJournal, cached};
use super::lease::Lease;
use super::measure::{RespondTotals, Sizes, record_lag, record_sizes};
use super::partitions::Taking;
use super::pool::{Ended, Pool};
use super::scout::{Scout, Urgent};
use super::{RECORD_OVERHEAD, RespondSpec, Topics};
use crate::error::Error;
use crate::kafka::{Admin, Delivery, Error as KafkaError, Member, MemberEvent, OutputTopic, Part, Transactor, TxnError};
use crate::respond::clock::now_us;
use crate::respond::schedule::coordinator::{Begin, Bounds, Coordinator};
use crate::respond::schedule::journal::{Journal, JournalError};
use crate::respond::schedule::rate::Rates;
use crate::respond::setup::Setup;
use crate::run::failpoint;
use crate::run::states::parts::{Parts, Wrong};
use crate::run::states::restore::{Restorer, Source};
use crate::run::states::store::{Store, StoreError};
use crate::run::states::watch::{Standing, Watch, WatchSpec};

/// One wait for records while there is nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(20);
/// The same while calls are under way or partitions are restored: their ends do not end the wait.
const BUSY_WAIT: Duration = Duration::from_millis(1);
/// Longest time of reading facts between two commits: results wait meanwhile.
const READ_SLICE: Duration = Duration::from_millis(20);
/// Bytes of states after which no more facts are read before a commit; they are in memory until then.
const STAGED_BYTES: usize = 4 << 20;
/// How old a position becomes before it is committed although no run follows from what was read.
const POSITION_AGE: Duration = Duration::from_secs(1);
/// How often the cache learns up to where it is filled.
const MARK_EVERY: Duration = Duration::from_secs(30);
/// How often the thread that watches is told where the loop stands, and gauges are set.
const STANDS_EVERY: Duration = Duration::from_secs(1);
/// Transactions taken back one after the other before the role ends, to be started again later (count).
const ABORTS_MAX: u32 = 5;
/// Runs of urgent incidents that are let in although the queue is full (count).
const URGENT_MAX: usize = 10_000;
/// How long calls that are under way may take at the end.
const END_CALLS_WAIT: Duration = Duration::from_secs(5);

/// A member that runs playbooks.
pub(super) struct Responder<'a> {
    pub(super) spec: &'a RespondSpec,
    pub(super) admin: Arc<Admin>,
    cache_failed: &'a AtomicBool,
    /// Before the member: the thread that restores holds the membership, too.
    pub(super) parts: Parts,
    pub(super) member: Member,
    pub(super) coordinator: Coordinator<KafkaJournal>,
    /// Partitions whose runs are taken over bit by bit; their facts are read after that.
    pub(super) taking: BTreeMap<i32, Taking>,
    /// Partitions that are not read for now: the queue is full.
    paused: BTreeSet<i32>,
    pub(super) topics: Topics,
    pub(super) setup: Arc<Setup>,
    pub(super) follower: Follower,
    pub(super) controls: Controls,
    pool: Pool,
    /// Calls that found the lease over: they begin when it holds again.
    again: Vec<Begin>,
    scout: Scout,
    lease: Arc<Lease>,
    /// When the oldest position that is not committed was read.
    ahead_since: Option<Instant>,
    aborts: u32,
    began: Instant,
    fenced: bool,
    marked: Instant,
    told: Instant,
    watch: Watch,
    pub(super) totals: RespondTotals,
}

/// What the member's queue asked for, without what belongs to the queue.
enum Step {
    /// There was nothing.
    Nothing,
    /// Something, and it is dealt with.
    Done,
    Assigned(Vec<Part>),
    Revoked {
        parts: Vec<Part>,
        lost: bool,
    },
    Trimmed(i32),
    Fenced,
    Failed(Error),
}

impl<'a> Responder<'a> {
    /// Claims the transactional id and joins the group.
    pub(super) fn start(spec: &'a RespondSpec, admin: Admin, store: Store, cache_failed: &'a AtomicBool, topics: Topics) -> Result<Responder<'a>, Error> {
        let setup = spec.next.current().ok_or_else(|| Error::bug("the role `respond` has no playbooks"))?;
        let transactor = transactor(spec, &topics)?;
        let member = Member::join(&spec.member, &[&spec.names.incidents])?;
        let lease = Arc::new(Lease::new(spec.session));
        let admin = Arc::new(admin);
        let source = Source {
            admin: admin.clone(),
            settings: spec.reader.clone(),
            membership: member.membership(),
            facts: spec.names.incidents.clone(),
            states: spec.names.runs.clone(),
            cached,
        };
        let journal = KafkaJournal {
            store,
            transactor,
            lease: lease.clone(),
            origin: Origin { pipeline: spec.names.pipeline.clone(), version: setup.version.clone() },
            incidents: spec.names.incidents.clone(),
            fact_bytes_max: topics.record_bytes_max.saturating_sub(RECORD_OVERHEAD),
            membership: member.membership(),
            ahead: BTreeMap::new(),
            anchor: None,
            marks: Vec::new(),
            moved: Vec::new(),
            touched: BTreeSet::new(),
            failed: None,
            broken: None,
        };
        let bounds = Bounds {
            queued: spec.queued_runs_max,
            running: spec.running_runs_max,
            reserved: (spec.running_runs_max / 8).max(1),
            state_bytes: topics.record_bytes_max.saturating_sub(RECORD_OVERHEAD),
        };
        let watch = WatchSpec {
            settings: spec.admin.clone(),
            facts: spec.names.incidents.clone(),
            partitions: topics.facts.partitions,
            group: spec.names.respond_group.clone(),
            instance: spec.instance.clone(),
            health: spec.health.clone(),
            sizes: record_lag,
        };
        Ok(Responder {
            spec,
            admin,
            cache_failed,
            parts: Parts::new(Restorer::start(source)?),
            member,
            coordinator: Coordinator::new(journal, Arc::new(setup.world.clone()), bounds, Rates::new(setup.rates.clone())),
            taking: BTreeMap::new(),
            paused: BTreeSet::new(),
            topics,
            setup,
            follower: Follower::start(spec.reader.clone(), spec.names.respond_control.clone(), spec.health.clone())?,
            controls: Controls::default(),
            pool: Pool::start(spec.running_runs_max, lease.clone())?,
            again: Vec::new(),
            scout: Scout::start(spec.reader.clone(), spec.admin.clone(), spec.names.incidents.clone())?,
            lease,
            ahead_since: None,
            aborts: 0,
            began: Instant::now(),
            fenced: false,
            marked: Instant::now(),
            told: Instant::now(),
            watch: Watch::start(watch)?,
            totals: RespondTotals::default(),
        })
    }

    /// Works until told to stop.
    pub(super) fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        // Nothing may go on before it is known what people paused.
        while !self.follower.is_ready() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(BUSY_WAIT);
        }
        self.controlled()?;
        while !stop.load(Ordering::Relaxed) {
            self.controlled()?;
            self.opened()?;
            self.take_over()?;
            self.room()?;
            self.read()?;
            self.urgent();
            self.results();
            self.coordinator.pump(now_us());
            if self.is_due() {
                self.commit(&[])?;
            }
            if self.marked.elapsed() >= MARK_EVERY {
                self.marked = Instant::now();
                self.commit_and_mark(&self.parts.all())?;
            }
            self.tell()?;
        }
        self.drain(END_CALLS_WAIT, |coordinator| coordinator.under_way() > 0);
        self.commit_and_mark(&self.parts.all())
    }

    /// Results of calls that are under way are waited for and committed, but nothing new begins.
    pub(super) fn drain(&mut self, limit: Duration, wanted: impl Fn(&Coordinator<KafkaJournal>) -> bool) {
        self.coordinator.hold(true);
        let since = Instant::now();
        while wanted(&self.coordinator) && since.elapsed() < limit {
            if let Ok(ended) = self.pool.ended.recv_timeout(BUSY_WAIT * 10) {
                self.ended(ended);
            }
        }
    }

    /// Ends: a transaction that is open is taken back; a cache that failed is wiped.
    pub(super) fn end(mut self, done: Result<(), Error>) -> Result<RespondTotals, Error> {
        self.totals.counted(self.coordinator.counts);
        self.lease.end();
        self.parts.cancel();
        let transactor = &mut self.coordinator.journal.transactor;
        if transactor.is_open()
            && let Err(error) = transactor.abort()
        {
            tracing::warn!(error = %error.error(), "the last transaction is left to the broker to take back");
        }
        self.pool.end();
        match done {
            // Whatever failed, this is why.
            Err(_) if self.fenced || self.member.is_fenced() => Err(self.spec.fencing.judge(self.began.elapsed())),
            done => done.map(|()| self.totals),
        }
    }

    /// Stops reading while the queue is full, and goes on when there is room.
    fn room(&mut self) -> Result<(), Error> {
        let full = self.coordinator.is_full();
        let read: Vec<i32> = self.parts.read().map(|(partition, _)| partition).filter(|partition| !self.taking.contains_key(partition)).collect();
        let change: Vec<i32> = read.into_iter().filter(|partition| self.paused.contains(partition) != full).collect();
        if change.is_empty() {
            return Ok(());
        }
        let named: Vec<(&str, i32)> = change.iter().map(|partition| (self.spec.names.incidents.as_str(), *partition)).collect();
        if full {
            self.member.pause(&named)?;
            self.paused.extend(change);
        } else {
            self.member.resume(&named)?;
            self.paused.retain(|partition| !change.contains(partition));
        }
        Ok(())
    }

    /// A partition comes or goes: it is paused no longer.
    pub(super) fn unpaused(&mut self, partition: i32) {
        self.paused.remove(&partition);
    }

    /// Reads facts for a while.
    fn read(&mut self) -> Result<(), Error> {
        let busy = self.parts.opening() || !self.taking.is_empty() || self.coordinator.under_way() > 0 || self.coordinator.is_dirty();
        let next = self.coordinator.next_us().map_or(IDLE_WAIT, |at| Duration::from_micros(u64::try_from(at - now_us()).unwrap_or(0)));
        let mut wait = if busy { BUSY_WAIT } else { next.clamp(BUSY_WAIT, IDLE_WAIT) };
        let until = Instant::now() + wait + READ_SLICE;
        loop {
            match self.poll(wait)? {
                Step::Nothing => return Ok(()),
                Step::Done => {}
                Step::Assigned(parts) => return self.assigned(&parts),
                Step::Revoked { parts, lost } => return self.revoked(&parts, lost),
                Step::Trimmed(partition) => {
                    // Opening it anew finds out what is left.
                    tracing::error!(partition, "facts were deleted by the broker before they were read");
                    return self.rewind();
                }
                Step::Fenced => {
                    self.fenced = true;
                    return Err(KafkaError::Fenced.into());
                }
                Step::Failed(error) => return Err(error),
            }
            wait = Duration::ZERO;
            if Instant::now() >= until || self.coordinator.staged().0 >= STAGED_BYTES || self.coordinator.is_full() {
                return Ok(());
            }
        }
    }

    fn poll(&mut self, wait: Duration) -> Result<Step, Error> {
        let Responder { member, coordinator, parts, setup, taking, ahead_since, .. } = self;
        let step = member.poll(wait, |event| match event {
            MemberEvent::Record(record) => {
                let partition = record.partition;
                let due = !taking.contains_key(&partition)
                    && parts.next(partition).is_some_and(|next| record.offset >= coordinator.journal.ahead.get(&partition).copied().unwrap_or(next));
                // Not even a record that was on its way when its partition was closed gets through.
                if due {
                    let mut beside = Beside::default();
                    record.headers(|name, value| beside.header(name, value));
                    let heard = heard(record.key(), record.payload(), beside, setup);
                    act(coordinator, heard, partition);
                    coordinator.journal.ahead.insert(partition, record.offset + 1);
                    ahead_since.get_or_insert_with(Instant::now);
                }
                Step::Done
            }
            MemberEvent::End { partition, offset, .. } => {
                if let Some(ahead) = coordinator.journal.ahead.get_mut(&partition) {
                    *ahead = offset.max(*ahead);
                }
                Step::Done
            }
            MemberEvent::Assigned(parts) => Step::Assigned(parts),
            MemberEvent::Revoked { parts, lost } => Step::Revoked { parts, lost },
            MemberEvent::Failed(KafkaError::Trimmed { partition, .. }) => Step::Trimmed(partition),
            MemberEvent::Failed(KafkaError::Fenced) => Step::Fenced,
            MemberEvent::Failed(error) => Step::Failed(error.into()),
        });
        match self.coordinator.journal.broken.take() {
            Some(error) => Err(self.broken(error)),
            None => Ok(step.unwrap_or(Step::Nothing)),
        }
    }

    /// What was found by looking ahead: it is accepted now, and known when it is read in its turn.
    fn urgent(&mut self) {
        let read = |partition: i32, parts: &Parts, taking: &BTreeMap<i32, Taking>| parts.next(partition).is_some() && !taking.contains_key(&partition);
        while let Ok(Urgent { partition, key, value, beside }) = self.scout.found.try_recv() {
            let room = self.coordinator.load().0 < self.spec.queued_runs_max.saturating_add(URGENT_MAX);
            if room && read(partition, &self.parts, &self.taking) {
                let heard = heard(Some(&key), &value, beside, &self.setup);
                if matches!(heard, Heard::Start(_)) {
                    act(&mut self.coordinator, heard, partition);
                }
            }
        }
        let ahead = &self.coordinator.journal.ahead;
        let positions = self.parts.read().filter(|(partition, _)| !self.taking.contains_key(partition));
        self.scout.stands(positions.map(|(partition, next)| (partition, ahead.get(&partition).copied().unwrap_or(next))));
    }

    /// Calls that ended.
    fn results(&mut self) {
        let mut any = false;
        while let Ok(ended) = self.pool.ended.try_recv() {
            any = true;
            self.ended(ended);
        }
        if any {
            failpoint::hit("respond_before_result");
        }
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Done(run, key, result) => self.coordinator.result(run, key, *result, now_us()),
            Ended::NotBegun(begin) => self.again.push(*begin),
        }
    }

    /// True when there is something to commit: states, an old position; or when the lease has to be
    /// renewed for calls that want to begin.
    fn is_due(&self) -> bool {
        let old = self.ahead_since.is_some_and(|since| since.elapsed() >= POSITION_AGE);
        let wanted = !self.again.is_empty() || self.coordinator.under_way() > 0 || self.coordinator.load().0 > 0 || self.coordinator.held().1 > 0;
        self.coordinator.is_dirty() || old || (wanted && self.lease.is_half_over() && self.anchor().is_some())
    }

    fn anchor(&self) -> Option<(i32, i64)> {
        self.parts.read().next()
    }

    /// Commits what there is and lets calls begin; if that cannot be done, all is taken back and read again.
    pub(super) fn commit(&mut self, marks: &[(i32, i64)]) -> Result<(), Error> {
        let began = Instant::now();
        self.coordinator.journal.anchor = self.anchor();
        self.coordinator.journal.marks = marks.to_vec();
        let plain = !self.coordinator.is_dirty() && (!marks.is_empty() || self.ahead_since.is_some() || self.lease.is_half_over());
        let writes = plain || self.coordinator.is_dirty();
        let done = match plain {
            _ if self.anchor().is_none() => Ok(Vec::new()),
            true => self.coordinator.journal.commit(&[]).and_then(|()| self.coordinator.commit()),
            false => self.coordinator.commit(),
        };
        let begins = match done {
            Ok(begins) => begins,
            Err(error) => return self.failed(&error),
        };
        if writes {
            self.aborts = 0;
            self.ahead_since = None;
            self.totals.committed(began.elapsed());
            let journal = &mut self.coordinator.journal;
            let (moved, touched) = (std::mem::take(&mut journal.moved), std::mem::take(&mut journal.touched));
            moved.into_iter().for_each(|(partition, next)| self.parts.committed(partition, next));
            touched.iter().for_each(|partition| self.parts.set_written(*partition, true));
            // What this very commit wrote stands behind the mark.
            marks.iter().for_each(|(partition, _)| self.parts.set_written(*partition, touched.contains(partition)));
        }
        self.begin(begins)
    }

    fn begin(&mut self, begins: Vec<Begin>) -> Result<(), Error> {
        let again = std::mem::take(&mut self.again);
        let coordinator = &self.coordinator;
        let all = again.into_iter().filter(|begin| coordinator.waits_for(begin.run, begin.call.key)).chain(begins);
        let Some(outside) = &self.setup.outside else { return Ok(()) };
        for begin in all {
            if self.lease.holds() {
                self.pool.begin(begin, outside);
            } else {
                self.again.push(begin);
            }
        }
        // Questions are in the states, and in the war room: whoever asks for them finds them there.
        drop(self.coordinator.asks());
        Ok(())
    }

    fn failed(&mut self, error: &JournalError) -> Result<(), Error> {
        if let Some(error) = self.coordinator.journal.broken.take() {
            return Err(self.broken(error));
        }
        self.totals.aborted();
        self.aborts += 1;
        tracing::warn!(%error, "a transaction of playbooks is taken back");
        self.lease.end();
        let journal = &mut self.coordinator.journal;
        let failed = journal.failed.take();
        let fatal = matches!(failed, Some(TxnError::Fatal(_))) || (journal.transactor.is_open() && journal.transactor.abort().is_err());
        match failed {
            Some(TxnError::Refused(error)) => return Err(error.into()),
            Some(error) if self.aborts > ABORTS_MAX => return Err(error.into_error().into()),
            _ => {}
        }
        if fatal {
            // Its open transaction is resolved before the new one is given out.
            self.coordinator.journal.transactor = transactor(self.spec, &self.topics)?;
        }
        self.rewind()
    }

    /// The cache cannot be trusted any more: without it the next start reads the topic.
    pub(super) fn broken(&mut self, error: StoreError) -> Error {
        self.coordinator.journal.store.distrust();
        self.cache_failed.store(true, Ordering::Relaxed);
        error.into()
    }

    pub(super) fn wrong(&mut self, wrong: Wrong) -> Error {
        match wrong {
            Wrong::Store(error) => self.broken(error),
            Wrong::Other(error) => error,
        }
    }

    /// Tells the thread that watches, and the gauges.
    fn tell(&mut self) -> Result<(), Error> {
        if self.told.elapsed() < STANDS_EVERY {
            return Ok(());
        }
        self.told = Instant::now();
        let positions: Vec<(i32, i64)> = self.parts.read().collect();
        let store = &mut self.coordinator.journal.store;
        let cached = positions.iter().map(|(partition, _)| store.approximate_len(*partition)).sum();
        if self.watch.stands(Standing { positions, cached }) {
            self.member.rejoin(&[self.spec.names.incidents.as_str()])?;
        }
        self.totals.counted(self.coordinator.counts);
        let ((queued, running), (sleeping, held)) = (self.coordinator.load(), self.coordinator.held());
        let oldest_s = self.coordinator.oldest_s(now_us());
        record_sizes(Sizes { queued, running, sleeping, held, calls: self.coordinator.under_way(), oldest_s });
        Ok(())
    }
}

fn transactor(spec: &RespondSpec, topics: &Topics) -> Result<Transactor, Error> {
    let settings = spec.transactional.clone().message_bytes(topics.record_bytes_max);
    let out = |name: &str, partitions| OutputTopic { name: name.to_owned(), partitions };
    let all = vec![
        out(&spec.names.runs, topics.runs.partitions),
        out(&spec.names.war_room, topics.war_room.partitions),
        out(&spec.names.incidents, topics.facts.partitions),
        out(&spec.names.respond_control, 1),
    ];
    Transactor::start(&settings, Delivery::ExactlyOnce, all).map_err(|error| error.into_error().into())
}
