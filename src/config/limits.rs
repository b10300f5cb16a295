//! Owns the bounds: every queue, table, cache and text has one, with its unit and
//! the reason for its size.

// Files ---------------------------------------------------------------------------

/// Bytes of one YAML file. The largest hand-written pipeline with tests stays below
/// 1 MiB; spans are 32-bit offsets.
pub const YAML_BYTES_MAX: u64 = 8 << 20;
/// Nesting of a YAML file, in levels. Test events may be as deep as the decoder allows
/// (128), and stand a few levels inside the file.
pub const YAML_DEPTH_MAX: usize = 160;
/// Nodes of one YAML file that aliases may add. Each use of an anchor copies what it
/// names; ten nested anchors of ten uses each would be ten billion nodes.
pub const YAML_ALIAS_NODES_MAX: usize = 100_000;
/// Mistakes that are kept. Beyond this nobody reads on.
pub const DIAGNOSTICS_MAX: usize = 1_000;
/// Bytes of a file that holds a secret. Certificates chains stay below 64 KiB.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;

// Names ---------------------------------------------------------------------------

/// Bytes of a pipeline name. It prefixes Kafka topic names, which end at 249.
pub const PIPELINE_NAME_MAX: usize = 100;
/// Bytes of any other name (source, rule, filter, type, field). Names go into metric
/// labels and into every incident.
pub const NAME_MAX: usize = 200;
/// Bytes of a Kafka topic name, as brokers enforce it.
pub const TOPIC_NAME_MAX: usize = 249;

// The pipeline --------------------------------------------------------------------

/// Sources of a pipeline. Each adds its own `map` sections to what is compiled.
pub const SOURCES_MAX: usize = 256;
/// Filters of a pipeline. Each is evaluated on every batch.
pub const FILTERS_MAX: usize = 1_000;
/// Incident types that classification may yield; a type code is 16 bits wide.
pub const TYPES_MAX: usize = 10_000;
/// Entries of the classification table.
pub const CLASSIFY_ENTRIES_MAX: usize = 100_000;
/// Rules of `classify.rules`: they are tried one after the other.
pub const CLASSIFY_RULES_MAX: usize = 2_000;
/// Different field names over all sections of `map`.
pub const FIELDS_MAX: usize = 1_000;
/// Rules of `preprocess`. Each matching rule has an index of its own.
pub const RULES_MAX: usize = 100;
/// Fields in one rule's `match`.
pub const MATCH_FIELDS_MAX: usize = 16;
/// Longest `within`, in milliseconds (366 days): the index remembers that long.
pub const WITHIN_MS_MAX: i64 = 366 * 24 * 3_600_000;
/// Longest `late_max` and `max_skew`, in milliseconds (7 days): they widen every index.
pub const SKEW_MS_MAX: i64 = 7 * 24 * 3_600_000;
/// Default of `clock.max_skew` in milliseconds: clocks of well-kept hosts differ by seconds.
pub const MAX_SKEW_MS_DEFAULT: i64 = 5 * 60_000;
/// Default of `clock.late_max` in milliseconds: forwarders buffer through a short outage.
pub const LATE_MAX_MS_DEFAULT: i64 = 3_600_000;
/// Tests of a pipeline.
pub const TESTS_MAX: usize = 10_000;

// Lookup tables -------------------------------------------------------------------

/// Tables of a pipeline.
pub const LOOKUPS_MAX: usize = 100;
/// Bytes of one table's file; it is held in memory about twice while it reloads.
pub const LOOKUP_BYTES_MAX: u64 = 256 << 20;
/// Rows of an `exact` or `cidr` table.
pub const LOOKUP_ROWS_MAX: usize = 5_000_000;
/// Rows of a `glob` table: all patterns are compiled into one automaton.
pub const LOOKUP_GLOB_ROWS_MAX: usize = 20_000;
/// Columns of a table.
pub const LOOKUP_COLUMNS_MAX: usize = 200;

// The environment -----------------------------------------------------------------

/// Memory that all buffers, indexes and tables share when nothing is said, in bytes.
/// The fixed part of the process (code, librdkafka, allocator) comes on top.
pub const MEMORY_DEFAULT: u64 = 1 << 30;
/// The least memory that a pipeline runs with, in bytes.
pub const MEMORY_MIN: u64 = 128 << 20;
/// Bytes of one Kafka message by default; the decoder's own limit.
pub const MESSAGE_BYTES_DEFAULT: u64 = 64 << 20;
/// Worker threads that may be asked for.
pub const WORKERS_MAX: u64 = 256;

