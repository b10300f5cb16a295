//! The role: a member of the group `<pipeline>.archive` reads facts, states, dead letters, the ledger, and
//! where there are playbooks their runs and the war room, keeps their rows in rings for live queries, and commits them to Delta tables.
//!
//! Positions live in the tables, not in the group: a partition is read from where its table ends.
//! Whatever goes wrong, the role ends and begins anew from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::feed::{Feeds, Source};
use super::partitions::Owned;
use super::ring::{Feed, Ring, Segment, Topic};
use super::table::Table;
use super::upkeep::{Keep, Upkeep};
use super::{ArchiveError, DEAD_LETTERS, INCIDENT_VERSIONS, LEDGER, Location, PLAYBOOK_RUNS, WAR_ROOM, ledgers, letters, playbooks};
use crate::archive::columns::Columns;
use crate::config::schema::Schema;
use crate::error::Error;
use crate::kafka::{Admin, Error as KafkaError, Member, MemberEvent, Part, Record, Settings};
use crate::run::Names;

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
pub(super) struct Target {
    pub(super) table: Table,
    pub(super) ring: Arc<Ring>,
    pub(super) feeds: Feeds,
    /// Offsets that the open rows cover.
    pub(super) covers: BTreeMap<Feed, (i64, i64)>,
    pub(super) since: Option<Instant>,
    pub(super) bytes: usize,
    pub(super) layered: bool,
}

/// The role at work: one thread, one member of the group.
pub(super) struct Role<'a> {
    pub(super) spec: &'a ArchiveSpec,
    pub(super) runtime: &'a Runtime,
    pub(super) admin: Admin,
    pub(super) member: Member,
    pub(super) cluster: String,
    pub(super) ids: BTreeMap<String, (Topic, String, i32)>,
    pub(super) targets: Vec<Target>,
    pub(super) owned: BTreeMap<Feed, Owned>,
    pub(super) committed: Instant,
    pub(super) refreshed: Instant,
    pub(super) upkeep: Upkeep,
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
}

/// Which table a topic feeds.
pub(super) fn target_of(topic: Topic) -> usize {
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
    pub(super) fn cut(&mut self) -> Result<(), ArchiveError> {
        self.since = None;
        if self.feeds.rows() > 0 {
            let batch = self.feeds.finish()?;
            self.ring.push(Segment { batch, bytes: std::mem::take(&mut self.bytes), covers: std::mem::take(&mut self.covers) });
        }
        Ok(())
    }
}
