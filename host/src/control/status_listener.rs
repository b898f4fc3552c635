//! The metrics listener: `/metrics`, `/healthz`, `/readyz`. Read-only, no secrets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::page::{PageFormat, Pages};

/// Whether the gateway wants traffic: from the start of its workers until it drains.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether it wants traffic.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Status {
    pages: Arc<Pages>,
    readiness: Readiness,
}

/// Binds the address and serves in the background of the present runtime.
pub async fn start(
    address: SocketAddr,
    pages: Pages,
    readiness: Readiness,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Status {
            pages: Arc::new(pages),
            readiness,
        });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the metrics listener ended: {error}");
        }
    });
    Ok(bound)
}

async fn render(State(status): State<Status>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = PageFormat::wanted(&accept.join(","));
    match status.pages.page(format).await {
        // The same address has two pages (RFC 9110 §12.5.5).
        Ok(page) => (
            [(CONTENT_TYPE, format.content_type()), (VARY, "accept")],
            page,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(status): State<Status>) -> Response {
    if status.readiness.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}
