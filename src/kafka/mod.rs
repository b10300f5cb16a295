//! Everything that speaks Kafka. No other room names `rdkafka`.
//!
//! | file | job |
//! |---|---|
//! | `settings` | client properties as data, each with its reason; user overrides; secrets masked |
//! | `topics` | which topics feed which source; dense partition numbers; discovery |
//! | `events` | librdkafka's consumer queue as plain Rust values |
//! | `fetch` | the records of all partitions in a queue of their own, taken many at a time |
//! | `cutter` | copies messages into the open batches and decides when one is complete |
//! | `consumer` | the poll thread: events in, sealed batches out, backpressure |
//! | `taker` | what is done with one record |
//! | `steering`, `steered` | partitions that come and go: who decides, and how the poll thread obeys |
//! | `progress` | what the poll thread has done so far, for other threads to read |
//! | `commit` | committing the offsets of completed batches |
//! | `output` | the encoded records of one batch, as they travel to the producer thread |
//! | `producer` | the producer thread: produce, all acks, then commit, in batch order |
//! | `transact` | the transactional producer: outputs and positions become visible together |
//! | `targets` | its topics: which partition a record goes to, the records of a batch by partition |
//! | `txn_error` | what can go wrong with a transaction, by what has to happen now |
//! | `bulk` | the records of a batch into librdkafka's queues, a call a partition |
//! | `reports` | librdkafka's delivery reports as plain Rust values |
//! | `acks` | counting the acks of the batches in flight |
//! | `credit` | keeps a writer from outrunning its readers on the embedded broker |
//! | `member` | a group member whose loop is its owner's thread |
//! | `membership` | a member's place in its group, for whoever moves offsets on another thread |
//! | `restore` | reads partitions to their high watermarks, committed records only |
//! | `partitioner` | key → partition, as every other Kafka client does it |
//! | `admin`, `admin/` | what a cluster says about itself and its topics; making topics |
//! | `group` | consumer groups, seen from outside: members, assignments, committed offsets |
//! | `ranges` | reads parts of a topic, for commands that look at what is there |
//! | `feeder` | produces generated events quickly to the embedded broker, for `demo` |
//! | `flood` | produces generated events to a real cluster and tells their offsets, for `load` |
//! | `reader` | reads topics from given offsets, for `demo`, `load`, audits and tests |
//! | `embedded` | the in-process broker |
//! | `error` | whose fault, and is it worth trying again |
//!
//! Two orders of writing: on the embedded broker *produce → all acks → commit*
//! (`producer`), on a real cluster transactions (`transact`). Assignments arrive
//! as values in the poll loop, not in a callback.

mod acks;
mod admin;
mod bulk;
mod commit;
mod consumer;
mod credit;
mod cutter;
mod division;
mod embedded;
mod error;
mod events;
mod feeder;
mod fetch;
mod flood;
mod group;
mod log;
mod member;
mod membership;
mod output;
mod partitioner;
mod producer;
mod progress;
mod ranges;
mod reader;
mod reports;
mod restore;
mod settings;
mod steered;
mod steering;
mod taker;
mod targets;
mod topics;
mod transact;
mod txn_error;

pub use acks::now_us;
pub use admin::{Admin, At, Cluster, ConfigValue, NewTopic, Topic, TopicId, has_patterns, source_topics};
pub use commit::Committer;
pub use consumer::{Consumer, ConsumerSpec, Gaps, PAUSE_AFTER, SEND_WAIT};
pub use credit::{CREDIT_BYTES, CREDIT_WAIT_MAX, Credit, CreditReader, CreditTopic, CreditWriter, RECORD_OVERHEAD, cost};
pub use cutter::Cut;
pub use division::Share;
pub use embedded::{EmbeddedBroker, Failure, Request};
pub use error::{Error, Fault, Refusal};
pub use feeder::{Fed, Feeder};
pub use flood::{Flood, FloodRecord};
pub use group::{Group, GroupMember, GroupState};
pub use member::{Member, MemberEvent, Part};
pub use membership::Membership;
pub use output::{OutHeader, OutRecord, OutputBatch};
pub use partitioner::{murmur2, partition_of};
pub use producer::{Delivered, OutputTopic, Producer, ProducerSpec, ProducerTotals};
pub use progress::Progress;
pub use ranges::{Range, read_ranges};
pub use reader::{Record, TopicReader};
pub use restore::{PartitionReader, ReadToEnd, read_to_end, watermarks};
pub use settings::{EMBEDDED_MESSAGE_BYTES_MAX, Settings, is_secret};
pub use steering::{Command, Steering};
pub use topics::{SourceTopic, SourceTopics, Start, discover};
pub use transact::{Delivery, Transactor};
pub use txn_error::TxnError;
