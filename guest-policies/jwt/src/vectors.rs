//! Signatures that the RFCs publish, checked as they stand there.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;

use crate::algorithm::Algorithm;
use crate::jwk::Jwk;
use crate::key::Key;
use crate::token::Token;

/// RFC 7515, appendix A.1.1; also RFC 7519 §3.1.
const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA\
    6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const HS256_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// RFC 7515, appendix A.2.1.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9\
    pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Q\
    c_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARN\
    PvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6I\
    eYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RS256_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql\
    L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs\
    LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud\
    F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515, appendix A.3.1.
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9\
    pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqP\
    P3-Kg6NU1Q";
/// RFC 7515, appendix A.4.1: an algorithm that is not offered.
const ES512: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq\
    wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9E\
    RBXukOXolLzeO_Jn";
/// RFC 8037, appendix A.4.
const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AI\
    bQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/// RFC 7520 §4.1.
const COOKBOOK_RS256: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3V\
    zIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHl\
    vdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9\
    mZiB0by4.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp8\
    3xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6\
    x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI\
    -ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
/// RFC 7520 §4.2.
const COOKBOOK_PS384: &str = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3V\
    zIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHl\
    vdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9\
    mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP\
    6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqr\
    YRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64\
    QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
/// RFC 7520 §3.3.
const COOKBOOK_MODULUS: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMa\
    JMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6c\
    S6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwd\
    q_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
/// RFC 7520 §4.4, with the key of §3.5.
const COOKBOOK_HS256: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJlzIGEgZGF\
    uZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5\
    kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN\
    3ZXB0IG9mZiB0by4.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";
const COOKBOOK_SECRET: &str = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";

fn jwk(jwk: serde_json::Value) -> Key {
    serde_json::from_value::<Jwk>(jwk).unwrap().key().unwrap()
}

fn rsa(modulus: &str) -> Key {
    jwk(json!({ "kty": "RSA", "n": modulus, "e": "AQAB" }))
}

fn hmac(secret: &str) -> Key {
    Key::Hmac(Base64UrlUnpadded::decode_vec(secret).unwrap())
}

/// RFC 7515, appendix A.3.1.
fn p256() -> Key {
    jwk(json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }))
}

/// RFC 8037, appendix A.2.
fn ed25519() -> Key {
    jwk(
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
    )
}

/// Whether the key verifies it, and no altered one, by `algorithm` alone.
fn holds(token: &str, algorithm: Algorithm, key: &Key) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let verifies =
        |signed: &str, signature: &[u8]| key.verifies(algorithm, signed.as_bytes(), signature);
    let mut altered = signature.clone();
    altered[5] ^= 1;
    assert!(!verifies(&signed.replace('9', "8"), &signature), "{token}");
    assert!(!verifies(signed, &altered), "{token}");
    assert!(!verifies(signed, &signature[1..]), "{token}");
    assert!(!verifies(signed, b""), "{token}");
    verifies(signed, &signature)
}

#[test]
fn signatures_of_rfc_7515_and_rfc_7519_hold() {
    assert!(holds(HS256, Algorithm::Hs256, &hmac(HS256_KEY)));
    assert!(holds(RS256, Algorithm::Rs256, &rsa(RS256_MODULUS)));
    assert!(holds(ES256, Algorithm::Es256, &p256()));
    for token in [HS256, RS256, ES256] {
        let token = Token::parse(token).unwrap();
        assert_eq!(token.claims["iss"], "joe");
        assert_eq!(token.claims["exp"], 1_300_819_380);
    }
}

#[test]
fn the_signature_of_rfc_8037_holds() {
    assert!(holds(EDDSA, Algorithm::EdDsa, &ed25519()));
}

#[test]
fn signatures_of_rfc_7520_hold() {
    let key = rsa(COOKBOOK_MODULUS);
    assert!(holds(COOKBOOK_RS256, Algorithm::Rs256, &key));
    assert!(holds(COOKBOOK_PS384, Algorithm::Ps384, &key));
    assert!(holds(
        COOKBOOK_HS256,
        Algorithm::Hs256,
        &hmac(COOKBOOK_SECRET)
    ));
}

#[test]
fn no_other_algorithm_takes_a_signature() {
    use crate::algorithm::{ED25519, HMAC, P256, P384, RSA};
    let all = [HMAC, RSA, P256, P384, ED25519].concat();
    for (token, own, key) in [
        (HS256, Algorithm::Hs256, hmac(HS256_KEY)),
        (RS256, Algorithm::Rs256, rsa(RS256_MODULUS)),
        (COOKBOOK_PS384, Algorithm::Ps384, rsa(COOKBOOK_MODULUS)),
        (ES256, Algorithm::Es256, p256()),
        (EDDSA, Algorithm::EdDsa, ed25519()),
    ] {
        for other in all.iter().filter(|algorithm| **algorithm != own) {
            assert!(!holds(token, *other, &key), "{other:?} takes {token}");
        }
    }
}

#[test]
fn an_algorithm_that_is_not_offered_is_refused_before_its_payload_is_read() {
    let refused = Token::parse(ES512).unwrap_err();
    assert_eq!(refused.0, "the token's algorithm is not accepted");
}

#[test]
fn a_key_in_pem_is_the_one_of_its_jwk() {
    // RFC 8410 §4 has this example of a public key.
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let Key::Ed25519(key) = crate::pem::key(pem).unwrap() else {
        panic!("another kind");
    };
    let x = Base64UrlUnpadded::encode_string(key.as_bytes());
    assert_eq!(x, "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Token::parse(&text);
    }

    #[test]
    fn no_altered_token_is_accepted(at in 0..HS256.len(), byte in 0x21_u8..0x7f) {
        let mut bytes = HS256.as_bytes().to_vec();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        let accepted = Token::parse(&text).is_ok_and(|token| {
            hmac(HS256_KEY).verifies(Algorithm::Hs256, token.signed(), token.signature())
        });
        proptest::prop_assert_eq!(accepted, text == HS256);
    }
}
