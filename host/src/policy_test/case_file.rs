//! The format of a file of test cases, as serde and schemars see it. Its JSON Schema refuses unknown keys.

use std::collections::BTreeMap;

use portcullis_config::{DurationText, Isolation, SizeText};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::expectation::Expectation;

/// Cases for one policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// What the policy is granted in every case that does not say otherwise.
    #[serde(default)]
    pub(super) grants: Grants,
    /// Its limits, as in the gateway's config.
    #[serde(default)]
    pub(super) limits: Map<String, Value>,
    /// Whether an instance serves one hook or several.
    #[serde(default)]
    pub(super) isolation: Isolation,
    /// The config of its use.
    #[serde(default)]
    pub(super) config: Map<String, Value>,
    /// At least one.
    #[schemars(length(min = 1))]
    pub(super) cases: Vec<Case>,
}

/// What happens to a policy, and what it is to make of that.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Case {
    /// What is to hold, as a sentence.
    pub(super) name: String,
    /// In place of the file's.
    pub(super) grants: Option<Grants>,
    /// In place of the file's.
    pub(super) limits: Option<Map<String, Value>>,
    /// In place of the file's.
    pub(super) isolation: Option<Isolation>,
    /// In place of the file's.
    pub(super) config: Option<Map<String, Value>>,
    /// What the clock shows at first, in UTC: `2026-01-01T00:00:00Z` if left out.
    pub(super) start: Option<String>,
    /// What the random bits are, as fractions of their range, from 0 to 1 without it; round and round.
    #[schemars(length(min = 1), inner(range(min = 0.0)))]
    pub(super) random: Option<Vec<f64>>,
    /// Exchanges and what is between them.
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    /// The config is to be refused with these problems; then there are no steps.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) refused: Option<Vec<Refusal>>,
}

/// A problem of a config.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Refusal {
    /// Its place in the config, a JSON Pointer.
    pub(super) path: String,
    /// A part of its message.
    pub(super) message: String,
}

/// What a policy is granted: as in the gateway's config, with values in place of names.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Grants {
    /// Keys in memory.
    pub(super) kv: Option<KvGrant>,
    /// Metrics of its own.
    pub(super) metrics: Option<Empty>,
    /// A Redis server, in memory.
    pub(super) redis: Option<RedisGrant>,
    /// Secrets and their texts.
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
    /// Upstreams that it may call.
    #[serde(default)]
    pub(super) outcall: Vec<String>,
    /// Upstreams that it may choose for the request.
    #[serde(default)]
    pub(super) upstreams: Vec<String>,
}

/// Keys in memory.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct KvGrant {
    /// What they may take: 16MiB if left out.
    pub(super) max_bytes: Option<SizeText>,
}

/// No settings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Empty {}

/// A Redis server, in memory.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RedisGrant {
    /// Whether it may run Lua scripts.
    #[serde(default)]
    pub(super) scripts: bool,
}

/// A state of a Redis server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RedisState {
    /// It answers.
    Up,
    /// It can't be reached.
    Down,
    /// It does not answer in time.
    Slow,
    /// It answers every call by this error.
    Error(String),
}

/// What happens next: first to the world, then by a request, if any key of an exchange is there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Step {
    /// So much time passes.
    pub(super) wait: Option<DurationText>,
    /// What Redis answers from now on.
    pub(super) redis: Option<RedisState>,
    /// Secrets that have another text from now on, as after a reload.
    pub(super) secrets: BTreeMap<String, String>,
    /// A request, as the client sends it.
    pub(super) request: Option<Request>,
    /// What policies before this one have shared.
    pub(super) shared: BTreeMap<String, String>,
    /// How attempts end, in order; the last stands for all further ones. A 200 if left out.
    #[schemars(length(min = 1))]
    pub(super) upstream: Option<Vec<Answer>>,
    /// The calls that the policy makes, in order, and how they end.
    pub(super) outcalls: Vec<Outcall>,
    /// What is to be seen of the exchange.
    pub(super) expect: Option<Expectation>,
}

/// A request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Request {
    /// GET if left out.
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    /// The authority: `example.com` if left out.
    pub(super) host: String,
    /// `http` or `https`.
    pub(super) scheme: String,
    /// The client's IP address: `192.0.2.1` if left out.
    pub(super) client: String,
    /// The name of the route: `test` if left out.
    pub(super) route: String,
    /// Fields, each with one value or a list of them.
    pub(super) headers: BTreeMap<String, Texts>,
    /// A text.
    pub(super) body: Option<String>,
    /// A body that is this as JSON.
    pub(super) json: Option<Value>,
    /// The time for the whole exchange: 15s if left out.
    pub(super) deadline: Option<DurationText>,
    /// Whether the body can be sent again: true if left out.
    pub(super) replayable: Option<bool>,
}

/// One value or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Texts {
    /// One.
    One(String),
    /// In order.
    Several(Vec<String>),
}

/// A claim that may be that there is nothing, which is written as null.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct OrNull<T>(pub(super) Option<T>);

/// Not that of an option, which need not be there and is not null.
impl<T: JsonSchema> JsonSchema for OrNull<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}OrNull", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [generator.subschema_for::<T>(), { "const": null }] })
    }
}

/// How an attempt at the upstream ends.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct Answer {
    /// 200 if left out.
    pub(super) status: Option<u16>,
    /// Fields of the response.
    pub(super) headers: BTreeMap<String, Texts>,
    /// Its body.
    pub(super) body: Option<String>,
    /// A body that is this as JSON.
    pub(super) json: Option<Value>,
    /// No response but this failure, by its name in the contract.
    pub(super) failure: Option<String>,
    /// Whether the endpoint may have got some of the request: true if left out, false where no connection was made.
    pub(super) sent: Option<bool>,
    /// What the attempt takes.
    pub(super) elapsed: Option<DurationText>,
    /// The answer is not the upstream's but another policy's, of this name.
    pub(super) policy: Option<String>,
}

/// A call that the policy makes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Outcall {
    /// To that upstream.
    pub(super) upstream: String,
    /// Its method.
    pub(super) method: Option<String>,
    /// Its path with the query.
    pub(super) path: Option<String>,
    /// Its fields: one value, a list, or null for none.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, OrNull<Texts>>,
    /// Its body.
    pub(super) body: Option<String>,
    /// Members that its body has, as JSON.
    pub(super) json: Option<Value>,
    /// How it ends.
    pub(super) answer: OutcallAnswer,
}

/// How a call ends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct OutcallAnswer {
    /// 200 if left out.
    pub(super) status: Option<u16>,
    /// Fields of the answer.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Texts>,
    /// Its body.
    pub(super) body: Option<String>,
    /// A body that is this as JSON.
    pub(super) json: Option<Value>,
    /// No answer.
    pub(super) error: Option<OutcallFailure>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OutcallFailure {
    /// The upstream can't be reached.
    Unavailable,
    /// It does not answer in time.
    TimedOut,
    /// It answers more than the policy may have.
    TooLarge,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: "example.com".to_owned(),
            scheme: "http".to_owned(),
            client: "192.0.2.1".to_owned(),
            route: "test".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            json: None,
            deadline: None,
            replayable: None,
        }
    }
}

impl Texts {
    /// In order.
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

/// The bytes of a body given in one of both ways.
pub(super) fn body_bytes(text: Option<&String>, json: Option<&Value>) -> Option<Vec<u8>> {
    let json = json.map(|value| value.to_string().into_bytes());
    text.map(|text| text.clone().into_bytes()).or(json)
}
