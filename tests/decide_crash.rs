//! Batches are decided ahead of their commits, and then all kinds of things happen: aborts,
//! crashes, partitions that move. Whatever does, the decisions that last equal those of a
//! decider to which nothing ever happened and that saw the committed rows only.

#![allow(clippy::unwrap_used)]

use catchment::ingest::decide::block::{Header, encode};
use catchment::ingest::decide::{DecideSpec, Decided, Decider, Notes, Scope, Verdict};
use proptest::prelude::*;

use super::decide_model::{check_targets, config, rows, seeds, spec};
use super::decide_reference::{self as reference, Row};

/// What happens after a batch.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// All batches but the last so many are committed.
    Commit(usize),
    /// The transaction is aborted: all that is not committed is undone and read again.
    Abort,
    /// The same, but what was undone never comes back.
    Skip,
    /// The process dies and another takes over from the topic.
    Crash,
    /// All is committed, then a partition goes away and comes back.
    Move(u16),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => Just(Event::Nothing),
        6 => (0usize..4).prop_map(Event::Commit),
        3 => Just(Event::Abort),
        2 => Just(Event::Skip),
        1 => Just(Event::Crash),
        1 => (0u16..3).prop_map(Event::Move),
    ];
    prop::collection::vec(event, 1..40)
}

/// A batch that is not committed: number, rows, decisions, blocks by partition.
type Open = (u64, Vec<Row>, Decided, [Vec<u8>; 3]);

/// A process, its topic, and what lasts.
struct Life {
    decider: Decider,
    /// Blocks by partition, as committed.
    topic: [Vec<Vec<u8>>; 3],
    /// Batches that are not committed.
    open: Vec<Open>,
    seq: u64,
    rows: Vec<Row>,
    lasting: Decided,
    undone_in_place: usize,
    restored: usize,
}

impl Life {
    fn new(spec: &DecideSpec) -> Life {
        Life {
            decider: Decider::new(spec.clone()),
            topic: Default::default(),
            open: Vec::new(),
            seq: 0,
            rows: Vec::new(),
            lasting: Decided { shadow: vec![0; spec.rules.len()], ..Decided::default() },
            undone_in_place: 0,
            restored: 0,
        }
    }

    fn decide(&mut self, part: &[Row]) {
        let (mut out, mut notes) = (Decided::default(), Notes::default());
        reference::batch(&mut self.decider, part, &mut out, Some((self.seq, &mut notes)));
        let mut blocks: [Vec<u8>; 3] = Default::default();
        for (partition, block) in blocks.iter_mut().enumerate() {
            let mut offsets = part.iter().map(|row| row.origin).filter(|origin| origin.partition == partition as u16).map(|origin| origin.offset);
            if let Some(from) = offsets.next() {
                let to = offsets.next_back().unwrap_or(from) + 1;
                let header = Header { pipeline: "p", version: "v", topic: "t", partition: partition as i32, from, to };
                encode(&header, self.decider.spec(), &notes, partition as u16, b"ledger", block);
            }
        }
        self.open.push((self.seq, part.to_vec(), out, blocks));
        self.seq += 1;
    }

    fn commit(&mut self, keep_open: usize) {
        let count = self.open.len().saturating_sub(keep_open);
        for (seq, rows, decided, blocks) in self.open.drain(..count) {
            reference::append(&mut self.lasting, &decided, self.rows.len() as u32);
            self.rows.extend(rows);
            for (topic, block) in self.topic.iter_mut().zip(blocks) {
                topic.extend((!block.is_empty()).then_some(block));
            }
            self.decider.commit(seq);
        }
    }

    /// Undoes what is open; returns its rows.
    fn abort(&mut self) -> Vec<Row> {
        let rows = self.open.drain(..).flat_map(|(_, rows, ..)| rows).collect();
        let undone = self.decider.undo();
        self.undone_in_place += usize::from(undone.restore.is_empty());
        for partition in undone.restore {
            self.restore(partition);
        }
        rows
    }

    fn restore(&mut self, partition: u16) {
        let mut restore = self.decider.begin_restore();
        let partitions = if self.decider.spec().scope == Scope::Process { 0..3 } else { partition..partition + 1 };
        let mut blocks = 0;
        for partition in partitions {
            for block in &self.topic[partition as usize] {
                restore.apply(partition, block).unwrap();
                blocks += 1;
            }
        }
        if blocks > 0 {
            self.decider.install(partition, restore.finish().unwrap());
            self.restored += 1;
        }
    }

