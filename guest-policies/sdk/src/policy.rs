//! What a policy implements: its identity and config, and a trait for each hook.

use serde::de::DeserializeOwned;

use crate::{
    Attempt, AttemptVerdict, BodyReader, BodyWriter, ConfigProblem, Exchange, RequestVerdict,
    Response, ResponseVerdict, Summary,
};

/// What a policy says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// Stable name, in lower case with dashes.
    pub name: &'static str,
    /// Version of the policy: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One sentence for the operator.
    pub description: &'static str,
    /// Further facts as names and values, such as `("optional-imports", "redis,kv")`.
    pub annotations: &'static [(&'static str, &'static str)],
}

/// A policy with its config checked and kept.
pub trait Policy: Sized + 'static {
    /// The config of one use of the policy. It derives `JsonSchema` too, or [`export!`](crate::export)
    /// is given a schema: that goes into the manifest, with the fields' doc comments as descriptions.
    type Config: DeserializeOwned;

    /// Who this is.
    const MANIFEST: Manifest;

    /// Checks what the types cannot say, and makes ready what the hooks need.
    ///
    /// Runs once for each instance, or once for each config when the host starts instances from a
    /// snapshot: clocks answer 0 here, and capabilities answer `denied`.
    ///
    /// # Errors
    ///
    /// All problems of the config, each with the JSON Pointer of its place.
    fn configure(config: Self::Config) -> Result<Self, Vec<ConfigProblem>>;
}

/// Sees a request before it goes to an upstream.
pub trait OnRequest: Policy {
    /// May edit the request, answer it, or let it go on.
    ///
    /// # Errors
    ///
    /// The message goes to the log; the edits of this call are dropped, and the route's `on_failure` decides.
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String>;
}

/// Has a request's body pass through it, on its way to the upstream; [`stream`](crate::stream) has examples.
pub trait OnRequestBody: Policy {
    /// Reads the body from `input` and writes what goes on to `output`. What is not written is not sent, and
    /// the body ends when this returns. The exchange is as `on-request` has left it, and can't be edited any
    /// more. Not called for a request that has no body.
    ///
    /// # Errors
    ///
    /// The message goes to the log, and the body breaks off: the request fails. Where the route's
    /// `on_failure` is `open` and nothing was read or written yet, the body passes as it is.
    fn on_request_body(
        &self,
        exchange: &Exchange,
        input: &BodyReader,
        output: &BodyWriter,
    ) -> Result<(), String>;
}

/// Sees the response that will be delivered, after all retries.
///
/// ```standalone_crate
/// use portcullis_sdk::{
///     ConfigProblem, Exchange, Manifest, OnResponse, Policy, Response, ResponseVerdict,
/// };
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Config {}
///
/// struct NoIndex;
///
/// impl Policy for NoIndex {
///     type Config = Config;
///     const MANIFEST: Manifest = Manifest {
///         name: "no-index",
///         version: env!("CARGO_PKG_VERSION"),
///         description: "Keeps what is not public out of search engines",
///         annotations: &[],
///     };
///     fn configure(_: Config) -> Result<Self, Vec<ConfigProblem>> {
///         Ok(Self)
///     }
/// }
///
/// impl OnResponse for NoIndex {
///     fn on_response(
///         &self,
///         exchange: &Exchange,
///         response: &Response,
///     ) -> Result<ResponseVerdict, String> {
///         if exchange.cookie("session").is_some() || response.status() != 200 {
///             response.set_header("x-robots-tag", "noindex")?;
///         }
///         Ok(ResponseVerdict::Next)
///     }
/// }
///
/// portcullis_sdk::export!(NoIndex: on_response);
/// ```
pub trait OnResponse: Policy {
    /// May edit the response, replace it, or let it go on.
    ///
    /// # Errors
    ///
    /// As for [`OnRequest::on_request`].
    fn on_response(
        &self,
        exchange: &Exchange,
        response: &Response,
    ) -> Result<ResponseVerdict, String>;
}

