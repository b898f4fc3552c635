//! From the contract's free functions to a policy's methods: `export!` and what it stands on.

use std::cell::OnceCell;
use std::marker::PhantomData;

use crate::bindings::{
    lifecycle, on_attempt, on_log, on_request, on_request_body, on_response, on_response_body,
};
use crate::{
    Attempt, AttemptVerdict, BodyReader, BodyWriter, ConfigProblem, Exchange, OnAttempt, OnLog,
    OnRequest, OnRequestBody, OnResponse, OnResponseBody, Policy, RequestVerdict, Response,
    ResponseVerdict, Summary, config, log,
};

/// Makes a component of a policy, exporting the hooks that are named.
///
/// ```text
/// portcullis_sdk::export!(MyPolicy: on_request, on_response);
/// ```
///
/// The hooks are `on_request`, `on_request_body`, `on_attempt`, `on_response`, `on_response_body` and
/// `on_log`; the policy implements the trait of each. Once in a crate. A native build only checks that the traits are there, so that
/// a policy can be tested natively.
///
/// The config's JSON Schema is made at run time from `Config: JsonSchema`. That is about a third of a small
/// policy's code; a schema that is given is taken instead, and schemars stays out of the component
/// (see [`schema`](crate::schema)):
///
/// ```text
/// portcullis_sdk::export!(MyPolicy: on_request; config_schema = include_str!("../config.schema.json"));
/// ```
#[macro_export]
macro_rules! export {
    ($policy:ty: $($hook:ident),+ $(,)?) => {
        $crate::export!(
            $policy: $($hook),+;
            config_schema = $crate::schema::generate::<<$policy as $crate::Policy>::Config>()
        );
    };
    ($policy:ty: $($hook:ident),+; config_schema = $schema:expr) => {
        const _: () = {
            type Exported = $crate::Component<$policy>;

            impl $crate::Kept for $policy {
                fn config_schema() -> ::std::string::String {
                    ::std::convert::Into::into($schema)
                }

                fn slot<R>(use_it: impl FnOnce(&$crate::Slot<Self>) -> R) -> R {
                    ::std::thread_local! {
                        static SLOT: $crate::Slot<$policy> = const { $crate::Slot::new() };
                    }
                    SLOT.with(use_it)
                }
            }

            // The names that a component exports are none that a native linker takes.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::lifecycle::export!(Exported with_types_in $crate::bindings::lifecycle);
            $(
                #[cfg(target_arch = "wasm32")]
                $crate::bindings::$hook::export!(Exported with_types_in $crate::bindings::$hook);
            )+

            const fn has_hooks<P: $crate::bindings::lifecycle::Guest $(+ $crate::bindings::$hook::Guest)+>() {}
            const _: () = has_hooks::<Exported>();
        };
    };
}

/// Where an instance keeps its policy.
pub type Slot<P> = OnceCell<P>;

/// A policy that `export!` has given a slot.
pub trait Kept: Policy {
    /// The JSON Schema of the policy's config.
    fn config_schema() -> String;

    /// Calls `use_it` with the slot.
    fn slot<R>(use_it: impl FnOnce(&Slot<Self>) -> R) -> R;
}

/// Stands for policy `P` where the generated code wants an implementor.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Kept> Component<P> {
    /// Calls `hook` with the configured policy.
    fn with<R>(hook: impl FnOnce(&P) -> Result<R, String>) -> Result<R, String> {
        P::slot(|slot| match slot.get() {
            Some(policy) => hook(policy),
            None => Err("called before configure".to_owned()),
        })
    }
}

impl<P: Kept> lifecycle::Guest for Component<P> {
    fn describe() -> lifecycle::Manifest {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        lifecycle::Manifest {
            name: P::MANIFEST.name.to_owned(),
            version: P::MANIFEST.version.to_owned(),
            description: P::MANIFEST.description.to_owned(),
            config_schema: Some(P::config_schema()),
            annotations: P::MANIFEST.annotations.iter().map(owned).collect(),
        }
    }

    fn configure(config: String) -> Result<(), Vec<ConfigProblem>> {
        // Otherwise a panic is a bare trap, and its message is lost.
        std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string(), &[])));
        let policy = P::configure(config::parse(&config)?)?;
        P::slot(|slot| slot.set(policy)).map_err(|_| {
            vec![ConfigProblem::new(
                "",
                "this instance is configured already",
            )]
        })
    }
}

impl<P: Kept + OnRequest> on_request::Guest for Component<P> {
    fn on_request(exchange: &Exchange) -> Result<RequestVerdict, String> {
        Self::with(|policy| policy.on_request(exchange))
    }
}

impl<P: Kept + OnRequestBody> on_request_body::Guest for Component<P> {
    fn on_request_body(
        exchange: &Exchange,
        input: &BodyReader,
        output: &BodyWriter,
    ) -> Result<(), String> {
        Self::with(|policy| policy.on_request_body(exchange, input, output))
    }
}

impl<P: Kept + OnResponseBody> on_response_body::Guest for Component<P> {
    fn on_response_body(
        exchange: &Exchange,
        response: &Response,
        input: &BodyReader,
        output: &BodyWriter,
    ) -> Result<(), String> {
        Self::with(|policy| policy.on_response_body(exchange, response, input, output))
    }
}

impl<P: Kept + OnResponse> on_response::Guest for Component<P> {
    fn on_response(exchange: &Exchange, response: &Response) -> Result<ResponseVerdict, String> {
        Self::with(|policy| policy.on_response(exchange, response))
    }
}

impl<P: Kept + OnAttempt> on_attempt::Guest for Component<P> {
    fn on_attempt(
        exchange: &Exchange,
        last: Attempt,
        response: Option<&Response>,
    ) -> Result<AttemptVerdict, String> {
        Self::with(|policy| policy.on_attempt(exchange, last, response))
    }
}

impl<P: Kept + OnLog> on_log::Guest for Component<P> {
    fn on_log(exchange: &Exchange, response: Option<&Response>, summary: Summary) {
        // The hook has no error to answer; before `configure` there is nothing to tell either.
        let _ = Self::with(|policy| {
            policy.on_log(exchange, response, summary);
            Ok(())
        });
    }
}