    fn restore_all(&mut self) {
        let shards = if self.decider.spec().scope == Scope::Process { 0..1 } else { 0..3 };
        shards.for_each(|shard| self.restore(shard));
    }

    /// Lives through all rows; when the events are over, they begin again.
    fn run(&mut self, rows: &[Row], cuts: &[usize], events: &[Event]) {
        let mut queue = rows.to_vec();
        let mut spare = 20 * rows.len();
        let mut step = 0;
        while !queue.is_empty() {
            let count = cuts[step % cuts.len()].min(queue.len());
            let part: Vec<Row> = queue.drain(..count).collect();
            self.decide(&part);
            // Aborts repeat rows: at some point there is enough of them.
            spare = spare.saturating_sub(count);
            let event = if spare == 0 { Event::Commit(0) } else { events[step % events.len()] };
            step += 1;
            match event {
                Event::Nothing => {}
                Event::Commit(keep_open) => self.commit(keep_open),
                Event::Abort => {
                    let again = self.abort();
                    queue.splice(..0, again);
                }
                Event::Skip => drop(self.abort()),
                Event::Crash => {
                    let again = self.open.drain(..).flat_map(|(_, rows, ..)| rows).collect::<Vec<_>>();
                    self.decider = Decider::new(self.decider.spec().clone());
                    self.restore_all();
                    queue.splice(..0, again);
                }
                Event::Move(partition) => {
                    self.commit(0);
                    self.decider.drop_shard(partition);
                    if self.decider.spec().scope == Scope::Process {
                        self.restore_all();
                    } else {
                        self.restore(partition);
                    }
                }
            }
        }
        self.commit(0);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn only_what_was_committed_counts(spec in spec(), seeds in seeds(1..300), cuts in prop::collection::vec(1usize..40, 1..6), events in events(), gentle in any::<bool>()) {
        let mut seeds = seeds;
        if gentle {
            // Time hardly moves between commits: everything is undone in place.
            seeds.iter_mut().for_each(|seed| seed.1 = seed.1.min(2));
        }
        let rows = rows(&seeds, spec.rules.len(), 1_790_000_000_000);
        let mut life = Life::new(&spec);
        life.run(&rows, &cuts, &events);
        let expected = reference::decide(&spec, &life.rows);
        prop_assert_eq!(&life.lasting, &expected);
    }

    #[test]
    fn a_tiny_bound_only_lets_duplicates_pass(mut spec in spec(), seeds in seeds(50..300), cuts in prop::collection::vec(1usize..40, 1..6), events in events(), bytes in prop::sample::select(vec![0usize, 1_000, 20_000, 80_000])) {
        spec.index_bytes_max = bytes;
        let rows = rows(&seeds, spec.rules.len(), 0);
        let mut life = Life::new(&spec);
        life.run(&rows, &cuts, &events);
        check_targets(&spec, &life.rows, &life.lasting)?;
        for (partition, stats) in life.decider.stats() {
            prop_assert!(stats.bytes <= bytes as u64, "shard {} holds {} bytes of {}", partition, stats.bytes, bytes);
        }
    }

    #[test]
    fn at_least_once_knows_its_own(mut spec in spec(), seeds in seeds(2..200), cut in 1usize..60, ahead in 1usize..200) {
        spec.scope = Scope::Partition;
        spec.at_least_once = true;
        spec.late_max_ms = 1_000_000;
        let mut seeds = seeds;
        seeds.iter_mut().for_each(|seed| (seed.1, seed.2) = (seed.1.min(100), seed.2.min(100)));
        let rows = rows(&seeds, spec.rules.len(), 0);
        let expected = reference::decide(&spec, &rows);
        // All blocks were written; the offsets of the last rows were not.
        let mut life = Life::new(&spec);
        life.run(&rows, &[cut], &[Event::Commit(0)]);
        prop_assert_eq!(&life.lasting, &expected);
        life.decider = Decider::new(spec.clone());
        life.restore_all();
        let keys: Vec<_> = life.decider.stats().iter().map(|(_, stats)| stats.keys).collect();
        let from = rows.len().saturating_sub(ahead);
        let (mut again, mut notes) = (Decided::default(), Notes::default());
        reference::batch(&mut life.decider, &rows[from..], &mut again, Some((0, &mut notes)));
        prop_assert_eq!(&again.verdicts[..], &expected.verdicts[from..]);
        let links = expected.links.iter().filter(|link| link.row >= from as u32).map(|link| (link.row - from as u32, link.rule, link.target));
        prop_assert!(links.eq(again.links.iter().map(|link| (link.row, link.rule, link.target))));
        prop_assert!(notes.is_empty(), "{} rows were remembered twice", notes.len());
        prop_assert_eq!(life.decider.stats().iter().map(|(_, stats)| stats.keys).collect::<Vec<_>>(), keys);
    }
}

/// A stream of one partition in which time moves by `step` ms a row.
fn stream(rows: usize, step: i64, keys: u64) -> Vec<Row> {
    let mut state = 0x1234_5678_9abc_def1u64;
    (0..rows)
        .map(|row| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let origin = catchment::ingest::decide::Origin { partition: 0, offset: row as i64, element: 0 };
            let keys = vec![1 + (state >> 20) as u8 % keys as u8; 3];
            Row { origin, time: row as i64 * step, holds: vec![true; 3], keys, value: (state >> 40) as u8 % 4 }
        })
        .collect()
}

