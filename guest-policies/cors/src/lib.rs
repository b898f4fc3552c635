//! The CORS protocol of the fetch standard: which origins' scripts may send requests and read answers.
//!
//! This file ties the rules to the gateway; what is decided, and with which fields, is in the modules.

pub mod config;
pub mod decision;
pub mod origin;
pub mod rules;

use portcullis_sdk::{
    ConfigProblem, Exchange, FieldOp, LocalResponse, Manifest, OnRequest, OnResponse, Policy,
    RequestVerdict, Response, ResponseVerdict, metrics,
};

use config::{Config, Preflight, RefusedRequests};
use decision::Decision;
use rules::{Kind, RESPONSE_FIELDS, Rules, missing_in_vary};

/// The policy with its config.
#[derive(Debug)]
pub struct Cors {
    rules: Rules,
}

impl Policy for Cors {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "cors",
        version: env!("CARGO_PKG_VERSION"),
        description: "Lets browsers' scripts of chosen origins send requests and read answers",
        annotations: &[("optional-imports", "metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        Ok(Self {
            rules: config.rules()?,
        })
    }
}

impl OnRequest for Cors {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let origins = exchange.header_values("origin");
        if origins.is_empty() {
            return Ok(RequestVerdict::Next);
        }
        let kind = kind(exchange);
        let decision = self.decide(kind, &origins);
        count(&decision, kind);
        let is_preflight = matches!(kind, Kind::Preflight { .. });
        match &decision {
            Decision::Allowed(_, origin)
                if is_preflight && self.rules.preflight == Preflight::Answer =>
            {
                return Ok(RequestVerdict::Respond(self.preflight_answer(kind, origin)));
            }
            Decision::Refused { .. }
                if is_preflight && self.rules.preflight == Preflight::Answer =>
            {
                return Ok(RequestVerdict::Respond(self.preflight_refusal()));
            }
            Decision::Refused {
                is_preflight: false,
            } if self.rules.refused_requests == RefusedRequests::Forbid
                && !is_own(exchange, &origins) =>
            {
                return Ok(RequestVerdict::Respond(self.refusal()));
            }
            _ => {}
        }
        if let Some(state) = decision.to_state() {
            exchange.set_state(&state);
        }
        Ok(RequestVerdict::Next)
    }
}

impl OnResponse for Cors {
    fn on_response(
        &self,
        exchange: &Exchange,
        response: &Response,
    ) -> Result<ResponseVerdict, String> {
        let decision = Decision::from_state(exchange.get_state().as_deref());
        let mut edits: Vec<FieldOp<'_>> = RESPONSE_FIELDS
            .iter()
            .map(|name| FieldOp::Remove(name))
            .collect();
        let fields = match &decision {
            Decision::Allowed(kind, origin) => self.rules.fields(*kind, origin),
            // So that a cache's answer serves scripts, too, as the fetch standard wants it (#cors-protocol-and-http-caches).
            Decision::Refused {
                is_preflight: false,
            } if self.rules.allow_all() => self.rules.fields(Kind::Actual, ""),
            Decision::Refused { .. } => Vec::new(),
        };
        edits.extend(
            fields
                .iter()
                .map(|(name, value)| FieldOp::Set((*name, value.as_bytes()))),
        );
        let is_preflight = matches!(
            decision,
            Decision::Refused { is_preflight: true } | Decision::Allowed(Kind::Preflight { .. }, _)
        );
        let wanted = self.rules.varies_by(is_preflight);
        let missing = if wanted.is_empty() {
            None
        } else {
            missing_in_vary(&response.header_list("vary"), wanted)
        };
        if let Some(names) = &missing {
            edits.push(FieldOp::Append(("vary", names.as_bytes())));
        }
        response.edit_headers(&edits)?;
        Ok(ResponseVerdict::Next)
    }
}

impl Cors {
    fn decide(&self, kind: Kind, origins: &[Vec<u8>]) -> Decision {
        let origin = match origins {
            [origin] => std::str::from_utf8(origin).ok(),
            // Two are nobody's: browsers send one.
            _ => None,
        };
        match origin.filter(|origin| self.rules.allow(origin)) {
            Some(origin) => Decision::Allowed(kind, origin.to_owned()),
            None => Decision::Refused {
                is_preflight: matches!(kind, Kind::Preflight { .. }),
            },
        }
    }

    fn preflight_answer(&self, kind: Kind, origin: &str) -> LocalResponse {
        let answer = LocalResponse::empty(204);
        let fields = self.rules.fields(kind, origin);
        self.varied(
            fields
                .iter()
                .fold(answer, |answer, (name, value)| answer.header(*name, *value)),
            true,
        )
    }

    fn preflight_refusal(&self) -> LocalResponse {
        let status = self.rules.refused_preflight_status;
        let answer = if status == 403 {
            not_allowed()
        } else {
            LocalResponse::empty(status)
        };
        self.varied(answer, true)
    }

    fn refusal(&self) -> LocalResponse {
        self.varied(not_allowed(), false)
    }

    fn varied(&self, answer: LocalResponse, is_preflight: bool) -> LocalResponse {
        match missing_in_vary(&[], self.rules.varies_by(is_preflight)) {
            Some(names) => answer.header("vary", names),
            None => answer,
        }
    }
}

/// What the request is, given that it has an `Origin`.
fn kind(exchange: &Exchange) -> Kind {
    let is_preflight = exchange.header("access-control-request-method").is_some()
        && exchange.head().method == "OPTIONS";
    if !is_preflight {
        return Kind::Actual;
    }
    let private_network = exchange.header("access-control-request-private-network");
    Kind::Preflight {
        private_network: private_network.as_deref() == Some("true"),
    }
}

/// Whether the request comes from a page of this gateway: browsers send `Origin` there as well, with POST for instance.
fn is_own(exchange: &Exchange, origins: &[Vec<u8>]) -> bool {
    let head = exchange.head();
    let own = format!("{}://{}", head.scheme, head.authority.to_ascii_lowercase());
    matches!(origins, [origin] if *origin == own.as_bytes())
}

fn not_allowed() -> LocalResponse {
    LocalResponse::problem(403, "Requests of this origin are not allowed")
}

fn count(decision: &Decision, kind: Kind) {
    let outcome = match (decision, kind) {
        (Decision::Allowed(..), Kind::Preflight { .. }) => "preflight_allowed",
        (Decision::Refused { .. }, Kind::Preflight { .. }) => "preflight_refused",
        (Decision::Allowed(..), Kind::Actual) => "allowed",
        (Decision::Refused { .. }, Kind::Actual) => "refused",
    };
    metrics::count("cors.decisions", 1.0, &[("outcome", outcome)]);
}

portcullis_sdk::export!(Cors: on_request, on_response; config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod browser;
