//! From what an operator has written to what requests need.

use portcullis_sdk::credential::Source;
use portcullis_sdk::{ConfigProblem, Duration, editable_header};

use super::{Config, JwksConfig, KeyConfig};
use crate::algorithm::{self, Algorithm};
use crate::claim::ClaimPath;
use crate::jwks::Jwks;
use crate::pem;
use crate::rules::Rules;
use crate::trusted::Trust;
use crate::verifier::{Configured, Material};

const MAX_KEYS: usize = 16;
const MAX_JWKS: usize = 4;
const MAX_SOURCES: usize = 4;
const MAX_HEADERS: usize = 12;
const MAX_PATH: usize = 512;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A config that holds.
#[derive(Debug)]
pub struct Checked {
    /// Keys of the config and of secrets.
    pub keys: Vec<Configured>,
    /// Key sets of issuers.
    pub jwks: Vec<Jwks>,
    /// What tokens must claim.
    pub rules: Rules,
    /// Where they may be.
    pub sources: Vec<Source>,
    /// Whether the upstream gets the token.
    pub forward: bool,
    /// Whether there need be none.
    pub optional: bool,
    /// The claim that is shared.
    pub identity: Option<ClaimPath>,
    /// Header names in lower case, with what they get.
    pub headers: Vec<(String, ClaimPath)>,
    /// Of the challenge.
    pub realm: String,
    /// Of the challenge, with a space between.
    pub scopes: String,
}

/// Problems as they are found.
#[derive(Default)]
struct Report(Vec<ConfigProblem>);

impl Report {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigProblem::new(path, message));
    }

    fn unless(&mut self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.add(path, message);
        }
    }

    /// The value, or the problem kept.
    fn take<T>(&mut self, path: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.add(path, message)).ok()
    }
}

/// Checks `config`.
pub(super) fn checked(config: Config) -> Result<Checked, Vec<ConfigProblem>> {
    let mut report = Report::default();
    counts(&config, &mut report);
    texts(&config, &mut report);
    for (i, source) in config.token.iter().enumerate() {
        if let Some(problem) = source.problem() {
            report.add(format!("/token/{i}"), problem);
        }
    }
    let checked = Checked {
        keys: keys(&config.keys, &mut report),
        jwks: jwks(&config, &mut report),
        identity: report.take("/identity", ClaimPath::new(&config.identity)),
        headers: headers(&config, &mut report),
        scopes: config.scopes.join(" "),
        rules: Rules {
            issuers: config.issuers,
            audiences: config.audiences,
            types: config.types,
            required: config.required_claims,
            scopes: config.scopes,
            leeway: seconds(config.leeway),
            max_age: config.max_age.map(seconds),
        },
        sources: config.token,
        forward: config.forward,
        optional: config.optional,
        realm: config.realm,
    };
    match report.0.as_slice() {
        [] => Ok(checked),
        _ => Err(report.0),
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1_000.0
}

fn counts(config: &Config, report: &mut Report) {
    let (keys, jwks) = (config.keys.len(), config.jwks.len());
    let message = "no token could be verified: add an item to `keys` or to `jwks`";
    report.unless(keys + jwks > 0, "", message);
    report.unless(keys <= MAX_KEYS, "/keys", "must have at most 16 items");
    report.unless(jwks <= MAX_JWKS, "/jwks", "must have at most 4 items");
    let sources = (1..=MAX_SOURCES).contains(&config.token.len());
    report.unless(sources, "/token", "must have 1 to 4 items");
    let headers = config.claims_to_headers.len() <= MAX_HEADERS;
    report.unless(
        headers,
        "/claims_to_headers",
        "must have at most 12 headers",
    );
}

/// What stands in a challenge, in quotes, and times.
fn texts(config: &Config, report: &mut Report) {
    // RFC 6749 §3.3.
    let is_scope = |scope: &String| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
    };
    for (i, scope) in config.scopes.iter().enumerate() {
        let message = "must be one scope: printable ASCII without spaces, quotes and backslashes";
        report.unless(is_scope(scope), &format!("/scopes/{i}"), message);
    }
    let may_stand =
        |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && !b"\"\\".contains(&byte);
    let is_realm = (1..=128).contains(&config.realm.len()) && config.realm.bytes().all(may_stand);
    report.unless(
        is_realm,
        "/realm",
        "must be 1 to 128 of printable ASCII without quotes and backslashes",
    );
    report.unless(
        config.leeway <= Duration::from_secs(600),
        "/leeway",
        "must be at most 10m",
    );
    let age = config.max_age.is_none_or(|age| age >= SECOND);
    report.unless(age, "/max_age", "must be at least 1s");
}

fn headers(config: &Config, report: &mut Report) -> Vec<(String, ClaimPath)> {
    let mut headers: Vec<(String, ClaimPath)> = Vec::new();
    for (name, claim) in &config.claims_to_headers {
        let path = format!(
            "/claims_to_headers/{}",
            name.replace('~', "~0").replace('/', "~1")
        );
        let header = report.take(&path, editable_header(name));
        let claim = report.take(&path, ClaimPath::new(claim));
        let (Some(header), Some(claim)) = (header, claim) else {
            continue;
        };
        let is_token = config.token.iter().any(|source| match source {
            Source::Bearer => header == "authorization",
            Source::Header(name) => *name.to_ascii_lowercase() == header,
            Source::Cookie(_) => header == "cookie",
            Source::Query(_) => false,
        });
        report.unless(
            !is_token,
            &path,
            "is where a token comes in: name another header",
        );
        let is_new = headers.iter().all(|(known, _)| *known != header);
        report.unless(is_new, &path, "is there in another case");
        headers.push((header, claim));
    }
    headers
}

