//! A group of edits: what it renames, removes, sets and appends, in this order.

use portcullis_sdk::{FieldName, FieldOp};

use crate::status_set::StatusSet;
use crate::template::{Template, Value};
use crate::variable::Variable;

/// Edits of one head that are made together.
#[derive(Debug)]
pub struct Group {
    /// Only of responses with one of these statuses; `None`: of all.
    pub when_status: Option<StatusSet>,
    /// In order.
    pub edits: Vec<Edit>,
}

/// One edit.
#[derive(Debug)]
pub enum Edit {
    /// All values go to another name, whose own values go; nothing if there are none.
    Rename(FieldName, FieldName),
    /// All values.
    Remove(FieldName),
    /// In place of all values; where there is no value to set they go all the same.
    Set(FieldName, Template),
    /// The same, if there is no such field.
    SetIfAbsent(FieldName, Template),
    /// After the values that are there.
    Append(FieldName, Template),
}

/// What edits are made of.
pub trait Facts {
    /// What a variable stands for, if it is there.
    fn look_up(&self, variable: &Variable) -> Option<Vec<u8>>;
    /// The values of a field of the head that is edited, as it was before.
    fn values(&self, name: &FieldName) -> Vec<Vec<u8>>;
}

/// A change that is ready to be made.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// In place of all values.
    Set(&'a str, Vec<u8>),
    /// After the values that are there.
    Append(&'a str, Vec<u8>),
    /// All values.
    Remove(&'a str),
}

impl Change<'_> {
    /// As the contract has it.
    pub fn op(&self) -> FieldOp<'_> {
        match self {
            Self::Set(name, value) => FieldOp::Set((name, value)),
            Self::Append(name, value) => FieldOp::Append((name, value)),
            Self::Remove(name) => FieldOp::Remove(name),
        }
    }
}

/// The changes that edits come to, and how many values were left out because they were unfit for a field.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// In order.
    pub changes: Vec<Change<'a>>,
    /// Values with bytes that no field may have, or too long.
    pub unfit: usize,
}

impl<'a> Changes<'a> {
    /// Adds what `group` comes to.
    pub fn add(&mut self, group: &'a Group, facts: &impl Facts) {
        for edit in &group.edits {
            match edit {
                Edit::Rename(from, to) => self.rename(from, to, facts),
                Edit::Remove(name) => self.changes.push(Change::Remove(name.as_str())),
                Edit::Set(name, template) => {
                    let value = self.value(template, facts);
                    // What a client has sent under that name must not pass for what the policy would have set.
                    self.changes.push(match value {
                        Some(value) => Change::Set(name.as_str(), value),
                        None => Change::Remove(name.as_str()),
                    });
                }
                Edit::SetIfAbsent(name, template) => {
                    if facts.values(name).is_empty()
                        && let Some(value) = self.value(template, facts)
                    {
                        self.changes.push(Change::Set(name.as_str(), value));
                    }
                }
                Edit::Append(name, template) => {
                    if let Some(value) = self.value(template, facts) {
                        self.changes.push(Change::Append(name.as_str(), value));
                    }
                }
            }
        }
    }

    fn rename(&mut self, from: &'a FieldName, to: &'a FieldName, facts: &impl Facts) {
        let values = facts.values(from);
        if values.is_empty() {
            return;
        }
        self.changes
            .extend([Change::Remove(from.as_str()), Change::Remove(to.as_str())]);
        self.changes.extend(
            values
                .into_iter()
                .map(|value| Change::Append(to.as_str(), value)),
        );
    }

    fn value(&mut self, template: &Template, facts: &impl Facts) -> Option<Vec<u8>> {
        match template.fill(|variable| facts.look_up(variable)) {
            Value::Bytes(bytes) => Some(bytes),
            Value::Absent => None,
            Value::Unfit => {
                self.unfit += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with `x-there: 1, 2`; every variable but `shared.*` is `v`.
    struct Head;

    impl Facts for Head {
        fn look_up(&self, variable: &Variable) -> Option<Vec<u8>> {
            match variable {
                Variable::Shared(key) if key == "bad" => Some(b"\n".to_vec()),
                Variable::Shared(_) => None,
                _ => Some(b"v".to_vec()),
            }
        }

        fn values(&self, name: &FieldName) -> Vec<Vec<u8>> {
            if name.as_str() == "x-there" {
                vec![b"1".to_vec(), b"2".to_vec()]
            } else {
                Vec::new()
            }
        }
    }

    fn name(text: &str) -> FieldName {
        FieldName::parse(text).unwrap()
    }

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    fn changes(edits: Vec<Edit>) -> (Vec<String>, usize) {
        let group = Group {
            when_status: None,
            edits,
        };
        let mut changes = Changes::default();
        changes.add(&group, &Head);
        let texts = changes.changes.iter().map(|change| match change {
            Change::Set(name, value) => format!("{name}={}", String::from_utf8_lossy(value)),
            Change::Append(name, value) => format!("{name}+{}", String::from_utf8_lossy(value)),
            Change::Remove(name) => format!("-{name}"),
        });
        (texts.collect(), changes.unfit)
    }

    #[test]
    fn edits_come_in_order() {
        let edits = vec![
            Edit::Rename(name("x-there"), name("x-new")),
            Edit::Remove(name("x-a")),
            Edit::Set(name("x-b"), template("${route}")),
            Edit::Append(name("x-c"), template("1")),
        ];
        assert_eq!(
            changes(edits).0,
            [
                "-x-there", "-x-new", "x-new+1", "x-new+2", "-x-a", "x-b=v", "x-c+1"
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_not_renamed() {
        assert_eq!(
            changes(vec![Edit::Rename(name("x-gone"), name("x-there"))]).0,
            [""; 0]
        );
    }

    #[test]
    fn a_set_without_a_value_takes_the_field_away_and_an_append_adds_nothing() {
        let edits = |value| {
            vec![
                Edit::Set(name("x-user"), template(value)),
                Edit::Append(name("x-user"), template(value)),
            ]
        };
        assert_eq!(
            changes(edits("${shared.identity}")),
            (vec!["-x-user".to_owned()], 0)
        );
        assert_eq!(
            changes(edits("${shared.bad}")),
            (vec!["-x-user".to_owned()], 2)
        );
    }

    #[test]
    fn a_default_is_set_only_where_nothing_is() {
        let edit = |field| vec![Edit::SetIfAbsent(name(field), template("d"))];
        assert_eq!(changes(edit("x-there")).0, [""; 0]);
        assert_eq!(changes(edit("x-gone")).0, ["x-gone=d"]);
        assert_eq!(
            changes(vec![Edit::SetIfAbsent(
                name("x-gone"),
                template("${shared.a}")
            )])
            .0,
            [""; 0]
        );
    }
}
