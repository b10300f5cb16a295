//! A condition in SQL over rows that come in batches: what `tap` shows of the stream.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::prep_null_mask_filter;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use crate::error::Error;

/// A condition.
pub struct Filter {
    condition: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// Over rows of this shape.
    ///
    /// # Errors
    /// What is no condition, or names what is not there.
    pub fn new(schema: &SchemaRef, sql: &str) -> Result<Filter, Error> {
        let wrong = |error: datafusion::error::DataFusionError| {
            Error::user(error.strip_backtrace()).hint("a condition as it stands behind WHERE, over the columns of `incidents`")
        };
        let context = SessionContext::new();
        let schema = DFSchema::try_from(schema.as_ref().clone()).map_err(wrong)?;
        let parsed = context.parse_sql_expr(sql, &schema).map_err(wrong)?;
        let condition = context.create_physical_expr(parsed, &schema).map_err(wrong)?;
        match condition.data_type(schema.as_arrow()).map_err(wrong)? {
            DataType::Boolean => Ok(Filter { condition }),
            other => Err(Error::user(format!("`{sql}` is no condition but of type {other}"))),
        }
    }

    /// Which rows it holds for.
    ///
    /// # Errors
    /// A row on which it cannot be evaluated, such as a division by zero.
    pub fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray, Error> {
        let wrong = |error: datafusion::error::DataFusionError| Error::user(format!("the condition cannot be evaluated: {}", error.strip_backtrace()));
        let value = self.condition.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(wrong)?;
        let mask = value.as_boolean_opt().ok_or_else(|| Error::bug("a condition that is no boolean"))?;
        Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
    }
}
