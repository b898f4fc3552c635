//! A token as it comes: a JWS in its compact form (RFC 7515 §7.1), taken apart but not believed.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::json;
use crate::refusal::Invalid;

/// Bytes of a token. Browsers and servers take heads of 8 to 16 KiB; larger ones only cost work.
pub const MAX_TOKEN: usize = 16 << 10;

/// The parts of a token.
#[derive(Debug)]
pub struct Token<'a> {
    /// What its header says that the signature is.
    pub algorithm: Algorithm,
    /// The name of its key.
    pub kid: Option<String>,
    /// Its media type, such as `at+jwt`.
    pub typ: Option<String>,
    /// What it claims.
    pub claims: Map<String, Value>,
    /// What was signed.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes `text` apart.
    ///
    /// # Errors
    ///
    /// Why it is no token that this policy could verify.
    pub fn parse(text: &'a str) -> Result<Self, Invalid> {
        if text.len() > MAX_TOKEN {
            return Err(Invalid("the token is too large"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
        let header = json::object(&decoded(header)?).map_err(|_| MALFORMED)?;
        // Extensions that a recipient must understand (RFC 7515 §4.1.11): this one understands none.
        if header.contains_key("crit") {
            return Err(Invalid("the token has critical extensions"));
        }
        let algorithm = text_of(&header, "alg")?.ok_or(MALFORMED)?;
        let algorithm = Algorithm::from_name(&algorithm)
            .ok_or(Invalid("the token's algorithm is not accepted"))?;
        Ok(Self {
            algorithm,
            kid: text_of(&header, "kid")?,
            typ: text_of(&header, "typ")?,
            // A dot is in no base64url: a JWE's five parts end here.
            claims: json::object(&decoded(payload)?).map_err(|_| MALFORMED)?,
            signed,
            signature: decoded(signature)?,
        })
    }

    /// What was signed: the header and the payload as they came.
    pub fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// The signature's bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

const MALFORMED: Invalid = Invalid("the token is malformed");

/// Without padding, and in the one spelling of the bytes (RFC 7515 §2).
fn decoded(text: &str) -> Result<Vec<u8>, Invalid> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| MALFORMED)
}

fn text_of(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Invalid> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> String {
        Base64UrlUnpadded::encode_string(text.as_bytes())
    }

    fn parse(header: &str, payload: &str) -> Result<(), &'static str> {
        let text = format!("{}.{}.{}", part(header), part(payload), part("signature"));
        Token::parse(&text).map(drop).map_err(|invalid| invalid.0)
    }

    #[test]
    fn a_token_is_taken_apart() {
        let header = part(r#"{"alg":"RS256","kid":"k","typ":"JWT","x":1}"#);
        let text = format!("{header}.{}.{}", part(r#"{"sub":"a"}"#), part("s"));
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.algorithm, Algorithm::Rs256);
        assert_eq!(
            (token.kid.as_deref(), token.typ.as_deref()),
            (Some("k"), Some("JWT"))
        );
        assert_eq!(token.claims["sub"], "a");
        assert_eq!(token.signature(), b"s");
        assert_eq!(
            format!(
                "{}.{}",
                std::str::from_utf8(token.signed()).unwrap(),
                part("s")
            ),
            text
        );
    }

    #[test]
    fn algorithms_that_prove_nothing_are_refused() {
        for alg in ["none", "None", "nOnE", "HS1", ""] {
            let refused = parse(&format!(r#"{{"alg":"{alg}"}}"#), "{}");
            assert_eq!(
                refused,
                Err("the token's algorithm is not accepted"),
                "{alg}"
            );
        }
    }

    #[test]
    fn critical_extensions_are_refused_even_where_none_is_named() {
        for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null"] {
            let refused = parse(
                &format!(r#"{{"alg":"HS256","crit":{crit},"b64":false}}"#),
                "{}",
            );
            assert_eq!(refused, Err("the token has critical extensions"), "{crit}");
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for (header, payload) in [
            ("{}", "{}"),
            (r#"{"alg":1}"#, "{}"),
            (r#"{"alg":"HS256","kid":1}"#, "{}"),
            (r#"{"alg":"HS256","alg":"none"}"#, "{}"),
            (r#"{"alg":"HS256"}"#, r#"{"sub":"a","sub":"b"}"#),
            (r#"{"alg":"HS256"}"#, "[]"),
            ("[]", "{}"),
        ] {
            assert_eq!(
                parse(header, payload),
                Err(MALFORMED.0),
                "{header} {payload}"
            );
        }
        let header = part(r#"{"alg":"HS256"}"#);
        for text in [
            String::new(),
            "..".to_owned(),
            "a".to_owned(),
            format!("{header}.e30"),
            format!("{header}.e30.AA.AA.AA"),
            format!("{header}.e30.AAA="),
            format!("{header}.e30.AAB"), // trailing bits
            format!("{header}.e30.A+A"),
            format!("{header} .e30.AAA"),
        ] {
            assert_eq!(
                Token::parse(&text).map(drop).unwrap_err(),
                MALFORMED,
                "{text}"
            );
        }
        assert_eq!(
            Token::parse(&"a".repeat(MAX_TOKEN + 1)).unwrap_err().0,
            "the token is too large"
        );
    }
}
