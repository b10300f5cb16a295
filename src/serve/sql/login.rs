//! Who may use the Postgres wire: one user with a password, checked with SCRAM-SHA-256; without a
//! password whoever reaches the port, which is then on a loopback address.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::noop::NoopStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramAuth, gen_salted_password};
use datafusion_postgres::pgwire::api::auth::{AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler};
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;

/// The version of Postgres whose dialect and catalog are spoken.
pub const VERSION: &str = "16.6";

/// A user and what their password was salted to.
pub struct User {
    name: String,
    salt: Vec<u8>,
    salted: Vec<u8>,
}

impl Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.name)
    }
}

impl User {
    /// The password itself is not kept.
    pub fn new(name: &str, password: &str) -> User {
        let salt = rand::random::<[u8; 16]>().to_vec();
        let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        User { name: name.to_owned(), salt, salted }
    }
}

#[derive(Debug)]
struct Users(Arc<User>);

#[async_trait]
impl AuthSource for Users {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        if login.user() == Some(self.0.name.as_str()) {
            return Ok(Password::new(Some(self.0.salt.clone()), self.0.salted.clone()));
        }
        // The same conversation, with a password that nobody knows: names are not told from the outside.
        Ok(Password::new(Some(self.0.salt.clone()), rand::random::<[u8; 32]>().to_vec()))
    }
}

/// The beginning of a connection.
pub enum Login {
    /// With a password.
    Scram(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
    /// Without.
    Open(Open),
}

/// The beginning of a connection that anybody may make.
pub struct Open(Arc<ConnectionManager>);

#[async_trait]
impl NoopStartupHandler for Open {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(self.0.clone())
    }
}

impl Login {
    /// For one connection; `certificate`: of the server, in PEM, to which the password is bound.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub fn new(user: Option<&Arc<User>>, certificate: Option<&[u8]>, connections: &Arc<ConnectionManager>) -> PgWireResult<Login> {
        let Some(user) = user else { return Ok(Login::Open(Open(connections.clone()))) };
        let mut scram = ScramAuth::new(Arc::new(Users(user.clone())));
        if let Some(certificate) = certificate {
            scram.configure_certificate(certificate)?;
        }
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = VERSION.to_owned();
        parameters.default_transaction_read_only = true;
        parameters.is_superuser = false;
        let handler = SASLAuthStartupHandler::new(Arc::new(parameters)).with_scram(scram).with_connection_manager(connections.clone());
        Ok(Login::Scram(Box::new(handler)))
    }
}

#[async_trait]
impl StartupHandler for Login {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self {
            Login::Scram(handler) => handler.on_startup(client, message).await,
            Login::Open(handler) => StartupHandler::on_startup(handler, client, message).await,
        }
    }
}
