//! Who may call the control API: whoever has a token, and calls it by a name that is its own.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Refusal;
use super::control_listener::ControlState;
use super::role::Role;

/// Lets a call pass with its caller's [`Role`] among its extensions, or refuses it.
pub(super) async fn check(
    State(state): State<Arc<ControlState>>,
    mut request: Request,
    next: Next,
) -> Response {
    match role(&state, request.headers()) {
        Ok(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Refuses a role that is too weak.
pub(super) fn need(role: Role, least: Role) -> Result<(), Refusal> {
    if role >= least {
        return Ok(());
    }
    Err(Refusal::forbidden(format!(
        "needs the role {}, the token has {}",
        least.name(),
        role.name()
    )))
}

fn role(state: &ControlState, headers: &HeaderMap) -> Result<Role, Refusal> {
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
    let role = state.tokens.role_of(token);
    role.ok_or_else(|| Refusal::unauthorised("the token is not known"))
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
