//! The config of one use of the policy, as an operator writes it.

use std::collections::BTreeMap;

use portcullis_sdk::{ConfigProblem, FieldName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::group::{Edit, Group};
use crate::status_set::{StatusSet, StatusWord};
use crate::template::Template;

/// Edits of one side, so that no hook comes near the gateway's bound (256).
const MAX_EDITS: usize = 100;

/// Changes of header fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Changes of the request, before the upstream gets it. Groups are made in order.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub request: Vec<RequestGroup>,
    /// Changes of the response, before the client gets it. Groups are made in order.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub response: Vec<ResponseGroup>,
}

/// Changes of the request, in the order of these keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestGroup {
    /// Old name and new: all values move, in place of what the new name had. A field that is absent changes nothing.
    pub rename: BTreeMap<FieldName, FieldName>,
    /// Names of the fields that go.
    pub remove: Vec<FieldName>,
    /// Name and value, in place of all values. A value whose variable is absent takes the field away.
    pub set: BTreeMap<FieldName, String>,
    /// Name and value, where there is no such field.
    pub set_if_absent: BTreeMap<FieldName, String>,
    /// Name and value, after the values that are there.
    pub append: BTreeMap<FieldName, String>,
}

/// Changes of responses, in the order of these keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseGroup {
    /// Statuses that the group is for: `404`, `2xx`. Default: all.
    #[schemars(length(min = 1))]
    pub when_status: Option<Vec<StatusWord>>,
    /// Old name and new: all values move, in place of what the new name had. A field that is absent changes nothing.
    pub rename: BTreeMap<FieldName, FieldName>,
    /// Names of the fields that go.
    pub remove: Vec<FieldName>,
    /// Name and value, in place of all values. A value whose variable is absent takes the field away.
    pub set: BTreeMap<FieldName, String>,
    /// Name and value, where there is no such field.
    pub set_if_absent: BTreeMap<FieldName, String>,
    /// Name and value, after the values that are there.
    pub append: BTreeMap<FieldName, String>,
}

/// The checked config.
#[derive(Debug)]
pub struct Groups {
    /// Of the request.
    pub request: Vec<Group>,
    /// Of the response.
    pub response: Vec<Group>,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// Each problem with the place where it is.
    pub fn groups(self) -> Result<Groups, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        if self.request.is_empty() && self.response.is_empty() {
            problems.push(ConfigProblem::new(
                "",
                "changes nothing: write groups under request or response",
            ));
        }
        let request = side(
            "request",
            self.request.into_iter().map(|group| (None, group)),
            &mut problems,
        );
        let response = side(
            "response",
            self.response.into_iter().map(ResponseGroup::split),
            &mut problems,
        );
        if problems.is_empty() {
            Ok(Groups { request, response })
        } else {
            Err(problems)
        }
    }
}

impl ResponseGroup {
    fn split(self) -> (Option<Vec<StatusWord>>, RequestGroup) {
        let Self {
            when_status,
            rename,
            remove,
            set,
            set_if_absent,
            append,
        } = self;
        (
            when_status,
            RequestGroup {
                rename,
                remove,
                set,
                set_if_absent,
                append,
            },
        )
    }
}

fn side(
    side: &str,
    groups: impl Iterator<Item = (Option<Vec<StatusWord>>, RequestGroup)>,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<Group> {
    let mut checked = Vec::new();
    for (i, (words, group)) in groups.enumerate() {
        let mut check = Check {
            is_response: side == "response",
            place: format!("/{side}/{i}"),
            problems,
        };
        checked.push(Group {
            when_status: words.and_then(|words| check.statuses(&words)),
            edits: check.edits(group),
        });
    }
    if checked.iter().map(|group| group.edits.len()).sum::<usize>() > MAX_EDITS {
        problems.push(ConfigProblem::new(
            format!("/{side}"),
            format!("has more than {MAX_EDITS} changes"),
        ));
    }
    checked
}

/// Where problems of one group go.
struct Check<'a> {
    is_response: bool,
    place: String,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Check<'_> {
    fn report(&mut self, place: &str, message: impl Into<String>) {
        self.problems.push(ConfigProblem::new(
            format!("{}/{place}", self.place),
            message,
        ));
    }

    fn statuses(&mut self, words: &[StatusWord]) -> Option<StatusSet> {
        if words.is_empty() {
            self.report("when_status", "must name a status, or be left out for all");
        }
        StatusSet::parse(words)
            .map_err(|i| {
                let message = "must be a status from 200 to 599, or 2xx, 3xx, 4xx or 5xx";
                self.report(&format!("when_status/{i}"), message);
            })
            .ok()
    }

    fn edits(&mut self, group: RequestGroup) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (from, to) in group.rename {
            let place = format!("rename/{from}");
            self.name(&place, &from);
            self.name(&place, &to);
            edits.push(Edit::Rename(from, to));
        }
        for (i, name) in group.remove.into_iter().enumerate() {
            self.name(&format!("remove/{i}"), &name);
            edits.push(Edit::Remove(name));
        }
        self.values("set", group.set, Edit::Set, &mut edits);
        self.values(
            "set_if_absent",
            group.set_if_absent,
            Edit::SetIfAbsent,
            &mut edits,
        );
        self.values("append", group.append, Edit::Append, &mut edits);
        if edits.is_empty() {
            self.problems.push(ConfigProblem::new(
                self.place.clone(),
                "changes nothing: write rename, remove, set, set_if_absent or append",
            ));
        }
        edits
    }

    fn values(
        &mut self,
        key: &str,
        values: BTreeMap<FieldName, String>,
        edit: fn(FieldName, Template) -> Edit,
        edits: &mut Vec<Edit>,
    ) {
        for (name, text) in values {
            let place = format!("{key}/{name}");
            self.name(&place, &name);
            match Template::parse(&text) {
                Ok(template)
                    if !self.is_response
                        && template
                            .variables()
                            .any(|variable| variable.is_of_response()) =>
                {
                    self.report(
                        &place,
                        "there is no response yet: response.* stands in groups of `response`",
                    );
                }
                Ok(template) => edits.push(edit(name, template)),
                Err(message) => self.report(&place, message),
            }
        }
    }

    fn name(&mut self, place: &str, name: &FieldName) {
        if let Some(reason) = name.reserved() {
            self.report(place, format!("{name} {reason}"));
        } else if self.is_response && name.as_str() == "x-request-id" {
            self.report(
                place,
                "x-request-id of responses is the gateway's, which sets it after all policies",
            );
        }
    }
}

#[cfg(test)]
mod tests;
