//! What a request may be, checked against what there is of it.

use portcullis_sdk::MediaRange;

use crate::config::Config;
use crate::refusal::Refusal;

/// Methods whose body has a meaning (RFC 9110 §9.3; RFC 5789): without a length one may follow.
const METHODS_WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];

/// The checked config, with the texts of its refusals.
#[derive(Debug)]
pub struct Limits {
    config: Config,
    allow: String,
    accept: String,
}

/// The request as the limits see it. What is not limited is not asked for.
pub trait Facts {
    /// Its method, path and query.
    fn target(&self) -> Target;
    /// The number of fields, and the bytes of their names and values.
    fn fields(&self) -> (usize, u64);
    /// The first value of a field.
    fn header(&self, name: &str) -> Option<String>;
    /// All values of a field.
    fn values(&self, name: &str) -> usize;
}

/// Method, path and query.
#[derive(Clone, Debug)]
pub struct Target {
    /// In its case.
    pub method: String,
    /// With the query.
    pub path_with_query: String,
}

impl Limits {
    /// Of a config that is sound.
    pub fn new(config: Config) -> Self {
        let allow = config
            .methods
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let accept = config
            .content_types
            .iter()
            .flatten()
            .map(MediaRange::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        Self {
            config,
            allow,
            accept,
        }
    }

    /// The first limit that the request does not keep.
    ///
    /// # Errors
    ///
    /// That limit.
    pub fn check(&self, facts: &impl Facts) -> Result<(), Refusal> {
        let target = facts.target();
        self.check_target(&target)?;
        self.check_fields(facts)?;
        self.check_body(&target.method, facts)
    }

    fn check_target(&self, target: &Target) -> Result<(), Refusal> {
        let config = &self.config;
        if config
            .methods
            .as_ref()
            .is_some_and(|methods| !methods.contains(&target.method))
        {
            return Err(Refusal::Method(self.allow.clone()));
        }
        let (path, query) = target
            .path_with_query
            .split_once('?')
            .unwrap_or((&target.path_with_query, ""));
        if let Some(limit) = config.max_path.map(|size| size.as_bytes())
            && path.len() as u64 > limit
        {
            return Err(Refusal::Path(limit));
        }
        if let Some(limit) = config.max_query.map(|size| size.as_bytes())
            && query.len() as u64 > limit
        {
            return Err(Refusal::Query(limit));
        }
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        match config.max_query_parameters {
            Some(limit) if parameters.count() > limit as usize => {
                Err(Refusal::QueryParameters(limit))
            }
            _ => Ok(()),
        }
    }

    fn check_fields(&self, facts: &impl Facts) -> Result<(), Refusal> {
        let config = &self.config;
        if config.max_headers.is_some() || config.max_header_bytes.is_some() {
            let (count, bytes) = facts.fields();
            if let Some(limit) = config.max_headers
                && count > limit as usize
            {
                return Err(Refusal::Headers(limit));
            }
            if let Some(limit) = config.max_header_bytes.map(|size| size.as_bytes())
                && bytes > limit
            {
                return Err(Refusal::HeaderBytes(limit));
            }
        }
        let is_missing = |name: &str| facts.header(name).is_none_or(|value| value.is_empty());
        let required = config.required_headers.iter().flatten();
        let missing: Vec<String> = required
            .filter(|name| is_missing(name.as_str()))
            .map(|name| name.as_str().to_owned())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Refusal::RequiredHeaders(missing))
        }
    }

    fn check_body(&self, method: &str, facts: &impl Facts) -> Result<(), Refusal> {
        let config = &self.config;
        if !config.length_required && config.max_body.is_none() && config.content_types.is_none() {
            return Ok(());
        }
        let length = facts
            .header("content-length")
            .and_then(|length| length.trim().parse::<u64>().ok());
        let may_have_body = METHODS_WITH_BODY.contains(&method);
        if config.length_required && may_have_body && length.is_none() {
            return Err(Refusal::Length);
        }
        if let Some(limit) = config.max_body.map(|size| size.as_bytes())
            && length.is_some_and(|length| length > limit)
        {
            return Err(Refusal::Body(limit));
        }
        self.check_content_type(length, may_have_body, facts)
    }

    /// A body is taken for there if its length says so, or if nothing says that it is not.
    fn check_content_type(
        &self,
        length: Option<u64>,
        may_have_body: bool,
        facts: &impl Facts,
    ) -> Result<(), Refusal> {
        let Some(ranges) = &self.config.content_types else {
            return Ok(());
        };
        if length == Some(0) {
            return Ok(());
        }
        let is_taken = match facts.header("content-type") {
            // Two would be read by one and by the other.
            Some(content_type) => {
                facts.values("content-type") == 1
                    && ranges.iter().any(|range| range.contains(&content_type))
            }
            None => length.is_none() && !may_have_body,
        };
        if is_taken {
            Ok(())
        } else {
            Err(Refusal::ContentType(self.accept.clone()))
        }
    }
}

#[cfg(test)]
mod tests;
