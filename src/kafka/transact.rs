//! One transactional producer, used by one thread: begin, produce, add the offsets
//! of the input, commit or abort. All that ingest and the keeper write on real Kafka
//! goes through here, so that outputs and positions become visible together.
//!
//! With [`Delivery::AtLeastOnce`] the same calls produce, wait for all acks, and then
//! commit offsets: for clusters on which transactions are not allowed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::acks::AckContext;
use super::bulk::{Bulk, Sent};
use super::error::{Error, is_passing};
use super::log::Logging;
use super::membership::Membership;
use super::output::OutputBatch;
use super::producer::OutputTopic;
use super::reports::ReportQueue;
use super::settings::Settings;
use super::targets::Targets;
use super::txn_error::{TransactionError, TxnError, checked};

/// One wait inside a blocking call of librdkafka; between the waits delivery
/// errors are served, without which a flush would wait for ever.
const STEP: Duration = Duration::from_millis(200);

/// How long a coordinator may be unreachable before a call gives up. Above the
/// 30 s that a broker may hang, and above `transaction.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(60);

/// Brokers bring a transaction to its end some milliseconds after they have acknowledged its commit.
/// Whoever adds a partition to the next one before that is refused, and librdkafka asks again after
/// 20 ms, while everything produced waits. A short rest costs less; should a cluster need longer, it
/// is as without.
const REST: Duration = Duration::from_millis(4);

/// Records between two looks at the queue of delivery errors.
const SERVE_EVERY: u32 = 1024;

/// Wait for room in a full producer queue.
const ROOM_WAIT: Duration = Duration::from_millis(5);

/// What is tried when a record is refused.
const PRODUCING: &str = "producing a record";

/// What is promised about outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Outputs, index and offsets in one transaction.
    #[default]
    ExactlyOnce,
    /// Outputs first, offsets after their acks: a crash repeats some.
    AtLeastOnce,
}

/// One transactional producer; one thread uses it.
pub struct Transactor {
    /// Dropped before the client behind `reports`.
    bulk: Bulk,
    reports: ReportQueue,
    /// The bytes of batches that librdkafka may still read from. Dropped after the client behind `reports`.
    held: Vec<Vec<u8>>,
    /// Those that it has done with.
    free: Vec<Vec<u8>>,
    topics: Targets,
    delivery: Delivery,
    open: bool,
    /// When the last transaction ended.
    ended: Option<Instant>,
    since_served: u32,
    /// First delivery error since `begin`.
    failed: Option<Code>,
    /// Offsets to commit after the acks, with [`Delivery::AtLeastOnce`].
    later: Option<(Arc<BaseConsumer<Logging>>, TopicPartitionList)>,
}

