//! Where a route's requests go: that it is said once, and that it exists.

use std::collections::BTreeMap;

use super::answers::{fixed_response, redirect};
use super::balancing::hash_key;
use super::{Checks, Names, all, present};
use crate::destination::{Destination, Share, Split};
use crate::file::{FixedResponseFile, HashFile, RedirectFile, ShareFile};
use crate::part::Part;
use crate::path::{join_index, join_key};
use crate::route::Match;

/// Every key of a route that says where its requests go.
pub(super) struct Written {
    pub(super) upstream: Option<Part<String>>,
    pub(super) split: Option<Part<Vec<Part<ShareFile>>>>,
    pub(super) sticky: Option<Part<HashFile>>,
    pub(super) redirect: Option<Part<RedirectFile>>,
    pub(super) respond: Option<Part<FixedResponseFile>>,
}

/// The destination of the route at `path`; `matches` is its match, or `None` when that is broken.
pub(super) fn destination(
    path: &str,
    written: Written,
    matches: Option<&Match>,
    names: &Names,
    checks: &mut Checks,
) -> Option<Destination> {
    let at = |key: &str| join_key(path, key);
    let only_one = is_one(path, &written, checks);
    if written.sticky.is_some() && written.split.is_none() {
        checks.add(
            at("sticky"),
            "belongs to a split: remove it, or write split",
        );
    }
    let sticky = present(
        written
            .sticky
            .map(|part| hash_key(&at("sticky"), part, checks)),
    );
    let upstream = written.upstream.map(|part| {
        let upstreams = names.upstreams.as_ref();
        let name = checks.reference(&at("upstream"), "upstream", part, upstreams)?;
        Some(Destination::Upstream(name))
    });
    let split = written.split.map(|part| {
        let shares = shares(&at("split"), part, names, checks)?;
        let sticky = sticky?;
        Some(Destination::Split(Split { shares, sticky }))
    });
    let redirect = written
        .redirect
        .map(|part| redirect(&at("redirect"), part, matches, checks).map(Destination::Redirect));
    let respond = written.respond.map(|part| {
        fixed_response(&at("respond"), part, &names.base, checks).map(Destination::Respond)
    });
    let chosen = upstream.or(split).or(redirect).or(respond)?;
    chosen.filter(|_| only_one)
}

/// Whether exactly one destination is written, however well.
fn is_one(path: &str, keys: &Written, checks: &mut Checks) -> bool {
    let written = [
        ("upstream", keys.upstream.is_some()),
        ("split", keys.split.is_some()),
        ("redirect", keys.redirect.is_some()),
        ("respond", keys.respond.is_some()),
    ];
    let mut written = written.iter().filter(|(_, is_written)| *is_written);
    let Some((first, _)) = written.next() else {
        checks.add(
            join_key(path, "upstream"),
            "is missing: a route needs this, split, redirect or respond",
        );
        return false;
    };
    let Some((second, _)) = written.next() else {
        return true;
    };
    checks.add(
        join_key(path, second),
        format!("a route has either this or {first}: remove one"),
    );
    false
}

fn shares(
    path: &str,
    part: Part<Vec<Part<ShareFile>>>,
    names: &Names,
    checks: &mut Checks,
) -> Option<Vec<Share>> {
    let parts = checks.read(path, part)?;
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let shares = parts.into_iter().enumerate().map(|(index, part)| {
        let path = join_index(path, index);
        let file = checks.read(&path, part)?;
        let at_upstream = join_key(&path, "upstream");
        let weight = checks.read(&join_key(&path, "weight"), file.weight);
        let known = names.upstreams.as_ref();
        let upstream = checks.reference(&at_upstream, "upstream", file.upstream, known)?;
        if let Some(other) = first.insert(upstream.clone(), path) {
            checks.add(at_upstream, format!("the same upstream as in {other}"));
            return None;
        }
        let weight = weight?;
        Some(Share { upstream, weight })
    });
    let shares: Vec<Share> = all(shares)?;
    if !shares.is_empty() && shares.iter().all(|share| share.weight == 0) {
        checks.add(path, "every weight is 0: give one upstream a weight");
        return None;
    }
    Some(shares)
}
