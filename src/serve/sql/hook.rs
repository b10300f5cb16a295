//! What is done with each statement that comes over the wire: one version is pinned, only what reads goes
//! through, maps are shown as text, and it is told where rows are missing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DFSchema, ParamValues};
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::df::encode_dataframe;
use datafusion_postgres::hooks::{HookClient, QueryHook};
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use datafusion_postgres::pgwire::types::format::FormatOptions;

use futures::TryStreamExt;

use super::bound::{CANCELLED, Cancel, TIMED_OUT};
use super::client::{missing_words, reads_incidents};
use super::session::Session;
use super::text::without_maps;

/// Pins a version per statement, lets only what reads through, and shows maps as text.
pub struct ReadHook {
    session: Session,
    sessions: Arc<Sessions>,
}

/// Who can be told to stop, by the number of the connection.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<i32, Arc<Cancel>>>);

impl Sessions {
    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Arc<Cancel>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A connection has ended.
    pub fn gone(&self, session: &Session) {
        self.table().retain(|_, cancel| !Arc::ptr_eq(cancel, &session.cancel));
    }
}

/// Ends what a connection runs, for who knows its number and its secret.
pub struct Cancels {
    /// Where numbers and secrets are known.
    pub connections: Arc<ConnectionManager>,
    /// Where sessions are.
    pub sessions: Arc<Sessions>,
}

#[async_trait]
impl CancelHandler for Cancels {
    async fn on_cancel_request(&self, request: CancelRequest) {
        if self.connections.cancel(request.pid, &request.secret_key).await
            && let Some(cancel) = self.sessions.table().get(&request.pid)
        {
            cancel.say();
        }
    }
}

/// What ends a session's own settings, of which there are none: pools of connections say it. Its tag.
fn housekeeping(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Discard { .. } => Some("DISCARD ALL"),
        Statement::Close { .. } => Some("CLOSE CURSOR ALL"),
        Statement::UNLISTEN { .. } => Some("UNLISTEN"),
        Statement::Reset(_) => Some("RESET"),
        Statement::Deallocate { .. } => Some("DEALLOCATE ALL"),
        _ => None,
    }
}

impl ReadHook {
    /// For the statements of a connection.
    pub fn new(session: Session, sessions: Arc<Sessions>) -> ReadHook {
        ReadHook { session, sessions }
    }

    /// From now on this connection can be told to stop.
    fn listen(&self, client: &(dyn HookClient + '_)) {
        self.sessions.table().insert(client.pid_and_secret_key().0, self.session.cancel.clone());
    }

    /// Tells whose newest rows are in another member's memory, if the query looks at incidents.
    async fn tell_missing(&self, plan: &LogicalPlan, client: &mut dyn HookClient) -> PgWireResult<()> {
        let missing = self.session.pins.missing();
        if missing.is_empty() || !reads_incidents(plan) {
            return Ok(());
        }
        let notice = ErrorInfo::new("NOTICE".to_owned(), "01000".to_owned(), missing_words(missing.len()));
        client.send_message(PgWireBackendMessage::NoticeResponse(notice.into())).await
    }

    async fn plan(&self, statement: &Statement) -> PgWireResult<LogicalPlan> {
        let plan = self.session.plan(statement).await.map_err(refused)?;
        without_maps(plan).map_err(refused)
    }
}

/// As Postgres says what goes wrong while rows are on their way.
pub(super) fn told(error: PgWireError) -> PgWireError {
    match error {
        PgWireError::ApiError(error) => match error.downcast() {
            Ok(error) => refused(*error),
            Err(error) => PgWireError::ApiError(error),
        },
        error => error,
    }
}

/// As Postgres says it.
fn refused(error: datafusion::error::DataFusionError) -> PgWireError {
    use datafusion::error::DataFusionError as E;
    let root = error.find_root();
    let message = root.strip_backtrace();
    let code = match root {
        E::Plan(text) if text.contains("not supported") && (text.starts_with("DDL") || text.starts_with("DML") || text.starts_with("Statement")) => "25006",
        E::SQL(_, _) => "42601",
        E::SchemaError(_, _) => "42703",
        E::Plan(text) if text.contains("not found") => "42P01",
        E::ResourcesExhausted(_) => "53200",
        E::ArrowError(error, _) => match **error {
            ArrowError::DivideByZero => "22012",
            ArrowError::ArithmeticOverflow(_) => "22003",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => "22P02",
            _ => "XX000",
        },
        E::Execution(text) if [TIMED_OUT, CANCELLED].contains(&text.as_str()) => "57014",
        _ => "XX000",
    };
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

#[async_trait]
impl QueryHook for ReadHook {
    async fn handle_simple_query(&self, statement: &Statement, context: &SessionContext, client: &mut dyn HookClient) -> Option<PgWireResult<Response>> {
        if let Some(tag) = housekeeping(statement) {
            return Some(Ok(Response::Execution(Tag::new(tag))));
        }
        self.listen(client);
        let run = async {
            let plan = self.plan(statement).await?;
            self.tell_missing(&plan, client).await?;
            let rows = context.execute_logical_plan(plan).await.map_err(refused)?;
            let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
            let mut response = encode_dataframe(rows, &Format::UnifiedText, Some(options)).await?;
            response.data_rows = Box::pin(response.data_rows.map_err(told));
            Ok(Response::Query(response))
        };
        Some(run.await)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        if housekeeping(statement).is_some() {
            return Some(Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(DFSchema::empty()) })));
        }
        Some(self.plan(statement).await)
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        plan: &LogicalPlan,
        _: &ParamValues,
        _: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        if let Some(tag) = housekeeping(statement) {
            return Some(Ok(Response::Execution(Tag::new(tag))));
        }
        self.listen(client);
        // The plan is as old as its preparation; what it reads is not.
        if let Err(error) = self.session.pins.renew().await {
            return Some(Err(refused(datafusion::error::DataFusionError::External(Box::new(error)))));
        }
        self.tell_missing(plan, client).await.err().map(Err)
    }
}
