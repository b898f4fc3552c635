//! Redis bindings: that it is said once which servers, and that all of it fits together.

use std::path::Path;
use std::time::Duration;

use super::upstream_tls::{client_certificate, file_path};
use super::{Checks, HOUR, MILLISECOND, all, present};
use crate::file::{RedisCircuitFile, RedisClusterFile, RedisFile, RedisSentinelFile, RedisTlsFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::redis::{RedisBinding, RedisCircuit, RedisLogin, RedisServers, RedisTls};
use crate::redis_address::{self, RedisScheme};
use crate::secret::{Secret, SecretFile, SecretSources};
use crate::upstream::Endpoint;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const TEN_MILLISECONDS: Duration = Duration::from_millis(10);
const SENTINEL_PORT: u16 = 26379;
const CLUSTER_PORT: u16 = 6379;

/// The servers, and what about them must fit the rest of the binding.
struct Servers {
    servers: RedisServers,
    scheme: RedisScheme,
    has_login: bool,
    has_database: bool,
}

pub(super) fn redis(
    path: &str,
    file: RedisFile,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<RedisBinding> {
    let at = |key: &str| join_key(path, key);
    let only_one = is_one(path, &file, checks);
    let url = file.url.map(|part| url(&at("url"), part, sources, checks));
    let sentinel = file
        .sentinel
        .map(|part| sentinel(&at("sentinel"), part, sources, checks));
    let cluster = file
        .cluster
        .map(|part| cluster(&at("cluster"), part, checks));
    let servers = url.or(sentinel).or(cluster).flatten();
    let login = login(path, file.username, file.password, sources, checks);
    let database = file.database.map(|part| checks.read(&at("database"), part));
    let database = present(database);
    let tls = file
        .tls
        .map(|part| tls(&at("tls"), part, sources.base, checks));
    let tls = present(tls);
    if let (Some(servers), true) = (&servers, only_one) {
        fit(
            path,
            servers,
            login.as_ref(),
            database,
            tls.as_ref(),
            checks,
        );
    }
    let deadline = checks.duration(&at("deadline"), file.deadline, MILLISECOND, TEN_SECONDS);
    let connect_timeout = checks.duration(
        &at("connect_timeout"),
        file.connect_timeout,
        TEN_MILLISECONDS,
        TEN_SECONDS,
    );
    let circuit = circuit(&at("circuit"), file.circuit, checks);
    let servers = servers.filter(|_| only_one)?;
    let tls = tls?;
    Some(RedisBinding {
        tls: (servers.scheme == RedisScheme::Tls).then(|| tls.unwrap_or_default()),
        servers: servers.servers,
        login: login?,
        database: database?,
        deadline: deadline?,
        connect_timeout: connect_timeout?,
        circuit: circuit?,
    })
}

/// Whether exactly one of the ways to name servers is written, however well.
fn is_one(path: &str, file: &RedisFile, checks: &mut Checks) -> bool {
    let written = [
        ("url", file.url.is_some()),
        ("sentinel", file.sentinel.is_some()),
        ("cluster", file.cluster.is_some()),
    ];
    let mut written = written.iter().filter(|(_, is_written)| *is_written);
    let Some((first, _)) = written.next() else {
        checks.add(
            join_key(path, "url"),
            "is missing: a binding needs this, sentinel or cluster",
        );
        return false;
    };
    let Some((second, _)) = written.next() else {
        return true;
    };
    checks.add(
        join_key(path, second),
        format!("a binding has either this or {first}: remove one"),
    );
    false
}

/// What is written twice, or for nothing.
fn fit(
    path: &str,
    servers: &Servers,
    login: Option<&Option<RedisLogin>>,
    database: Option<Option<u32>>,
    tls: Option<&Option<RedisTls>>,
    checks: &mut Checks,
) {
    if servers.has_login && matches!(login, Some(Some(_))) {
        checks.add(
            join_key(path, "password"),
            "the url has a password as well: remove one",
        );
    }
    if let Some(Some(_)) = database {
        let path = join_key(path, "database");
        if servers.has_database {
            checks.add(path, "the url names a database as well: remove one");
        } else if matches!(servers.servers, RedisServers::Cluster(_)) {
            checks.add(path, "a cluster has one database only: remove it");
        }
    }
    if matches!(tls, Some(Some(_))) && servers.scheme != RedisScheme::Tls {
        checks.add(
            join_key(path, "tls"),
            "the servers are not rediss://: write rediss://, or remove tls",
        );
    }
}

fn url(
    path: &str,
    part: Part<SecretFile>,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<Servers> {
    let written = checks.read(path, part)?;
    let url = checks.accept(path, sources.resolve(&written))?;
    let said = checks.accept(path, redis_address::redis_url(url.expose()))?;
    Some(Servers {
        servers: RedisServers::Url(url),
        scheme: said.scheme,
        has_login: said.has_login,
        has_database: said.has_database,
    })
}

fn sentinel(
    path: &str,
    part: Part<RedisSentinelFile>,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<Servers> {
    let file = checks.read(path, part)?;
    let master = checks.text(&join_key(path, "master"), file.master, |text| {
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("expected a name without white space, such as mymaster".to_owned());
        }
        Ok(text.to_owned())
    });
    let nodes = nodes(&join_key(path, "nodes"), file.nodes, SENTINEL_PORT, checks);
    let login = login(path, file.username, file.password, sources, checks);
    let (scheme, nodes) = nodes?;
    let servers = RedisServers::Sentinel {
        master: master?,
        nodes,
        login: login?,
    };
    Some(Servers::of(servers, scheme))
}

fn cluster(path: &str, part: Part<RedisClusterFile>, checks: &mut Checks) -> Option<Servers> {
    let file = checks.read(path, part)?;
    let (scheme, nodes) = nodes(&join_key(path, "nodes"), file.nodes, CLUSTER_PORT, checks)?;
    Some(Servers::of(RedisServers::Cluster(nodes), scheme))
}

impl Servers {
    fn of(servers: RedisServers, scheme: RedisScheme) -> Self {
        Self {
            servers,
            scheme,
            has_login: false,
            has_database: false,
        }
    }
}

/// At least one node, all with one scheme.
fn nodes(
    path: &str,
    part: Part<Vec<Part<String>>>,
    usual_port: u16,
    checks: &mut Checks,
) -> Option<(RedisScheme, Vec<Endpoint>)> {
    let mut scheme = None;
    let nodes = checks.read(path, part)?.into_iter().enumerate();
    let nodes: Option<Vec<Endpoint>> = all(nodes.map(|(index, part)| {
        let path = join_index(path, index);
        let (own, node) = checks.text(&path, part, |text| {
            redis_address::redis_node(text, usual_port)
        })?;
        if *scheme.get_or_insert(own) != own {
            checks.add(
                path,
                "all nodes are reached in one way: write all as redis://, or all as rediss://",
            );
            return None;
        }
        Some(node)
    }));
    Some((scheme?, nodes?))
}

/// `Some(None)` without a password.
fn login(
    path: &str,
    username: Option<Part<String>>,
    password: Option<Part<SecretFile>>,
    sources: &SecretSources<'_>,
    checks: &mut Checks,
) -> Option<Option<RedisLogin>> {
    let username_path = join_key(path, "username");
    if username.is_some() && password.is_none() {
        checks.add(&username_path, "a user needs a password: write password");
    }
    let username = present(username.map(|part| checks.read(&username_path, part)));
    let password_path = join_key(path, "password");
    let password = password.map(|part| {
        let written = checks.read(&password_path, part)?;
        let resolved = sources.resolve(&written).and_then(not_empty);
        checks.accept(&password_path, resolved)
    });
    let (username, password) = (username?, present(password)?);
    Some(password.map(|password| RedisLogin { username, password }))
}

fn not_empty(password: Secret) -> Result<Secret, String> {
    if password.expose().is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(password)
}

fn tls(path: &str, part: Part<RedisTlsFile>, base: &Path, checks: &mut Checks) -> Option<RedisTls> {
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path, key);
    let ca = file.ca.map(|part| file_path(&at("ca"), part, base, checks));
    let client_certificate = file
        .client_certificate
        .map(|part| client_certificate(&at("client_certificate"), part, base, checks));
    Some(RedisTls {
        ca: present(ca)?,
        client_certificate: present(client_certificate)?,
    })
}

fn circuit(path: &str, part: Part<RedisCircuitFile>, checks: &mut Checks) -> Option<RedisCircuit> {
    let file = checks.read(path, part)?;
    let failures = checks.read(&join_key(path, "failures"), file.failures);
    let window = checks.duration(
        &join_key(path, "window"),
        file.window,
        Duration::from_millis(100),
        HOUR,
    );
    let probe_every = checks.duration(
        &join_key(path, "probe_every"),
        file.probe_every,
        TEN_MILLISECONDS,
        Duration::from_mins(1),
    );
    Some(RedisCircuit {
        failures: failures?,
        window: window?,
        probe_every: probe_every?,
    })
}
