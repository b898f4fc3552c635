//! The other side of the protocol: what a browser makes of the policy's answers, by the algorithms of the fetch standard
//! (whatwg/fetch of 2026-07-02), and the examples and the table of that standard.

use portcullis_sdk::{LocalResponse, Policy};
use serde_json::{Value, json};

use super::*;

/// The origin of the standard's examples.
const FOO: &str = "https://foo.invalid";

/// A request that a script wants to send.
#[derive(Clone, Copy)]
struct Script {
    origin: &'static str,
    method: &'static str,
    /// Names that need leave: "CORS-unsafe request-header names".
    headers: &'static [&'static str],
    /// Credentials mode `include`.
    include: bool,
}

const SIMPLE: Script = Script {
    origin: FOO,
    method: "GET",
    headers: &[],
    include: false,
};

/// Fields of an answer.
type Fields = Vec<(String, String)>;

fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

fn list(fields: &Fields, name: &str) -> Vec<String> {
    let value = get(fields, name).unwrap_or_default();
    value
        .split(',')
        .map(|member| member.trim().to_owned())
        .filter(|member| !member.is_empty())
        .collect()
}

/// <https://fetch.spec.whatwg.org/#cors-check>
fn cors_check(script: Script, fields: &Fields) -> bool {
    match get(fields, "access-control-allow-origin") {
        Some("*") if !script.include => true,
        Some(origin) if origin == script.origin => {
            !script.include || get(fields, "access-control-allow-credentials") == Some("true")
        }
        _ => false,
    }
}

/// <https://fetch.spec.whatwg.org/#cors-preflight-fetch>, step 7 and what follows.
fn may_go_on(script: Script, status: u16, fields: &Fields) -> bool {
    let methods = list(fields, "access-control-allow-methods");
    let headers = list(fields, "access-control-allow-headers");
    let has =
        |list: &[String], name: &str| list.iter().any(|member| member.eq_ignore_ascii_case(name));
    let wildcard = |list: &[String]| !script.include && list.iter().any(|member| member == "*");
    let method = ["GET", "HEAD", "POST"].contains(&script.method)
        || methods.iter().any(|method| method == script.method)
        || wildcard(&methods);
    let field = |name: &&str| has(&headers, name) || *name != "authorization" && wildcard(&headers);
    cors_check(script, fields)
        && (200..300).contains(&status)
        && method
        && script.headers.iter().all(field)
}

/// Whether a script may read that field: <https://fetch.spec.whatwg.org/#concept-response-cors-exposed-header-name-list>.
fn may_read(script: Script, fields: &Fields, name: &str) -> bool {
    let exposed = list(fields, "access-control-expose-headers");
    exposed
        .iter()
        .any(|member| member == name || member == "*" && !script.include)
}

fn cors(config: Value) -> Cors {
    Cors::configure(serde_json::from_value(config).unwrap()).unwrap()
}

/// What the policy adds to the answer of a request that is no preflight.
fn answer(cors: &Cors, script: Script) -> Fields {
    match cors.decide(Kind::Actual, &[script.origin.into()]) {
        Decision::Allowed(kind, origin) => owned(&cors.rules.fields(kind, &origin)),
        Decision::Refused { .. } => Vec::new(),
    }
}

fn preflight(cors: &Cors, script: Script) -> (u16, Fields) {
    let kind = Kind::Preflight {
        private_network: false,
    };
    let LocalResponse {
        status, headers, ..
    } = match cors.decide(kind, &[script.origin.into()]) {
        Decision::Allowed(kind, origin) => cors.preflight_answer(kind, &origin),
        Decision::Refused { .. } => cors.preflight_refusal(),
    };
    let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8(value).unwrap());
    (status, headers.into_iter().map(text).collect())
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// <https://fetch.spec.whatwg.org/#example-simple-cors>
#[test]
fn example_simple_cors() {
    for (origins, expected) in [
        (json!([FOO]), FOO),
        (json!(["*"]), "*"),
        (json!(["https://*.invalid"]), FOO),
    ] {
        let fields = answer(&cors(json!({ "origins": origins })), SIMPLE);
        assert_eq!(get(&fields, "access-control-allow-origin"), Some(expected));
        assert!(cors_check(SIMPLE, &fields));
    }
    let fields = answer(
        &cors(json!({ "origins": ["https://other.invalid"] })),
        SIMPLE,
    );
    assert!(!cors_check(SIMPLE, &fields));
}

/// <https://fetch.spec.whatwg.org/#example-cors-with-response-header>
#[test]
fn example_cors_with_response_header() {
    let listed = cors(json!({ "origins": [FOO], "expose_headers": ["Content-Security-Policy"] }));
    let fields = answer(&listed, SIMPLE);
    assert!(may_read(SIMPLE, &fields, "content-security-policy"));
    assert!(!may_read(SIMPLE, &fields, "strict-transport-security"));
    let all = answer(
        &cors(json!({ "origins": [FOO], "expose_headers": ["*"] })),
        SIMPLE,
    );
    assert!(may_read(SIMPLE, &all, "strict-transport-security"));
}

