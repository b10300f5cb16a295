//! One Delta table: made, opened, read at one version, and committed to with the positions that its
//! rows end at.
//!
//! `incident_versions` has three layers, told by its partition columns:
//!
//! | layer | rows | files |
//! |---|---|---|
//! | `base` | one per incident, the newest when it was compacted | by day of creation and bucket of ids, in order of creation |
//! | `tail` | what came since | one per commit |
//! | `older` | versions that newer ones took the place of | as `base` |
//!
//! All three together are every version there is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Once};

use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, DataType, MapType, MetadataExt, PrimitiveType, StructField, StructType, Transaction};
use deltalake_core::logstore::{LogStore, LogStoreFactory, StorageConfig, default_logstore, logstore_factories};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError};
use object_store::ObjectStore;
use url::Url;

use super::ArchiveError;
use super::columns::{Columns, DAY, Kind, LAYER};
use super::files::day_of;
use super::location::Location;

/// How long a file that compaction replaced is still there for who reads an older version, in days.
pub const REPLACED_DAYS: u32 = 1;
/// How long the log of a version is kept, in days.
const LOG_DAYS: u32 = 7;
/// Every so many commits the log is summed up: so much a reader has to read beside the sum.
const CHECKPOINT_EVERY: u32 = 20;

/// Commits that are tried again because somebody else committed first (count).
const RIVALS_MAX: usize = 20;

/// Commits in a bucket: puts that must not overwrite, as in a directory.
struct BucketLogs;

impl LogStoreFactory for BucketLogs {
    fn with_options(
        &self,
        prefixed: Arc<dyn ObjectStore>,
        root: Arc<dyn ObjectStore>,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed, root, location, options))
    }
}

/// Tells the library about buckets, once: it knows directories only.
fn know_buckets() {
    static KNOWN: Once = Once::new();
    KNOWN.call_once(|| {
        if let Ok(scheme) = Url::parse("s3://") {
            logstore_factories().insert(scheme, Arc::new(BucketLogs));
        }
    });
}

/// A Delta table.
pub struct Table {
    name: &'static str,
    delta: DeltaTable,
    store: Arc<dyn ObjectStore>,
}

/// Up to where a partition of a topic is in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Cluster, topic id and partition, by name.
    pub app: String,
    /// The position that the rows begin at; `None`: nothing of it is there.
    pub from: Option<i64>,
    /// The position behind them.
    pub next: i64,
}

/// How a commit ended.
#[derive(Debug)]
pub enum Committed {
    /// It is in the table.
    Yes,
    /// Somebody else has committed rows of these partitions: positions that are not ours.
    Foreign(Vec<String>),
    /// A file that was to be replaced is gone.
    Replaced,
}

/// A data file.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Relative to the table.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, milliseconds.
    pub written_ms: i64,
    /// Its layer; empty in tables without.
    pub layer: String,
    /// Its day of creation.
    pub day: Option<i32>,
    /// Rows; `None`: unknown.
    pub rows: Option<u64>,
    /// The rest of what the log says.
    pub stats: Arc<serde_json::Value>,
}

/// The table in one version.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The version.
    pub version: u64,
    /// Its columns.
    pub columns: Columns,
    /// Its files.
    pub files: Arc<Vec<DataFile>>,
}

impl Pinned {
    /// Files of a layer.
    pub fn layer<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = &'a DataFile> + 'a {
        self.files.iter().filter(move |file| file.layer == layer)
    }
}

