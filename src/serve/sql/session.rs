//! A session: tables, settings, bounds, and the way from text to a plan.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, ParamValues, Result, ScalarValue};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as AnyStatement;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, FunctionArguments, Statement, Value, visit_expressions_mut};
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use super::bound::{Bounded, Cancel};
use super::catalog::{Catalog, Pins};
use super::coded::CodedGroups;
use super::described::described;
use super::like::LikeByPieces;
use super::tables::{ArchiveTable, Shown};
use super::text::without_maps;
use super::{lookups, repair, tables};
use crate::archive::{ArchiveError, DEAD_LETTERS, INCIDENT_VERSIONS, LEDGER, PLAYBOOK_RUNS, WAR_ROOM};
use crate::config::model::Pipeline;

/// The name of the database.
pub const DATABASE: &str = "catchment";
/// The schema of the tables, as in Postgres.
pub const SCHEMA: &str = "public";
/// The table of the newest versions.
pub const INCIDENTS: &str = "incidents";

/// Disk that a query may use where memory does not suffice, in bytes.
const SPILL_BYTES: u64 = 4 << 30;
/// Memory users that are named when memory runs out (count).
const CONSUMERS_NAMED: usize = 3;
/// Parquet footers that are kept, in bytes, for all sessions.
const FOOTER_BYTES: usize = 64 << 20;

/// What a query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Memory, in bytes.
    pub memory: usize,
    /// Time.
    pub time: Duration,
    /// Threads.
    pub threads: usize,
}

/// What sessions have in common.
pub struct Engine {
    catalog: Catalog,
    bounds: Bounds,
    runtime: Arc<RuntimeEnv>,
    threads: Arc<OnceLock<tokio::runtime::Handle>>,
    extra: Vec<(String, Arc<dyn TableProvider>)>,
}

impl Engine {
    /// Over an archive. `pipeline`: whose lookup tables and samples are tables, too.
    ///
    /// # Errors
    /// An archive that is not there.
    pub fn new(catalog: Catalog, pipeline: Option<&Pipeline>, bounds: Bounds) -> Result<Engine, ArchiveError> {
        let runtime = RuntimeEnvBuilder::new().with_metadata_cache_limit(FOOTER_BYTES).build_arc()?;
        let mut extra = lookups::later()?;
        if let Some(pipeline) = pipeline {
            extra.extend(lookups::tables(pipeline)?);
            extra.push(("event_sample".to_owned(), lookups::sample(pipeline)?));
        }
        Ok(Engine { catalog, bounds, runtime, threads: Arc::default(), extra })
    }

    /// Queries run here from now on; without it, where they are asked.
    pub fn run_on(&self, threads: &tokio::runtime::Handle) {
        self.threads.get_or_init(|| threads.clone());
    }

    /// A new session, with bounds of its own.
    ///
    /// # Errors
    /// A bug.
    pub async fn session(&self) -> Result<Session, ArchiveError> {
        let pool = Arc::new(TrackConsumersPool::new(
            GreedyMemoryPool::new(self.bounds.memory),
            std::num::NonZeroUsize::new(CONSUMERS_NAMED).unwrap_or(std::num::NonZeroUsize::MIN),
        ));
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory).with_max_temp_directory_size(SPILL_BYTES);
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime).with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()?;
        let mut config = SessionConfig::new()
            .with_target_partitions(self.bounds.threads)
            .with_information_schema(true)
            .with_default_catalog_and_schema(DATABASE, SCHEMA)
            .with_create_default_catalog_and_schema(false);
        let options = config.options_mut();
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.reorder_filters = true;
        options.execution.parquet.bloom_filter_on_read = true;
        options.sql_parser.map_string_types_to_utf8view = true;
        let cancel = Arc::new(Cancel::default());
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_optimizer_rule(Arc::new(LikeByPieces))
            .with_physical_optimizer_rule(Arc::new(CodedGroups))
            .with_physical_optimizer_rule(Arc::new(Bounded { limit: self.bounds.time, threads: self.threads.clone(), cancel: cancel.clone() }))
            .build();
        let context = SessionContext::new_with_state(state);
        let pins = Arc::new(Pins::new(self.catalog.clone()));
        let database = Arc::new(MemoryCatalogProvider::new());
        database.register_schema(SCHEMA, Arc::new(Public { pins: pins.clone(), extra: self.extra.clone() }))?;
        context.register_catalog(DATABASE, database);
        setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(ArchiveError::Query)?;
        pins.renew().await?;
        Ok(Session { context: Arc::new(context), pins, parser: Arc::new(PostgresCompatibilityParser::new()), cancel })
    }
}

/// The schema of the tables.
#[derive(Clone)]
struct Public {
    pins: Arc<Pins>,
    extra: Vec<(String, Arc<dyn TableProvider>)>,
}

impl std::fmt::Debug for Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Public")
    }
}

const ARCHIVED: [(&str, &str, Shown); 6] = [
    (INCIDENTS, INCIDENT_VERSIONS, Shown::Newest),
    (INCIDENT_VERSIONS, INCIDENT_VERSIONS, Shown::Versions),
    (DEAD_LETTERS, DEAD_LETTERS, Shown::All),
    (LEDGER, LEDGER, Shown::All),
    (PLAYBOOK_RUNS, PLAYBOOK_RUNS, Shown::Last),
    (WAR_ROOM, WAR_ROOM, Shown::All),
];

