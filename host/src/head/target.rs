//! What a request asks for: the path and the query, in their one spelling.

use http::Method;
use http::uri::{PathAndQuery, Uri};
use portcullis_config::{PathError, PathNormalisation};

use crate::error::GatewayError;

/// The target in origin form (RFC 9112 §3.2.1) and normal.
///
/// The absolute form has one, too; its authority is [`super::host`]'s. The asterisk form asks of the
/// gateway, which has nothing to say, and the authority form asks for a tunnel: both are refused.
pub(super) fn origin_form(
    method: &Method,
    uri: &Uri,
    rules: &PathNormalisation,
) -> Result<PathAndQuery, GatewayError> {
    if *method == Method::CONNECT {
        return Err(GatewayError::BadRequest("CONNECT is not offered"));
    }
    if let Some(scheme) = uri.scheme_str()
        && scheme != "http"
        && scheme != "https"
    {
        return Err(GatewayError::BadRequest(
            "the target's scheme is neither http nor https",
        ));
    }
    let Some(target) = uri.path_and_query() else {
        return Err(GatewayError::BadRequest(PathError::NotAPath.as_str()));
    };
    let text = target.as_str();
    // `http://host?query` has an empty path, which is written `/` in origin form.
    let rooted = (uri.authority().is_some() && text.starts_with('?')).then(|| format!("/{text}"));
    if let Some(rooted) = rooted {
        let rooted = PathAndQuery::try_from(rooted)
            .map_err(|_| GatewayError::BadRequest(PathError::NotAPath.as_str()))?;
        return normal(&rooted, rules);
    }
    normal(target, rules)
}

/// The target in its one spelling; the usual one is that already.
fn normal(target: &PathAndQuery, rules: &PathNormalisation) -> Result<PathAndQuery, GatewayError> {
    match rules.normalise(target.as_str()) {
        Ok(None) => Ok(target.clone()),
        // Longer than the client's where bytes had to be encoded.
        Ok(Some(normal)) => PathAndQuery::try_from(normal).map_err(|_| GatewayError::TargetTooLong),
        Err(error) => Err(GatewayError::BadRequest(error.as_str())),
    }
}