/// Has a response's body pass through it, on its way to the client.
pub trait OnResponseBody: Policy {
    /// The same as [`OnRequestBody::on_request_body`] for the response, as `on-response` has left it. Its head
    /// has gone by then, so that a failure can only reset the client's stream.
    ///
    /// # Errors
    ///
    /// As for [`OnRequestBody::on_request_body`].
    fn on_response_body(
        &self,
        exchange: &Exchange,
        response: &Response,
        input: &BodyReader,
        output: &BodyWriter,
    ) -> Result<(), String>;
}

/// Sees each attempt at an upstream when it has ended.
///
/// ```standalone_crate
/// use portcullis_sdk::{
///     Attempt, AttemptVerdict, ConfigProblem, EndpointChoice, Exchange, Manifest, OnAttempt, Plan,
///     Policy, Response,
/// };
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Config {}
///
/// struct Elsewhere;
///
/// impl Policy for Elsewhere {
///     type Config = Config;
///     const MANIFEST: Manifest = Manifest {
///         name: "elsewhere",
///         version: env!("CARGO_PKG_VERSION"),
///         description: "Tries another endpoint once where the first is at fault",
///         annotations: &[],
///     };
///     fn configure(_: Config) -> Result<Self, Vec<ConfigProblem>> {
///         Ok(Self)
///     }
/// }
///
/// impl OnAttempt for Elsewhere {
///     fn on_attempt(
///         &self,
///         _: &Exchange,
///         last: Attempt,
///         response: Option<&Response>,
///     ) -> Result<AttemptVerdict, String> {
///         let is_at_fault = response.is_none_or(|response| response.status() == 503);
///         if last.number > 1 || !is_at_fault || !last.idempotent {
///             return Ok(AttemptVerdict::Abstain);
///         }
///         // The gateway waits, and bounds it by deadline, budget and the route's max_attempts.
///         Ok(AttemptVerdict::Retry(Plan {
///             delay_ms: 0,
///             endpoint: EndpointChoice::OtherEndpoint,
///             try_timeout_ms: None,
///         }))
///     }
/// }
///
/// portcullis_sdk::export!(Elsewhere: on_attempt);
/// ```
pub trait OnAttempt: Policy {
    /// Says whether to try again. `response` is absent when `last.failure` is set; its body can't be read.
    ///
    /// # Errors
    ///
    /// As for [`OnRequest::on_request`].
    fn on_attempt(
        &self,
        exchange: &Exchange,
        last: Attempt,
        response: Option<&Response>,
    ) -> Result<AttemptVerdict, String>;
}

/// Sees an exchange when its last byte is sent.
///
/// ```standalone_crate
/// use portcullis_sdk::{
///     ConfigProblem, Exchange, Manifest, OnLog, Policy, Response, Summary, metrics,
/// };
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Config {}
///
/// struct Meter;
///
/// impl Policy for Meter {
///     type Config = Config;
///     const MANIFEST: Manifest = Manifest {
///         name: "meter",
///         version: env!("CARGO_PKG_VERSION"),
///         description: "Counts the bytes of each tenant",
///         annotations: &[],
///     };
///     fn configure(_: Config) -> Result<Self, Vec<ConfigProblem>> {
///         Ok(Self)
///     }
/// }
///
/// impl OnLog for Meter {
///     fn on_log(&self, exchange: &Exchange, _: Option<&Response>, summary: Summary) {
///         let tenant = exchange.header("x-tenant").unwrap_or_default();
///         let bytes = summary.request_bytes + summary.response_bytes;
///         metrics::count("bytes", bytes as f64, &[("tenant", &tenant)]);
///     }
/// }
///
/// portcullis_sdk::export!(Meter: on_log);
/// ```
pub trait OnLog: Policy {
    /// Nobody waits for it, and nothing can be changed: edits answer `too-late`. `response` is absent where the
    /// client has left before there was one. It is called for each policy of the route that exports it, also
    /// where the request did not come to this one.
    fn on_log(&self, exchange: &Exchange, response: Option<&Response>, summary: Summary);
}
