//! Rows that say again what another row says: the same version of the same incident. The keeper writes a
//! state again when an edit is refused, and a fact that creates can come twice where delivery is at least
//! once. Readers see one of them, the newest; compaction keeps no other.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use hashbrown::{HashMap, HashSet};

use super::ArchiveError;
use super::newest::{Keys, Rank, Rows, Tail};
use super::ring::Segment;
use crate::incident::id::IncidentId;

/// An incident and a version of it.
pub type Pair = (u128, i64);

/// What a query over all versions has to leave out.
#[derive(Debug, Default)]
pub struct Repeats {
    /// Per file of the tail, the rows to be read.
    pub tail: BTreeMap<String, Rows>,
    /// Per live segment, the rows that count.
    pub live: Vec<BooleanArray>,
    /// What the tail and the live rows say, and other layers may have said before.
    pub pairs: Arc<HashSet<Pair>>,
    /// Days of creation of these.
    pub days: BTreeSet<Option<i32>>,
}

/// The rows that count, of rows in parts.
fn firsts<'a>(parts: impl Iterator<Item = &'a Keys>) -> HashMap<Pair, (Rank, usize, usize)> {
    let mut best: HashMap<Pair, (Rank, usize, usize)> = HashMap::new();
    for (part, keys) in parts.enumerate() {
        for (row, (id, rank)) in keys.ids.iter().zip(&keys.ranks).enumerate() {
            let place = (*rank, part, row);
            best.entry((*id, rank.version)).and_modify(|known| *known = place.max(*known)).or_insert(place);
        }
    }
    best
}

fn counting(best: &HashMap<Pair, (Rank, usize, usize)>, part: usize, keys: &Keys) -> Vec<bool> {
    let counts = |(row, (id, rank)): (usize, (&u128, &Rank))| best.get(&(*id, rank.version)).is_some_and(|(_, of, at)| (*of, *at) == (part, row));
    keys.ids.iter().zip(&keys.ranks).enumerate().map(counts).collect()
}

impl Tail {
    /// What a query over this tail and these live rows has to leave out.
    ///
    /// # Errors
    /// A bug.
    pub fn repeats(&self, live: &[Arc<Segment>]) -> Result<Repeats, ArchiveError> {
        let newer = live.iter().map(|segment| Keys::of(&segment.batch)).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&Keys> = self.files.iter().map(|(_, keys)| keys.as_ref()).chain(&newer).collect();
        let best = firsts(parts.iter().copied());
        let tail = self.files.iter().enumerate().map(|(part, (path, keys))| (path.clone(), Rows::of(counting(&best, part, keys)))).collect();
        let mask = |(number, keys): (usize, &Keys)| BooleanArray::new(BooleanBuffer::from(counting(&best, self.files.len() + number, keys)), None);
        let days = parts.iter().flat_map(|keys| keys.days.iter().copied()).collect();
        Ok(Repeats { tail, live: newer.iter().enumerate().map(mask).collect(), pairs: Arc::new(best.into_keys().collect()), days })
    }

    /// The rows of the tail that are neither the newest of their incident nor said again by another one.
    pub fn rest(&self) -> BTreeMap<String, Rows> {
        let best = firsts(self.files.iter().map(|(_, keys)| keys.as_ref()));
        let older = |number: usize, keys: &Keys| {
            let newest = |row: usize, id: &u128| self.newest.get(id).is_some_and(|(_, file, at)| (*file as usize, *at as usize) == (number, row));
            let counts = counting(&best, number, keys);
            Rows::of(keys.ids.iter().enumerate().zip(counts).map(|((row, id), counts)| counts && !newest(row, id)).collect())
        };
        self.files.iter().enumerate().map(|(number, (path, keys))| (path.clone(), older(number, keys))).collect()
    }

    /// What the tail says.
    pub fn pairs(&self) -> HashSet<Pair> {
        self.files.iter().flat_map(|(_, keys)| keys.ids.iter().copied().zip(keys.ranks.iter().map(|rank| rank.version))).collect()
    }
}

/// The rows of a plan that say none of this. Its columns `id` and `version` stand at these places; of all
/// columns the first `shown` are kept.
///
/// # Errors
/// A bug.
pub fn without(plan: Arc<dyn ExecutionPlan>, pairs: &Arc<HashSet<Pair>>, id: usize, version: usize, shown: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let columns: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("id", id)), Arc::new(Column::new("version", version))];
    let schema = plan.schema();
    let udf = ScalarUDF::from(Unsaid { pairs: pairs.clone(), signature: Signature::exact(vec![DataType::Utf8View, DataType::Int64], Volatility::Immutable) });
    let unsaid = ScalarFunctionExpr::try_new(Arc::new(udf), columns, &schema, Arc::new(ConfigOptions::default()))?;
    let filter: FilterExec = FilterExecBuilder::new(Arc::new(unsaid), plan).apply_projection(Some((0..shown).collect()))?.build()?;
    Ok(Arc::new(filter))
}

/// True for what is not in a set.
#[derive(Debug)]
struct Unsaid {
    pairs: Arc<HashSet<Pair>>,
    signature: Signature,
}

impl PartialEq for Unsaid {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pairs, &other.pairs)
    }
}

impl Eq for Unsaid {}

impl Hash for Unsaid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.pairs).hash(state);
    }
}

impl ScalarUDFImpl for Unsaid {
    fn name(&self) -> &str {
        "is_not_said_again"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ids, versions] = &args.args[..] else { return Err(DataFusionError::Internal("two arguments".into())) };
        let (ids, versions) = (ids.to_array(args.number_rows)?, versions.to_array(args.number_rows)?);
        let (Some(ids), Some(versions)) = (ids.as_string_view_opt(), versions.as_primitive_opt::<Int64Type>()) else {
            return Err(DataFusionError::Internal("a text and an integer".into()));
        };
        let unsaid = |(id, version): (Option<&str>, Option<i64>)| {
            let id = id.and_then(IncidentId::parse).map_or(0, |id| id.0);
            Some(version.is_none_or(|version| !self.pairs.contains(&(id, version))))
        };
        let unsaid: BooleanArray = ids.iter().zip(versions.iter()).map(unsaid).collect();
        Ok(ColumnarValue::Array(Arc::new(unsaid) as ArrayRef))
    }
}
