//! Maps as JSON text: for the Postgres wire, CSV and tables, which know no maps.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MapText {
    signature: Signature,
}

impl ScalarUDFImpl for MapText {
    fn name(&self) -> &str {
        "map_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args.first().ok_or_else(|| DataFusionError::Internal("one argument".into()))?.to_array(args.number_rows)?;
        let maps = array.as_map_opt().ok_or_else(|| DataFusionError::Internal("a map".into()))?;
        let mut text = StringViewBuilder::with_capacity(maps.len());
        for row in 0..maps.len() {
            if maps.is_null(row) {
                text.append_null();
                continue;
            }
            let entries = maps.value(row);
            let (keys, values) = (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>());
            let (Some(keys), Some(values)) = (keys, values) else { return Err(DataFusionError::Internal("a map of texts".into())) };
            let object: serde_json::Map<String, serde_json::Value> =
                keys.iter().zip(values.iter()).filter_map(|(key, value)| Some((key?.to_owned(), value.map_or(serde_json::Value::Null, Into::into)))).collect();
            text.append_value(serde_json::Value::Object(object).to_string());
        }
        Ok(ColumnarValue::Array(Arc::new(text.finish()) as ArrayRef))
    }
}

/// The plan with every map of its result as text.
///
/// # Errors
/// A bug.
pub fn without_maps(plan: LogicalPlan) -> Result<LogicalPlan> {
    let is_map = |data_type: &DataType| matches!(data_type, DataType::Map(entry, _) if matches!(entry.data_type(), DataType::Struct(fields) if fields.iter().all(|field| *field.data_type() == DataType::Utf8)));
    if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) || !plan.schema().fields().iter().any(|field| is_map(field.data_type())) {
        return Ok(plan);
    }
    let text = Arc::new(ScalarUDF::from(MapText { signature: Signature::any(1, Volatility::Immutable) }));
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(datafusion::common::Column::new(qualifier.cloned(), field.name()));
        if is_map(field.data_type()) { text.call(vec![column]).alias(field.name()) } else { column }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
