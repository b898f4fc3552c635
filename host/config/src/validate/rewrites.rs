//! What becomes of a request's path and host on the way to the upstream.

use super::{Checks, present};
use crate::address;
use crate::file::RewriteFile;
use crate::part::Part;
use crate::path::join_key;
use crate::route::{Match, Rewrite, has_segments};

/// `matches` is the route's match, or `None` when that is broken.
pub(super) fn rewrite(
    path: &str,
    part: Part<RewriteFile>,
    matches: Option<&Match>,
    checks: &mut Checks,
) -> Option<Rewrite> {
    let file = checks.read(path, part)?;
    let at = |key: &str| join_key(path, key);
    let mut text =
        |key: &str, part: Option<Part<String>>, parse: fn(&str) -> Result<String, String>| {
            present(part.map(|part| checks.text(&at(key), part, parse)))
        };
    let strip_prefix = text("strip_prefix", file.strip_prefix, address::path_prefix);
    let add_prefix = text("add_prefix", file.add_prefix, address::path_prefix);
    let whole = text("path", file.path, address::whole_path);
    let host = text("host", file.host, address::authority);
    if let (Some(Some(strip)), Some(matches)) = (&strip_prefix, matches) {
        check_strip(&at("strip_prefix"), strip, matches, checks);
    }
    let has_prefix = [&strip_prefix, &add_prefix]
        .iter()
        .any(|prefix| matches!(prefix, Some(Some(_))));
    if has_prefix && matches!(whole, Some(Some(_))) {
        checks.add(
            at("path"),
            "replaces the whole path: remove it, or strip_prefix and add_prefix",
        );
    }
    // The prefix / changes nothing.
    Some(Rewrite {
        strip_prefix: strip_prefix?.filter(|prefix| prefix != "/"),
        add_prefix: add_prefix?.filter(|prefix| prefix != "/"),
        path: whole?,
        host: host?,
    })
}

fn check_strip(path: &str, strip: &str, matches: &Match, checks: &mut Checks) {
    let (key, matched) = match &matches.path {
        Some(exact) => ("path", exact),
        None => ("path_prefix", &matches.path_prefix),
    };
    if !has_segments(matched, strip) {
        let message = format!("must be a prefix of match.{key}, which is {matched}");
        checks.add(path, message);
    }
}
