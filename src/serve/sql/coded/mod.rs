//! `GROUP BY` over values that repeat: type, severity, host, rule. Takes the place of DataFusion's first
//! stage of such an aggregation (the one before rows are exchanged among threads), and computes the same
//! states with the same accumulators; only which group a row belongs to is found out by numbers of
//! values ([`codes`], [`text`]) instead of hashing every value of every row.
//!
//! Where nearly every row is a group of its own, rows are passed on as states of one row each, as
//! DataFusion does it, too. Where memory does not suffice, the states so far are passed on: the second
//! stage, which may use the disk, puts them together.

#[cfg(test)]
mod coded_test;
mod codes;
mod text;

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::StreamExt;

use codes::{Groups, has_codes};

/// Puts it where it serves.
#[derive(Debug)]
pub struct CodedGroups;

impl PhysicalOptimizerRule for CodedGroups {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let coded = |plan: Arc<dyn ExecutionPlan>| match plan.downcast_ref::<AggregateExec>().is_some_and(serves) {
            true => CodedAggregateExec::new(plan).map(|coded| Transformed::yes(Arc::new(coded) as Arc<dyn ExecutionPlan>)),
            false => Ok(Transformed::no(plan)),
        };
        plan.transform_up(coded).data()
    }

    fn name(&self) -> &str {
        "coded_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// True for a first stage whose keys have numbers, at least one of them texts, and whose functions need
/// neither order nor distinct values.
fn serves(plan: &AggregateExec) -> bool {
    let by = plan.group_expr();
    let schema = plan.input_schema();
    let kinds: Option<Vec<DataType>> = by.expr().iter().map(|(expr, _)| expr.data_type(&schema).ok()).collect();
    *plan.mode() == AggregateMode::Partial
        && by.is_single()
        && *plan.input_order_mode() == InputOrderMode::Linear
        && plan.limit_options().is_none()
        && plan.dynamic_expressions_produced().is_empty()
        && kinds.is_some_and(|kinds| kinds.iter().all(has_codes) && kinds.contains(&DataType::Utf8View))
        && plan.aggr_expr().iter().all(|function| function.groups_accumulator_supported() && !function.is_distinct() && function.order_bys().is_empty())
}

#[derive(Debug)]
struct CodedAggregateExec {
    /// The first stage that this one takes the place of.
    of: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl CodedAggregateExec {
    fn new(of: Arc<dyn ExecutionPlan>) -> Result<CodedAggregateExec> {
        if of.downcast_ref::<AggregateExec>().is_none() {
            return internal_err!("no aggregation");
        }
        Ok(CodedAggregateExec { of, metrics: ExecutionPlanMetricsSet::new() })
    }

    fn aggregate(&self) -> Result<&AggregateExec> {
        self.of.downcast_ref::<AggregateExec>().ok_or_else(|| DataFusionError::Internal("no aggregation".into()))
    }
}

impl DisplayAs for CodedAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coded")?;
        self.aggregate().map_err(|_| std::fmt::Error)?.fmt_as(kind, f)
    }
}

impl ExecutionPlan for CodedAggregateExec {
    fn name(&self) -> &str {
        "CodedAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.of.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.of.children()
    }

