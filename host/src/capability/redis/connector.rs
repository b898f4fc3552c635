//! How a binding's servers are reached: one server, the master that Sentinels name, or a cluster. deadpool asks
//! for connections, the library makes them.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleResult};
use deadpool_redis::redis::cluster::{ClusterClient, ClusterClientBuilder};
use deadpool_redis::redis::io::tcp::TcpSettings;
use deadpool_redis::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError,
    TlsMode,
};
use portcullis_config::{Endpoint, RedisBinding as Config, RedisLogin, RedisServers};
use tokio::sync::Mutex;

use super::link::Link;
use super::tls_files::TlsFiles;

/// Calls that may wait in a connection's queue before it takes them up; the library's own 50 are few for a worker.
const QUEUE: usize = 1024;
/// How often a cluster's call follows the answer of one node to another.
const CLUSTER_RETRIES: u32 = 2;
/// Milliseconds before such a retry, if it must wait at all: a call has little time.
const CLUSTER_RETRY_WAIT: std::ops::RangeInclusive<u64> = 1..=10;
/// How this program names itself to the servers (`CLIENT LIST`).
const NAME: &str = "portcullis";

/// Makes a binding's connections.
pub(super) enum Connector {
    One(Box<deadpool_redis::Manager>),
    Sentinel {
        client: Box<Mutex<SentinelClient>>,
        settings: AsyncConnectionConfig,
    },
    Cluster(Box<ClusterClient>),
}

/// What of a binding can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BindingProblem {
    /// Below the binding, as a JSON pointer: `/tls/ca`.
    pub place: &'static str,
    message: String,
}

impl BindingProblem {
    pub(super) fn new(place: &'static str, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
        }
    }

    fn of(place: &'static str) -> impl Fn(RedisError) -> Self {
        move |error| Self::new(place, error.to_string())
    }
}

impl Connector {
    /// Checks what can be checked without a connection.
    pub(super) fn new(config: &Config, files: &TlsFiles) -> Result<Self, BindingProblem> {
        match &config.servers {
            RedisServers::Url(url) => {
                let info = one_server(url.expose(), config, files)?;
                // The binding keeps the deadline; the library's own 500 ms would cut longer ones short.
                let settings = settings(config.connect_timeout);
                let manager = deadpool_redis::Manager::new_with_config(info, settings)
                    .map_err(BindingProblem::of("/url"))?;
                Ok(Self::One(Box::new(manager)))
            }
            RedisServers::Sentinel {
                master,
                nodes,
                login,
            } => {
                let client = sentinels(master, nodes, login.as_ref(), config, files)
                    .map_err(BindingProblem::of("/sentinel"))?;
                Ok(Self::Sentinel {
                    client: Box::new(Mutex::new(client)),
                    settings: settings(config.connect_timeout),
                })
            }
            RedisServers::Cluster(nodes) => {
                let client =
                    cluster(nodes, config, files).map_err(BindingProblem::of("/cluster"))?;
                Ok(Self::Cluster(Box::new(client)))
            }
        }
    }
}

impl Manager for Connector {
    type Type = Link;
    type Error = RedisError;

    async fn create(&self) -> Result<Link, RedisError> {
        match self {
            Self::One(manager) => manager.create().await.map(Link::One),
            Self::Sentinel { client, settings } => {
                let mut client = client.lock().await;
                let connection = client.get_async_connection_with_config(settings).await?;
                Ok(Link::One(connection))
            }
            Self::Cluster(client) => {
                let connection = client.get_async_connection().await?;
                Ok(Link::Cluster(connection))
            }
        }
    }

    /// Nothing comes back to the pool: a connection is used until it is broken.
    async fn recycle(&self, _: &mut Link, _: &Metrics) -> RecycleResult<RedisError> {
        Ok(())
    }
}

fn settings(connect_timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect_timeout))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE)
}

/// Small packets go out as they come: calls wait for each other's answers otherwise (RFC 896).
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn one_server(
    url: &str,
    config: &Config,
    files: &TlsFiles,
) -> Result<ConnectionInfo, BindingProblem> {
    let problem = BindingProblem::of("/url");
    let info = url.into_connection_info().map_err(&problem)?;
    let mut redis = info
        .redis_settings()
        .clone()
        .set_lib_name(NAME, env!("CARGO_PKG_VERSION"));
    if let Some(RedisLogin { username, password }) = &config.login {
        redis = redis.set_password(password.expose());
        if let Some(username) = username {
            redis = redis.set_username(username);
        }
    }
    if let Some(database) = config.database {
        redis = redis.set_db(database.into());
    }
    let info = info.set_redis_settings(redis).set_tcp_settings(tcp());
    if config.tls.is_none() {
        return Ok(info);
    }
    let client =
        Client::build_with_tls(info, files.certificates()).map_err(BindingProblem::of("/tls"))?;
    Ok(client.get_connection_info().clone())
}

fn sentinels(
    master: &str,
    nodes: &[Endpoint],
    login: Option<&RedisLogin>,
    config: &Config,
    files: &TlsFiles,
) -> Result<SentinelClient, RedisError> {
    let is_secured = config.tls.is_some();
    let nodes = nodes.iter().map(|node| address(node, is_secured));
    let mut builder = SentinelClientBuilder::new(nodes, master, SentinelServerType::Master)?
        .set_client_to_sentinel_tcp_settings(tcp())
        .set_client_to_redis_tcp_settings(tcp());
    if is_secured {
        builder = builder
            .set_client_to_sentinel_certificates(files.certificates())
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(files.certificates());
    }
    if let Some(RedisLogin { username, password }) = login {
        builder = builder.set_client_to_sentinel_password(password.expose());
        if let Some(username) = username {
            builder = builder.set_client_to_sentinel_username(username);
        }
    }
    if let Some(RedisLogin { username, password }) = &config.login {
        builder = builder.set_client_to_redis_password(password.expose());
        if let Some(username) = username {
            builder = builder.set_client_to_redis_username(username);
        }
    }
    if let Some(database) = config.database {
        builder = builder.set_client_to_redis_db(database.into());
    }
    builder.build()
}

fn cluster(
    nodes: &[Endpoint],
    config: &Config,
    files: &TlsFiles,
) -> Result<ClusterClient, RedisError> {
    let is_secured = config.tls.is_some();
    let nodes = nodes.iter().map(|node| address(node, is_secured));
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(config.connect_timeout)
        // For its own questions about slots, which hold everything up; calls have their deadline.
        .response_timeout(config.connect_timeout.max(config.deadline))
        .overall_response_timeout(None)
        .retries(CLUSTER_RETRIES)
        .retry_wait_formula(1, 2)
        .min_retry_wait(*CLUSTER_RETRY_WAIT.start())
        .max_retry_wait(*CLUSTER_RETRY_WAIT.end())
        .tcp_settings(tcp());
    if is_secured {
        builder = builder.tls(TlsMode::Secure).certs(files.certificates());
    }
    if let Some(RedisLogin { username, password }) = &config.login {
        builder = builder.password(password.expose());
        if let Some(username) = username {
            builder = builder.username(username);
        }
    }
    builder.build()
}

fn address(node: &Endpoint, is_secured: bool) -> ConnectionAddr {
    let (host, port) = (node.host.clone(), node.port);
    if !is_secured {
        return ConnectionAddr::Tcp(host, port);
    }
    ConnectionAddr::TcpTls {
        host,
        port,
        insecure: false,
        tls_params: None,
    }
}
