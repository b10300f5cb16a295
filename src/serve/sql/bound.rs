//! The time that a query may take. It is part of the plan, so it holds whichever way the query came in.
//!
//! A bound, and a person who cancels, can only act when what runs lets go of its thread. DataFusion sees
//! to that where rows are read; a join of joins, though, makes rows for years out of a few that were
//! read long ago. So joins have to let go now and then, too; and a nested loop, which does so only
//! when it has found something, looks at the clock whenever it compares. And what runs has a task of
//! its own, on threads of its own where there are some: a connection hears its client meanwhile.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Batches that a query is ahead of whoever reads them (count).
const BATCHES_AHEAD: usize = 2;
/// What is said when the time is up.
pub const TIMED_OUT: &str = "canceling statement due to statement timeout";

/// What is said when somebody has seen enough.
pub const CANCELLED: &str = "canceling statement due to user request";

/// Puts the bound on top of every plan.
#[derive(Debug)]
pub struct Bounded {
    /// The time.
    pub limit: Duration,
    /// Where queries run, once that is settled; until then where they are asked.
    pub threads: Arc<OnceLock<Handle>>,
    /// Whoever may end queries before.
    pub cancel: Arc<Cancel>,
}

/// What a person says who has seen enough: the queries of a session that run now end.
#[derive(Debug, Default)]
pub struct Cancel {
    times: AtomicU64,
    said: Notify,
}

impl Cancel {
    /// Says it.
    pub fn say(&self) {
        self.times.fetch_add(1, Ordering::AcqRel);
        self.said.notify_waiters();
    }

    /// Waits until it is said after it was said so many times.
    async fn after(&self, times: u64) {
        loop {
            // Who listens first and looks then misses nothing.
            let mut said = std::pin::pin!(self.said.notified());
            said.as_mut().enable();
            if self.times.load(Ordering::Acquire) != times {
                return;
            }
            said.await;
        }
    }
}

impl PhysicalOptimizerRule for Bounded {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let watch = Arc::new(Watch::default());
        let plan = plan
            .transform_up(|plan| {
                let plan = match plan.downcast_ref::<NestedLoopJoinExec>() {
                    Some(join) => watched(join, &watch)?,
                    None => plan,
                };
                let makes_rows = plan.children().len() > 1 || plan.name() == "UnnestExec";
                Ok(if makes_rows { Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>) } else { Transformed::no(plan) })
            })
            .data()?;
        // One stream, whose end is the end of the query.
        let many = plan.properties().partitioning.partition_count() > 1;
        let plan: Arc<dyn ExecutionPlan> = if many { Arc::new(CoalescePartitionsExec::new(plan)) } else { plan };
        Ok(Arc::new(BoundExec {
            limit: self.limit,
            threads: self.threads.clone(),
            cancel: self.cancel.clone(),
            watch,
            properties: plan.properties().clone(),
            input: plan,
        }))
    }

    fn name(&self) -> &str {
        "bounded"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a query still has time, and anybody who waits for it.
#[derive(Debug, Default)]
struct Watch {
    deadline: OnceLock<std::time::Instant>,
    ended: AtomicBool,
}

impl Watch {
    fn check(&self) -> Result<()> {
        let late = self.deadline.get().is_some_and(|deadline| std::time::Instant::now() >= *deadline);
        if late || self.ended.load(Ordering::Relaxed) { Err(DataFusionError::Execution(TIMED_OUT.into())) } else { Ok(()) }
    }
}

/// Says, at its end, that nobody waits any more.
struct Waiting(Arc<Watch>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

/// A condition that fails when its query has no time left.
#[derive(Debug)]
struct Watched {
    watch: Arc<Watch>,
    signature: Signature,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.watch, &other.watch)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.watch).hash(state);
    }
}

impl ScalarUDFImpl for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.watch.check()?;
        args.args.pop().ok_or_else(|| DataFusionError::Internal("one argument".into()))
    }
}

/// The same join, whose condition looks at the clock.
fn watched(join: &NestedLoopJoinExec, watch: &Arc<Watch>) -> Result<Arc<dyn ExecutionPlan>> {
    let filter = join.filter().map(|filter| {
        let udf = ScalarUDF::from(Watched { watch: watch.clone(), signature: Signature::any(1, Volatility::Volatile) });
        let condition = ScalarFunctionExpr::try_new(Arc::new(udf), vec![filter.expression().clone()], filter.schema(), Arc::new(ConfigOptions::default()))?;
        Ok::<_, DataFusionError>(JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), filter.schema().clone()))
    });
    let projection = join.projection().as_ref().map(|projection| projection.to_vec());
    Ok(Arc::new(NestedLoopJoinExec::try_new(join.left().clone(), join.right().clone(), filter.transpose()?, join.join_type(), projection)?))
}

/// The rows of a task, which ends with whoever reads them.
struct Running {
    receiver: tokio::sync::mpsc::Receiver<Result<RecordBatch>>,
    task: Option<JoinHandle<()>>,
}

impl Running {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(batch) = self.receiver.recv().await {
            return Some(batch);
        }
        // Rows that end because their task failed are not all the rows.
        match self.task.take()?.await {
            Ok(()) => None,
            Err(_) => Some(Err(DataFusionError::Internal("the query failed: this is a bug".into()))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct BoundExec {
    limit: Duration,
    threads: Arc<OnceLock<Handle>>,
    cancel: Arc<Cancel>,
    watch: Arc<Watch>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for BoundExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BoundExec: {:?}", self.limit)
    }
}

impl ExecutionPlan for BoundExec {
    fn name(&self) -> &str {
        "BoundExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => {
                let (limit, threads, cancel, watch) = (self.limit, self.threads.clone(), self.cancel.clone(), self.watch.clone());
                Ok(Arc::new(BoundExec { limit, threads, cancel, watch, properties: input.properties().clone(), input }))
            }
            _ => internal_err!("a bound has one child"),
        }
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema: SchemaRef = self.schema();
        let deadline = Instant::now() + self.limit;
        self.watch.deadline.get_or_init(|| deadline.into_std());
        let (sender, receiver) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
        let input = self.input.clone();
        let work = async move {
            match input.execute(partition, context) {
                Ok(mut rows) => {
                    while let Some(batch) = rows.next().await {
                        if sender.send(batch).await.is_err() {
                            break;
                        }
                    }
                }
                // Nobody to tell is nobody who waits.
                Err(error) => drop(sender.send(Err(error)).await),
            }
        };
        let task = match self.threads.get() {
            Some(threads) => threads.spawn(work),
            None => tokio::spawn(work),
        };
        let rows = Running { receiver, task: Some(task) };
        let waiting = Waiting(self.watch.clone());
        let cancel = self.cancel.clone();
        let times = cancel.times.load(Ordering::Acquire);
        let bounded = futures::stream::unfold(Some((rows, waiting, cancel)), move |rows| async move {
            let (mut rows, waiting, cancel) = rows?;
            // What runs below ends with the stream.
            let ended = |words: &str| Some((Err(DataFusionError::Execution(words.into())), None));
            let next = tokio::select! {
                biased;
                () = cancel.after(times) => return ended(CANCELLED),
                next = timeout_at(deadline, rows.next()) => next,
            };
            match next {
                Ok(Some(batch)) => Some((batch, Some((rows, waiting, cancel)))),
                Ok(None) => None,
                Err(_) => ended(TIMED_OUT),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, bounded)))
    }
}
