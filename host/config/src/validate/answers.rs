//! Answers that a route makes itself: redirects and fixed responses.

use std::path::Path;

use super::fields::values;
use super::{Checks, present};
use crate::address;
use crate::destination::{FixedBody, FixedResponse, Redirect, RedirectPath};
use crate::file::{FixedResponseFile, RedirectFile};
use crate::part::Part;
use crate::path::join_key;
use crate::route::Match;

const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
/// RFC 9110 §15.3.5, §15.3.6 and §15.4.5: their responses have no body.
const BODILESS_STATUSES: [u16; 3] = [204, 205, 304];

/// `matches` is the route's match, or `None` when that is broken.
pub(super) fn redirect(
    path: &str,
    part: Part<RedirectFile>,
    matches: Option<&Match>,
    checks: &mut Checks,
) -> Option<Redirect> {
    let path_of_redirect = path;
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path_of_redirect, key);
    let status = checks.read(&at("status"), file.status);
    if status.is_some_and(|status| !REDIRECT_STATUSES.contains(&status)) {
        checks.add(at("status"), "must be 301, 302, 303, 307 or 308");
    }
    let mut text =
        |key: &str, part: Option<Part<String>>, parse: fn(&str) -> Result<String, String>| {
            present(part.map(|part| checks.text(&at(key), part, parse)))
        };
    let scheme = text("scheme", file.scheme, scheme);
    let host = text("host", file.host, address::authority);
    let whole = text("path", file.path, address::whole_path);
    let prefix = text("path_prefix", file.path_prefix, address::path_prefix);
    let keep_query = checks.read(&at("keep_query"), file.keep_query);
    let (scheme, host, whole, prefix) = (scheme?, host?, whole?, prefix?);
    if prefix.is_some() && matches.is_some_and(|matches| matches.path.is_some()) {
        checks.add(
            at("path_prefix"),
            "replaces match.path_prefix, which is not there: write path",
        );
    }
    let path = match (whole, prefix) {
        (Some(_), Some(_)) => {
            checks.add(
                at("path_prefix"),
                "a redirect has either this or path: remove one",
            );
            return None;
        }
        (Some(whole), None) => Some(RedirectPath::Whole(whole)),
        (None, Some(prefix)) => Some(RedirectPath::Prefix(prefix)),
        (None, None) => None,
    };
    if scheme.is_none() && host.is_none() && path.is_none() {
        checks.add(
            path_of_redirect,
            "would send the client back here: write scheme, host, path or path_prefix",
        );
        return None;
    }
    Some(Redirect {
        status: status?,
        scheme,
        host,
        path,
        keep_query: keep_query?,
    })
}

fn scheme(text: &str) -> Result<String, String> {
    match text {
        "http" | "https" => Ok(text.to_owned()),
        _ => Err("must be http or https".to_owned()),
    }
}

/// Relative files start from `base`.
pub(super) fn fixed_response(
    path: &str,
    part: Part<FixedResponseFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<FixedResponse> {
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path, key);
    let status = checks.read(&at("status"), file.status);
    let headers = values(&at("headers"), file.headers, checks);
    let text = present(file.body.map(|part| checks.read(&at("body"), part)));
    let named = present(
        file.file
            .map(|part| checks.text(&at("file"), part, file_name)),
    );
    let (text, named) = (text?, named?);
    if text.is_some() && named.is_some() {
        checks.add(at("file"), "a response has either this or body: remove one");
    }
    let body = text
        .map(FixedBody::Text)
        .or(named.map(|name| FixedBody::File(base.join(name))));
    let status = status?;
    if body.is_some() && BODILESS_STATUSES.contains(&status) {
        let message = format!("a response with status {status} has no body: remove it");
        let key = if matches!(body, Some(FixedBody::Text(_))) {
            "body"
        } else {
            "file"
        };
        checks.add(at(key), message);
    }
    Some(FixedResponse {
        status,
        headers: headers?,
        body,
    })
}

fn file_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name of the file is missing".to_owned());
    }
    Ok(text.to_owned())
}