impl Transactor {
    /// Starts a producer. With [`Delivery::ExactlyOnce`] `settings` must be
    /// [`Settings::transactional`]: an older producer of the same id is fenced, and its
    /// open transaction is resolved, before this returns.
    ///
    /// # Errors
    /// Properties that librdkafka refuses, brokers that cannot be reached or refuse.
    pub fn start(settings: &Settings, delivery: Delivery, topics: Vec<OutputTopic>) -> Result<Transactor, TxnError> {
        let action = "starting the producer";
        let producer: BaseProducer<AckContext> =
            settings.client_config().create_with_context(AckContext).map_err(|error| TxnError::Refused(Error::from_kafka(action, error)))?;
        let reports = ReportQueue::new(Arc::new(producer)).map_err(TxnError::Fatal)?;
        let bulk = Bulk::new(reports.producer(), topics.iter().map(|topic| topic.name.as_str())).map_err(TxnError::Refused)?;
        let mut transactor = Transactor {
            bulk,
            reports,
            held: Vec::new(),
            free: Vec::new(),
            topics: Targets::new(topics),
            delivery,
            open: false,
            ended: None,
            since_served: 0,
            failed: None,
            later: None,
        };
        if delivery == Delivery::ExactlyOnce {
            let native = transactor.native();
            // SAFETY: the client is alive.
            transactor.patiently("claiming the transactional id", |wait| unsafe { sys::rd_kafka_init_transactions(native, wait) })?;
        }
        Ok(transactor)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// A producer that is fenced.
    pub fn begin(&mut self) -> Result<(), TxnError> {
        self.failed = None;
        // Whoever wanted them has them: aborted transactions, one after another, must not pile them up.
        self.free.clear();
        if self.delivery == Delivery::ExactlyOnce {
            self.alive("beginning a transaction")?;
            if let Some(ended) = self.ended {
                std::thread::sleep((ended + REST).saturating_duration_since(Instant::now()));
            }
            // SAFETY: the client is alive.
            checked("beginning a transaction", unsafe { sys::rd_kafka_begin_transaction(self.native()) })?;
        }
        self.open = true;
        Ok(())
    }

    /// True between `begin` and `commit` or `abort`.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Adds a record. Without `partition` it is that of the key (murmur2); records without a
    /// key take turns. `timestamp_ms` 0 = now.
    ///
    /// # Errors
    /// A full queue is waited for; anything else ends the transaction.
    pub fn produce(
        &mut self,
        topic: u16,
        partition: Option<i32>,
        key: &[u8],
        value: &[u8],
        headers: &[(&str, &[u8])],
        timestamp_ms: i64,
    ) -> Result<(), TxnError> {
        let partition = self.topics.partition(topic, partition, key)?;
        let name = self.topics.name(topic);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&name, 0).partition(partition).payload(value);
        record.key = (!key.is_empty()).then_some(key);
        record.timestamp = (timestamp_ms > 0).then_some(timestamp_ms);
        record.headers = (!headers.is_empty()).then(|| {
            let empty = OwnedHeaders::new_with_capacity(headers.len());
            headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(*value) }))
        });
        let since = Instant::now();
        loop {
            match self.reports.producer().send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    self.room(since)?;
                    record = back;
                }
                Err((KafkaError::MessageProduction(code), _)) => return Err(self.refused(PRODUCING, code)),
                Err((error, _)) => return Err(TxnError::Abort(Error::from_kafka("producing a record", error))),
            }
        }
        self.served_after(1)
    }

    /// Adds the records of a batch, in their order by partition. Its bytes may stay here until the
    /// transaction has ended: [`Transactor::bytes`] gives them back.
    ///
    /// # Errors
    /// As [`Transactor::produce`]; a range outside the batch's bytes.
    pub fn produce_batch(&mut self, batch: &mut OutputBatch) -> Result<(), TxnError> {
        // librdkafka takes many at once only without headers.
        if !batch.headers.is_empty() {
            let seq = batch.seq;
            let bad = |record: usize| TxnError::Abort(Error::BadRange { seq, record });
            return (0..batch.records.len()).try_for_each(|number| self.produce_from(batch, number).ok_or_else(|| bad(number))?);
        }
        self.topics.divide(batch)?;
        // From here on, whatever happens, the bytes do not move before the transaction has ended.
        self.held.push(std::mem::take(&mut batch.bytes));
        let done = self.produce_held(batch);
        if self.copies() {
            batch.bytes = self.held.pop().unwrap_or_default();
        }
        done
    }

    /// Without a transaction no end tells that librdkafka has done with all records: it gets copies.
    fn copies(&self) -> bool {
        self.delivery == Delivery::AtLeastOnce
    }

    /// Adds the records of the batch whose bytes were held last.
    fn produce_held(&mut self, batch: &OutputBatch) -> Result<(), TxnError> {
        for topic in 0..self.topics.len() {
            for partition in 0..self.topics.partitions(topic) {
                self.produce_to(topic, partition, batch)?;
            }
        }
        Ok(())
    }

    /// Adds the records of the batch held last that go to one partition.
    fn produce_to(&mut self, topic: usize, partition: usize, batch: &OutputBatch) -> Result<(), TxnError> {
        let copy = self.copies();
        let since = Instant::now();
        let mut from = 0;
        loop {
            let numbers = self.topics.numbers(topic, partition).get(from..).unwrap_or_default();
            let (Some(first), Some(bytes)) = (numbers.first(), self.held.last()) else { break };
            let bad = TxnError::Abort(Error::BadRange { seq: batch.seq, record: *first as usize });
            let count = numbers.len();
            // SAFETY: what is `held` becomes free only when a commit or an abort has succeeded, that is when
            // librdkafka has done with all records, and is dropped only after the client.
            match unsafe { self.bulk.send(topic as u16, partition as i32, &batch.records, bytes, numbers, copy) }.ok_or(bad)? {
                Sent::All => {
                    self.served_after(u32::try_from(count).unwrap_or(u32::MAX))?;
                    break;
                }
                Sent::Full(taken) => {
                    from += taken;
                    self.room(since)?;
                }
                Sent::Refused(code) => return Err(self.refused(PRODUCING, code)),
            }
        }
        Ok(())
    }

    /// The bytes of the batches of transactions that have ended, for the next use.
    pub fn bytes(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.free.drain(..)
    }

    /// Adds one record of a batch. `None`: a range outside the batch's bytes.
    fn produce_from(&mut self, batch: &OutputBatch, number: usize) -> Option<Result<(), TxnError>> {
        let record = batch.records.get(number)?;
        let (key, value, headers) = (batch.slice(&record.key)?, batch.slice(&record.value)?, batch.headers_of(record)?);
        Some(self.produce(record.topic, record.partition, key, value, &headers, 0))
    }

    /// Waits for room in the producer's queue, which has been full `since`.
    fn room(&mut self, since: Instant) -> Result<(), TxnError> {
        if since.elapsed() > PATIENCE {
            return Err(TxnError::Abort(Error::TimedOut { action: "waiting for room in the producer's queue", waited: PATIENCE }));
        }
        self.serve(ROOM_WAIT)
    }

    /// Looks at delivery errors once in a while: after so many records more.
    fn served_after(&mut self, records: u32) -> Result<(), TxnError> {
        self.since_served = self.since_served.saturating_add(records);
        if self.since_served >= SERVE_EVERY {
            self.since_served = 0;
            self.serve(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Adds the positions of the input: topic, partition, next offset to read. Checked by the
    /// group's coordinator against the membership, so that a member that was replaced cannot commit.
    ///
    /// # Errors
    /// A membership that is gone, a coordinator that refuses.
    pub fn send_offsets(&mut self, member: &Membership, offsets: &[(&str, i32, i64)]) -> Result<(), TxnError> {
        let action = "adding offsets to the transaction";
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, next) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next)).map_err(|error| TxnError::Abort(Error::from_kafka(action, error)))?;
        }
        if self.delivery == Delivery::AtLeastOnce {
            self.later = Some((Arc::clone(&member.0), list));
            return Ok(());
        }
        let gone = || TxnError::Abort(Error::Refused { action, reason: "the consumer is in no group".to_owned() });
        let metadata = member.metadata().ok_or_else(gone)?;
        let since = Instant::now();
        loop {
            let sent = self.reports.producer().send_offsets_to_transaction(&list, &metadata, STEP * 5);
            match sent {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !error.is_fatal() && since.elapsed() < PATIENCE => self.serve(Duration::ZERO)?,
                Err(KafkaError::Transaction(error)) if error.code() == Code::State && !error.is_fatal() => return Err(self.refused(action, Code::State)),
                Err(KafkaError::Transaction(error)) => return Err(TxnError::of(action, error.code(), error.is_fatal())),
                Err(error) => return Err(TxnError::Abort(Error::from_kafka(action, error))),
            }
        }
    }

    /// Makes all of it visible. After an error nothing of it is, or it cannot be known
    /// ([`TxnError::Fatal`]): ask for the committed offsets.
    ///
    /// # Errors
    /// A record that was refused, a coordinator that refuses or stays away.
    pub fn commit(&mut self) -> Result<(), TxnError> {
        if self.delivery == Delivery::AtLeastOnce {
            return self.commit_later();
        }
        let native = self.native();
        // SAFETY: the client is alive.
        let done = self.patiently("committing a transaction", |wait| unsafe { sys::rd_kafka_commit_transaction(native, wait) });
        if let (Err(_), Some(code)) = (&done, self.failed) {
            // The cause is worth more than "the transaction failed".
            return Err(TxnError::of("storing a record", code, false));
        }
        done?;
        (self.open, self.ended) = (false, Some(Instant::now()));
        self.free.append(&mut self.held);
        Ok(())
    }

    fn commit_later(&mut self) -> Result<(), TxnError> {
        let since = Instant::now();
        // SAFETY: the client is alive.
        while unsafe { sys::rd_kafka_flush(self.native(), 20) } != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            self.serve(Duration::ZERO)?;
            if since.elapsed() > PATIENCE {
                return Err(TxnError::Abort(Error::TimedOut { action: "storing records", waited: PATIENCE }));
            }
        }
        self.serve(Duration::ZERO)?;
        if let Some(code) = self.failed {
            return Err(TxnError::of("storing a record", code, false));
        }
        if let Some((consumer, list)) = self.later.take() {
            let wrong = |error| match Error::from_kafka("committing offsets", error) {
                Error::Failed { action, code, fatal } => TxnError::of(action, code, fatal),
                other => TxnError::Abort(other),
            };
            consumer.commit(&list, CommitMode::Sync).map_err(wrong)?;
        }
        self.open = false;
        Ok(())
    }

    /// Takes all of it back.
    ///
    /// # Errors
    /// A producer that is fenced or cannot reach its coordinator: make a new one.
    pub fn abort(&mut self) -> Result<(), TxnError> {
        self.later = None;
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        if self.delivery == Delivery::AtLeastOnce {
            return Ok(());
        }
        self.alive("aborting a transaction")?;
        let native = self.native();
        // The abort itself takes back what was not sent. A purge of ours would leave a gap in the
        // sequence of the partition, and so fail the next transaction.
        // SAFETY: the client is alive.
        let done = self.patiently("aborting a transaction", |wait| unsafe { sys::rd_kafka_abort_transaction(native, wait) });
        done.map_err(|error| TxnError::Fatal(error.into_error()))?;
        self.ended = Some(Instant::now());
        self.free.append(&mut self.held);
        Ok(())
    }

    /// Serves delivery errors, waiting up to `wait` for one.
    fn serve(&mut self, wait: Duration) -> Result<(), TxnError> {
        let failed = &mut self.failed;
        self.reports
            .poll(wait, |_, failure| {
                // What librdkafka takes back after a failure says nothing about its cause.
                if let Some(code) = failure.filter(|code| !matches!(code, Code::PurgeQueue | Code::PurgeInflight)) {
                    failed.get_or_insert(code);
                }
            })
            .map_err(TxnError::Fatal)
    }

    /// Why something was not even taken. After a transaction has failed in the background librdkafka
    /// says only that its state is wrong, and the cause to whoever tries to begin another.
    fn refused(&self, action: &'static str, code: Code) -> TxnError {
        if code == Code::State && self.delivery == Delivery::ExactlyOnce {
            // SAFETY: the client is alive. A transaction is open, so this cannot begin one.
            if let Err(cause) = checked(action, unsafe { sys::rd_kafka_begin_transaction(self.native()) }) {
                return cause;
            }
        }
        TxnError::of(action, code, code == Code::Fatal)
    }

    /// An error if the client cannot be used any more; its calls would only wait.
    fn alive(&self, action: &'static str) -> Result<(), TxnError> {
        // SAFETY: the client is alive; no text is asked for.
        match unsafe { sys::rd_kafka_fatal_error(self.native(), std::ptr::null_mut(), 0) } {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(TxnError::of(action, code.into(), true)),
        }
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.reports.producer().client().native_ptr()
    }

    /// Repeats a call that may time out and be called again, serving delivery errors in between.
    fn patiently(&mut self, action: &'static str, call: impl Fn(i32) -> *mut sys::rd_kafka_error_t) -> Result<(), TxnError> {
        let since = Instant::now();
        let wait = i32::try_from(STEP.as_millis()).unwrap_or(i32::MAX);
        loop {
            let error = TransactionError::of(call(wait));
            let Some(error) = error else { return Ok(()) };
            let passing = error.retriable() || is_passing(error.code());
            if error.fatal() || error.requires_abort() || !passing {
                return Err(TxnError::of(action, error.code(), error.fatal()));
            }
            if since.elapsed() > PATIENCE {
                return Err(TxnError::Fatal(Error::TimedOut { action, waited: PATIENCE }));
            }
            // Failed deliveries keep the flush waiting until somebody has looked at them.
            while self.has_reports() {
                self.serve(Duration::ZERO)?;
            }
        }
    }

    fn has_reports(&self) -> bool {
        self.reports.len() > 0
    }
}
