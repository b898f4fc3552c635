//! Who may call the control API: whoever has a token, and calls it by a name that is its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Refusal;
use super::control_listener::ControlState;
use super::role::Role;
use super::tokens::Holder;
use crate::policy_store::entry::Actor;

/// What a call may take, its body included: an upload over a slow line, and a large policy to compile.
const REQUEST_TIME: Duration = Duration::from_mins(2);

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    holder: Holder,
    address: SocketAddr,
}

/// Lets a call pass with its [`Caller`] among its extensions, or refuses it.
pub(super) async fn check(
    State(state): State<Arc<ControlState>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match holder(&state, request.headers()) {
        Ok(holder) => {
            request.extensions_mut().insert(Caller { holder, address });
            let answered = tokio::time::timeout(REQUEST_TIME, next.run(request));
            answered.await.unwrap_or_else(|_| {
                let detail = format!(
                    "not done within {REQUEST_TIME:?}; a change may still be made: `portcullis journal` tells"
                );
                Refusal::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
            })
        }
        Err(refusal) => refusal.into_response(),
    }
}

impl Caller {
    /// Refuses a role that is too weak.
    pub(super) fn needs(&self, least: Role) -> Result<(), Refusal> {
        let role = self.holder.role;
        if role >= least {
            return Ok(());
        }
        Err(Refusal::forbidden(format!(
            "needs the role {}, the token has {}",
            least.name(),
            role.name()
        )))
    }

    /// As the journal of changes names it.
    pub(super) fn actor(&self) -> Actor {
        Actor {
            role: self.holder.role.name().to_owned(),
            name: self.holder.name.clone(),
            from: Some(self.address.to_string()),
        }
    }
}

fn holder(state: &ControlState, headers: &HeaderMap) -> Result<Holder, Refusal> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    // A page of another site can have its own name lead here (DNS rebinding); it can't choose the name.
    if !is_own_name(host, state) {
        return Err(Refusal::forbidden(
            "the Host is none of this API's; add it to control.hosts".to_owned(),
        ));
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let authority = origin.to_str().ok().and_then(|origin| {
            let rest = origin.strip_prefix("http://");
            rest.or_else(|| origin.strip_prefix("https://"))
        });
        if authority != Some(host) {
            return Err(Refusal::forbidden(
                "called from a page of another origin".to_owned(),
            ));
        }
    }
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = given.and_then(|given| {
        let (scheme, token) = given.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let Some(token) = token else {
        return Err(Refusal::unauthorised("send `Authorization: Bearer TOKEN`"));
    };
    let holder = state.tokens.holder_of(token).cloned();
    holder.ok_or_else(|| Refusal::unauthorised("the token is not known"))
}

fn is_own_name(host: &str, state: &ControlState) -> bool {
    let name = without_port(host).to_ascii_lowercase();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_address = bare.unwrap_or(&name).parse::<IpAddr>().is_ok();
    is_address || name == "localhost" || state.hosts.contains(&name)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
