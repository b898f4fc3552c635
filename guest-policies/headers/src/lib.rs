//! Sets, appends, renames and removes header fields, with values that are put together from the exchange.
//!
//! This file ties the edits to the gateway.

pub mod config;
pub mod group;
pub mod status_set;
pub mod template;
pub mod variable;

use portcullis_sdk::{
    ConfigProblem, Exchange, FieldName, FieldOp, Manifest, OnRequest, OnResponse, Policy,
    RequestVerdict, Response, ResponseVerdict, metrics,
};

use config::{Config, Groups};
use group::{Change, Changes, Facts};
use variable::Variable;

/// The policy with its config.
#[derive(Debug)]
pub struct Headers {
    groups: Groups,
    /// Some group of the response asks for the status.
    asks_for_status: bool,
}

impl Policy for Headers {
    type Config = Config;

    const MANIFEST: Manifest = Manifest {
        name: "headers",
        version: env!("CARGO_PKG_VERSION"),
        description: "Edits header fields of requests and responses",
        annotations: &[("optional-imports", "metrics")],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        let groups = config.groups()?;
        let asks_for_status = groups
            .response
            .iter()
            .any(|group| group.when_status.is_some());
        Ok(Self {
            groups,
            asks_for_status,
        })
    }
}

impl OnRequest for Headers {
    fn on_request(&self, exchange: &Exchange) -> Result<RequestVerdict, String> {
        let facts = Head {
            exchange,
            response: None,
        };
        let mut changes = Changes::default();
        self.groups
            .request
            .iter()
            .for_each(|group| changes.add(group, &facts));
        if let Some(ops) = ops(&changes) {
            exchange.edit_headers(&ops)?;
        }
        Ok(RequestVerdict::Next)
    }
}

impl OnResponse for Headers {
    fn on_response(
        &self,
        exchange: &Exchange,
        response: &Response,
    ) -> Result<ResponseVerdict, String> {
        let facts = Head {
            exchange,
            response: Some(response),
        };
        let status = if self.asks_for_status {
            response.status()
        } else {
            0
        };
        let mut changes = Changes::default();
        for group in &self.groups.response {
            if group
                .when_status
                .as_ref()
                .is_none_or(|set| set.contains(status))
            {
                changes.add(group, &facts);
            }
        }
        if let Some(ops) = ops(&changes) {
            response.edit_headers(&ops)?;
        }
        Ok(ResponseVerdict::Next)
    }
}

/// The edits for the gateway, if there are any; counts values that were left out.
fn ops<'a>(changes: &'a Changes<'_>) -> Option<Vec<FieldOp<'a>>> {
    if changes.unfit > 0 {
        metrics::count("headers.unfit_values", changes.unfit as f64, &[]);
    }
    (!changes.changes.is_empty()).then(|| changes.changes.iter().map(Change::op).collect())
}

/// The head that is edited, with what surrounds it.
struct Head<'a> {
    exchange: &'a Exchange,
    /// Of edits of the response.
    response: Option<&'a Response>,
}

impl Facts for Head<'_> {
    fn look_up(&self, variable: &Variable) -> Option<Vec<u8>> {
        let exchange = self.exchange;
        let text = match variable {
            Variable::RequestHeader(name) => {
                return joined(name, exchange.header_values(name.as_str()));
            }
            Variable::ResponseHeader(name) => {
                return joined(name, self.response?.header_values(name.as_str()));
            }
            Variable::Attribute(name) => exchange.attribute(name)?,
            Variable::Shared(key) => exchange.get_shared(key)?,
            Variable::RequestId => exchange.id(),
            Variable::RequestMethod => exchange.head().method,
            Variable::RequestHost => exchange.head().authority,
            Variable::RequestPath => {
                let mut target = exchange.head().path_with_query;
                target.truncate(target.find('?').unwrap_or(target.len()));
                target
            }
            Variable::RequestQuery => exchange
                .head()
                .path_with_query
                .split_once('?')?
                .1
                .to_owned(),
            Variable::RequestCookie(name) => exchange.cookie(name)?,
            Variable::ResponseStatus => self.response?.status().to_string(),
        };
        Some(text.into_bytes())
    }

    fn values(&self, name: &FieldName) -> Vec<Vec<u8>> {
        match self.response {
            Some(response) => response.header_values(name.as_str()),
            None => self.exchange.header_values(name.as_str()),
        }
    }
}

/// All values as one (RFC 9110 §5.3; cookies: RFC 9113 §8.2.3).
fn joined(name: &FieldName, values: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    let separator: &[u8] = if name.as_str() == "cookie" {
        b"; "
    } else {
        b", "
    };
    (!values.is_empty()).then(|| values.join(separator))
}

portcullis_sdk::export!(Headers: on_request, on_response; config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_field_are_joined_as_its_kind_is() {
        let name = |text| FieldName::parse(text).unwrap();
        let values = || vec![b"a=1".to_vec(), b"b=2".to_vec()];
        assert_eq!(
            joined(&name("x-a"), values()).as_deref(),
            Some(&b"a=1, b=2"[..])
        );
        assert_eq!(
            joined(&name("cookie"), values()).as_deref(),
            Some(&b"a=1; b=2"[..])
        );
        assert_eq!(joined(&name("x-a"), Vec::new()), None);
    }
}
