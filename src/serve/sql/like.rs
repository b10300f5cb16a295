//! `LIKE` with several `%`, such as `'%enc%task%'`: searches for one piece after the other, instead of
//! the regular expression that Arrow makes of it (3 to 5 times as slow). Only where that says the same:
//! no `_`, no escape, case counts.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, not};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use memchr::memmem::Finder;

/// A pattern in pieces.
#[derive(Debug)]
struct Pieces {
    /// As it was written; plans tell functions apart by it.
    pattern: String,
    /// What a text starts with; may be empty.
    first: Vec<u8>,
    /// What comes between, in order.
    between: Vec<Finder<'static>>,
    /// What it ends with; may be empty.
    last: Vec<u8>,
}

impl Pieces {
    /// `None` for a pattern that Arrow answers as fast, or that this does not know.
    fn of(pattern: &str) -> Option<Pieces> {
        if pattern.contains(['_', '\\']) {
            return None;
        }
        let mut pieces: Vec<&str> = pattern.split('%').collect();
        let (last, first) = (pieces.pop()?, (!pieces.is_empty()).then(|| pieces.remove(0))?);
        pieces.retain(|piece| !piece.is_empty());
        // Arrow itself knows `a%`, `%a` and `%a%`.
        let parts = pieces.len() + usize::from(!first.is_empty()) + usize::from(!last.is_empty());
        (parts > 1).then(|| Pieces {
            pattern: pattern.to_owned(),
            first: first.as_bytes().to_vec(),
            between: pieces.iter().map(|piece| Finder::new(piece.as_bytes()).into_owned()).collect(),
            last: last.as_bytes().to_vec(),
        })
    }

    fn matches(&self, text: &[u8]) -> bool {
        let Some(mut rest) = text.strip_prefix(self.first.as_slice()).and_then(|rest| rest.strip_suffix(self.last.as_slice())) else {
            return false;
        };
        // The first place of each piece leaves the most for those behind it.
        for piece in &self.between {
            let Some(at) = piece.find(rest) else { return false };
            rest = rest.get(at + piece.needle().len()..).unwrap_or_default();
        }
        true
    }
}

/// The function that takes the place of such a `LIKE`.
#[derive(Debug)]
struct LikePieces {
    /// With the pattern, so that plans show it.
    name: String,
    pieces: Pieces,
    signature: Signature,
}

impl PartialEq for LikePieces {
    fn eq(&self, other: &Self) -> bool {
        self.pieces.pattern == other.pieces.pattern
    }
}

impl Eq for LikePieces {}

impl Hash for LikePieces {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pieces.pattern.hash(state);
    }
}

impl ScalarUDFImpl for LikePieces {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = args.args.first().ok_or_else(|| DataFusionError::Internal("one argument".into()))?.to_array(args.number_rows)?;
        let rows = texts.len();
        // What a NULL stands on does not matter: its bits are masked.
        let found = match texts.data_type() {
            DataType::Utf8View => {
                let texts = texts.as_string_view();
                BooleanBuffer::collect_bool(rows, |row| self.pieces.matches(texts.value(row).as_bytes()))
            }
            DataType::Utf8 => {
                let texts = texts.as_string::<i32>();
                BooleanBuffer::collect_bool(rows, |row| self.pieces.matches(texts.value(row).as_bytes()))
            }
            other => return Err(DataFusionError::Internal(format!("LIKE over {other}"))),
        };
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(found, texts.logical_nulls())) as ArrayRef))
    }
}

/// Puts the function where such a `LIKE` stands.
#[derive(Debug, Default)]
pub struct LikeByPieces;

impl OptimizerRule for LikeByPieces {
    fn name(&self) -> &str {
        "like_by_pieces"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        plan.map_expressions(|expr| expr.transform_up(|expr| Ok(by_pieces(expr, &schema))))
    }
}

fn by_pieces(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::Like(Like { negated, expr: text, pattern, escape_char: None, case_insensitive: false }) = &expr else { return Transformed::no(expr) };
    let Expr::Literal(ScalarValue::Utf8(Some(wanted)) | ScalarValue::Utf8View(Some(wanted)), _) = pattern.as_ref() else { return Transformed::no(expr) };
    let Ok(kind @ (DataType::Utf8 | DataType::Utf8View)) = text.get_type(schema) else { return Transformed::no(expr) };
    let Some(pieces) = Pieces::of(wanted) else { return Transformed::no(expr) };
    let function = ScalarUDF::from(LikePieces { name: format!("like '{wanted}'"), pieces, signature: Signature::exact(vec![kind], Volatility::Immutable) });
    let found = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![text.as_ref().clone()]));
    Transformed::yes(if *negated { not(found) } else { found })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Scalar, StringViewArray};
    use datafusion::arrow::compute::kernels::comparison::like;
    use proptest::prelude::*;

    #[test]
    fn patterns_that_are_left_to_arrow() {
        for pattern in ["", "%", "%%", "abc", "abc%", "%abc", "%abc%", "%%abc%%", "%a_c%d%", r"%a\%b%c"] {
            assert!(Pieces::of(pattern).is_none(), "{pattern}");
        }
        for pattern in ["a%b", "%a%b%", "a%%b%c", "%a%b", "a%b%"] {
            assert!(Pieces::of(pattern).is_some(), "{pattern}");
        }
    }

    proptest! {
        /// Over an alphabet of two, so that pieces overlap and repeat; with a line break and a letter of two bytes.
        #[test]
        fn the_same_as_arrow(pattern in "[ab%\n\u{e4}]{1,8}", texts in proptest::collection::vec(proptest::option::of("[ab\n\u{e4}]{0,14}"), 1..40)) {
            if let Some(pieces) = Pieces::of(&pattern) {
                let texts = StringViewArray::from_iter(texts);
                let expected = like(&texts, &Scalar::new(StringViewArray::from_iter_values([pattern.as_str()]))).unwrap();
                let found: BooleanArray = texts.iter().map(|text| text.map(|text| pieces.matches(text.as_bytes()))).collect();
                prop_assert_eq!(found, expected, "{}", pattern);
            }
        }
    }
}
