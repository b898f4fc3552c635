//! Asks another service whether a request may pass, as Traefik's ForwardAuth, nginx' auth_request and Envoy's
//! ext_authz over HTTP do.
//!
//! This file ties the parts to the gateway; what is asked, and what an answer comes to, is in the modules.

pub mod config;
pub mod decision;
pub mod question;

use portcullis_sdk::{
    BodyError, ConfigProblem, Exchange, FieldOp, LocalResponse, Manifest, OnRequest, Policy,
    RequestVerdict, kv, log, metrics, outcall,
};

use config::{Config, OnError};
use decision::Decision;
use question::{Asking, Question};

/// The policy with its config.
#[derive(Debug)]
pub struct ExtAuth {
    config: Config,
}

/// Why there is no decision.
#[derive(Debug)]
enum Failure {
    /// The request's body is larger than what is sent on.
    TooLarge,
    /// The service could not be asked, or has not decided. Why is for the log alone.
    Undecided(String),
}

impl Policy for ExtAuth {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "ext-auth",
        version: env!("CARGO_PKG_VERSION"),
        description: "Asks another service whether a request may pass",
        annotations: &[("optional-imports", "kv,metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let config = config.checked()?;
        Ok(Self { config })
    }
}

impl OnRequest for ExtAuth {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        match self
            .question(exchange)
            .and_then(|question| self.decide(&question))
        {
            Ok(Decision::Allowed { headers, identity }) => {
                match self.hand_on(exchange, &headers, identity.as_deref()) {
                    Ok(()) => Ok(pass("allowed")),
                    Err(why) => self.degrade(exchange, &why),
                }
            }
            Ok(Decision::Refused {
                status,
                headers,
                body,
            }) => Ok(answer(
                "refused",
                LocalResponse {
                    status,
                    headers,
                    body,
                },
            )),
            Err(Failure::TooLarge) => {
                let response = LocalResponse::problem(413, "The body is too large to be checked");
                Ok(answer("too_large", response))
            }
            Err(Failure::Undecided(why)) => self.degrade(exchange, &why),
        }
    }
}

impl ExtAuth {
    fn question(&self, exchange: &Exchange) -> Result<Question, Failure> {
        let listed = |name: &String| {
            let values = exchange.header_values(name).into_iter();
            values
                .map(|value| (name.clone(), value))
                .collect::<Vec<_>>()
        };
        let body = match self.config.max_body_bytes {
            0 => Vec::new(),
            limit => exchange.read_body(limit).map_err(|error| match error {
                BodyError::TooLarge => Failure::TooLarge,
                error => Failure::Undecided(format!("the request's body: {}", String::from(error))),
            })?,
        };
        let (head, client) = (exchange.head(), exchange.attribute("client.address"));
        let asking = Asking {
            head: &head,
            client: client.as_deref(),
            headers: self.config.headers.iter().flat_map(listed).collect(),
            body,
        };
        Ok(Question::new(&self.config, asking))
    }

    /// What the service says, or has said of late.
    fn decide(&self, question: &Question) -> Result<Decision, Failure> {
        let is_kept = self.config.cache.as_millis() > 0;
        let name = is_kept.then(|| question.digest(&self.config.upstream));
        if let Some(name) = &name
            && let Some(kept) = kv::get(name).ok().flatten()
            && let Some(decision) = Decision::from_kept(&kept)
        {
            return Ok(decision);
        }
        let decision = self.ask(question).map_err(Failure::Undecided)?;
        if let (Some(name), Some(kept)) = (name, decision.kept()) {
            // Without the grant, or when the space is full, the service is asked again.
            let _ = kv::set(&name, &kept, Some(self.config.cache.as_millis_u32()));
        }
        Ok(decision)
    }

    fn ask(&self, question: &Question) -> Result<Decision, String> {
        let call = outcall::Call::new(&question.method, &question.path)
            .body(question.body.clone())
            .timeout_ms(self.config.timeout.as_millis_u32());
        let headers = question.headers.iter();
        let call = headers.fold(call, |call, (name, value)| call.header(name, value.clone()));
        let answer = call.send(&self.config.upstream)?;
        Decision::of(answer.status, &answer.headers, answer.body, &self.config)
    }

    /// Edits the request for its upstream and the policies to come.
    fn hand_on(
        &self,
        exchange: &Exchange,
        headers: &[(String, Vec<u8>)],
        identity: Option<&str>,
    ) -> Result<(), String> {
        // What a client has sent under these names is nobody's word.
        let removed = self
            .config
            .upstream_headers
            .iter()
            .map(|name| FieldOp::Remove(name));
        let added = headers
            .iter()
            .map(|(name, value)| FieldOp::Append((name.as_str(), value.as_slice())));
        let edits: Vec<FieldOp> = removed.chain(added).collect();
        if !edits.is_empty() {
            exchange.edit_headers(&edits)?;
        }
        if let Some(identity) = identity {
            exchange.set_shared("identity", identity)?;
        }
        Ok(())
    }

    fn degrade(&self, exchange: &Exchange, why: &str) -> Result<RequestVerdict, String> {
        log::warn(
            "the service has not decided",
            &[("upstream", &self.config.upstream), ("error", why)],
        );
        match self.config.on_error {
            OnError::Open => {
                self.hand_on(exchange, &[], None)?;
                Ok(pass("degraded_open"))
            }
            OnError::Closed => {
                let response =
                    LocalResponse::problem(503, "The request can't be authorised at present");
                Ok(answer(
                    "degraded_closed",
                    response.header("retry-after", "1"),
                ))
            }
        }
    }
}

fn pass(outcome: &str) -> RequestVerdict {
    count(outcome);
    RequestVerdict::Next
}

fn answer(outcome: &str, response: LocalResponse) -> RequestVerdict {
    count(outcome);
    RequestVerdict::Respond(response)
}

fn count(outcome: &str) {
    metrics::count("extauth.decisions", 1.0, &[("outcome", outcome)]);
}

portcullis_sdk::export!(ExtAuth: on_request; config_schema = include_str!("../config.schema.json"));