fn life_of(step: i64) -> (Life, Vec<Row>) {
    use catchment::ingest::decide::{Action, LinkTo, Mode, RuleSpec};
    let rule = |number: u64, action, has_where, link_to| RuleSpec {
        name: "rule".into(),
        rule_key: number,
        action,
        matches: true,
        has_where,
        within_ms: 20_000,
        link_to,
        open_only: false,
        shadow: false,
    };
    let rules = vec![rule(0, Action::Link, true, LinkTo::Newest), rule(1, Action::Link, false, LinkTo::Newest), rule(2, Action::Link, false, LinkTo::Oldest)];
    let spec = DecideSpec {
        mode: Mode::All,
        rules,
        scope: Scope::Partition,
        groups: Vec::new(),
        where_key: 0,
        at_least_once: false,
        late_max_ms: 0,
        index_bytes_max: 64 << 20,
    };
    let rows = stream(20_000, step, 200);
    let mut life = Life::new(&spec);
    let events = [Event::Nothing, Event::Commit(2), Event::Abort, Event::Nothing, Event::Skip, Event::Nothing, Event::Commit(1), Event::Abort];
    life.run(&rows, &[100, 37, 250], &events);
    (life, rows)
}

#[test]
fn aborts_are_undone_in_place_while_the_clock_stays_near() {
    // Three horizons go by; batches in flight are a tenth of one at most.
    let (life, rows) = life_of(3);
    assert!(life.undone_in_place > 50 && life.restored == 0, "{} in place, {} restored", life.undone_in_place, life.restored);
    assert!(life.rows.len() < rows.len());
    assert_eq!(life.lasting, reference::decide(life.decider.spec(), &life.rows));
}

#[test]
fn aborts_that_move_the_clock_far_are_restored() {
    let (life, _) = life_of(1_000);
    assert!(life.restored > 50, "{} in place, {} restored", life.undone_in_place, life.restored);
    assert_eq!(life.lasting, reference::decide(life.decider.spec(), &life.rows));
}

#[test]
fn clocks_of_rows_without_time_are_undone_and_restored() {
    use catchment::ingest::decide::{NO_TIME, Origin, RowTimes};
    let (mut life, _) = life_of(10);
    let fill = |life: &mut Life, times: &[i64]| {
        let origins = vec![Origin { partition: 0, offset: 1 << 20, element: 0 }; times.len()];
        let (mut occurred, mut created) = (vec![NO_TIME; times.len()], times.to_vec());
        let unknown = life.decider.fill_in(&mut RowTimes { origins: &origins, occurred: &mut occurred, created: &mut created });
        assert_eq!(occurred, created);
        (unknown, created)
    };
    let row = stream(1, 1, 1);
    assert_eq!(fill(&mut life, &[NO_TIME, 7_000, NO_TIME, 5_000, NO_TIME]), (3, vec![0, 7_000, 7_000, 5_000, 7_000]));
    life.decide(&row);
    life.commit(0);
    fill(&mut life, &[9_000]);
    life.decide(&row);
    life.abort();
    assert_eq!(fill(&mut life, &[NO_TIME]).1, [7_000]);
    life.decider = Decider::new(life.decider.spec().clone());
    life.restore_all();
    assert_eq!(fill(&mut life, &[NO_TIME]).1, [7_000]);
    life.decider.drop_shard(0);
    assert_eq!(fill(&mut life, &[NO_TIME]).1, [0]);
}

