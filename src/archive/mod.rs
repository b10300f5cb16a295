//! The archive: every version of every incident in one Delta table, and the rows that are on their way
//! to it.
//!
//! | file | job |
//! |---|---|
//! | `columns` | what columns there are; they are only ever added |
//! | `cells`, `rows`, `letters`, `ledgers`, `playbooks` | records of the topics → rows |
//! | `outputs` | what is too large for a run of a playbook |
//! | `location` | a directory, or a prefix of an S3 bucket |
//! | `files`, `measures` | data files and what the log tells of them |
//! | `table` | one Delta table: versions, positions, commits |
//! | `ring` | rows that are not in the table yet |
//! | `newest` | which rows of the tail are the newest of their incident |
//! | `repeats` | rows that say again what another row says |
//! | `compact` | tail → base and older; small files → large ones |
//! | `sort` | rows in order, in memory or on disk |
//! | `reader` | a few columns of a file, without a query |
//! | `scan`, `pruned`, `blooms` | plans that read the table; files, and parts of files, that need not be read |
//! | `feed` | which rows a record becomes |
//! | `upkeep` | when compaction, retention and removal happen |
//! | `once` | an archive in one go, for `demo` |
//! | `work` | the role: topics → ring → table |
//! | `partitions` | partitions that come and go: where they are read from |
//! | `commit` | rows of the rings → files → a commit with positions |
//!
//! What holds, whatever dies:
//! - Rows and the positions that they end at are one commit, and a commit happens only if the table
//!   holds the positions that the rows begin at. So every record is in the table once.
//! - A query pins one version of the table and takes from the ring only rows beyond it.
//! - Compaction moves rows; it never makes or loses one.

pub mod blooms;
pub mod cells;
pub mod columns;
pub mod commit;
pub mod compact;
pub mod feed;
pub mod files;
pub mod ledgers;
pub mod letters;
pub mod location;
pub mod measures;
pub mod newest;
pub mod once;
pub mod outputs;
mod partitions;
pub mod playbooks;
mod pruned;
pub mod reader;
pub mod repeats;
pub mod ring;
pub mod rows;
pub mod scan;
mod sort;
pub mod table;
pub mod upkeep;
pub mod work;

pub use location::Location;
pub use ring::{Ring, View};

use crate::error::{Error, Fault};

/// The table of incidents.
pub const INCIDENT_VERSIONS: &str = "incident_versions";
/// The table of dead letters.
pub const DEAD_LETTERS: &str = "dead_letters";
/// The table of what became of events.
pub const LEDGER: &str = "ledger";
/// The table of runs of playbooks.
pub const PLAYBOOK_RUNS: &str = "playbook_runs";
/// The table of what playbooks and people did.
pub const WAR_ROOM: &str = "war_room";

/// What goes wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An address that cannot be one.
    #[error("{0}")]
    Location(String),
    /// The table is not there.
    #[error("there is no table `{table}` in {at}")]
    NoTable {
        /// Which.
        table: String,
        /// Where.
        at: String,
    },
    /// Fields whose type has changed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Changed(Vec<columns::TypeChanged>),
    /// Others commit all the time.
    #[error("`{0}` cannot be committed to: others commit faster")]
    Rivals(&'static str),
    /// What Delta's log says.
    #[error("the archive: {0}")]
    Delta(Box<deltalake_core::DeltaTableError>),
    /// What the store says.
    #[error("the archive's store: {0}")]
    Store(#[from] object_store::Error),
    /// What Parquet says.
    #[error("a data file: {0}")]
    Parquet(#[from] datafusion::parquet::errors::ParquetError),
    /// What Arrow says.
    #[error("rows of the archive: {0}")]
    Arrow(#[from] datafusion::arrow::error::ArrowError),
    /// What DataFusion says.
    #[error("a query: {0}")]
    Query(Box<datafusion::error::DataFusionError>),
    /// Our fault.
    #[error("{0}")]
    Bug(String),
}

impl From<deltalake_core::DeltaTableError> for ArchiveError {
    fn from(error: deltalake_core::DeltaTableError) -> ArchiveError {
        ArchiveError::Delta(Box::new(error))
    }
}

impl From<datafusion::error::DataFusionError> for ArchiveError {
    fn from(error: datafusion::error::DataFusionError) -> ArchiveError {
        ArchiveError::Query(Box::new(error))
    }
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Error {
        let message = error.to_string();
        match error {
            ArchiveError::Location(_) => Error::user(message),
            ArchiveError::NoTable { .. } => Error::user(message).hint("`catchment run --role archive` and `catchment demo --archive DIR` write one"),
            ArchiveError::Changed(_) => {
                Error::user(message).hint("a column keeps its type: give the field another name, or point `archive.path` to a new place")
            }
            ArchiveError::Bug(_) | ArchiveError::Arrow(_) => Error::bug(message),
            ArchiveError::Rivals(_) | ArchiveError::Delta(_) | ArchiveError::Store(_) | ArchiveError::Parquet(_) => Error::environment(message),
            ArchiveError::Query(_) => Error { fault: Fault::User, retry: false, message, hint: None },
        }
    }
}
