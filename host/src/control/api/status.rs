//! `GET /api/v1/status`: what the gateway is doing now.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use portcullis_config::OnFailure;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::answer::Refusal;
use crate::control::control_listener::ControlState;
use crate::policy::PolicyUse;
use crate::route::Route;
use crate::telemetry::use_readings::UseReading;
use crate::upstream::status as upstream;

/// A gateway at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct Status {
    /// Of the program.
    version: &'static str,
    /// Counts the configs that have served since the start, from 1.
    revision: u64,
    /// Whether it wants traffic: false while it drains.
    ready: bool,
    /// Seconds since the start.
    uptime_seconds: u64,
    /// Threads that serve.
    workers: usize,
    /// In the order of the config at the start.
    listeners: Vec<Listener>,
    /// In the order in which they are tried.
    routes: Vec<RouteStatus>,
    /// By name.
    upstreams: Vec<Upstream>,
    /// Bindings that policies use, by name.
    redis: Vec<Redis>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Listener {
    name: String,
    /// IP address and port.
    address: String,
}

/// A route and its policies.
#[derive(Debug, Serialize, ToSchema)]
struct RouteStatus {
    name: String,
    /// Upstreams that it may send to; none for a redirect or a fixed response.
    upstreams: Vec<String>,
    /// In the order in which requests pass them.
    policies: Vec<Use>,
}

/// A policy in a route's chain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Use {
    policy: String,
    /// `open` or `closed`.
    on_failure: &'static str,
    /// The hooks that are called.
    hooks: Vec<&'static str>,
    /// Of the policy on this route since the gateway started, by hook.
    calls: BTreeMap<String, HookCalls>,
    /// Of the policy on this route since the gateway started, by kind.
    faults: BTreeMap<String, u64>,
    /// Its fault circuit, if it has one: `closed`, `half-open` or `open`.
    fault_circuit: Option<&'static str>,
}

/// Calls of one hook.
#[derive(Debug, Serialize, ToSchema)]
struct HookCalls {
    count: u64,
    /// What they took, all together.
    seconds: f64,
}

/// A Redis binding.
#[derive(Debug, Serialize, ToSchema)]
struct Redis {
    name: String,
    /// Its circuit: `closed`, `half-open` (the next call is tried) or `open` (calls are answered at once).
    circuit: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Upstream {
    name: String,
    /// A further request would be refused, or would have to wait.
    is_full: bool,
    /// Requests in flight, those that wait included.
    requests: u32,
    /// Connections in use.
    connections: u32,
    /// Requests that wait for a connection.
    pending: u32,
    /// Empty: its names have not been resolved.
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Endpoint {
    /// Its address, as metrics name it.
    name: String,
    /// Host and port of the config.
    authority: String,
    weight: u32,
    /// What the health checks say.
    healthy: bool,
    /// Milliseconds that are left of an ejection.
    ejected_for_ms: Option<u64>,
    /// Requests in flight.
    in_flight: u32,
}

/// Tells what serves, and how the upstreams are.
#[utoipa::path(get, path = "/api/v1/status", responses(
    (status = 200, description = "The gateway at this moment", body = Status),
    (status = 401, description = "No token, or none that is known", body = Refusal),
    (status = 403, description = "Called by a name, or from a page, that is not its own", body = Refusal),
))]
pub(in crate::control) async fn status(State(state): State<Arc<ControlState>>) -> Json<Status> {
    let gateway = &state.gateway;
    let snapshot = gateway.publisher.shared().snapshot.load();
    let listeners = gateway.addresses.iter().map(|(name, address)| Listener {
        name: name.clone(),
        address: address.to_string(),
    });
    let readings = gateway.publisher.shared().metrics.use_readings();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        revision: snapshot.revision,
        ready: gateway.readiness.is_ready(),
        uptime_seconds: state.started.elapsed().as_secs(),
        workers: gateway.publisher.foundations().workers,
        listeners: listeners.collect(),
        routes: snapshot
            .routes
            .iter()
            .map(|route| of_route(route, &readings))
            .collect(),
        upstreams: gateway
            .publisher
            .foundations()
            .upstreams
            .status()
            .into_iter()
            .map(of_upstream)
            .collect(),
        redis: gateway
            .publisher
            .foundations()
            .redis
            .readings()
            .into_iter()
            .map(|reading| Redis {
                name: reading.binding,
                circuit: reading.circuit.name(),
            })
            .collect(),
    })
}

type Readings = BTreeMap<(String, String), UseReading>;

fn of_route(route: &Route, readings: &Readings) -> RouteStatus {
    let targets = route.destination.targets();
    RouteStatus {
        name: route.name.to_string(),
        upstreams: targets.map(|target| target.name.to_string()).collect(),
        policies: route
            .chain
            .iter()
            .map(|member| of_use(member, &route.name, readings))
            .collect(),
    }
}

fn of_use(member: &PolicyUse, route: &str, readings: &Readings) -> Use {
    let counted = readings.get(&(member.name.to_string(), route.to_owned()));
    let counted = counted.cloned().unwrap_or_default();
    let circuit = member.fault_circuit.as_ref();
    let hooks = crate::wasm::Phase::ALL.into_iter();
    let called = hooks.filter(|phase| member.policy.exports(*phase));
    let called: Vec<&str> = called.map(|phase| phase.name()).collect();
    let calls = called.iter().map(|phase| {
        let calls = counted.calls.get(*phase).copied().unwrap_or_default();
        let (count, seconds) = (calls.count, calls.seconds);
        ((*phase).to_owned(), HookCalls { count, seconds })
    });
    Use {
        policy: member.name.to_string(),
        on_failure: match member.on_failure {
            OnFailure::Open => "open",
            OnFailure::Closed => "closed",
        },
        calls: calls.collect(),
        hooks: called,
        faults: counted.faults,
        fault_circuit: circuit.map(|circuit| circuit.state().name()),
    }
}

fn of_upstream(status: upstream::UpstreamStatus) -> Upstream {
    Upstream {
        name: status.name,
        is_full: status.is_full,
        requests: status.circuit.requests,
        connections: status.circuit.connections,
        pending: status.circuit.pending,
        endpoints: status.endpoints.into_iter().map(of_endpoint).collect(),
    }
}

fn of_endpoint(status: upstream::EndpointStatus) -> Endpoint {
    let left = status.ejected_for;
    Endpoint {
        name: status.name,
        authority: status.authority,
        weight: status.weight,
        healthy: status.healthy,
        ejected_for_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        in_flight: status.in_flight,
    }
}
