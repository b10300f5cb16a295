//! The Postgres wire: `psql`, drivers and dashboards read the archive with it. Every connection is a
//! session with bounds of its own; nothing can be written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::DfSessionService;
use datafusion_postgres::arrow_pg::datatypes::df::encode_dataframe;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::hooks::{HookClient, QueryHook};
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager, PgWireServerHandlers};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::tokio::process_socket;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::login::{Login, User};
use super::session::{Engine, Session};
use super::text::without_maps;
use crate::error::Error;

/// How long connections may go on when the process ends.
const END_WAIT: Duration = Duration::from_millis(500);
/// How much less the threads of queries get of a busy processor than those of the pipeline (Unix niceness).
const NICE: i32 = 10;

/// How the port is to be.
#[derive(Debug, Clone)]
pub struct WireSpec {
    /// Where it listens; port 0: any free one.
    pub address: SocketAddr,
    /// User and password; `None`: whoever reaches it.
    pub login: Option<(String, String)>,
    /// Certificate and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Connections at a time (count).
    pub connections: usize,
    /// Threads that queries share.
    pub threads: usize,
}

/// A port; it closes when this is dropped.
pub struct SqlPort {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl SqlPort {
    /// Listens, and answers queries with sessions of this engine.
    ///
    /// # Errors
    /// An address that is taken; a certificate that cannot be used.
    pub fn open(spec: &WireSpec, engine: Arc<Engine>) -> Result<SqlPort, Error> {
        let loopback = spec.address.ip().is_loopback();
        if !loopback && (spec.login.is_none() || spec.tls.is_none()) {
            return Err(Error::user(format!("SQL on {} needs a user and encryption, because it is not a loopback address", spec.address))
                .hint("write sql: { user: …, password: { env: … }, certificate: …, key: … }"));
        }
        let certificate = spec.tls.as_ref().map(|(certificate, _)| read(certificate)).transpose()?;
        let tls = spec.tls.as_ref().map(|(_, key)| acceptor(certificate.as_deref().unwrap_or_default(), &read(key)?)).transpose()?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(spec.threads.max(1)).thread_name("sql").on_thread_start(nice).enable_all().build()?;
        let listener = runtime
            .block_on(TcpListener::bind(spec.address))
            .map_err(|error| Error::environment(format!("cannot listen on {}: {error}", spec.address)).hint("is another instance running? try another port"))?;
        let address = listener.local_addr()?;
        let server = Arc::new(Server {
            engine,
            user: spec.login.as_ref().map(|(name, password)| Arc::new(User::new(name, password))),
            certificate,
            tls,
            connections: Arc::new(ConnectionManager::new()),
            places: Arc::new(Semaphore::new(spec.connections)),
        });
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => drop(tokio::spawn(server.clone().serve(socket))),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(SqlPort { address, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SqlPort {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(END_WAIT);
        }
    }
}

/// Queries give way to the pipeline.
fn nice() {
    #[cfg(target_os = "linux")]
    // SAFETY: a plain system call about the calling thread; 0 is this thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::user(format!("{}: {error}", path.display())))
}

fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, Error> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| Error::user(format!("the {what} of the SQL port cannot be used: {error}"));
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>().map_err(|error| wrong("certificate", &error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong("key", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::bug(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong("certificate", &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct Server {
    engine: Arc<Engine>,
    user: Option<Arc<User>>,
    certificate: Option<Vec<u8>>,
    tls: Option<TlsAcceptor>,
    connections: Arc<ConnectionManager>,
    places: Arc<Semaphore>,
}

impl Server {
    async fn serve(self: Arc<Server>, socket: TcpStream) {
        let Ok(_place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!("a connection was turned away: there are as many as `sql.connections` allows");
            return;
        };
        let session = match self.engine.session().await {
            Ok(session) => session,
            Err(error) => return tracing::error!(%error, "no session is to be had"),
        };
        let login = match Login::new(self.user.as_ref(), self.certificate.as_deref(), &self.connections) {
            Ok(login) => Arc::new(login),
            Err(error) => return tracing::error!(%error, "nobody can log in"),
        };
        let hooks: Vec<Arc<dyn QueryHook>> =
            vec![Arc::new(CursorStatementHook), Arc::new(SetShowHook), Arc::new(TransactionStatementHook), Arc::new(ReadHook { session: session.clone() })];
        let service = Arc::new(DfSessionService::new_with_hooks(session.context.clone(), hooks));
        let handlers = Handlers { service, login, cancel: Arc::new(DefaultCancelHandler::new(self.connections.clone())) };
        if let Err(error) = process_socket(socket, self.tls.clone(), handlers).await {
            tracing::debug!(%error, "a connection has ended");
        }
    }
}

/// What a connection is served by.
struct Handlers {
    service: Arc<DfSessionService>,
    login: Arc<Login>,
    cancel: Arc<DefaultCancelHandler>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.service.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.service.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.login.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}

/// Pins a version per statement, lets only what reads through, and shows maps as text.
struct ReadHook {
    session: Session,
}

impl ReadHook {
    async fn plan(&self, statement: &Statement) -> PgWireResult<LogicalPlan> {
        let plan = self.session.plan(statement).await.map_err(refused)?;
        without_maps(plan).map_err(refused)
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
        E::Execution(text) if text == super::bound::TIMED_OUT => "57014",
        _ => "XX000",
    };
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

#[async_trait]
impl QueryHook for ReadHook {
    async fn handle_simple_query(&self, statement: &Statement, context: &SessionContext, client: &mut dyn HookClient) -> Option<PgWireResult<Response>> {
        let run = async {
            let plan = self.plan(statement).await?;
            let rows = context.execute_logical_plan(plan).await.map_err(refused)?;
            let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
            Ok(Response::Query(encode_dataframe(rows, &Format::UnifiedText, Some(options)).await?))
        };
        Some(run.await)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        Some(self.plan(statement).await)
    }

    async fn handle_extended_query(
        &self,
        _: &Statement,
        _: &LogicalPlan,
        _: &ParamValues,
        _: &SessionContext,
        _: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        // The plan is as old as its preparation; what it reads is not.
        match self.session.pins.renew().await {
            Ok(()) => None,
            Err(error) => Some(Err(refused(datafusion::error::DataFusionError::External(Box::new(error))))),
        }
    }
}
