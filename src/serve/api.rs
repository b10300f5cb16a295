//! The API port of a running member: alive (`/healthz`), ready (`/readyz`), and
//! `POST /reload`. On loopback only, until it knows who asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::error::Error;
use crate::run::health::Health;

/// An open API port; it closes when this is dropped.
pub struct ApiPort {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl ApiPort {
    /// Answers at `address`. `reload` is raised by `POST /reload`.
    ///
    /// # Errors
    /// An address that is not loopback, or in use.
    pub fn open(address: SocketAddr, health: Arc<Health>, reload: Arc<AtomicBool>) -> Result<ApiPort, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::user(format!("the API answers on loopback addresses only, not on {}", address.ip()))
                .hint("use 127.0.0.1 and a proxy with authentication"));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("api").enable_io().enable_time().build()?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .map_err(|error| Error::environment(format!("cannot listen on {address}: {error}")).hint("is another instance running? try another port"))?;
        let address = listener.local_addr()?;
        let ready = move || {
            let answer = match health.ready() {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            };
            std::future::ready(answer)
        };
        let reload = move || {
            reload.store(true, Ordering::Release);
            std::future::ready((StatusCode::ACCEPTED, "the pipeline is checked and loaded anew; the log tells how it went\n"))
        };
        let router = Router::new().route("/healthz", get(|| std::future::ready("ok\n"))).route("/readyz", get(ready)).route("/reload", post(reload));
        runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the API port has closed");
            }
        });
        Ok(ApiPort { address, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ApiPort {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
