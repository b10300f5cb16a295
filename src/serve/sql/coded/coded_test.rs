//! Aggregations by numbers against DataFusion's own: the same groups, the same states' results, over
//! values that repeat and values that do not, with NULLs, in little memory, passed on and grouped.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::*;

fn context(coded: bool, config: SessionConfig, memory: Option<usize>) -> SessionContext {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = memory {
        runtime = runtime.with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)));
    }
    let mut state = SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(runtime.build_arc().unwrap());
    if coded {
        state = state.with_physical_optimizer_rule(Arc::new(CodedGroups));
    }
    SessionContext::new_with_state(state.build())
}

/// Rows of a dictionary's texts: equal ones lie at one place, as the reader of Parquet makes them.
fn placed(texts: &[Option<&str>], rows: &[usize]) -> ArrayRef {
    let dictionary = StringViewArray::from_iter(texts.iter().copied());
    take(&dictionary, &UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32)), None).unwrap()
}

fn batch(number: usize, rows: usize, distinct: usize) -> RecordBatch {
    let mixed = |row: usize, by: usize| (row * 7_919 + number * 104_729 + by * 31) % distinct;
    let names: Vec<String> = (0..distinct).map(|n| if n % 3 == 0 { format!("h{n}") } else { format!("host-{n:05}.corp.example") }).collect();
    let names: Vec<Option<&str>> = names.iter().enumerate().map(|(n, name)| (n % 11 != 5).then_some(name.as_str())).collect();
    let by_name: Vec<usize> = (0..rows).map(|row| mixed(row, 1)).collect();
    // Texts of their own, too: every one lies somewhere else.
    let own = StringViewArray::from_iter((0..rows).map(|row| (row % 13 != 2).then(|| format!("type {} with a longer name", mixed(row, 2) % 30))));
    let score = Float64Array::from_iter((0..rows).map(|row| match mixed(row, 3) % 7 {
        0 => None,
        1 => Some(f64::NAN),
        2 => Some(-0.5),
        n => Some(n as f64),
    }));
    let count = Int64Array::from_iter((0..rows).map(|row| (row % 17 != 3).then(|| mixed(row, 4) as i64 - 5)));
    let at =
        TimestampMicrosecondArray::from_iter((0..rows).map(|row| (row % 19 != 3).then(|| (mixed(row, 5) % 40) as i64 * 3_600_000_000))).with_timezone("UTC");
    RecordBatch::try_from_iter_with_nullable([
        ("host", placed(&names, &by_name), true),
        ("type", Arc::new(own) as ArrayRef, true),
        ("score", Arc::new(score) as ArrayRef, true),
        ("count", Arc::new(count) as ArrayRef, true),
        ("at", Arc::new(at) as ArrayRef, true),
    ])
    .unwrap()
}

async fn answer(context: &SessionContext, parts: Vec<Vec<RecordBatch>>, sql: &str) -> (String, bool) {
    let table = MemTable::try_new(parts[0][0].schema(), parts).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    let frame = context.sql(sql).await.unwrap();
    let plan = frame.clone().create_physical_plan().await.unwrap();
    let coded = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string().contains("CodedAggregateExec");
    context.deregister_table("t").unwrap();
    (pretty_format_batches(&frame.collect().await.unwrap()).unwrap().to_string(), coded)
}

const QUESTIONS: [&str; 7] = [
    "SELECT host, count(*) FROM t GROUP BY host ORDER BY host",
    "SELECT host, type, count(*), sum(count), min(count), max(score), avg(count) FROM t GROUP BY host, type ORDER BY host, type",
    "SELECT type, score, count(count) FILTER (WHERE count > 3) FROM t GROUP BY type, score ORDER BY type, score",
    "SELECT date_trunc('day', at) AS day, type, count, max(host) FROM t GROUP BY day, type, count ORDER BY day, type, count",
    "SELECT DISTINCT type, host FROM t ORDER BY type, host",
    "SELECT type, count(DISTINCT count) FROM t GROUP BY type ORDER BY type",
    "SELECT upper(host) AS h, stddev(count) FROM t WHERE count > 0 GROUP BY h ORDER BY h",
];

