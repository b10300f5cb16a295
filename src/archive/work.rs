//! The role: a member of the group `<pipeline>.archive` reads facts, states, dead letters, the ledger, and
//! where there are playbooks their runs and the war room, keeps their rows in rings for live queries, and commits them to Delta tables.
//!
//! Positions live in the tables, not in the group: a partition is read from where its table ends.
//! Whatever goes wrong, the role ends and begins anew from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::feed::{Feeds, Source};
use super::files::{FileWriter, Partition, put};
use super::ring::{Feed, Ring, Segment, Topic};
use super::scan::padded;
use super::table::{Committed, Position, Table};
use super::upkeep::{Keep, Upkeep};
use super::{ArchiveError, DEAD_LETTERS, INCIDENT_VERSIONS, LEDGER, Location, PLAYBOOK_RUNS, WAR_ROOM, ledgers, letters, playbooks};
use crate::archive::columns::Columns;
use crate::archive::files::FILE_BYTES;
use crate::config::schema::Schema;
use crate::error::Error;
use crate::kafka::{Admin, At, Error as KafkaError, Member, MemberEvent, Part, Record, Settings, Start};
use crate::run::{Names, failpoint};

/// One wait for records while there is nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Longest that a row waits until queries see it.
const CUT_AGE: Duration = Duration::from_millis(100);
/// Rows at which they are cut earlier (count).
const CUT_ROWS: usize = 8_192;
/// Bytes of records whose rows wait at the most: beyond it reading waits for the commit.
const RING_BYTES: usize = 256 << 20;
/// How often other members' commits are looked for.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for answers about the cluster.
const ADMIN_WAIT: Duration = Duration::from_secs(30);

/// The rings of a process, one per table.
#[derive(Default)]
pub struct Rings {
    /// Of incidents.
    pub incidents: Arc<Ring>,
    /// Of dead letters.
    pub letters: Arc<Ring>,
    /// Of the ledger.
    pub ledger: Arc<Ring>,
    /// Of runs of playbooks.
    pub runs: Arc<Ring>,
    /// Of the war room.
    pub war_room: Arc<Ring>,
}

/// What the role needs.
pub struct ArchiveSpec {
    /// Topics and group.
    pub names: Names,
    /// The member of the group: [`Settings::member`].
    pub member: Settings,
    /// For questions: [`Settings::admin`].
    pub admin: Settings,
    /// Where the tables are.
    pub location: Location,
    /// What the pipeline declares.
    pub schema: Schema,
    /// The least time between two commits.
    pub commit_every: Duration,
    /// What is kept, and for how long.
    pub keep: Keep,
    /// Rows for live queries.
    pub rings: Arc<Rings>,
    /// Set once partitions are read.
    pub reading: Arc<AtomicBool>,
}

/// Opens the table of incidents with columns for what is declared; makes it if it is not there.
///
/// # Errors
/// Fields whose type has changed; a store that refuses or stays away.
pub async fn open_incidents(location: &Location, schema: &Schema) -> Result<Table, ArchiveError> {
    let columns = Columns::new(schema);
    let mut table = Table::open(location, INCIDENT_VERSIONS, Some((&columns, true))).await?;
    let grown = table.pinned()?.columns.grown(schema).map_err(ArchiveError::Changed)?;
    table.grow(&grown).await?;
    Ok(table)
}

