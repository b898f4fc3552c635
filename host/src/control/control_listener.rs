//! The control listener: the API under `/api/v1`, for who has a token.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use portcullis_config::Control;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::access;
use super::answer::Refusal;
use super::api::{
    faults, journal, log, openapi, policies, status, store, store_changes, upload, validate,
};
use super::status_listener::Readiness;
use super::tokens::Tokens;
use crate::publisher::Publisher;
use crate::wasm::engine::Engines;

/// Components that may be received at once: each is held in memory.
const MAX_UPLOADS: usize = 2;

/// Connections at once; further ones are closed.
const MAX_CONNECTIONS: usize = 100;
/// How long the head of a request may take, and the pause before it.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Pause after a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the API sees of the gateway.
pub struct ControlState {
    pub(super) tokens: Tokens,
    /// Names by which it may be called.
    pub(super) hosts: BTreeSet<String>,
    /// Where relative names of a config start.
    pub(super) base: PathBuf,
    pub(super) gateway: Gateway,
    pub(super) started: Instant,
    /// Components that are being received.
    pub(super) uploads: Semaphore,
}

/// The running gateway, as far as the API tells of it.
pub struct Gateway {
    /// What serves, and how that is changed.
    pub publisher: Arc<Publisher>,
    /// For checking what is not served.
    pub engines: Arc<Engines>,
    /// Whether it wants traffic.
    pub readiness: Readiness,
    /// Listeners by name, with their ports.
    pub addresses: Vec<(String, SocketAddr)>,
}

/// A listener that is bound and answers nobody yet.
pub struct ControlListener {
    listener: TcpListener,
    tokens: Tokens,
    control: Control,
}

impl ControlListener {
    /// Binds the address.
    pub async fn bind(control: &Control, tokens: Tokens) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(control.address).await?,
            tokens,
            control: control.clone(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves in the background of the present runtime.
    pub fn serve(self, gateway: Gateway) {
        let state = ControlState {
            tokens: self.tokens,
            hosts: self.control.hosts,
            base: self.control.base,
            gateway,
            started: Instant::now(),
            uploads: Semaphore::new(MAX_UPLOADS),
        };
        tokio::spawn(accept(self.listener, router(Arc::new(state))));
    }
}

/// Serves one connection after another, for as long as the process lives.
async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most often too many open files; those of others are closed meanwhile.
                tracing::warn!("control: no connection is taken: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let router = router.clone().layer(Extension(ConnectInfo(client)));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        let service = TowerToHyperService::new(router);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // Who breaks off knows it.
            let _ = connection.await;
            drop(place);
        });
    }
}

fn router(state: Arc<ControlState>) -> Router {
    Router::new()
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/policies", get(policies::policies))
        .route("/api/v1/faults", get(faults::faults))
        .route("/api/v1/store", get(store::policies))
        .route("/api/v1/store/{policy}", get(store::policy))
        .route("/api/v1/store/{policy}/versions", upload::route())
        .route(
            "/api/v1/store/{policy}/versions/{version}",
            get(store::version).delete(store_changes::delete),
        )
        .route(
            "/api/v1/store/{policy}/activate",
            post(store_changes::activate),
        )
        .route(
            "/api/v1/store/{policy}/rollback",
            post(store_changes::roll_back),
        )
        .route(
            "/api/v1/log",
            get(log::log).put(log::change).delete(log::reset),
        )
        .route("/api/v1/journal", get(journal::journal))
        .route("/api/v1/config/validate", post(validate::validate))
        .route("/api/v1/openapi.json", get(openapi::document))
        .fallback(|| async {
            let detail = "no such thing; /api/v1/openapi.json lists what there is".to_owned();
            Refusal::new(StatusCode::NOT_FOUND, detail)
        })
        // Around all of it: who may not call does not learn what there is.
        .layer(middleware::from_fn_with_state(state.clone(), access::check))
        .with_state(state)
}