impl Table {
    /// Opens a table; with `create` it is made if it is not there.
    ///
    /// # Errors
    /// A store that refuses or stays away; [`ArchiveError::NoTable`] without `create`.
    pub async fn open(location: &Location, name: &'static str, create: Option<(&Columns, bool)>) -> Result<Table, ArchiveError> {
        know_buckets();
        let place = location.table(name, create.is_some())?;
        let builder = DeltaTableBuilder::from_url(place.url.clone())?.with_storage_backend(place.root.clone(), place.url.clone());
        let mut delta = builder.build()?;
        if delta.verify_deltatable_existence().await? {
            delta.load().await?;
        } else {
            let Some((columns, layers)) = create else { return Err(ArchiveError::NoTable { table: name.to_owned(), at: location.shown() }) };
            delta = created(&delta, name, columns, layers).await?;
        }
        Ok(Table { name, delta, store: place.store })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The store whose root is this table.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Takes over what was committed since; true where that is something.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn refresh(&mut self) -> Result<bool, ArchiveError> {
        let before = self.delta.version();
        self.delta.update_state().await?;
        Ok(before != self.delta.version())
    }

    /// The version that was taken over last.
    ///
    /// # Errors
    /// A bug.
    pub fn pinned(&self) -> Result<Pinned, ArchiveError> {
        let state = self.delta.snapshot()?;
        let columns = Columns::of_arrow(state.snapshot().arrow_schema().as_ref());
        let file = |view: deltalake_core::kernel::LogicalFileView| {
            let partition = view.partition_values_map();
            let value = |key: &str| partition.get(key).cloned().flatten();
            let stats: serde_json::Value = view.stats().and_then(|stats| serde_json::from_str(&stats).ok()).unwrap_or_default();
            DataFile {
                path: view.path().into_owned(),
                size: u64::try_from(view.size()).unwrap_or(0),
                written_ms: view.modification_time(),
                layer: value(LAYER).unwrap_or_default(),
                day: value(DAY).and_then(|day| day_of(&day)),
                rows: stats.get("numRecords").and_then(serde_json::Value::as_u64),
                stats: Arc::new(stats),
            }
        };
        let files = state.log_data().iter().map(file).collect();
        Ok(Pinned { version: state.version(), columns, files: Arc::new(files) })
    }

    /// Up to where partitions are in the version that was taken over last; `None`: not at all.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn positions(&self, apps: &[String]) -> Result<BTreeMap<String, Option<i64>>, ArchiveError> {
        let state = self.delta.snapshot()?;
        let log = self.delta.log_store();
        let mut found = BTreeMap::new();
        for app in apps {
            found.insert(app.clone(), state.transaction_version(log.as_ref(), app).await?);
        }
        Ok(found)
    }

