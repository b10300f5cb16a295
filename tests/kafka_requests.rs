//! Requests that a broker answers with errors: the writer of `run` against librdkafka's mock
//! cluster, one kind of request and one error after the other. Whatever is answered, each batch is
//! committed exactly once and in order; what differs is what it takes: nothing, reading again, or
//! a person.
//!
//! The mock knows the protocol of transactions and nothing else of them: it shows aborted records,
//! and moves offsets before the commit. So what is committed is what the writer believes to be;
//! that brokers agree is the business of `real`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catchment::ingest::batch::Partitions;
use catchment::ingest::ledger::Counts;
use catchment::ingest::plan::Plan;
use catchment::kafka::{Delivery, Member, MemberEvent, OutputBatch, OutputTopic, Settings, Start, TopicReader};
use catchment::run::health::{Health, RoleHealth};
use catchment::run::ingest::gate::Gate;
use catchment::run::ingest::writer::{self, Chunk, INCIDENTS, TxnCut, WriterSpec, WriterTotals};
use crossbeam_channel::{SendTimeoutError, bounded};
use rdkafka::bindings as sys;
use rdkafka::bindings::rd_kafka_resp_err_t::{
    self as Answer, RD_KAFKA_RESP_ERR__TRANSPORT as Cut, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS as Concurrent,
    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as Loading, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as NoCoordinator,
    RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID as Replaced, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED as GroupDenied,
    RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION as OldGeneration, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH as OldEpoch,
    RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING as WrongMapping, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE as WrongState,
    RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR as Storage, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as TooLarge, RD_KAFKA_RESP_ERR_NOT_COORDINATOR as OtherCoordinator,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as FewReplicas, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND as FewReplicasAfter,
    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NotLeader, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as OutOfOrder,
    RD_KAFKA_RESP_ERR_PRODUCER_FENCED as Fenced, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as TimedOut, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as TopicDenied,
    RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED as IdDenied, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID as UnknownMember,
    RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID as UnknownProducer,
};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaApiKey as Api;

use crate::one_batch::plan_of;

const WAIT: Duration = Duration::from_secs(60);
const EVENTS: &str = "events";
const TOPICS: [(&str, i32); 4] = [(EVENTS, 1), ("soc.incidents", 2), ("soc.dead-letters", 1), ("soc.index", 1)];
/// Batches that go through the writer, and events of each.
const BATCHES: i64 = 30;
const ROWS: i64 = 10;
/// Requests begin to fail when so many batches are committed.
const FAIL_AT: i64 = 10;

/// A mock cluster.
struct Mock {
    // The cluster belongs to this client and ends with it.
    owner: BaseProducer,
    bootstrap: String,
}

impl Mock {
    fn start() -> Mock {
        let owner: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create().unwrap();
        let cluster = owner.client().mock_cluster().unwrap();
        TOPICS.iter().for_each(|(name, partitions)| cluster.create_topic(name, *partitions, 1).unwrap());
        let bootstrap = cluster.bootstrap_servers();
        drop(cluster);
        // SAFETY: the handle of a client that is alive and has a mock cluster.
        unsafe { sys::rd_kafka_mock_group_initial_rebalance_delay_ms(sys::rd_kafka_handle_mock_cluster(owner.client().native_ptr()), 0) };
        Mock { owner, bootstrap }
    }

    fn fail(&self, request: Api, answers: &[Answer]) {
        self.owner.client().mock_cluster().unwrap().request_errors(request, answers);
    }

    /// A member that was given the input.
    fn member(&self) -> Member {
        let mut member = Member::join(&Settings::member(&self.bootstrap, "soc.ingest", "a"), &[EVENTS]).unwrap();
        let since = Instant::now();
        loop {
            assert!(since.elapsed() < WAIT, "the member gets no partition");
            let given = member.poll(Duration::from_millis(50), |event| matches!(event, MemberEvent::Assigned(_)));
            if given == Some(true) {
                member.assign(&[(EVENTS, 0, Start::Offset(0))]).unwrap();
                return member;
            }
        }
    }

