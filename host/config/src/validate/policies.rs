//! Policies: their component, grants, stubs and limits.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::{Checks, HOUR, MILLISECOND, Names, all, present};
use crate::file::{
    FaultCircuitFile, GrantsFile, KvGrantFile, LimitsFile, OutcallGrantFile, PolicyFile,
    RedisGrantFile,
};
use crate::part::{NAME_TITLE, Part, is_name};
use crate::path::{join_index, join_key};
use crate::policy::{
    Capability, ComponentSource, FaultCircuit, Grants, KvGrant, Limits, MetricsGrant, OutcallGrant,
    Policy, RedisGrant,
};

/// A policy that needs longer for one call holds a request, and with `pooled` an instance, for too long.
const MAX_TIME: Duration = Duration::from_mins(1);
/// A shorter window or rest means nothing.
const MIN_CIRCUIT_TIME: Duration = Duration::from_millis(100);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// A body is copied into the guest's memory, and held beside it.
const MAX_BODY: u64 = 64 * MIB;
/// Long enough for any namespace; every key carries it.
const MAX_PREFIX_BYTES: usize = 64;
const NO_STORE: &str =
    "there is no policy store; add `policy_store: { directory: policy-store }` to the config";

pub(super) fn policy(
    path: &str,
    file: PolicyFile,
    base: &Path,
    names: &Names,
    checks: &mut Checks,
) -> Option<Policy> {
    let component = checks.text(&join_key(path, "component"), file.component, |text| {
        let source = component_source(text, base)?;
        if matches!(source, ComponentSource::Store(_)) && !names.policy_store {
            return Err(NO_STORE.to_owned());
        }
        Ok(source)
    });
    let isolation = checks.read(&join_key(path, "isolation"), file.isolation);
    let grants_path = join_key(path, "grants");
    let grants_file = checks.read(&grants_path, file.grants);
    let stub_path = join_key(path, "stub");
    let stub = checks.read(&stub_path, file.stub);
    if let (Some(grants), Some(stub)) = (&grants_file, &stub) {
        check_stub(&stub_path, stub, grants, checks);
    }
    let grants = grants_file.and_then(|file| grants(&grants_path, file, names, checks));
    let limits_path = join_key(path, "limits");
    let limits = checks
        .read(&limits_path, file.limits)
        .and_then(|file| limits(&limits_path, file, checks));
    let fault_circuit = file
        .fault_circuit
        .map(|part| fault_circuit(&join_key(path, "fault_circuit"), part, checks));
    Some(Policy {
        component: component?,
        isolation: isolation?,
        grants: grants?,
        stub: BTreeSet::from_iter(stub?),
        limits: limits?,
        fault_circuit: present(fault_circuit)?,
    })
}

/// What a `component` names; a relative path in it starts from `base`.
pub(crate) fn component_source(text: &str, base: &Path) -> Result<ComponentSource, String> {
    match text.split_once(':') {
        Some(("builtin", name)) if is_name(name) => Ok(ComponentSource::Builtin(name.to_owned())),
        Some(("builtin", _)) => Err(format!("expected builtin: and a {NAME_TITLE}")),
        Some(("file", file)) if file.starts_with("//") => {
            Err(format!("a file is named by its path, not by a URL: write file:/{}", file.trim_start_matches('/')))
        }
        Some(("file", file)) if file.trim().is_empty() => Err("the path is missing: write file:policies/x.wasm".to_owned()),
        Some(("file", file)) if file.trim() != file => Err(format!("no space may stand around the path: write file:{}", file.trim())),
        Some(("file", file)) => Ok(ComponentSource::File(base.join(file))),
        Some(("store", name)) if is_name(name) => Ok(ComponentSource::Store(name.to_owned())),
        Some(("store", _)) => Err(format!("expected store: and a {NAME_TITLE}")),
        Some(("oci" | "http" | "https", _)) => {
            Err("only builtin:NAME, file:PATH and store:NAME are supported: download the component to a file".to_owned())
        }
        _ if Path::new(text).extension().is_some_and(|extension| extension == "wasm") => Err(format!("write file:{text}")),
        None if is_name(text) => Err(format!("write builtin:{text} for a policy that comes with the gateway, or file:PATH")),
        _ => Err("expected builtin:NAME, file:PATH or store:NAME, such as builtin:rate-limit or file:policies/x.wasm".to_owned()),
    }
}

fn grants(path: &str, file: GrantsFile, names: &Names, checks: &mut Checks) -> Option<Grants> {
    let kv = file.kv.map(|part| {
        let path = join_key(path, "kv");
        checks
            .read(&path, part)
            .and_then(|file| kv(&path, file, checks))
    });
    let redis = file.redis.map(|part| {
        let path = join_key(path, "redis");
        checks
            .read(&path, part)
            .and_then(|file| redis(&path, file, names, checks))
    });
    let metrics = file.metrics.map(|part| {
        let path = join_key(path, "metrics");
        checks.read(&path, part).map(|_| MetricsGrant {})
    });
    let upstreams = file.upstreams.map_or(Some(BTreeSet::new()), |part| {
        let path = join_key(path, "upstreams");
        granted(&path, "upstream", part, names.upstreams.as_ref(), checks)
    });
    let secrets = file.secrets.map_or(Some(BTreeSet::new()), |part| {
        let path = join_key(path, "secrets");
        granted(&path, "secret", part, names.secrets.as_ref(), checks)
    });
    let outcall = file.outcall.map(|part| {
        let path = join_key(path, "outcall");
        checks
            .read(&path, part)
            .and_then(|file| outcall(&path, file, names, checks))
    });
    Some(Grants {
        kv: present(kv)?,
        redis: present(redis)?,
        metrics: present(metrics)?,
        upstreams: upstreams?,
        secrets: secrets?,
        outcall: present(outcall)?,
    })
}