#[test]
fn a_shard_of_which_nothing_was_committed_is_gone_after_undoing() {
    let (mut life, _) = life_of(10);
    life.decider.drop_shard(0);
    life.decide(&stream(10, 1, 1));
    assert!(life.decider.undo().restore.is_empty());
    assert!(life.decider.stats().is_empty());
    life.open.clear();
    life.decide(&stream(1, 1, 1));
    assert_eq!(life.open[0].2.verdicts, [Verdict::Create { close: None, linked: false }]);
}

#[test]
fn growth_hot_keys_and_rollover_are_undone_in_place() {
    use catchment::ingest::decide::{Action, BatchInput, Fingerprinter, LinkTo, Mode, NoWhere, Origin, RuleInput, RuleSpec};
    let rule = |action, within_ms, link_to| RuleSpec {
        name: "rule".into(),
        rule_key: 0,
        action,
        matches: true,
        has_where: false,
        within_ms,
        link_to,
        open_only: false,
        shadow: false,
    };
    let spec = DecideSpec {
        mode: Mode::All,
        rules: vec![
            rule(Action::DropAndUpdate, 60_000, LinkTo::Oldest),
            rule(Action::Link, 30_000, LinkTo::Newest),
            rule(Action::Link, 100_000, LinkTo::Oldest),
        ],
        scope: Scope::Partition,
        groups: Vec::new(),
        where_key: 0,
        at_least_once: false,
        late_max_ms: 1_000,
        index_bytes_max: 256 << 20,
    };
    let mut printer = Fingerprinter::new([3; 16]);
    let mut dice = 0x9876_5432_1234_5678u64;
    let mut below = move |end: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) % end
    };
    let mut decide = |decider: &mut Decider, rows: std::ops::Range<i64>, keys: &[(u64, u64)], seq: Option<u64>| {
        let part = &keys[rows.start as usize..rows.end as usize];
        let mut prints = |key: &dyn Fn(&(u64, u64)) -> u64| {
            let prints = part.iter().map(|row| printer.fingerprint(0, [Some(&key(row).to_le_bytes()[..])])).collect();
            RuleInput { holds: None, fingerprints: Some(prints) }
        };
        // Half of the second rule's rows are one hot key; the third has a few hundred keys.
        let inputs = [prints(&|row| row.0), prints(&|row| if row.1 % 2 == 0 { 1 << 40 } else { row.1 }), prints(&|row| row.1 % 300)];
        let origins: Vec<Origin> = rows.clone().map(|row| Origin { partition: 0, offset: row, element: 0 }).collect();
        let times_ms: Vec<i64> = rows.map(|row| row - (keys[row as usize].1 % 900) as i64).collect();
        let (mut out, mut notes) = (Decided::default(), Notes::default());
        let mut input = BatchInput { origins: &origins, times_ms: &times_ms, rules: &inputs, values: &mut NoWhere };
        match seq {
            Some(seq) => decider.decide_noted(seq, &mut input, &mut out, &mut notes),
            None => decider.decide(&mut input, &mut out),
        }
        out
    };
    let keys: Vec<(u64, u64)> = (0..260_000).map(|_| (below(150_000), below(1 << 30))).collect();
    let (mut plain, mut noted) = (Decider::new(spec.clone()), Decider::new(spec));
    let (mut seq, mut from) = (0, 0i64);
    while from < 250_000 {
        let to = from + 500 + below(2_000) as i64;
        if seq % 3 == 1 {
            // Up to 5,000 ms ahead, of which nothing lasts.
            for ahead in [from..to, to..to + 2_000] {
                decide(&mut noted, ahead, &keys, Some(seq));
                seq += 1;
            }
            assert!(noted.undo().restore.is_empty(), "at {from}");
        }
        let (got, expected) = (decide(&mut noted, from..to, &keys, Some(seq)), decide(&mut plain, from..to, &keys, None));
        assert_eq!(got, expected, "rows {from} to {to}");
        noted.commit(seq);
        (seq, from) = (seq + 1, to);
    }
    let keys_of = |decider: &Decider| decider.stats()[0].1.keys;
    assert!(keys_of(&plain) > 50_000 && keys_of(&noted) > 50_000);
}