/// Declared fields whose type is not that of their column in an archive; none where there is no archive yet.
///
/// # Errors
/// A store that refuses or stays away.
pub fn changed_fields(location: &Location, schema: &Schema) -> Result<Vec<super::columns::TypeChanged>, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match runtime.block_on(Table::open(location, INCIDENT_VERSIONS, None)) {
        Ok(table) => Ok(table.pinned()?.columns.grown(schema).err().unwrap_or_default()),
        Err(ArchiveError::NoTable { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Archives until `stop` is set; what was read by then is committed.
///
/// # Errors
/// Topics that are missing, brokers or stores that refuse or stay away, fields whose type has changed.
pub fn run(spec: &ArchiveSpec, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("archive-io").enable_all().build()?;
    let done = Role::start(spec, &runtime).and_then(|mut role| {
        let done = role.run(stop);
        role.upkeep.stop();
        done
    });
    spec.reading.store(false, Ordering::Release);
    done
}

/// One table that is written.
struct Target {
    table: Table,
    ring: Arc<Ring>,
    feeds: Feeds,
    /// Offsets that the open rows cover.
    covers: BTreeMap<Feed, (i64, i64)>,
    since: Option<Instant>,
    bytes: usize,
    layered: bool,
}

/// A partition that is read.
struct Owned {
    app: String,
    /// What the table holds.
    stored: Option<i64>,
    /// Behind the last record that was read.
    next: Option<i64>,
    /// States below this offset are kept whatever their version: the facts before them are gone.
    first: i64,
    /// `first` is not in the table yet.
    note: bool,
}

struct Role<'a> {
    spec: &'a ArchiveSpec,
    runtime: &'a Runtime,
    admin: Admin,
    member: Member,
    cluster: String,
    ids: BTreeMap<String, (Topic, String, i32)>,
    targets: Vec<Target>,
    owned: BTreeMap<Feed, Owned>,
    committed: Instant,
    refreshed: Instant,
    upkeep: Upkeep,
}

enum Step {
    Nothing,
    Assigned(Vec<Part>),
    Revoked(Vec<Part>, bool),
    Trimmed(String, i32),
    Failed(Error),
}

impl<'a> Role<'a> {
    fn start(spec: &'a ArchiveSpec, runtime: &'a Runtime) -> Result<Role<'a>, Error> {
        let admin = Admin::connect(&spec.admin, ADMIN_WAIT)?;
        let names = [
            (Topic::Facts, &spec.names.incidents),
            (Topic::States, &spec.names.incident_state),
            (Topic::Letters, &spec.names.dead_letters),
            (Topic::Index, &spec.names.index),
        ];
        let mut asked: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        let found = admin.existing(&asked)?;
        let mut ids: BTreeMap<String, (Topic, String, i32)> =
            names.iter().zip(found).map(|((topic, name), found)| ((*name).clone(), (*topic, found.identity(), found.partitions))).collect();
        // A pipeline without playbooks has no topics of theirs.
        let others = [(Topic::Runs, spec.names.runs.as_str()), (Topic::WarRoom, spec.names.war_room.as_str())];
        let found = admin.topics(&others.map(|(_, name)| name))?;
        let responds = found.iter().all(Option::is_some);
        for ((topic, name), found) in others.into_iter().zip(found.into_iter().flatten()).filter(|_| responds) {
            asked.push(name);
            ids.insert(name.to_owned(), (topic, found.identity(), found.partitions));
        }
        let (rings, location) = (&spec.rings, &spec.location);
        let plain = |name: &'static str, columns: Columns| runtime.block_on(Table::open(location, name, Some((&columns, false))));
        let incidents = runtime.block_on(open_incidents(location, &spec.schema))?;
        let columns = incidents.pinned()?.columns;
        let target = |table: Table, ring: &Arc<Ring>, source: Source| -> Result<Target, Error> {
            ring.forget();
            ring.committed(table.pinned()?, &[]);
            let layered = matches!(source, Source::Incidents);
            Ok(Target { feeds: Feeds::new(source, &columns), table, ring: ring.clone(), covers: BTreeMap::new(), since: None, bytes: 0, layered })
        };
        let mut targets = vec![
            target(incidents, &rings.incidents, Source::Incidents)?,
            target(plain(DEAD_LETTERS, letters::columns())?, &rings.letters, Source::Letters)?,
            target(plain(LEDGER, ledgers::columns())?, &rings.ledger, Source::Ledger)?,
        ];
        if responds {
            targets.push(target(plain(PLAYBOOK_RUNS, playbooks::run_columns())?, &rings.runs, Source::Runs)?);
            targets.push(target(plain(WAR_ROOM, playbooks::war_room_columns())?, &rings.war_room, Source::WarRoom)?);
        }
        let upkeep = Upkeep::start(location.clone(), spec.keep)?;
        let member = Member::join(&spec.member, &asked)?;
        let cluster = admin.cluster_id().to_owned();
        let now = Instant::now();
        Ok(Role { spec, runtime, admin, member, cluster, ids, targets, owned: BTreeMap::new(), committed: now, refreshed: now, upkeep })
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            if self.targets.iter().any(|target| target.ring.bytes() + target.bytes >= RING_BYTES) && !self.is_due() {
                // Neither more memory nor more commits than allowed.
                std::thread::sleep(IDLE_WAIT);
            } else {
                match self.poll()? {
                    Step::Nothing => {}
                    Step::Assigned(parts) => self.assigned(&parts)?,
                    Step::Revoked(parts, lost) => self.revoked(&parts, lost)?,
                    Step::Trimmed(topic, partition) => self.trimmed(&topic, partition)?,
                    Step::Failed(error) => return Err(error),
                }
            }
            for target in &mut self.targets {
                if target.since.is_some_and(|since| since.elapsed() >= CUT_AGE) || target.feeds.rows() >= CUT_ROWS {
                    target.cut()?;
                }
            }
            if self.is_due() {
                self.commit()?;
            }
            if self.refreshed.elapsed() >= REFRESH_EVERY {
                self.refresh()?;
            }
        }
        self.commit()
    }

    fn is_due(&self) -> bool {
        self.committed.elapsed() >= self.spec.commit_every
    }

    fn poll(&mut self) -> Result<Step, Error> {
        let Role { member, ids, targets, owned, .. } = self;
        let step = member.poll(IDLE_WAIT, |event| -> Result<Step, Error> {
            Ok(match event {
                MemberEvent::Record(record) => {
                    if let Some((topic, _, _)) = ids.get(record.topic) {
                        take(*topic, &record, targets, owned)?;
                    }
                    Step::Nothing
                }
                MemberEvent::End { .. } => Step::Nothing,
                MemberEvent::Assigned(parts) => Step::Assigned(parts),
                MemberEvent::Revoked { parts, lost } => Step::Revoked(parts, lost),
                MemberEvent::Failed(KafkaError::Trimmed { topic, partition }) => Step::Trimmed(topic, partition),
                MemberEvent::Failed(error) => Step::Failed(error.into()),
            })
        });
        step.unwrap_or(Ok(Step::Nothing))
    }

    fn feed(&self, part: &Part) -> Option<(Feed, String)> {
        let (topic, id, _) = self.ids.get(&part.0)?;
        Some(((*topic, part.1), format!("{}/{id}/{}", self.cluster, part.1)))
    }

    /// Reads partitions from where the tables end.
    fn assigned(&mut self, parts: &[Part]) -> Result<(), Error> {
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
    fn revoked(&mut self, parts: &[Part], lost: bool) -> Result<(), Error> {
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
    fn trimmed(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
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
    fn reopen(&mut self) -> Result<(), Error> {
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

    /// Takes over what others have committed, and what compaction did.
    fn refresh(&mut self) -> Result<(), Error> {
        self.refreshed = Instant::now();
        for target in &mut self.targets {
            if self.runtime.block_on(target.table.refresh())? {
                target.ring.committed(target.table.pinned()?, &[]);
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.committed = Instant::now();
        let mut foreign = false;
        for number in 0..self.targets.len() {
            foreign |= !self.commit_one(number)?;
        }
        if foreign {
            tracing::warn!("somebody else has archived rows of our partitions: they are read again from where the tables end");
            self.reopen()?;
        }
        Ok(())
    }

    /// False where the table holds other positions than we knew of.
    fn commit_one(&mut self, number: usize) -> Result<bool, Error> {
        let Role { targets, owned, runtime, .. } = self;
        let target = &mut targets[number];
        target.cut()?;
        let segments = target.ring.waiting();
        if segments.iter().all(|segment| segment.batch.num_rows() == 0) {
            return Ok(true);
        }
        let mut positions = Vec::new();
        let mut notes = Vec::new();
        for (feed, owned) in owned.iter().filter(|(feed, _)| target_of(feed.0) == number) {
            match owned.next {
                Some(next) if owned.stored != Some(next) => {
                    positions.push(Position { app: owned.app.clone(), from: owned.stored, next });
                    if owned.note {
                        notes.push((format!("{}/first", owned.app), owned.first));
                    }
                }
                _ => tracing::trace!(?feed, "nothing new"),
            }
        }
        let began = Instant::now();
        let rows: usize = segments.iter().map(|segment| segment.batch.num_rows()).sum();
        let committed = runtime.block_on(async {
            let adds = written(&target.table, &segments, target.layered).await?;
            failpoint::hit("archive_after_put");
            let committed = target.table.append(&adds, &positions, &notes).await?;
            failpoint::hit("archive_after_commit");
            Ok::<_, ArchiveError>(committed)
        })?;
        match committed {
            Committed::Yes => {}
            Committed::Foreign(_) | Committed::Replaced => return Ok(false),
        }
        target.ring.committed(target.table.pinned()?, &segments);
        for owned in owned.iter_mut().filter(|(feed, _)| target_of(feed.0) == number).map(|(_, owned)| owned) {
            owned.stored = owned.next;
            owned.note = false;
        }
        metrics::counter!("catchment_archive_rows_total", "table" => target.table.name()).increment(rows as u64);
        metrics::histogram!("catchment_archive_commit_seconds").record(began.elapsed().as_secs_f64());
        tracing::debug!(table = target.table.name(), rows, took = ?began.elapsed(), "committed");
        Ok(true)
    }
}

/// Which table a topic feeds.
fn target_of(topic: Topic) -> usize {
    match topic {
        Topic::Facts | Topic::States => 0,
        Topic::Letters => 1,
        Topic::Index => 2,
        Topic::Runs => 3,
        Topic::WarRoom => 4,
    }
}

fn take(topic: Topic, record: &Record<'_>, targets: &mut [Target], owned: &mut BTreeMap<Feed, Owned>) -> Result<(), Error> {
    let feed = (topic, record.partition);
    // Not even a record that was on its way when its partition was closed gets through.
    let Some(owned) = owned.get_mut(&feed) else { return Ok(()) };
    if owned.next.is_some_and(|next| record.offset < next) {
        return Ok(());
    }
    let target = &mut targets[target_of(topic)];
    target.since.get_or_insert_with(Instant::now);
    let keep_first = record.offset < owned.first;
    if target.feeds.push(topic, record, keep_first).map_err(ArchiveError::from)? {
        target.bytes += record.payload().len();
    }
    let next = record.offset + 1;
    target.covers.entry(feed).and_modify(|covered| covered.1 = next).or_insert((record.offset, next));
    owned.next = Some(next);
    Ok(())
}

impl Target {
    /// Hands the open rows to the ring.
    fn cut(&mut self) -> Result<(), ArchiveError> {
        self.since = None;
        if self.feeds.rows() > 0 {
            let batch = self.feeds.finish()?;
            self.ring.push(Segment { batch, bytes: std::mem::take(&mut self.bytes), covers: std::mem::take(&mut self.covers) });
        }
        Ok(())
    }
}

/// Writes the rows of segments to files that are not in the table yet.
///
/// # Errors
/// A store that refuses or stays away.
pub async fn written(table: &Table, segments: &[Arc<Segment>], layered: bool) -> Result<Vec<deltalake_core::kernel::Add>, ArchiveError> {
    let schema = table.pinned()?.columns.arrow();
    let partition = Partition { layer: layered.then_some("tail"), day: None };
    let path = || format!("{}part-{}.parquet", partition.directory(), uuid());
    let mut adds = Vec::new();
    let mut writer = FileWriter::new(&schema, false)?;
    for segment in segments {
        writer.write(&padded(&segment.batch, &schema)?)?;
        if writer.bytes() >= FILE_BYTES {
            let (bytes, stats) = std::mem::replace(&mut writer, FileWriter::new(&schema, false)?).finish()?;
            adds.push(put(table.store(), path(), &partition, bytes, stats).await?);
        }
    }
    if writer.rows() > 0 {
        let (bytes, stats) = writer.finish()?;
        adds.push(put(table.store(), path(), &partition, bytes, stats).await?);
    }
    Ok(adds)
}

/// A name that nobody else takes.
pub fn uuid() -> String {
    format!("{:032x}", rand::random::<u128>())
}