fn outcall(
    path: &str,
    file: OutcallGrantFile,
    names: &Names,
    checks: &mut Checks,
) -> Option<OutcallGrant> {
    let path = join_key(path, "upstreams");
    let known = names.upstreams.as_ref();
    let upstreams = granted(&path, "upstream", file.upstreams, known, checks)?;
    Some(OutcallGrant { upstreams })
}

/// Things of one kind that are granted by name.
fn granted(
    path: &str,
    what: &str,
    part: Part<Vec<Part<String>>>,
    known: Option<&BTreeSet<String>>,
    checks: &mut Checks,
) -> Option<BTreeSet<String>> {
    let names = checks.read(path, part)?.into_iter().enumerate();
    all(names.map(|(index, part)| checks.reference(&join_index(path, index), what, part, known)))
}

fn kv(path: &str, file: KvGrantFile, checks: &mut Checks) -> Option<KvGrant> {
    let max_bytes = checks.size(&join_key(path, "max_bytes"), file.max_bytes, KIB, GIB)?;
    Some(KvGrant { max_bytes })
}

fn redis(
    path: &str,
    file: RedisGrantFile,
    names: &Names,
    checks: &mut Checks,
) -> Option<RedisGrant> {
    let binding = checks.reference(
        &join_key(path, "binding"),
        "redis binding",
        file.binding,
        names.redis.as_ref(),
    );
    let prefix = checks.text(&join_key(path, "prefix"), file.prefix, prefix);
    let scripts = checks.read(&join_key(path, "scripts"), file.scripts);
    Some(RedisGrant {
        binding: binding?,
        prefix: prefix?,
        scripts: scripts?,
    })
}

fn prefix(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("must not be empty".to_owned()),
        1..=MAX_PREFIX_BYTES => Ok(text.to_owned()),
        bytes => Err(format!(
            "must have at most {MAX_PREFIX_BYTES} bytes, found {bytes}"
        )),
    }
}

fn check_stub(path: &str, stub: &[Capability], grants: &GrantsFile, checks: &mut Checks) {
    for (index, capability) in stub.iter().enumerate() {
        let is_granted = match capability {
            Capability::Kv => grants.kv.is_some(),
            Capability::Redis => grants.redis.is_some(),
            Capability::Metrics => grants.metrics.is_some(),
            Capability::Secrets => grants.secrets.is_some(),
            Capability::Outcall => grants.outcall.is_some(),
        };
        if is_granted {
            let message = format!("{capability} is granted as well: remove the grant or the stub");
            checks.add(join_index(path, index), message);
        }
    }
}

fn limits(path: &str, file: LimitsFile, checks: &mut Checks) -> Option<Limits> {
    let time = checks.duration(&join_key(path, "time"), file.time, MILLISECOND, MAX_TIME);
    let memory = checks.size(&join_key(path, "memory"), file.memory, MIB, GIB);
    let mut body = |key: &str, part| checks.size(&join_key(path, key), part, 0, MAX_BODY);
    let outcall_body = body("outcall_body", file.outcall_body);
    let body = body("body", file.body);
    let mut count = |key: &str, part| checks.read(&join_key(path, key), part);
    let table_elements = count("table_elements", file.table_elements);
    let handles = count("handles", file.handles);
    let host_calls = count("host_calls", file.host_calls);
    let log_lines = count("log_lines", file.log_lines);
    let metric_series = count("metric_series", file.metric_series);
    let outcalls = count("outcalls", file.outcalls);
    Some(Limits {
        time: time?,
        memory: memory?,
        table_elements: table_elements?,
        handles: handles?,
        host_calls: host_calls?,
        log_lines: log_lines?,
        metric_series: metric_series?,
        body: body?,
        outcalls: outcalls?,
        outcall_body: outcall_body?,
    })
}

fn fault_circuit(
    path: &str,
    part: Part<FaultCircuitFile>,
    checks: &mut Checks,
) -> Option<FaultCircuit> {
    let file = checks.read(path, part)?;
    let faults = checks.read(&join_key(path, "faults"), file.faults);
    let mut time =
        |key: &str, part| checks.duration(&join_key(path, key), part, MIN_CIRCUIT_TIME, HOUR);
    let window = time("window", file.window);
    let open_for = time("open_for", file.open_for);
    Some(FaultCircuit {
        faults: faults?,
        window: window?,
        open_for: open_for?,
    })
}
