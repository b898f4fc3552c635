//! The gateway as its users meet it: real sockets, real components, a scripted upstream.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code; clippy knows only functions marked as tests"
)]

mod access_log;
mod balancing;
mod bodies;
mod cancelled_calls;
mod circuits;
mod cli;
mod client_timeouts;
mod connections;
mod control_api;
mod drain;
mod edge_cases;
mod edge_policies;
mod fault_circuits;
mod forwarding;
mod fuzz_corpus;
mod grpc_peers;
mod heads;
mod health;
mod http2;
mod http2_floods;
mod http2_limits;
mod large_bodies;
mod limits;
mod matching;
mod metrics;
mod mirror;
mod names;
mod outliers;
mod policies;
mod policies_load;
mod policies_log;
mod policies_outcall;
mod policies_secrets;
mod policies_state;
mod policies_upstream;
mod policy_config;
mod policy_limits;
mod policy_store;
mod policy_store_load;
mod policy_store_watch;
mod rate_limit;
mod rate_limit_redis;
mod real_clients;
mod redirects;
mod reload;
mod request_bodies;
mod response_bodies;
mod retries;
mod rewrites;
mod routing;
mod sandbox;
mod sandbox_load;
mod sandbox_process;
mod server_peers;
mod shutdown;
mod slow_clients;
mod smuggling;
mod split;
mod streaming;
mod support;
mod tls;
mod trailers;
mod tunnels;
mod unknown_words;
mod upgrades;
mod upstream_http2;
mod upstream_tls;
mod watch;
mod watch_load;
mod websocket_peers;