    /// How many different values the topic of incidents holds.
    fn incidents(&self) -> usize {
        let mut found = BTreeSet::new();
        let mut reader = TopicReader::open(&Settings::reader(&self.bootstrap).embedded(), &[(TOPICS[1].0, TOPICS[1].1)], None).unwrap();
        reader.drain(WAIT, |record| _ = found.insert(record.payload().to_vec())).unwrap();
        found.len()
    }
}

fn plan() -> Arc<Plan> {
    plan_of("name: soc\nsource: { topics: [events] }\nclassify: { default: T }\nmap: { '*': { k: k } }\n")
}

/// The offsets of batch `n`, and a record for each.
fn chunk(plan: &Plan, n: i64, seq: u64, generation: u32) -> Chunk {
    let mut batch = OutputBatch { seq, ..Default::default() };
    for row in n * ROWS..(n + 1) * ROWS {
        batch.offsets.add(0, row);
        assert!(batch.push(INCIDENTS, row.to_string().as_bytes(), format!("incident {row}").as_bytes(), 0));
    }
    let counts = Counts { messages: ROWS as u64, events: ROWS as u64, ..Counts::new(plan) };
    Chunk { made: std::time::Instant::now(), batch, generation, counts, source: 0, barrier: None }
}

/// What a run of the writer showed.
struct Ran {
    totals: WriterTotals,
    /// What `/readyz` said meanwhile.
    troubles: BTreeSet<String>,
    /// The writer asked for a new look at the topics.
    changed: bool,
}

