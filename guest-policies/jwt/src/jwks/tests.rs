use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;

use super::*;

/// RFC 8037, appendix A.2, and the point of RFC 7515, appendix A.3.1.
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

/// Values with when they end.
type Store = RefCell<HashMap<String, (Vec<u8>, u64)>>;

/// A clock that is moved, a store that may be missing, an issuer that may be gone.
struct Scene {
    now_us: Cell<u64>,
    store: Option<Store>,
    answer: RefCell<Result<String, String>>,
    fetches: Cell<u32>,
}

impl Scene {
    fn new() -> Self {
        Self {
            now_us: Cell::new(5_000_000),
            store: Some(RefCell::default()),
            answer: RefCell::new(Ok(set(&["a"]))),
            fetches: Cell::new(0),
        }
    }

    fn without_store() -> Self {
        Self {
            store: None,
            ..Self::new()
        }
    }

    fn publishes(&self, kids: &[&str]) {
        *self.answer.borrow_mut() = Ok(set(kids));
    }

    fn is_gone(&self) {
        *self.answer.borrow_mut() = Err("connect-refused".to_owned());
    }

    fn wait(&self, ms: u64) {
        self.now_us.set(self.now_us.get() + ms * 1_000);
    }

    /// How many keys a token of that name has, and how often they have been fetched so far.
    fn ask(&self, kid: Option<&str>) -> (Result<usize, String>, u32) {
        self.ask_of(&jwks(), kid)
    }

    fn ask_of(&self, jwks: &Jwks, kid: Option<&str>) -> (Result<usize, String>, u32) {
        let header = json!({ "alg": "EdDSA", "kid": kid });
        let header = match kid {
            Some(_) => header,
            None => json!({ "alg": "EdDSA" }),
        };
        let text = token(&header);
        let token = Token::parse(&text).unwrap();
        let candidates = jwks.candidates(&token, self).map(|keys| keys.len());
        (candidates, self.fetches.get())
    }
}

impl World for Scene {
    fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let store = self.store.as_ref()?.borrow();
        let (value, ends_us) = store.get(key)?;
        (self.now_us.get() < *ends_us).then(|| value.clone())
    }

    fn set(&self, key: &str, value: &[u8], ttl_ms: u32) {
        if let Some(store) = &self.store {
            let ends_us = self.now_us.get() + u64::from(ttl_ms) * 1_000;
            store
                .borrow_mut()
                .insert(key.to_owned(), (value.to_vec(), ends_us));
        }
    }

    fn claim(&self, key: &str, value: &[u8], ttl_ms: u32) -> bool {
        let is_free = self.get(key).is_none();
        if is_free {
            self.set(key, value, ttl_ms);
        }
        is_free
    }

    fn fetch(&self, _: &Jwks) -> Result<Vec<u8>, String> {
        self.fetches.set(self.fetches.get() + 1);
        self.answer.borrow().clone().map(String::into_bytes)
    }
}

fn jwks() -> Jwks {
    Jwks {
        upstream: "idp".to_owned(),
        path: "/jwks".to_owned(),
        issuer: None,
        algorithms: vec![Algorithm::EdDsa, Algorithm::Es256],
        cache_ms: 600_000,
        stale_ms: 3_600_000,
        refetch_ms: 10_000,
        timeout_ms: 2_000,
    }
}

fn set(kids: &[&str]) -> String {
    let key = |kid: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": kid });
    json!({ "keys": kids.iter().map(key).collect::<Vec<_>>() }).to_string()
}

fn token(header: &serde_json::Value) -> String {
    let header = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
    format!("{header}.e30.AAAA")
}

#[test]
fn keys_are_fetched_once_and_used_while_they_are_fresh() {
    let scene = Scene::new();
    assert_eq!(scene.ask(Some("a")), (Ok(1), 1));
    scene.wait(599_999);
    assert_eq!(scene.ask(Some("a")), (Ok(1), 1));
    scene.wait(1);
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2));
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2));
}

#[test]
fn keys_that_are_kept_for_less_than_the_interval_are_fetched_when_they_are_due() {
    let (scene, jwks) = (
        Scene::new(),
        Jwks {
            cache_ms: 5_000,
            ..jwks()
        },
    );
    assert_eq!(scene.ask_of(&jwks, Some("a")), (Ok(1), 1));
    scene.wait(4_999);
    assert_eq!(scene.ask_of(&jwks, Some("a")), (Ok(1), 1));
    scene.wait(1);
    assert_eq!(scene.ask_of(&jwks, Some("a")), (Ok(1), 2));
}

#[test]
fn an_unknown_name_has_them_fetched_at_most_so_often() {
    let scene = Scene::new();
    assert_eq!(scene.ask(Some("a")), (Ok(1), 1));
    assert_eq!(scene.ask(Some("b")), (Ok(0), 1), "they have just come");
    scene.wait(10_000);
    scene.publishes(&["a", "b"]);
    assert_eq!(scene.ask(Some("b")), (Ok(1), 2));
    assert_eq!(scene.ask(Some("c")), (Ok(0), 2));
    scene.wait(9_999);
    assert_eq!(scene.ask(Some("c")), (Ok(0), 2));
    scene.wait(1);
    assert_eq!(scene.ask(Some("c")), (Ok(0), 3));
}

