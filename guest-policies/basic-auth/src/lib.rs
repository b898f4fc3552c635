//! Lets users with a password pass (RFC 7617), by an htpasswd file in a secret.
//!
//! This file ties the parts to the gateway; what is decided is in the modules.

pub mod config;
pub mod login;
pub mod memory;
pub mod password;
pub mod users;

use portcullis_sdk::{
    ConfigProblem, Exchange, LocalResponse, Manifest, OnRequest, Policy, RequestVerdict, kv, log,
    metrics, random, secrets,
};

use config::Config;
use login::{Found, Login};
use memory::World;

/// The policy with its config.
#[derive(Debug)]
pub struct BasicAuth {
    config: Config,
}

/// Why a request does not pass.
#[derive(Debug)]
enum Refusal {
    /// It has no login.
    Missing,
    /// It has two lines of `Authorization`.
    Ambiguous,
    /// Its login is not as it should be.
    Malformed,
    /// There is no such user with that password.
    Wrong,
    /// Nobody can tell. Why is for the log alone.
    Unavailable(String),
}

impl Policy for BasicAuth {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "basic-auth",
        version: env!("CARGO_PKG_VERSION"),
        description: "Lets users with a password pass, by an htpasswd file",
        annotations: &[("optional-imports", "kv,metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let config = config.checked()?;
        Ok(Self { config })
    }
}

impl OnRequest for BasicAuth {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let found = login::find(&exchange.header_values("authorization"));
        let user = match self.admit(found) {
            Ok(user) => user,
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        self.hand_on(exchange, user.as_deref())?;
        count(if user.is_some() {
            "accepted"
        } else {
            "anonymous"
        });
        Ok(RequestVerdict::Next)
    }
}

impl BasicAuth {
    /// Who it is; nobody if there is no login and need be none.
    fn admit(&self, found: Found) -> Result<Option<String>, Refusal> {
        match found {
            Found::Nothing if self.config.optional => Ok(None),
            Found::Nothing => Err(Refusal::Missing),
            Found::Malformed => Err(Refusal::Malformed),
            Found::Many => Err(Refusal::Ambiguous),
            Found::One(login) => {
                self.check(&login)?;
                Ok(Some(login.user))
            }
        }
    }

    fn check(&self, login: &Login) -> Result<(), Refusal> {
        let name = &self.config.users;
        let unavailable = |why: &str| Refusal::Unavailable(format!("secret {name}: {why}"));
        let text = secrets::get(name).ok_or_else(|| {
            unavailable("is not there or not granted: add it to `grants.secrets`")
        })?;
        let entry = users::find(&text, &login.user).ok_or_else(|| unavailable("has no users"))?;
        // Before the memory is asked: to draw its key, and its HMAC, cost the same whoever asks.
        let remembered = match self.config.cache.as_millis() {
            0 => None,
            _ => memory::name(login, entry.hash, &Gateway),
        };
        if entry.is_users
            && remembered
                .as_ref()
                .is_some_and(|name| memory::knows(name, &Gateway))
        {
            return Ok(());
        }
        let verified = password::verify(&login.password, entry.hash);
        match verified {
            Ok(true) if entry.is_users => {}
            Ok(_) => return Err(Refusal::Wrong),
            Err(_) if !entry.is_users => return Err(Refusal::Wrong),
            Err(why) => return Err(unavailable(&format!("user {}: {why}", login.user))),
        }
        if let Some(name) = remembered {
            memory::remember(&name, self.config.cache.as_millis_u32(), &Gateway);
        }
        Ok(())
    }

    /// Edits the request for the upstream and the policies to come.
    fn hand_on(&self, exchange: &Exchange, user: Option<&str>) -> Result<(), String> {
        match (&self.config.identity_header, user) {
            (Some(header), Some(user)) => exchange.set_header(header, user)?,
            // What a client has sent under this name is nobody's word.
            (Some(header), None) => exchange.remove_header(header)?,
            (None, _) => {}
        }
        if let Some(user) = user {
            exchange.set_shared("identity", user)?;
            if !self.config.forward {
                exchange.remove_header("authorization")?;
            }
        }
        Ok(())
    }

    fn refuse(&self, refusal: &Refusal) -> RequestVerdict {
        let (outcome, response) = match refusal {
            Refusal::Missing => ("missing", self.challenge("A login is required")),
            Refusal::Malformed => ("malformed", self.challenge("The login is malformed")),
            Refusal::Wrong => ("wrong", self.challenge("The login is not accepted")),
            Refusal::Ambiguous => (
                "ambiguous",
                LocalResponse::problem(400, "More than one Authorization field"),
            ),
            Refusal::Unavailable(why) => {
                log::error("a login could not be checked", &[("error", why)]);
                let response = LocalResponse::problem(503, "Logins can't be checked at present");
                ("unavailable", response.header("retry-after", "1"))
            }
        };
        count(outcome);
        RequestVerdict::Respond(response)
    }

    /// RFC 7617 §2 and §2.1.
    fn challenge(&self, title: &str) -> LocalResponse {
        let value = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.config.realm);
        LocalResponse::problem(401, title).header("www-authenticate", value)
    }
}

fn count(outcome: &str) {
    metrics::count("basicauth.decisions", 1.0, &[("outcome", outcome)]);
}

/// What is around a request.
struct Gateway;

impl World for Gateway {
    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        kv::get(name).ok().flatten()
    }

    fn keep_new(&self, name: &str, value: &[u8], ttl_ms: Option<u32>) -> bool {
        kv::swap(name, None, value, ttl_ms).unwrap_or(false)
    }

    fn random(&self) -> u64 {
        random::next()
    }
}

portcullis_sdk::export!(BasicAuth: on_request; config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_realm_and_charset() {
        let config = serde_json::json!({ "users": "u", "realm": "api" });
        let policy = BasicAuth::configure(serde_json::from_value(config).unwrap()).unwrap();
        let response = policy.challenge("x");
        assert_eq!(response.status, 401);
        let (name, value) = &response.headers[1];
        assert_eq!(name, "www-authenticate");
        assert_eq!(
            String::from_utf8_lossy(value),
            "Basic realm=\"api\", charset=\"UTF-8\""
        );
    }
}