/// Sends all batches through a writer; whenever it gives up a generation, again from what is
/// committed, as the poll thread does. `fail` is called once, in the middle.
fn write(mock: &Mock, delivery: Delivery, fail: impl FnOnce()) -> Ran {
    let member = mock.member();
    let (plan, gate) = (plan(), Arc::new(Gate::default()));
    let health = Arc::new(Health::default());
    let role: Arc<RoleHealth> = health.role("ingest");
    role.set_reading(true);
    let mut partitions = Partitions::default();
    assert_eq!(partitions.number(EVENTS, 0), Some(0));
    let (changed, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (out, chunks) = bounded(4);
    let committed = Arc::new(Mutex::new(Vec::new()));
    let on_commit = {
        let committed = committed.clone();
        move |chunks: &[Chunk]| {
            let intervals = chunks.iter().flat_map(|chunk| chunk.batch.offsets.intervals()).map(|interval| (interval.from, interval.to));
            committed.lock().unwrap().extend(intervals);
        }
    };
    let settings = match delivery {
        Delivery::ExactlyOnce => Settings::transactional(&mock.bootstrap, "soc-ingest-a", Duration::from_secs(10)),
        Delivery::AtLeastOnce => Settings::producer(&mock.bootstrap).only_failures(),
    };
    let spec = WriterSpec {
        settings,
        delivery,
        topics: TOPICS[1..].iter().map(|(name, partitions)| OutputTopic { name: (*name).to_owned(), partitions: *partitions }).collect(),
        member: member.membership(),
        partitions: Arc::new(partitions),
        plan: plan.clone(),
        gate: gate.clone(),
        cut: TxnCut { linger: Duration::from_millis(5), bytes: 1 << 20, rows: 3 * ROWS as u64 },
        positions: [std::sync::atomic::AtomicI64::new(-1)].into(),
        progress: Default::default(),
        spare: Default::default(),
        stop: stop.clone(),
        health: role,
        changed: changed.clone(),
    };
    let writing = writer::spawn(spec, chunks, Box::new(on_commit)).unwrap();
    let end = || committed.lock().unwrap().last().map_or(0, |(_, to)| *to);
    let (mut next, mut seq, mut fail, mut troubles) = (0, 0, Some(fail), BTreeSet::new());
    let since = Instant::now();
    while end() < BATCHES * ROWS {
        assert!(since.elapsed() < WAIT, "{} of {} events are committed; {:?}", end(), BATCHES * ROWS, health.ready());
        assert!(!writing.is_finished(), "{:?}", writing.join());
        troubles.extend(health.ready().err());
        if gate.take_rewind() {
            next = end() / ROWS;
        }
        if end() >= FAIL_AT * ROWS
            && let Some(fail) = fail.take()
        {
            fail();
        }
        // The rest waits until requests fail.
        let last = if fail.is_some() { FAIL_AT } else { BATCHES };
        if next == last {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        match out.send_timeout(chunk(&plan, next, seq, gate.generation()), Duration::from_millis(2)) {
            Ok(()) => (next, seq) = (next + 1, seq + 1),
            Err(SendTimeoutError::Timeout(_)) => {}
            Err(SendTimeoutError::Disconnected(_)) => panic!("{:?}", writing.join()),
        }
    }
    drop(out);
    let totals = writing.join().unwrap().unwrap();
    let committed = committed.lock().unwrap().clone();
    let expected: Vec<(i64, i64)> = (0..BATCHES).map(|n| (n * ROWS, (n + 1) * ROWS)).collect();
    assert_eq!(committed, expected, "each batch once, in order");
    assert_eq!(mock.incidents() as i64, BATCHES * ROWS, "every record is stored");
    assert_eq!(health.ready(), Ok(()));
    drop(member);
    Ran { totals, troubles, changed: changed.load(Ordering::Relaxed) }
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// librdkafka asks again: nobody notices.
    Nothing,
    /// The transaction is aborted, or the producer is made anew, and the input is read again.
    Again,
    /// The same, and `/readyz` says what the broker refuses.
    APerson,
}

use Takes::{APerson, Again, Nothing};

/// Kind of request, what is answered, and what that takes.
type Case = (Api, &'static [Answer], Takes);

const CASES: &[Case] = &[
    (Api::Produce, &[NotLeader, NotLeader, TimedOut, NotLeader], Nothing),
    (Api::Produce, &[FewReplicas, FewReplicasAfter, Storage], Nothing),
    (Api::Produce, &[Cut, Cut], Nothing),
    (Api::Produce, &[OutOfOrder], Again),
    (Api::Produce, &[UnknownProducer], Again),
    (Api::Produce, &[OldEpoch], Again),
    (Api::Produce, &[TooLarge], APerson),
    (Api::Produce, &[TopicDenied], APerson),
    (Api::AddPartitionsToTxn, &[Concurrent, Concurrent, Loading, OtherCoordinator, NoCoordinator], Nothing),
    (Api::AddPartitionsToTxn, &[Cut], Nothing),
    (Api::AddPartitionsToTxn, &[WrongMapping], Again),
    (Api::AddPartitionsToTxn, &[OldEpoch], Again),
    (Api::AddPartitionsToTxn, &[Fenced], Again),
    (Api::AddPartitionsToTxn, &[WrongState], Again),
    (Api::AddPartitionsToTxn, &[TopicDenied], APerson),
    (Api::AddPartitionsToTxn, &[IdDenied], APerson),
    (Api::AddOffsetsToTxn, &[Concurrent, Loading, OtherCoordinator, NoCoordinator], Nothing),
    (Api::AddOffsetsToTxn, &[Cut], Nothing),
    (Api::AddOffsetsToTxn, &[WrongMapping], Again),
    (Api::AddOffsetsToTxn, &[Fenced], Again),
    (Api::AddOffsetsToTxn, &[GroupDenied], APerson),
    (Api::TxnOffsetCommit, &[Loading, OtherCoordinator], Nothing),
    (Api::TxnOffsetCommit, &[NoCoordinator], Nothing),
    // Asked again twice only.
    (Api::TxnOffsetCommit, &[Loading, OtherCoordinator, NoCoordinator, NoCoordinator], Again),
    (Api::TxnOffsetCommit, &[Cut], Nothing),
    (Api::TxnOffsetCommit, &[UnknownMember], Again),
    (Api::TxnOffsetCommit, &[OldGeneration], Again),
    (Api::TxnOffsetCommit, &[Replaced], Again),
    (Api::TxnOffsetCommit, &[OldEpoch], Again),
    (Api::TxnOffsetCommit, &[GroupDenied], APerson),
    (Api::EndTxn, &[Concurrent, Loading, OtherCoordinator, NoCoordinator], Nothing),
    (Api::EndTxn, &[Cut], Nothing),
    (Api::EndTxn, &[OldEpoch], Again),
    (Api::EndTxn, &[Fenced], Again),
    (Api::EndTxn, &[WrongState], Again),
    (Api::EndTxn, &[IdDenied], APerson),
    (Api::FindCoordinator, &[NoCoordinator, NoCoordinator], Nothing),
];

/// The same without transactions: records, acks, then offsets. (A member that the group does not
/// know any more joins again, for which the mock takes a minute: see `real`.)
const CASES_AT_LEAST_ONCE: &[Case] = &[
    (Api::Produce, &[NotLeader, TimedOut, NotLeader], Nothing),
    (Api::Produce, &[Cut], Nothing),
    (Api::Produce, &[TooLarge], APerson),
    (Api::Produce, &[TopicDenied], APerson),
    (Api::OffsetCommit, &[Loading], Nothing),
    (Api::OffsetCommit, &[Cut], Nothing),
    (Api::OffsetCommit, &[GroupDenied], APerson),
];

fn hold(delivery: Delivery, case: &Case) -> Result<(), String> {
    let (request, answers, takes) = *case;
    let mock = Mock::start();
    let Ran { totals, troubles, changed } = write(&mock, delivery, || mock.fail(request, answers));
    let took = match (totals.aborted, troubles.iter().any(|trouble| trouble.contains("uthoriz") || trouble.contains("too large"))) {
        (0, _) => Nothing,
        (_, false) => Again,
        (_, true) => APerson,
    };
    println!("{request:?} {answers:?}: {took:?}, {} transactions aborted; {troubles:?}", totals.aborted);
    // What a person has to mend is tried again until then; librdkafka believes for a while that it is so still.
    if took != takes || totals.aborted > if takes == APerson { 10 } else { 1 } {
        return Err(format!("{request:?} {answers:?}: takes {took:?} instead of {takes:?}, {} aborts; {troubles:?}", totals.aborted));
    }
    if changed != (answers == [TooLarge]) {
        return Err(format!("{request:?} {answers:?}: a new look at the topics: {changed}"));
    }
    Ok(())
}

fn hold_all(delivery: Delivery, cases: &'static [Case]) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let held = std::panic::catch_unwind(|| hold(delivery, case)).unwrap_or_else(|panic| {
                        let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        Err(format!("{:?} {:?}: {why}", case.0, case.1))
                    });
                    failed.lock().unwrap().extend(held.err());
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn kafka_requests_that_fail_lose_and_double_nothing() {
    hold_all(Delivery::ExactlyOnce, CASES);
}

#[test]
fn kafka_requests_that_fail_lose_nothing_without_transactions() {
    hold_all(Delivery::AtLeastOnce, CASES_AT_LEAST_ONCE);
}

#[test]
fn kafka_requests_to_brokers_that_are_slow_or_away_are_waited_for() {
    let mock = Mock::start();
    let cluster = || mock.owner.client().mock_cluster().unwrap();
    let ran = write(&mock, Delivery::ExactlyOnce, || {
        cluster().broker_round_trip_time(-1, Duration::from_millis(60)).unwrap();
        cluster().broker_down(-1).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        cluster().broker_up(-1).unwrap();
    });
    assert!(ran.totals.aborted <= 1, "{:?} {:?}", ran.totals, ran.troubles);
}
