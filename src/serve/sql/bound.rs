//! The time that a query may take. It is part of the plan, so it holds whichever way the query came in.
//!
//! A bound, and a person who cancels, can only act when what runs lets go of its thread. DataFusion sees
//! to that where rows are read; a join of joins, though, makes rows for years out of a few that were
//! read long ago. So joins have to let go now and then, too.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

/// What is said when the time is up.
pub const TIMED_OUT: &str = "canceling statement due to statement timeout";

/// Puts the bound on top of every plan.
#[derive(Debug)]
pub struct Bounded {
    /// The time.
    pub limit: Duration,
}

impl PhysicalOptimizerRule for Bounded {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan
            .transform_up(|plan| {
                let makes_rows = plan.children().len() > 1 || plan.name() == "UnnestExec";
                Ok(if makes_rows { Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>) } else { Transformed::no(plan) })
            })
            .data()?;
        Ok(Arc::new(BoundExec { limit: self.limit, properties: plan.properties().clone(), input: plan }))
    }

    fn name(&self) -> &str {
        "bounded"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct BoundExec {
    limit: Duration,
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
            (Some(input), true) => Ok(Arc::new(BoundExec { limit: self.limit, properties: input.properties().clone(), input })),
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
        let rows = self.input.execute(partition, context)?;
        let bounded = futures::stream::unfold(Some(rows), move |rows| async move {
            let mut rows = rows?;
            match timeout_at(deadline, rows.next()).await {
                Ok(Some(batch)) => Some((batch, Some(rows))),
                Ok(None) => None,
                // What runs below ends with the stream.
                Err(_) => Some((Err(DataFusionError::Execution(TIMED_OUT.into())), None)),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, bounded)))
    }
}
