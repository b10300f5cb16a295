//! A plan that holds no more memory than its rows need. Texts that were read from Parquet point into
//! the pages that they came from, which a few rows keep alive as well as many; a sort counts these
//! pages once for each batch, and thinks that it has no memory left long before that is so.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// The rows of another plan, in memory of their own.
#[derive(Debug)]
pub struct DenseExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DenseExec {
    /// The rows of this plan.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> DenseExec {
        DenseExec { input }
    }
}

fn dense(batch: &RecordBatch) -> Result<RecordBatch> {
    let own = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        _ => column.clone(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), batch.columns().iter().map(own).collect(), &options)?)
}

impl DisplayAs for DenseExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DenseExec")
    }
}

impl ExecutionPlan for DenseExec {
    fn name(&self) -> &str {
        "DenseExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(DenseExec { input })),
            _ => internal_err!("one child"),
        }
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let schema = rows.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.map(|batch| batch.and_then(|batch| dense(&batch))))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn a_row_of_many_holds_its_own_text_only() {
        let text = "a text that is longer than twelve bytes ".repeat(100);
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..1_000).map(|n| format!("{n} {text}"))));
        let batch = RecordBatch::try_from_iter([("text", column)]).unwrap().slice(10, 1);
        let own = dense(&batch).unwrap();
        assert_eq!(own, batch);
        assert!(own.get_array_memory_size() < 20_000 && batch.get_array_memory_size() > 1_000_000);
    }
}
