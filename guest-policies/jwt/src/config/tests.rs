use serde_json::{Value, json};

use super::*;
use crate::verifier::Material;

/// RFC 8410 §4.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn read(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn problems(config: Value) -> Vec<(String, String)> {
    let problems = read(config).checked().unwrap_err();
    problems
        .into_iter()
        .map(|problem| (problem.path, problem.message))
        .collect()
}

/// With a key that holds.
fn with(mut config: Value) -> Value {
    config["keys"] = json!([{ "pem": ED25519 }]);
    config
}

#[test]
fn defaults_are_strict() {
    let checked = read(with(json!({}))).checked().unwrap();
    assert_eq!(checked.rules.required, ["exp"]);
    assert_eq!(checked.rules.leeway, 60.0);
    assert_eq!(checked.rules.max_age, None);
    assert_eq!(checked.sources, [Source::Bearer]);
    assert!(!checked.forward && !checked.optional);
    assert_eq!(checked.realm, "portcullis");
    assert_eq!(checked.keys[0].trust.algorithms, [Algorithm::EdDsa]);
    assert!(matches!(checked.keys[0].material, Material::Key(_)));
}

#[test]
fn a_secret_is_for_hs256_unless_more_is_said() {
    let checked = |algorithms: Value| {
        let key = json!({ "secret": "k", "encoding": "base64url", "kid": "a", "issuer": "i", "algorithms": algorithms });
        read(json!({ "keys": [key] }))
            .checked()
            .unwrap()
            .keys
            .remove(0)
    };
    let key = checked(Value::Null);
    assert_eq!(key.trust.algorithms, [Algorithm::Hs256]);
    assert_eq!(key.trust.kid.as_deref(), Some("a"));
    assert_eq!(key.trust.issuer.as_deref(), Some("i"));
    let Material::Secret { name, encoding } = key.material else {
        panic!("a key");
    };
    assert_eq!((name.as_str(), encoding), ("k", Encoding::Base64url));
    let both = checked(json!(["HS512", "HS256"]));
    assert_eq!(both.trust.algorithms, [Algorithm::Hs512, Algorithm::Hs256]);
}

#[test]
fn a_jwk_brings_its_name_and_its_algorithm() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "j", "alg": "EdDSA" });
    let key = |key: Value| {
        read(json!({ "keys": [key] }))
            .checked()
            .unwrap()
            .keys
            .remove(0)
    };
    assert_eq!(key(json!({ "jwk": jwk })).trust.kid.as_deref(), Some("j"));
    assert_eq!(
        key(json!({ "jwk": jwk, "kid": "own" }))
            .trust
            .kid
            .as_deref(),
        Some("own")
    );
}

#[test]
fn keys_of_no_use_are_refused_with_their_place() {
    let weak = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC7vbqajDw4o6gJy8UtmIbkcpnk\nO3Kwc4qsEnSZp/TR+fQi62F79RHWmwKOtFmwteURgLbj7D/WGuNLGOfa/2vse3G2\neHnHl5CB8ruRX9fBl/KgwCVr2JaEuUm66bBQeP5XeBotdR4cvX38uPYivCDdPjJ1\nQWPdspTBKcxeFbccDwIDAQAB\n-----END PUBLIC KEY-----";
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----";
    for (key, path, message) in [
        (
            json!({}),
            "/keys/0",
            "must have one of `secret`, `pem` and `jwk`",
        ),
        (
            json!({ "secret": "k", "pem": ED25519 }),
            "/keys/0",
            "must have one of",
        ),
        (
            json!({ "pem": "x" }),
            "/keys/0/pem",
            "-----BEGIN PUBLIC KEY-----",
        ),
        (
            json!({ "pem": private }),
            "/keys/0/pem",
            "openssl pkey -pubout",
        ),
        (
            json!({ "pem": weak }),
            "/keys/0/pem",
            "1024 bits; 2048 to 4096 are taken",
        ),
        (
            json!({ "pem": ED25519, "encoding": "text" }),
            "/keys/0/encoding",
            "leave it out",
        ),
        (
            json!({ "pem": ED25519, "algorithms": ["HS256"] }),
            "/keys/0/algorithms/0",
            "HS256 is not for this key",
        ),
        (
            json!({ "secret": "k", "algorithms": ["RS256"] }),
            "/keys/0/algorithms/0",
            "RS256 is not for this key",
        ),
        (
            json!({ "pem": ED25519, "algorithms": [] }),
            "/keys/0/algorithms",
            "no algorithm is left",
        ),
        (
            json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
            "/keys/0/jwk",
            "name a secret instead",
        ),
        (
            json!({ "jwk": { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "ES256" } }),
            "/keys/0/algorithms",
            "no algorithm is left",
        ),
    ] {
        let found = problems(json!({ "keys": [key] }));
        assert!(
            found
                .iter()
                .any(|(at, told)| at == path && told.contains(message)),
            "{key}: {found:?}"
        );
    }
}