#[async_trait]
impl SchemaProvider for Public {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = ARCHIVED.iter().map(|(name, _, _)| (*name).to_owned()).collect();
        names.extend(self.extra.iter().map(|(name, _)| name.clone()));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((_, table, shown)) = ARCHIVED.iter().find(|(known, _, _)| *known == name) {
            let Some(rows) = ArchiveTable::new(&self.pins, table, *shown) else { return Ok(None) };
            return Ok(Some(if *shown == Shown::Last { tables::last(rows)? } else { Arc::new(rows) }));
        }
        Ok(self.extra.iter().find(|(known, _)| known == name).map(|(_, table)| table.clone()))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

/// A session.
#[derive(Clone)]
pub struct Session {
    /// DataFusion's.
    pub context: Arc<SessionContext>,
    /// What its queries see.
    pub pins: Arc<Pins>,
    /// Ends its queries.
    pub cancel: Arc<Cancel>,
    parser: Arc<PostgresCompatibilityParser>,
}

impl Session {
    /// Takes text apart into statements.
    ///
    /// # Errors
    /// Text that is no SQL.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        self.parser.parse(sql).map_err(|error| DataFusionError::SQL(Box::new(error), None))
    }

    /// `ARRAY(SELECT …)`, which DataFusion does not know, as an empty list: `psql` asks for the roles of
    /// users that way, and there are none. `typinput = 'pg_catalog.array_in'::regproc` with the name that our
    /// catalog has in its place: drivers tell lists by it.
    fn known(statement: &Statement) -> Statement {
        let mut statement = statement.clone();
        let _ = visit_expressions_mut(&mut statement, |expr| {
            if let Expr::Function(function) = expr
                && matches!(function.args, FunctionArguments::Subquery(_))
                && function.name.to_string().eq_ignore_ascii_case("array")
            {
                *expr = Expr::value(Value::SingleQuotedString("{}".into()));
            } else if let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr
                && let Some(name) = repair::procedure(left, right)
            {
                **right = Expr::value(Value::SingleQuotedString(name));
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        described(&mut statement);
        statement
    }

    /// Pins what is newest, and plans a statement that reads.
    ///
    /// # Errors
    /// What does not only read; what names things that are not there.
    pub async fn plan(&self, statement: &Statement) -> Result<LogicalPlan> {
        self.pins.renew().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let statement = Session::known(statement);
        let plan = if repair::is_about_catalog(&statement, &|name| self.is_data(name)) {
            self.about_catalog(statement).await?
        } else {
            self.planned(statement).await?
        };
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
        Ok(plan)
    }

    async fn planned(&self, statement: Statement) -> Result<LogicalPlan> {
        self.context.state().statement_to_plan(AnyStatement::Statement(Box::new(statement))).await
    }

    fn is_data(&self, name: &str) -> bool {
        let public = self.context.catalog(DATABASE).and_then(|database| database.schema(SCHEMA));
        public.is_some_and(|public| public.table_exist(name))
    }

    /// Plans it to the end, with NULL for what a prepared statement leaves open.
    async fn runs(&self, plan: &LogicalPlan) -> Result<()> {
        let types = plan.get_parameter_types()?;
        let mut plan = plan.clone();
        if !types.is_empty() {
            let null = |(name, kind): (String, Option<DataType>)| {
                let value = kind.map_or(Ok(ScalarValue::Null), |kind| ScalarValue::try_new_null(&kind))?;
                Ok((name.trim_start_matches('$').to_owned(), value.into()))
            };
            plan = plan.replace_params_with_values(&ParamValues::Map(types.into_iter().map(null).collect::<Result<_>>()?))?;
        }
        self.context.state().create_physical_plan(&plan).await.map(|_| ())
    }

    /// A question about the catalog, without what our catalog does not know of.
    async fn about_catalog(&self, asked: Statement) -> Result<LogicalPlan> {
        let mut statement = asked.clone();
        let mut first = None;
        for round in 0..repair::FIXES_MAX {
            let plan = self.planned(statement.clone()).await;
            // Types are looked at later than names.
            let error = match plan {
                Ok(plan) => match self.runs(&plan).await {
                    Ok(()) => return Ok(plan),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if round == 0 {
                repair::named(&mut statement);
            }
            let mended = repair::lacking(&error).is_some_and(|lacking| repair::repair(&mut statement, &lacking));
            first.get_or_insert(error);
            if !mended {
                break;
            }
        }
        let error = first.unwrap_or_else(|| DataFusionError::Internal("nothing was wrong".into()));
        tracing::debug!(%error, "a question about the catalog has no answer");
        match repair::nothing(&asked) {
            Some(nothing) => self.planned(nothing).await,
            None => Err(error),
        }
    }

    /// A statement's result, to be run. `maps`: as they are, else as JSON text.
    ///
    /// # Errors
    /// As [`Session::plan`].
    pub async fn query(&self, statement: &Statement, maps: bool) -> Result<DataFrame> {
        let plan = self.plan(statement).await?;
        let plan = if maps { plan } else { without_maps(plan)? };
        self.context.execute_logical_plan(plan).await
    }
}