fn parts(batches: usize, rows: usize, distinct: usize) -> Vec<Vec<RecordBatch>> {
    (0..3).map(|part| (0..batches).map(|number| batch(part * 100 + number, rows, distinct)).collect()).collect()
}

async fn same(config: &dyn Fn() -> SessionConfig, memory: Option<usize>, parts: Vec<Vec<RecordBatch>>) {
    for sql in QUESTIONS {
        let (expected, plain) = answer(&context(false, config(), None), parts.clone(), sql).await;
        let (found, coded) = answer(&context(true, config(), memory), parts.clone(), sql).await;
        assert!(coded && !plain, "{sql}");
        assert_eq!(found, expected, "{sql}");
    }
}

fn config() -> SessionConfig {
    SessionConfig::new().with_target_partitions(3)
}

#[tokio::test]
async fn groups_of_values_that_repeat() {
    same(&config, None, parts(5, 3_000, 400)).await;
}

#[tokio::test]
async fn groups_of_values_that_do_not() {
    // Passed on after a few rows.
    let early = || {
        let mut config = config();
        config.options_mut().execution.skip_partial_aggregation_probe_rows_threshold = 1_000;
        config.options_mut().execution.skip_partial_aggregation_probe_ratio_threshold = 0.02;
        config
    };
    same(&early, None, parts(4, 2_000, 50_000)).await;
}

#[tokio::test]
async fn states_are_passed_on_where_memory_does_not_suffice() {
    // What the numbers need alone is more than a third of this; the second stage and the order still fit.
    same(&config, Some(12 << 20), parts(4, 2_000, 3_000)).await;
}

#[tokio::test]
async fn what_it_does_not_serve() {
    for sql in [
        "SELECT count(*) FROM t",
        "SELECT count, count(*) FROM t GROUP BY count",
        "SELECT host, count(DISTINCT count), count(DISTINCT score) FROM t GROUP BY host",
        "SELECT host, type, count(*) FROM t GROUP BY GROUPING SETS ((host), (type))",
        "SELECT host, array_agg(count ORDER BY at) FROM t GROUP BY host",
        "SELECT host, score > 1 AS high, count(*) FROM t GROUP BY host, high",
    ] {
        let (expected, _) = answer(&context(false, config(), None), parts(1, 50, 9), sql).await;
        let (found, coded) = answer(&context(true, config(), None), parts(1, 50, 9), sql).await;
        assert!(!coded, "{sql}");
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&found), sorted(&expected), "{sql}");
    }
}

proptest! {
    /// The numbers of groups tell rows apart exactly where their values differ, across batches whose
    /// texts lie elsewhere; and give the values back.
    #[test]
    fn numbers_and_values(batches in proptest::collection::vec(proptest::collection::vec((proptest::option::of("[ab]{0,2}|[ab]{13,14}"), proptest::option::of(0i64..4)), 1..60), 1..20)) {
        let mut groups = Groups::new(vec![DataType::Utf8View, DataType::Int64]).unwrap();
        let mut known: Vec<(Option<String>, Option<i64>)> = Vec::new();
        let mut numbers = Vec::new();
        for rows in &batches {
            let texts = StringViewArray::from_iter(rows.iter().map(|row| row.0.as_deref()));
            let numbers_of = Int64Array::from_iter(rows.iter().map(|row| row.1));
            groups.of(&[Arc::new(texts), Arc::new(numbers_of)], &mut numbers).unwrap();
            for (row, number) in rows.iter().zip(&numbers) {
                if *number == known.len() {
                    known.push(row.clone());
                }
                prop_assert_eq!(&known[*number], row);
            }
        }
        prop_assert_eq!(groups.len(), known.len());
        let columns = groups.take().unwrap();
        let (texts, words) = (columns[0].as_string_view(), columns[1].as_any().downcast_ref::<Int64Array>().unwrap());
        let back: Vec<(Option<String>, Option<i64>)> = texts.iter().map(|text| text.map(str::to_owned)).zip(words.iter()).collect();
        prop_assert_eq!(back, known);
        prop_assert_eq!(groups.len(), 0);
    }
}
