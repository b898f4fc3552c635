//! What a caller is told when its request does not pass.

use portcullis_sdk::LocalResponse;
use portcullis_sdk::credential::Source;

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no key.
    Missing,
    /// It has several in one place.
    Ambiguous,
    /// Its key is none.
    Unknown,
    /// Its key was taken back.
    Disabled,
    /// Its key's time is over.
    Expired,
    /// Nobody can tell. Why is for the log alone.
    Unavailable(String),
}

impl Refusal {
    /// For the metric.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Unavailable(_) => "degraded_closed",
        }
    }

    /// The answer. Keys that are unknown, taken back and over get the same one: who tries keys out learns nothing.
    pub fn response(&self, realm: &str, sources: &[Source]) -> LocalResponse {
        match self {
            Self::Missing => challenge("An API key is required", realm, sources, ""),
            Self::Unknown | Self::Disabled | Self::Expired => challenge(
                "The API key is not accepted",
                realm,
                sources,
                ", error=\"invalid_token\"",
            ),
            Self::Ambiguous => LocalResponse::problem(400, "More than one API key"),
            Self::Unavailable(_) => {
                LocalResponse::problem(503, "API keys can't be checked at present")
                    .header("retry-after", "1")
            }
        }
    }
}

/// A challenge for each place that a key may be in. `Bearer` is RFC 6750's; for the others there is no registered
/// scheme, so that they get `ApiKey`, with the words that OpenAPI has for the place.
fn challenge(title: &str, realm: &str, sources: &[Source], bearer_error: &str) -> LocalResponse {
    let response = LocalResponse::problem(401, title);
    sources.iter().fold(response, |response, source| {
        let place = |place: &str, name: &str| {
            format!(
                "ApiKey realm=\"{realm}\", in=\"{place}\", name=\"{}\"",
                name.replace(['"', '\\'], "")
            )
        };
        let value = match source {
            Source::Bearer => format!("Bearer realm=\"{realm}\"{bearer_error}"),
            Source::Header(name) => place("header", name),
            Source::Cookie(name) => place("cookie", name),
            Source::Query(name) => place("query", name),
        };
        response.header("www-authenticate", value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(refusal: &Refusal, sources: &[Source]) -> Vec<String> {
        let response = refusal.response("api", sources);
        let fields = response.headers.iter().skip(1);
        fields
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect()
    }

    #[test]
    fn a_challenge_names_each_place() {
        let sources = [
            Source::Header("x-api-key".to_owned()),
            Source::Bearer,
            Source::Query("k".to_owned()),
        ];
        assert_eq!(
            fields(&Refusal::Unknown, &sources),
            [
                "www-authenticate: ApiKey realm=\"api\", in=\"header\", name=\"x-api-key\"",
                "www-authenticate: Bearer realm=\"api\", error=\"invalid_token\"",
                "www-authenticate: ApiKey realm=\"api\", in=\"query\", name=\"k\"",
            ]
        );
        // RFC 6750 §3.1: no error for who has sent nothing.
        assert_eq!(
            fields(&Refusal::Missing, &[Source::Bearer]),
            ["www-authenticate: Bearer realm=\"api\""]
        );
    }

    #[test]
    fn bad_keys_are_answered_alike_and_failures_tell_nothing() {
        let answer = |refusal: &Refusal| {
            let response = refusal.response("api", &[Source::Bearer]);
            (response.status, response.headers, response.body)
        };
        assert_eq!(answer(&Refusal::Unknown), answer(&Refusal::Disabled));
        assert_eq!(answer(&Refusal::Unknown), answer(&Refusal::Expired));
        let failed = Refusal::Unavailable("redis: timed out".to_owned());
        assert_eq!(fields(&failed, &[]), ["retry-after: 1"]);
        assert!(!String::from_utf8_lossy(&failed.response("api", &[]).body).contains("redis"));
    }
}