#[test]
fn other_slips_are_told_with_their_place() {
    let jwks = |mut source: Value| {
        source["upstream"] = source.get("upstream").cloned().unwrap_or("idp".into());
        source["path"] = source.get("path").cloned().unwrap_or("/jwks".into());
        json!({ "jwks": [source] })
    };
    for (config, path) in [
        (json!({}), ""),
        (
            json!({ "keys": vec![json!({ "secret": "k" }); 17] }),
            "/keys",
        ),
        (with(json!({ "token": [] })), "/token"),
        (
            with(json!({ "token": ["bearer", { "cookie": "a b" }] })),
            "/token/1",
        ),
        (with(json!({ "identity": "" })), "/identity"),
        (
            with(json!({ "claims_to_headers": { "a b": "sub" } })),
            "/claims_to_headers/a b",
        ),
        (
            with(json!({ "claims_to_headers": { "host": "sub" } })),
            "/claims_to_headers/host",
        ),
        (
            with(json!({ "claims_to_headers": { "x-a": "" } })),
            "/claims_to_headers/x-a",
        ),
        (
            with(json!({ "claims_to_headers": { "authorization": "sub" } })),
            "/claims_to_headers/authorization",
        ),
        (
            with(json!({ "claims_to_headers": { "x-a": "a", "X-A": "b" } })),
            "/claims_to_headers/x-a",
        ),
        (with(json!({ "scopes": ["a b"] })), "/scopes/0"),
        (with(json!({ "realm": "a\"b" })), "/realm"),
        (with(json!({ "leeway": "11m" })), "/leeway"),
        (with(json!({ "max_age": "0s" })), "/max_age"),
        (jwks(json!({ "path": "jwks" })), "/jwks/0/path"),
        (jwks(json!({ "upstream": "" })), "/jwks/0/upstream"),
        (jwks(json!({ "cache": "0s" })), "/jwks/0/cache"),
        (jwks(json!({ "stale": "169h" })), "/jwks/0/stale"),
        (jwks(json!({ "refetch": "10ms" })), "/jwks/0/refetch"),
        (jwks(json!({ "timeout": "0ms" })), "/jwks/0/timeout"),
        (
            jwks(json!({ "algorithms": ["HS256"] })),
            "/jwks/0/algorithms/0",
        ),
    ] {
        let found = problems(config.clone());
        assert!(
            found.iter().any(|(at, _)| at == path),
            "{config}: {found:?}"
        );
    }
    let headers: serde_json::Map<_, _> =
        (0..13).map(|i| (format!("x-{i}"), json!("sub"))).collect();
    let found = problems(with(json!({ "claims_to_headers": headers })));
    assert_eq!(found[0].0, "/claims_to_headers");
}

#[test]
fn unknown_words_are_refused_with_what_is_expected() {
    for (config, message) in [
        (
            json!({ "keys": [{ "secret": "k", "algorithms": ["none"] }] }),
            "unknown variant `none`",
        ),
        (
            json!({ "keys": [{ "secrets": "k" }] }),
            "unknown field `secrets`",
        ),
        (json!({ "issuer": "a" }), "unknown field `issuer`"),
        (json!({ "token": ["basic"] }), "unknown variant `basic`"),
        (
            json!({ "jwks": [{ "path": "/" }] }),
            "missing field `upstream`",
        ),
    ] {
        let error = serde_json::from_value::<Config>(config.clone())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{config}: {error}");
    }
}

#[test]
fn the_schema_file_is_current() {
    portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
}
