//! Holds what was seen of an exchange against what its case expects.

use http::header::HOST;

use super::claims::{Message, Mismatches};
use super::expectation::{
    DelayClaim, Expectation, RequestClaims, ResponseClaims, RetryClaims, UpstreamExpectation,
};
use super::seen::{Seen, SeenRequest, SeenResponse};
use super::series::{self, Series};
use crate::policy::verdict::{EndpointChoice, RetryPlan};

/// All that is not as expected. Series are those before and after the exchange.
pub(super) fn mismatches(
    expected: &Expectation,
    seen: &Seen,
    (before, after): (&Series, &Series),
) -> Mismatches {
    let mut found = Mismatches::new();
    faults(expected.error.as_deref(), &seen.faults, &mut found);
    if let Some(claims) = &expected.response {
        found.extend(response(claims, &seen.response).under("response"));
    }
    if let Some(expected) = &expected.upstream {
        upstream(expected, seen.upstream.as_ref(), &mut found);
    }
    found.value("attempts", expected.attempts, seen.attempts);
    if let Some(claims) = &expected.retries {
        retries(claims, &seen.retries, &mut found);
    }
    for (key, claimed) in &expected.shared {
        found.value(
            &format!("shared.{key}"),
            Some(claimed.0.clone()),
            seen.exchange.shared(key),
        );
    }
    for (name, claimed) in &expected.metrics {
        let grown = series::growth(before, after, name);
        found.value(&format!("metrics.{name}"), Some(*claimed), grown);
    }
    found
}

fn faults(expected: Option<&str>, seen: &[String], found: &mut Mismatches) {
    match expected {
        Some(part) if seen.iter().any(|fault| fault.contains(part)) => {}
        Some(part) => found.push(format!("error: expected one with {part:?}, got {seen:?}")),
        None => {
            for fault in seen {
                found.push(format!("a hook failed: {fault}"));
            }
        }
    }
}

fn response(claims: &ResponseClaims, seen: &SeenResponse) -> Mismatches {
    let mut found = Mismatches::new();
    found.value("status", claims.status, seen.status.as_u16());
    found.headers(&claims.headers, &seen.headers);
    found.body(claims.body.as_ref(), claims.json.as_ref(), &seen.body);
    found
}

fn upstream(expected: &UpstreamExpectation, seen: Option<&SeenRequest>, found: &mut Mismatches) {
    match (expected, seen) {
        (UpstreamExpectation::NotAsked(_), None) => {}
        (UpstreamExpectation::NotAsked(_), Some(request)) => {
            let asked = format!("{} {}", request.method, request.path);
            found.push(format!("upstream: expected none, got {asked}"));
        }
        (UpstreamExpectation::Asked(_), None) => {
            found.push("upstream: expected a request, got none".to_owned());
        }
        (UpstreamExpectation::Asked(claims), Some(request)) => {
            found.extend(asked(claims, request).under("upstream"));
        }
    }
}

fn asked(claims: &RequestClaims, seen: &SeenRequest) -> Mismatches {
    let mut found = Mismatches::new();
    found.text("name", claims.name.as_ref(), &seen.upstream);
    found.text("method", claims.method.as_ref(), &seen.method);
    found.text("path", claims.path.as_ref(), &seen.path);
    let host = seen
        .headers
        .get(HOST)
        .map(|host| String::from_utf8_lossy(host.as_bytes()));
    found.text("host", claims.host.as_ref(), &host.unwrap_or_default());
    let message = Message {
        headers: &seen.headers,
        body: &seen.body,
    };
    found.headers(&claims.headers, message.headers);
    found.body(claims.body.as_ref(), claims.json.as_ref(), message.body);
    found
}

fn retries(claims: &[RetryClaims], seen: &[RetryPlan], found: &mut Mismatches) {
    if claims.len() != seen.len() {
        found.push(format!("retries: expected {}, got {seen:?}", claims.len()));
        return;
    }
    for (index, (claims, seen)) in claims.iter().zip(seen).enumerate() {
        let mut one = Mismatches::new();
        if let Some(claim) = &claims.delay
            && !holds(claim, seen)
        {
            one.push(format!("delay: expected {claim:?}, got {:?}", seen.delay));
        }
        let other = seen.endpoint == EndpointChoice::Other;
        one.value("other_endpoint", claims.other_endpoint, other);
        let timeout = claims.timeout.map(|timeout| Some(timeout.get()));
        one.value("timeout", timeout, seen.timeout);
        found.extend(one.under(&format!("retries[{index}]")));
    }
}

fn holds(claim: &DelayClaim, seen: &RetryPlan) -> bool {
    match claim {
        DelayClaim::Exact(delay) => seen.delay == delay.get(),
        DelayClaim::Between(least, most) => (least.get()..=most.get()).contains(&seen.delay),
    }
}