/// Playbook runs of one member that wait for their turn, by default (count): 64 MB at the most, and
/// five times the largest burst that we show.
pub const QUEUED_RUNS_DEFAULT: usize = 1_000_000;
/// The most that may be asked for (count).
pub const QUEUED_RUNS_MAX: u64 = 100_000_000;
/// Playbook runs of one member whose calls are under way at once, by default (count): each holds its
/// state, some KiB, at the most what a record of the topic takes.
pub const RUNNING_RUNS_DEFAULT: usize = 128;
/// The most that may be asked for (count).
pub const RUNNING_RUNS_MAX: u64 = 100_000;
/// Bytes of an instance's name. It is part of the transactional id and of the static member id.
pub const INSTANCE_NAME_MAX: usize = 100;
/// Partitions of `incidents` and `incident-state` when nothing is said: six members may keep
/// incidents, and six divides by 1, 2 and 3.
pub const PARTITIONS_DEFAULT: i32 = 6;
/// Partitions that may be asked for. Brokers take more, but open files and elections grow with them.
pub const PARTITIONS_MAX: u64 = 10_000;
/// Copies of a partition that may be asked for. More than five nobody has.
pub const REPLICATION_MAX: u64 = 9;
/// Milliseconds after its first event at which a transaction is cut, by default: what latency
/// at low load mostly consists of.
pub const TRANSACTION_LINGER_MS_DEFAULT: u64 = 10;
/// Longest linger in milliseconds: beyond that incidents come late for nothing.
pub const TRANSACTION_LINGER_MS_MAX: u64 = 10_000;
/// Bytes of results at which a transaction is cut, by default.
pub const TRANSACTION_BYTES_DEFAULT: u64 = 4 << 20;
/// The least that may be asked for, in bytes.
pub const TRANSACTION_BYTES_MIN: u64 = 64 << 10;
/// The most, in bytes: all of it waits in memory for its commit.
pub const TRANSACTION_BYTES_MAX: u64 = 256 << 20;
/// Events at which a transaction is cut, by default.
pub const TRANSACTION_ROWS_DEFAULT: u64 = 20_000;
/// The most events that may be asked for: what an abort reads and decides again.
pub const TRANSACTION_ROWS_MAX: u64 = 1_000_000;
/// Milliseconds after which brokers abort the transaction of a member that is gone, by default:
/// so long its partitions' readers wait.
pub const TRANSACTION_TIMEOUT_MS_DEFAULT: u64 = 10_000;
/// The least, in milliseconds: a leader election takes seconds.
pub const TRANSACTION_TIMEOUT_MS_MIN: u64 = 2_000;
/// The most, in milliseconds: brokers refuse more (`transaction.max.timeout.ms`, 15 minutes).
pub const TRANSACTION_TIMEOUT_MS_MAX: u64 = 900_000;

/// Milliseconds between two commits of the archive, by default: what waits is visible to live queries,
/// and each commit makes a file.
pub const ARCHIVE_COMMIT_MS_DEFAULT: u64 = 10_000;
/// The most, in milliseconds: all of it waits in memory, and is read again after a crash.
pub const ARCHIVE_COMMIT_MS_MAX: u64 = 600_000;
/// Days that may be asked for as retention: a hundred years.
pub const ARCHIVE_DAYS_MAX: u32 = 36_500;
/// Memory of one SQL query by default, in bytes.
pub const SQL_MEMORY_DEFAULT: u64 = 512 << 20;
/// The least, in bytes: one batch of wide rows and its sort.
pub const SQL_MEMORY_MIN: u64 = 16 << 20;
/// The most, in bytes.
pub const SQL_MEMORY_MAX: u64 = 1 << 40;
/// Time of one SQL query by default, in milliseconds.
pub const SQL_TIMEOUT_MS_DEFAULT: u64 = 60_000;
/// The most, in milliseconds: a day.
pub const SQL_TIMEOUT_MS_MAX: u64 = 86_400_000;
/// SQL connections at a time by default (count): each may use the memory of a query.
pub const SQL_CONNECTIONS_DEFAULT: u64 = 16;
/// The most (count).
pub const SQL_CONNECTIONS_MAX: u64 = 10_000;
/// The most that is fetched ahead, in bytes. A third of a second of a fast stream is enough to never
/// wait for a broker; more would only make lag cost memory.
pub const FETCH_BYTES_MAX: u64 = 32 << 20;

/// How the memory of the environment file is divided, in bytes. The shares add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// What librdkafka fetched and nobody read yet (15 %, at most [`FETCH_BYTES_MAX`]).
    pub fetch: u64,
    /// Batches between the poll thread and the producer (25 %): arenas, columns, encoded incidents.
    pub batches: u64,
    /// The deduplication indexes of all partitions (35 %, and what fetching leaves): the longer they remember, the better.
    pub index: u64,
    /// Values of earlier incidents that `where` reads (10 %).
    pub candidates: u64,
    /// What is produced and not acknowledged yet (10 %).
    pub output: u64,
    /// The keeper's cache of incident states (5 %): the rest of it is on disk.
    pub keeper: u64,
}

impl MemoryShares {
    /// Divides `memory` bytes.
    pub fn of(memory: u64) -> MemoryShares {
        let percent = |n: u64| memory / 100 * n;
        let fetch = percent(15).min(FETCH_BYTES_MAX);
        let (batches, candidates, output, keeper) = (percent(25), percent(10), percent(10), percent(5));
        let index = memory.saturating_sub(fetch + batches + candidates + output + keeper);
        MemoryShares { fetch, batches, index, candidates, output, keeper }
    }
}
