use super::*;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;

const NOW: f64 = 1_000_000.0;

fn check(rules: &Rules, claims: &Value) -> Result<(), &'static str> {
    check_typed(rules, claims, &json!({ "alg": "HS256" }))
}

fn check_typed(rules: &Rules, claims: &Value, header: &Value) -> Result<(), &'static str> {
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let text = format!("{}.{}.", part(header), part(claims));
    let token = Token::parse(&text).unwrap();
    rules.check(&token, NOW).map_err(|invalid| invalid.0)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_token_is_accepted_from_nbf_to_exp_with_the_leeway_on_both_sides() {
    let rules = Rules {
        leeway: 60.0,
        ..Rules::default()
    };
    for (claims, refused) in [
        (json!({ "exp": NOW + 1.0 }), None),
        (json!({ "exp": NOW - 59.5 }), None),
        (json!({ "exp": NOW - 60.0 }), Some(EXPIRED.0)),
        (json!({ "exp": -1 }), Some(EXPIRED.0)),
        (json!({ "exp": 1e300 }), None),
        (json!({ "nbf": NOW + 60.0 }), None),
        (
            json!({ "nbf": NOW + 60.5 }),
            Some("the token is not valid yet"),
        ),
        (json!({ "iat": NOW + 60.0 }), None),
        (
            json!({ "iat": NOW + 61.0 }),
            Some("the token was issued in the future"),
        ),
        (
            json!({ "exp": "9999999999" }),
            Some("a time of the token is no number"),
        ),
        (
            json!({ "nbf": null }),
            Some("a time of the token is no number"),
        ),
        (json!({}), None),
    ] {
        assert_eq!(check(&rules, &claims).err(), refused, "{claims}");
    }
}

#[test]
fn a_token_is_too_old_after_its_longest_age() {
    let rules = Rules {
        max_age: Some(100.0),
        leeway: 10.0,
        ..Rules::default()
    };
    assert_eq!(check(&rules, &json!({ "iat": NOW - 109.0 })), Ok(()));
    let old = check(&rules, &json!({ "iat": NOW - 110.0 }));
    assert_eq!(old, Err("the token is too old"));
    let unknown = check(&rules, &json!({ "exp": NOW + 5.0 }));
    assert_eq!(unknown, Err("the token does not say when it was issued"));
}

#[test]
fn the_issuer_is_one_of_the_known() {
    let rules = Rules {
        issuers: texts(&["https://a.example", "b"]),
        ..Rules::default()
    };
    assert_eq!(check(&rules, &json!({ "iss": "b" })), Ok(()));
    for claims in [
        json!({}),
        json!({ "iss": "B" }),
        json!({ "iss": ["b"] }),
        json!({ "iss": "b/" }),
    ] {
        let refused = check(&rules, &claims);
        assert_eq!(refused, Err("the token is of another issuer"), "{claims}");
    }
}

#[test]
fn the_audience_is_any_of_ours_and_none_where_we_have_none() {
    let rules = Rules {
        audiences: texts(&["api", "other"]),
        ..Rules::default()
    };
    let refused = Err("the token is for another audience");
    for claims in [json!({ "aud": "api" }), json!({ "aud": ["x", "other"] })] {
        assert_eq!(check(&rules, &claims), Ok(()), "{claims}");
        assert_eq!(check(&Rules::default(), &claims), refused, "{claims}");
    }
    for claims in [
        json!({}),
        json!({ "aud": "x" }),
        json!({ "aud": [] }),
        json!({ "aud": { "api": 1 } }),
    ] {
        assert_eq!(check(&rules, &claims), refused, "{claims}");
    }
    assert_eq!(check(&Rules::default(), &json!({})), Ok(()));
}

#[test]
fn required_claims_are_there_and_not_null() {
    let rules = Rules {
        required: texts(&["sub", "exp"]),
        ..Rules::default()
    };
    assert_eq!(
        check(&rules, &json!({ "sub": "", "exp": NOW + 1.0 })),
        Ok(())
    );
    for claims in [
        json!({ "sub": "a" }),
        json!({ "sub": null, "exp": NOW + 1.0 }),
    ] {
        assert_eq!(
            check(&rules, &claims),
            Err("the token lacks a required claim"),
            "{claims}"
        );
    }
}

#[test]
fn the_type_is_one_of_the_wanted_in_either_spelling() {
    let rules = Rules {
        types: texts(&["at+jwt"]),
        ..Rules::default()
    };
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let header = json!({ "alg": "HS256", "typ": typ });
        assert_eq!(check_typed(&rules, &json!({}), &header), Ok(()), "{typ}");
    }
    for header in [
        json!({ "alg": "HS256", "typ": "JWT" }),
        json!({ "alg": "HS256" }),
    ] {
        let refused = check_typed(&rules, &json!({}), &header);
        assert_eq!(refused, Err("the token is of another type"), "{header}");
    }
}

#[test]
fn scopes_are_all_there_in_a_text_or_a_list() {
    let rules = Rules {
        scopes: texts(&["read", "write"]),
        ..Rules::default()
    };
    let has = |claims: Value| rules.has_scopes(claims.as_object().unwrap());
    assert!(has(json!({ "scope": "write admin read" })));
    assert!(has(json!({ "scp": ["read", "write"] })));
    assert!(!has(json!({ "scope": "read" })));
    assert!(!has(json!({ "scope": "read writer" })));
    assert!(!has(json!({ "scope": "read", "scp": "read write" })));
    assert!(!has(json!({ "scope": 7 })));
    assert!(!has(json!({})));
    assert!(Rules::default().has_scopes(&Map::new()));
}
