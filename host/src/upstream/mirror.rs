//! Copies of requests for a second upstream, whose answers nobody sees. Nothing of the exchange waits for
//! them: a copy is sent by a task of its own, once, when the whole body has passed.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{EXPECT, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use portcullis_config::Mirror as MirrorConfig;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::attempt;
use super::body::RequestBody;
use super::moment::Moment;
use super::permit::Permit;
use super::pools::Wish;
use crate::body_copy::BodyCopy;
use crate::client_body::ClientBody;
use crate::exchange::Exchange;
use crate::head;
use crate::policy::verdict::EndpointChoice;
use crate::route::Route;
use crate::telemetry::mirror::MirrorCounters;
use crate::worker::Revision;

/// Tells the upstream that nobody waits for its answer.
const MARK: HeaderName = HeaderName::from_static("x-portcullis-mirror");

/// Where a route's copies go.
pub struct Mirror {
    /// Place of the upstream in the snapshot.
    pub upstream: usize,
    /// As the config has it.
    pub config: MirrorConfig,
    /// What became of them.
    pub counters: Arc<MirrorCounters>,
    in_flight: AtomicUsize,
}

/// A request to be sent, without its body.
struct Copy {
    revision: Rc<Revision>,
    place: Place,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// One of the mirror's places for copies in flight.
struct Place(Arc<Route>);

impl Mirror {
    /// None is in flight.
    pub fn new(config: &MirrorConfig, upstream: usize, counters: Arc<MirrorCounters>) -> Self {
        Self {
            upstream,
            config: config.clone(),
            counters,
            in_flight: AtomicUsize::new(0),
        }
    }
}

/// Sends a copy of the exchange's request on its way, if the route wants one. `body` is copied as it is
/// read. Does nothing else to the exchange, whatever becomes of the copy.
pub fn start(revision: &Rc<Revision>, exchange: &Exchange, body: &mut ClientBody) {
    let Some(mirror) = &exchange.route.mirror else {
        return;
    };
    if rand::random_range(0..100) >= mirror.config.percent {
        return;
    }
    let Some(target) = exchange.route.rewrite.apply(&exchange.request.target) else {
        return;
    };
    let Some(place) = Place::take(&exchange.route, mirror) else {
        return mirror.counters.dropped();
    };
    let has_body = !matches!(body, ClientBody::Empty);
    let mut headers = head::upstream_fields(exchange, has_body);
    headers.remove(EXPECT);
    let _ = headers.try_insert(MARK, HeaderValue::from_static("1"));
    let copy = Copy {
        revision: revision.clone(),
        place,
        method: exchange.request.method.clone(),
        uri: target.into(),
        headers,
    };
    let (keeps, whole) = BodyCopy::new(mirror.config.max_body);
    body.copy_to(keeps);
    tokio::task::spawn_local(copy.complete(whole));
}

impl Place {
    fn take(route: &Arc<Route>, mirror: &Mirror) -> Option<Self> {
        if mirror.in_flight.fetch_add(1, Ordering::Relaxed) >= mirror.config.max_in_flight {
            mirror.in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(route.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mirror) = &self.0.mirror {
            mirror.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Copy {
    /// Waits for the body, sends, and counts what became of it.
    async fn complete(self, whole: oneshot::Receiver<Bytes>) {
        let route = self.place.0.clone();
        let Some(mirror) = &route.mirror else { return };
        // The body was too large, or did not pass to its end.
        let Ok(body) = whole.await else {
            return mirror.counters.dropped();
        };
        match self.send(mirror, body).await {
            true => mirror.counters.sent(),
            false => mirror.counters.failed(),
        }
    }

    /// Whether there was an answer, which is read and thrown away.
    async fn send(self, mirror: &Mirror, body: Bytes) -> bool {
        let upstream = &self.revision.snapshot.upstreams[mirror.upstream];
        let wish = Wish {
            choice: EndpointChoice::Any,
            last: None,
            key: None,
            now: Moment::now(),
        };
        let Some(pool) = self.revision.upstreams[mirror.upstream].pick(&wish) else {
            return false;
        };
        let deadline = Instant::now() + mirror.config.timeout;
        let Ok(permit) = Permit::take(&pool, &upstream.live.config.circuit, deadline).await else {
            return false;
        };
        let mut request = Request::new(RequestBody::Whole(body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        match attempt::send(&pool, request, None, upstream.connect_timeout, deadline).await {
            Ok(answer) => {
                answer
                    .into_body()
                    .with(permit, upstream.live.config.timeouts.tunnel_idle)
                    .read_away()
                    .await;
                true
            }
            Err(error) => {
                tracing::debug!(upstream = &*upstream.name, "mirror: {}", error.detail);
                false
            }
        }
    }
}