fn keys(keys: &[KeyConfig], report: &mut Report) -> Vec<Configured> {
    let keys = keys.iter().enumerate();
    keys.filter_map(|(i, key)| configured(key, &format!("/keys/{i}"), report))
        .collect()
}

fn configured(config: &KeyConfig, path: &str, report: &mut Report) -> Option<Configured> {
    let encoding_fits = config.encoding.is_none() || config.secret.is_some();
    report.unless(
        encoding_fits,
        &format!("{path}/encoding"),
        "is for a `secret`: leave it out",
    );
    let (material, own, kid) = match (&config.secret, &config.pem, &config.jwk) {
        (Some(name), None, None) => {
            let encoding = config.encoding.unwrap_or_default();
            let name = name.clone();
            (
                Material::Secret { name, encoding },
                Some(Algorithm::Hs256),
                None,
            )
        }
        (None, Some(pem), None) => {
            let key = report.take(&format!("{path}/pem"), pem::key(pem))?;
            (Material::Key(key), None, None)
        }
        (None, None, Some(jwk)) => {
            let path = format!("{path}/jwk");
            let key = report.take(&path, jwk.key())?;
            let own = report.take(&path, jwk.algorithm())?;
            (Material::Key(key), own, jwk.kid().map(str::to_owned))
        }
        _ => {
            report.add(path, "must have one of `secret`, `pem` and `jwk`");
            return None;
        }
    };
    let (fitting, own) = match &material {
        // HS256 is a default, which a list of algorithms replaces.
        Material::Secret { .. } => (algorithm::HMAC, own.filter(|_| config.algorithms.is_none())),
        Material::Key(key) => (key.algorithms(), own),
    };
    let algorithms = algorithms(fitting, own, config.algorithms.as_deref(), path, report);
    Some(Configured {
        trust: Trust {
            kid: config.kid.clone().or(kid),
            issuer: config.issuer.clone(),
            algorithms,
        },
        material,
    })
}

fn algorithms(
    fitting: &[Algorithm],
    own: Option<Algorithm>,
    wanted: Option<&[Algorithm]>,
    path: &str,
    report: &mut Report,
) -> Vec<Algorithm> {
    let fits = |algorithm: &Algorithm| {
        fitting.contains(algorithm) && own.is_none_or(|own| own == *algorithm)
    };
    for (i, algorithm) in wanted.unwrap_or_default().iter().enumerate() {
        let message = format!("{} is not for this key", algorithm.name());
        report.unless(fits(algorithm), &format!("{path}/algorithms/{i}"), &message);
    }
    let algorithms: Vec<Algorithm> = match wanted {
        Some(wanted) => wanted.to_vec(),
        None => fitting.iter().copied().filter(fits).collect(),
    };
    let message = "no algorithm is left: leave `algorithms` out, or name one";
    report.unless(
        !algorithms.is_empty(),
        &format!("{path}/algorithms"),
        message,
    );
    algorithms
}

fn jwks(config: &Config, report: &mut Report) -> Vec<Jwks> {
    let sources = config.jwks.iter().enumerate();
    sources
        .map(|(i, source)| key_set(source, &format!("/jwks/{i}"), report))
        .collect()
}

fn key_set(config: &JwksConfig, path: &str, report: &mut Report) -> Jwks {
    let mut within =
        |name: &str, value: Duration, least: Duration, most: Duration, message: &str| {
            report.unless(
                (least..=most).contains(&value),
                &format!("{path}/{name}"),
                message,
            );
            value.as_millis_u32()
        };
    let day = Duration::from_secs(86_400);
    let cache_ms = within("cache", config.cache, SECOND, day, "must be 1s to 24h");
    let week = Duration::from_secs(7 * 86_400);
    let stale_ms = within(
        "stale",
        config.stale,
        Duration::default(),
        week,
        "must be at most 168h",
    );
    let refetch_ms = within("refetch", config.refetch, SECOND, HOUR, "must be 1s to 1h");
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(30));
    let timeout_ms = within("timeout", config.timeout, least, most, "must be 1ms to 30s");
    let is_path = config.path.starts_with('/')
        && config.path.len() <= MAX_PATH
        && config.path.bytes().all(|byte| byte.is_ascii_graphic());
    let message = "must begin with / and have at most 512 bytes of printable ASCII";
    report.unless(is_path, &format!("{path}/path"), message);
    let is_name = (1..=MAX_PATH).contains(&config.upstream.len());
    report.unless(
        is_name,
        &format!("{path}/upstream"),
        "must name an upstream",
    );
    // A published set never holds a secret, so HMAC is not among them.
    let public = [
        algorithm::RSA,
        algorithm::P256,
        algorithm::P384,
        algorithm::ED25519,
    ]
    .concat();
    Jwks {
        upstream: config.upstream.clone(),
        path: config.path.clone(),
        issuer: config.issuer.clone(),
        algorithms: algorithms(&public, None, config.algorithms.as_deref(), path, report),
        cache_ms,
        stale_ms,
        refetch_ms,
        timeout_ms,
    }
}
