//! The Postgres wire: `psql`, drivers and dashboards read the archive with it. Every connection is a
//! session with bounds of its own; nothing can be written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::DfSessionService;
use datafusion_postgres::hooks::QueryHook;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::{ConnectionManager, PgWireServerHandlers};
use datafusion_postgres::pgwire::tokio::process_socket;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::extended::Extended;
use super::hook::{Cancels, ReadHook, Sessions};
use super::login::{Login, User};
use super::session::Engine;
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
    queries: Option<tokio::runtime::Runtime>,
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
        // Connections have a thread of their own, so that a query can be cancelled whatever it is at.
        let threads = |count: usize, name: &str| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(count).thread_name(name).on_thread_start(nice).enable_all().build()
        };
        let (runtime, queries) = (threads(1, "sql-wire")?, threads(spec.threads.max(1), "sql")?);
        engine.run_on(queries.handle());
        let listener = runtime
            .block_on(TcpListener::bind(spec.address))
            .map_err(|error| Error::environment(format!("cannot listen on {}: {error}", spec.address)).hint("is another instance running? try another port"))?;
        let address = listener.local_addr()?;
        let (connections, sessions) = (Arc::new(ConnectionManager::new()), Arc::<Sessions>::default());
        let server = Arc::new(Server {
            engine,
            user: spec.login.as_ref().map(|(name, password)| Arc::new(User::new(name, password))),
            certificate,
            tls,
            cancels: Arc::new(Cancels { connections: connections.clone(), sessions: sessions.clone() }),
            connections,
            sessions,
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
        Ok(SqlPort { address, runtime: Some(runtime), queries: Some(queries) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SqlPort {
    fn drop(&mut self) {
        for runtime in [self.runtime.take(), self.queries.take()].into_iter().flatten() {
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
    sessions: Arc<Sessions>,
    cancels: Arc<Cancels>,
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
        let hooks: Vec<Arc<dyn QueryHook>> = vec![
            Arc::new(CursorStatementHook),
            Arc::new(SetShowHook),
            Arc::new(TransactionStatementHook),
            Arc::new(ReadHook::new(session.clone(), self.sessions.clone())),
        ];
        let service = Arc::new(DfSessionService::new_with_hooks(session.context.clone(), hooks));
        let handlers = Handlers { service, login, cancel: self.cancels.clone() };
        if let Err(error) = process_socket(socket, self.tls.clone(), handlers).await {
            tracing::debug!(%error, "a connection has ended");
        }
        self.sessions.gone(&session);
    }
}

/// What a connection is served by.
struct Handlers {
    service: Arc<DfSessionService>,
    login: Arc<Login>,
    cancel: Arc<Cancels>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.service.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(Extended(self.service.clone()))
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.login.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}
