//! Tables as DataFusion wants them: each scan reads what its session has pinned.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::datasource::provider_as_source;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, ident};
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectStore;

use super::catalog::{Pin, Pins};
use crate::archive::blooms::{Places, ids};
use crate::archive::compact::store_url;
use crate::archive::scan::Scan;

/// What of a table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The newest version of every incident.
    Newest,
    /// Every version of every incident, once.
    Versions,
    /// All rows.
    All,
    /// Of the rows of one `id` the one that was written last: [`last`].
    Last,
}

/// A table of the archive in a session.
pub struct ArchiveTable {
    pins: Arc<Pins>,
    name: &'static str,
    shown: Shown,
    schema: SchemaRef,
}

impl std::fmt::Debug for ArchiveTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveTable").field("name", &self.name).field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl ArchiveTable {
    /// A table as it is pinned now; `None` before anything is pinned. Later scans read what is pinned
    /// then: columns are only ever added behind those that are there.
    pub fn new(pins: &Arc<Pins>, name: &'static str, shown: Shown) -> Option<ArchiveTable> {
        let schema = pins.get(name)?.schema();
        Some(ArchiveTable { pins: pins.clone(), name, shown, schema })
    }
}

/// Of the rows of each `id` the one that was written last. All records of an id are in one partition, so the greatest
/// offset tells.
///
/// # Errors
/// A bug.
pub fn last(rows: ArchiveTable) -> Result<Arc<dyn TableProvider>> {
    let name = rows.name;
    let columns: Vec<Expr> = rows.schema.fields().iter().map(|field| ident(field.name())).collect();
    let order = vec![ident("id").sort(true, false), ident("record_offset").sort(false, false)];
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(rows)), None)?.distinct_on(vec![ident("id")], columns, Some(order))?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn outer(error: crate::archive::ArchiveError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The files of a pinned table. Sessions know them from the first scan on: the table may be younger than the session.
fn store(state: &dyn Session, url: &ObjectStoreUrl, pin: &Pin) -> Result<Arc<dyn ObjectStore>> {
    let runtime = state.runtime_env();
    if let Ok(store) = runtime.object_store(url) {
        return Ok(store);
    }
    let store = pin.store().map_err(outer)?;
    runtime.register_object_store(url.as_ref(), store.clone());
    Ok(store)
}

#[async_trait]
impl TableProvider for ArchiveTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Conditions tell which files need not be opened; row by row they hold where the plan says.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(&self, state: &dyn Session, projection: Option<&Vec<usize>>, filters: &[Expr], limit: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let pin = self.pins.get(self.name).ok_or_else(|| DataFusionError::Internal("nothing is pinned".into()))?;
        let url = store_url(self.name).map_err(outer)?;
        let schema = DFSchema::try_from(self.schema.clone())?;
        let condition = conjunction(filters.iter().cloned()).map(|condition| state.create_physical_expr(condition, &schema)).transpose()?;
        let scan = Scan { session: state, url: url.clone(), schema: self.schema.clone(), projection, limit, condition, places: Places::default() };
        let Some(view) = &pin.view else { return scan.joined(Vec::new(), Vec::<RecordBatch>::new()) };
        let store = store(state, &url, &pin)?;
        let places = match scan.condition.as_ref().and_then(ids) {
            Some(ids) => pin.places(&store, &ids).await.map_err(outer)?,
            None => Places::default(),
        };
        let scan = Scan { places, ..scan };
        match self.shown {
            Shown::All | Shown::Last => scan.all(&view.table.files, view.live.iter().map(|segment| segment.batch.clone()).collect()),
            Shown::Versions => {
                let repeats = pin.repeats(&store).await.map_err(outer)?;
                scan.versions(view, &repeats)
            }
            Shown::Newest => {
                let newest = pin.newest(&store).await.map_err(outer)?;
                scan.incidents(view, &newest)
            }
        }
    }
}