    fn replace_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>, options: ReplaceChildrenOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(CodedAggregateExec::new(self.of.clone().replace_children(children, options)?)?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(&self, visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.of.apply_expressions(visit)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let plan = self.aggregate()?;
        let input = plan.input().execute(partition, context.clone())?;
        let schema = plan.schema();
        let by: Vec<Arc<dyn PhysicalExpr>> = plan.group_expr().expr().iter().map(|(expr, _)| expr.clone()).collect();
        let functions = plan.aggr_expr().iter().zip(plan.filter_expr());
        let functions = functions.map(|(function, filter)| {
            Ok(Function { arguments: function.expressions(), filter: filter.clone(), accumulator: function.create_groups_accumulator()? })
        });
        let kinds = by.iter().map(|expr| expr.data_type(&plan.input_schema())).collect::<Result<Vec<_>>>()?;
        let options = &context.session_config().options().execution;
        let stage = Stage {
            groups: Groups::new(kinds)?,
            numbers: Vec::new(),
            by,
            functions: functions.collect::<Result<_>>()?,
            schema: schema.clone(),
            batch_rows: context.session_config().batch_size().max(1),
            probe: (options.skip_partial_aggregation_probe_rows_threshold, options.skip_partial_aggregation_probe_ratio_threshold),
            rows: 0,
            mode: Mode::Grouping,
            ready: VecDeque::new(),
            memory: MemoryConsumer::new("CodedAggregateExec").register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = futures::stream::try_unfold((stage, input), |(mut stage, mut input)| async move {
            loop {
                if let Some(batch) = stage.ready.pop_front() {
                    stage.metrics.record_output(batch.num_rows());
                    return Ok(Some((batch, (stage, input))));
                }
                if stage.mode == Mode::Over {
                    return Ok(None);
                }
                match input.next().await.transpose()? {
                    Some(batch) => stage.add(&batch)?,
                    None => stage.end()?,
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A function of the aggregation.
struct Function {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    accumulator: Box<dyn GroupsAccumulator>,
}

impl Function {
    fn inputs(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Option<BooleanArray>)> {
        let values = self.arguments.iter().map(|argument| argument.evaluate(batch)?.into_array(batch.num_rows())).collect::<Result<_>>()?;
        let filter = self.filter.as_ref().map(|filter| {
            let mask = filter.evaluate(batch)?.into_array(batch.num_rows())?;
            mask.as_boolean_opt().cloned().ok_or_else(|| DataFusionError::Internal("a filter that is no condition".into()))
        });
        Ok((values, filter.transpose()?))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Grouping,
    /// Nearly every row is a group of its own.
    Passing,
    Over,
}

/// One thread's part of it.
struct Stage {
    groups: Groups,
    numbers: Vec<usize>,
    by: Vec<Arc<dyn PhysicalExpr>>,
    functions: Vec<Function>,
    schema: SchemaRef,
    batch_rows: usize,
    /// Rows after which, and share of groups above which, rows are passed on.
    probe: (usize, f64),
    rows: usize,
    mode: Mode,
    ready: VecDeque<RecordBatch>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Stage {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let busy = self.metrics.elapsed_compute().clone();
        let _busy = busy.timer();
        let mut columns = self.by.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect::<Result<Vec<_>>>()?;
        if self.mode == Mode::Passing {
            for function in &self.functions {
                let (values, filter) = function.inputs(batch)?;
                columns.extend(function.accumulator.convert_to_state(&values, filter.as_ref())?);
            }
            self.ready.push_back(RecordBatch::try_new(self.schema.clone(), columns)?);
            return Ok(());
        }
        self.groups.of(&columns, &mut self.numbers)?;
        let groups = self.groups.len();
        for function in &mut self.functions {
            let (values, filter) = function.inputs(batch)?;
            function.accumulator.update_batch(&values, &self.numbers, filter.as_ref(), groups)?;
        }
        self.rows = self.rows.saturating_add(batch.num_rows());
        let size = self.groups.size() + self.functions.iter().map(|function| function.accumulator.size()).sum::<usize>();
        if self.memory.try_resize(size).is_err() {
            self.emit()?;
        } else if self.rows >= self.probe.0 && groups as f64 > self.rows as f64 * self.probe.1 {
            self.emit()?;
            self.mode = Mode::Passing;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.mode == Mode::Grouping {
            self.emit()?;
        }
        self.mode = Mode::Over;
        Ok(())
    }

    /// Passes on the groups so far.
    fn emit(&mut self) -> Result<()> {
        if self.groups.len() == 0 {
            return Ok(());
        }
        let mut columns = self.groups.take()?;
        for function in &mut self.functions {
            columns.extend(function.accumulator.state(EmitTo::All)?);
        }
        self.rows = 0;
        self.memory.free();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        for from in (0..batch.num_rows()).step_by(self.batch_rows) {
            self.ready.push_back(batch.slice(from, self.batch_rows.min(batch.num_rows() - from)));
        }
        Ok(())
    }
}