#[test]
fn a_key_that_is_published_no_more_is_forgotten_with_the_next_fetch() {
    let scene = Scene::new();
    assert!(scene.ask(Some("a")).0.is_ok());
    scene.publishes(&["b"]);
    scene.wait(600_000);
    assert_eq!(scene.ask(Some("a")), (Ok(0), 2));
}

#[test]
fn a_token_without_a_name_has_no_more_fetched() {
    let scene = Scene::new();
    scene.publishes(&["a", "b"]);
    assert_eq!(scene.ask(None), (Ok(2), 1));
    scene.wait(20_000);
    assert_eq!(scene.ask(None), (Ok(2), 1));
}

#[test]
fn old_keys_serve_while_fetching_fails_but_not_for_ever() {
    let scene = Scene::new();
    assert!(scene.ask(Some("a")).0.is_ok());
    scene.is_gone();
    scene.wait(600_000);
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2));
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2), "not with every request");
    scene.wait(1_000);
    assert_eq!(scene.ask(Some("a")), (Ok(1), 3));
    scene.wait(3_598_999);
    assert_eq!(scene.ask(Some("a")), (Ok(1), 4));
    scene.wait(1);
    assert!(
        scene.ask(Some("a")).0.is_err(),
        "an hour after they were due"
    );
}

#[test]
fn an_unknown_name_is_nobodys_fault_while_fetching_fails() {
    let scene = Scene::new();
    assert!(scene.ask(Some("a")).0.is_ok());
    scene.is_gone();
    scene.wait(10_000);
    assert!(scene.ask(Some("b")).0.is_err());
    assert_eq!(
        scene.ask(Some("b")),
        (Err("the last fetch has failed".to_owned()), 2)
    );
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2));
}

#[test]
fn without_keys_a_failure_is_tried_again_a_second_later() {
    let scene = Scene::new();
    scene.is_gone();
    assert_eq!(scene.ask(Some("a")), (Err("connect-refused".to_owned()), 1));
    assert_eq!(
        scene.ask(Some("a")),
        (Err("the last fetch has failed".to_owned()), 1)
    );
    scene.wait(1_000);
    scene.publishes(&["a"]);
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2));
}

#[test]
fn a_fetch_that_is_under_way_is_not_doubled_and_ends_by_itself() {
    let scene = Scene::new();
    assert!(scene.ask(Some("a")).0.is_ok());
    scene.wait(10_000);
    // Another request has begun, and its client leaves before the answer.
    assert!(scene.claim(&jwks().last_key(), Last::UnderWay.mark(), 3_000));
    assert_eq!(
        scene.ask(Some("b")),
        (Err("the keys are being fetched".to_owned()), 1)
    );
    assert_eq!(scene.ask(Some("a")), (Ok(1), 1));
    scene.wait(3_000);
    assert_eq!(scene.ask(Some("b")), (Ok(0), 2));
}

#[test]
fn without_a_store_every_token_has_them_fetched_once() {
    let scene = Scene::without_store();
    assert_eq!(scene.ask(Some("a")), (Ok(1), 1));
    assert_eq!(scene.ask(Some("a")), (Ok(1), 2));
    assert_eq!(scene.ask(Some("b")), (Ok(0), 3));
    scene.is_gone();
    assert!(scene.ask(Some("a")).0.is_err());
}

#[test]
fn what_can_not_be_used_is_left_out_and_a_set_of_nothing_is_a_failure() {
    let good = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": "a", "x5c": ["no"] });
    let keys = json!({ "keys": [
        { "kty": "oct", "k": "AAAA", "kid": "a" },
        { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "a" },
        { "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "use": "enc", "kid": "a" },
        { "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "alg": "XX", "kid": "a" },
        7, {}, good,
    ]});
    assert_eq!(
        KeySet::fetched(keys.to_string().as_bytes())
            .unwrap()
            .0
            .len(),
        1
    );
    for body in [
        "",
        "{}",
        "[]",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#,
    ] {
        assert!(KeySet::fetched(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_key_is_used_for_its_own_algorithm_name_and_issuer_only() {
    let keys = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": "a" },
        { "kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y, "kid": "a" },
        { "kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y, "alg": "ES256" },
        { "kty": "OKP", "crv": "Ed25519", "x": ED25519_X, "kid": "b" },
    ]});
    let scene = Scene::new();
    *scene.answer.borrow_mut() = Ok(keys.to_string());
    let found = |header: &serde_json::Value, jwks: &Jwks| {
        let text = token(header);
        let token = Token::parse(&text).unwrap();
        jwks.may_cover(&token)
            .then(|| jwks.candidates(&token, &scene).unwrap().len())
    };
    let any = jwks();
    assert_eq!(found(&json!({ "alg": "EdDSA", "kid": "a" }), &any), Some(1));
    assert_eq!(found(&json!({ "alg": "ES256", "kid": "a" }), &any), Some(2));
    assert_eq!(found(&json!({ "alg": "ES256", "kid": "b" }), &any), Some(1));
    assert_eq!(found(&json!({ "alg": "HS256", "kid": "a" }), &any), None);
    assert_eq!(found(&json!({ "alg": "RS256", "kid": "a" }), &any), None);
    let bound = Jwks {
        issuer: Some("https://a.example".to_owned()),
        ..jwks()
    };
    assert_eq!(
        found(&json!({ "alg": "EdDSA", "kid": "a" }), &bound),
        None,
        "it has no iss"
    );
}