/// <https://fetch.spec.whatwg.org/#example-cors-with-credentials>
#[test]
fn example_cors_with_credentials() {
    let script = Script {
        include: true,
        ..SIMPLE
    };
    let fields = answer(
        &cors(json!({ "origins": [FOO], "credentials": true })),
        script,
    );
    let expected = [
        ("access-control-allow-origin", FOO),
        ("access-control-allow-credentials", "true"),
    ];
    assert_eq!(fields, owned(&expected));
    assert!(cors_check(script, &fields));
    for config in [json!({ "origins": [FOO] }), json!({ "origins": ["*"] })] {
        assert!(!cors_check(script, &answer(&cors(config), script)));
    }
}

/// The table of <https://fetch.spec.whatwg.org/#cors-protocol-and-credentials>: what the browser's side here makes of each row,
/// and that the rows which fail with what is right in others can't come from this policy.
#[test]
fn table_of_cors_protocol_and_credentials() {
    const RABBIT: &str = "https://rabbit.invalid";
    for (include, origin, credentials, shared) in [
        (false, "*", None, true),
        (false, "*", Some("true"), true),
        (false, "https://rabbit.invalid/", None, false),
        (false, RABBIT, None, true),
        (true, "*", Some("true"), false),
        (true, RABBIT, Some("true"), true),
        (true, RABBIT, Some("True"), false),
    ] {
        let script = Script {
            origin: RABBIT,
            include,
            ..SIMPLE
        };
        let mut fields = owned(&[("access-control-allow-origin", origin)]);
        fields.extend(credentials.map(|value| {
            (
                "access-control-allow-credentials".to_owned(),
                value.to_owned(),
            )
        }));
        assert_eq!(cors_check(script, &fields), shared, "{include} {fields:?}");
    }
    for config in [
        json!({ "origins": ["https://rabbit.invalid/"] }),
        json!({ "origins": ["*"], "credentials": true }),
    ] {
        assert!(
            serde_json::from_value::<Config>(config)
                .unwrap()
                .rules()
                .is_err()
        );
    }
}

/// <https://fetch.spec.whatwg.org/#example-vary-origin>
#[test]
fn example_vary_origin() {
    let (listed, open) = (
        cors(json!({ "origins": [FOO] })),
        cors(json!({ "origins": ["*"] })),
    );
    assert_eq!(
        missing_in_vary(&[], listed.rules.varies_by(false)).as_deref(),
        Some("Origin")
    );
    assert_eq!(missing_in_vary(&[], open.rules.varies_by(false)), None);
    assert_eq!(
        get(
            &preflight(
                &listed,
                Script {
                    origin: "https://other.invalid",
                    ..SIMPLE
                }
            )
            .1,
            "vary"
        )
        .map(|vary| &vary[..6]),
        Some("Origin")
    );
}

/// <https://fetch.spec.whatwg.org/#cors-preflight-fetch>
#[test]
fn preflights_let_browsers_go_on_with_what_is_listed() {
    let listed = json!({ "origins": [FOO], "methods": ["GET", "PATCH"], "headers": ["x-api-key", "content-type"], "credentials": true });
    let open = json!({ "origins": ["*"], "methods": ["*"], "headers": ["*"] });
    let open_and_authorization =
        json!({ "origins": ["*"], "methods": ["*"], "headers": ["*", "authorization"] });
    let script = |method, headers, include| Script {
        method,
        headers,
        include,
        ..SIMPLE
    };
    for (config, script, expected) in [
        (
            &listed,
            script("PATCH", &["x-api-key", "content-type"], true),
            true,
        ),
        (&listed, script("patch", &[], true), false),
        (&listed, script("DELETE", &[], true), false),
        (&listed, script("POST", &["x-other"], true), false),
        (
            &listed,
            Script {
                origin: "null",
                ..SIMPLE
            },
            false,
        ),
        (&open, script("DELETE", &["x-any"], false), true),
        (&open, script("DELETE", &["x-any"], true), false),
        (&open, script("GET", &["authorization"], false), false),
        (
            &open_and_authorization,
            script("GET", &["authorization"], false),
            true,
        ),
    ] {
        let (status, fields) = preflight(&cors(config.clone()), script);
        assert_eq!(
            may_go_on(script, status, &fields),
            expected,
            "{} {:?} {fields:?}",
            script.method,
            script.headers
        );
    }
}

#[test]
fn refused_preflights_have_the_status_of_choice_and_no_fields() {
    for (status, body) in [(403, true), (204, false), (200, false)] {
        let cors = cors(
            json!({ "origins": ["https://other.invalid"], "refused_preflight_status": status }),
        );
        let answer = cors.preflight_refusal();
        assert_eq!((answer.status, !answer.body.is_empty()), (status, body));
        assert!(
            answer
                .headers
                .iter()
                .all(|(name, _)| !name.starts_with("access-control-")),
            "{answer:?}"
        );
    }
}

#[test]
fn two_origins_and_bytes_that_are_no_text_are_nobodys() {
    let cors = cors(json!({ "origins": [FOO] }));
    for origins in [
        vec![FOO.as_bytes().to_vec(), FOO.as_bytes().to_vec()],
        vec![b"https://foo.invalid\xff".to_vec()],
        vec![Vec::new()],
    ] {
        assert_eq!(
            cors.decide(Kind::Actual, &origins),
            Decision::Refused {
                is_preflight: false
            }
        );
    }
}