    /// Gives the table the columns that it lacks.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn grow(&mut self, columns: &Columns) -> Result<(), ArchiveError> {
        for _ in 0..RIVALS_MAX {
            self.delta.update_state().await?;
            let known = self.pinned()?.columns;
            let new: Vec<StructField> =
                columns.iter().filter(|column| known.position(&column.name).is_none()).map(|column| field(&column.name, column.kind)).collect();
            if new.is_empty() {
                return Ok(());
            }
            let state = self.delta.snapshot()?;
            let fields: Vec<StructField> = state.schema().fields().cloned().chain(new.clone()).collect();
            let schema = StructType::try_new(fields).map_err(|error| ArchiveError::Bug(error.to_string()))?;
            let metadata = state.metadata().clone().with_schema(&schema).map_err(|error| ArchiveError::Bug(error.to_string()))?;
            let operation = DeltaOperation::AddColumn { fields: new };
            if self.try_commit(vec![Action::Metadata(metadata)], Vec::new(), operation).await? {
                return Ok(());
            }
        }
        Err(ArchiveError::Rivals(self.name))
    }

    /// Appends files whose rows lie between these positions, if the table holds the positions that they begin at.
    ///
    /// # Errors
    /// A store that refuses or stays away. Whether the commit is in the table is not known then:
    /// the next look at the positions tells.
    pub async fn append(&mut self, adds: &[Add], positions: &[Position], notes: &[(String, i64)]) -> Result<Committed, ArchiveError> {
        let apps: Vec<String> = positions.iter().map(|position| position.app.clone()).collect();
        for _ in 0..RIVALS_MAX {
            // The same snapshot is asked for the positions and committed against.
            let stored = self.positions(&apps).await?;
            let foreign: Vec<String> = positions
                .iter()
                .filter(|position| stored.get(&position.app).copied().flatten() != position.from)
                .map(|position| position.app.clone())
                .collect();
            if !foreign.is_empty() {
                return Ok(Committed::Foreign(foreign));
            }
            let mut transactions: Vec<Transaction> = positions.iter().map(|position| Transaction::new(&position.app, position.next)).collect();
            transactions.extend(notes.iter().map(|(app, version)| Transaction::new(app, *version)));
            let actions = adds.iter().cloned().map(Action::Add).collect();
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            if self.try_commit(actions, transactions, operation).await? {
                return Ok(Committed::Yes);
            }
            self.delta.update_state().await?;
        }
        Err(ArchiveError::Rivals(self.name))
    }

    /// Puts files in the place of others, which hold the same rows.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn replace(&mut self, old: &[String], adds: &[Add], same_rows: bool) -> Result<Committed, ArchiveError> {
        for _ in 0..RIVALS_MAX {
            let removes: HashMap<String, deltalake_core::kernel::Remove> = {
                let state = self.delta.snapshot()?;
                let wanted: std::collections::BTreeSet<&str> = old.iter().map(String::as_str).collect();
                let gone = |view: deltalake_core::kernel::LogicalFileView| {
                    let path = view.path().into_owned();
                    wanted.contains(path.as_str()).then(|| (path, view.remove_action(!same_rows)))
                };
                state.log_data().iter().filter_map(gone).collect()
            };
            if removes.len() < old.len() {
                return Ok(Committed::Replaced);
            }
            let mut actions: Vec<Action> = removes.into_values().map(Action::Remove).collect();
            actions.extend(adds.iter().cloned().map(|add| Action::Add(Add { data_change: !same_rows, ..add })));
            let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
            if self.try_commit(actions, Vec::new(), operation).await? {
                return Ok(Committed::Yes);
            }
            self.delta.update_state().await?;
        }
        Err(ArchiveError::Rivals(self.name))
    }

    /// Deletes the files that no version needs any more.
    ///
    /// # Errors
    /// A store that refuses or stays away.
    pub async fn vacuum(&mut self) -> Result<usize, ArchiveError> {
        self.delta.update_state().await?;
        let (_, metrics) = self.delta.clone().vacuum().await?;
        self.delta.update_state().await?;
        Ok(metrics.files_deleted.len())
    }

    /// False where somebody else has committed since the snapshot.
    async fn try_commit(&mut self, actions: Vec<Action>, transactions: Vec<Transaction>, operation: DeltaOperation) -> Result<bool, ArchiveError> {
        let state = self.delta.snapshot()?.clone();
        // Without retries: conflicts are looked at here, against positions.
        let properties = CommitProperties::default().with_max_retries(0).with_application_transactions(transactions);
        let commit = CommitBuilder::from(properties).with_actions(actions).build(Some(&state), self.delta.log_store(), operation);
        match commit.await {
            Ok(done) => {
                self.delta.state = Some(done.snapshot());
                Ok(true)
            }
            Err(DeltaTableError::Transaction {
                source:
                    deltalake_core::kernel::transaction::TransactionError::MaxCommitAttempts(_)
                    | deltalake_core::kernel::transaction::TransactionError::CommitConflict(_),
            })
            | Err(DeltaTableError::VersionAlreadyExists(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

async fn created(delta: &DeltaTable, name: &str, columns: &Columns, layers: bool) -> Result<DeltaTable, ArchiveError> {
    let mut fields: Vec<StructField> = columns.iter().map(|column| field(&column.name, column.kind)).collect();
    if layers {
        fields.push(StructField::nullable(LAYER, DataType::STRING));
        fields.push(StructField::nullable(DAY, DataType::DATE));
    }
    let days = |days: u32| Some(format!("interval {days} days"));
    let settings = [
        ("delta.deletedFileRetentionDuration", days(REPLACED_DAYS)),
        ("delta.logRetentionDuration", days(LOG_DAYS)),
        ("delta.checkpointInterval", Some(CHECKPOINT_EVERY.to_string())),
    ];
    let mut create = delta.create().with_table_name(name).with_columns(fields).with_save_mode(SaveMode::Ignore).with_raise_if_key_not_exists(false);
    create = create.with_configuration(settings.map(|(key, value)| (key.to_owned(), value)));
    if layers {
        create = create.with_partition_columns([LAYER, DAY]);
    }
    Ok(create.await?)
}

/// A column, as Delta has it.
fn field(name: &str, kind: Kind) -> StructField {
    let data_type = match kind {
        Kind::Text => DataType::STRING,
        Kind::Number => DataType::DOUBLE,
        Kind::Integer => DataType::LONG,
        Kind::Boolean => DataType::BOOLEAN,
        Kind::Time => DataType::Primitive(PrimitiveType::Timestamp),
        Kind::Map => DataType::Map(Box::new(MapType::new(DataType::STRING, DataType::STRING, true))),
    };
    StructField::nullable(name, data_type)
}
