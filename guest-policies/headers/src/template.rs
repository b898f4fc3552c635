//! Values with variables in them: `${request.header.x-user:-nobody}`, `$$` for a dollar.

use crate::variable::Variable;

/// A value as the config writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable {
        variable: Variable,
        /// Stands for it where it is absent.
        default: Option<String>,
    },
}

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The bytes of the field.
    Bytes(Vec<u8>),
    /// A variable without a default was absent.
    Absent,
    /// It has bytes that no field may have, such as a line break, or is longer than [`MAX_BYTES`].
    Unfit,
}

/// The longest value that is written: what a client sends can be copied, not multiplied.
pub const MAX_BYTES: usize = 8 << 10;

impl Template {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// A message that says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(c) = text
            .chars()
            .find(|c| *c != '\t' && !(' '..='~').contains(c))
        {
            return Err(format!(
                "{c:?} can't stand in a field: write visible ASCII characters, spaces and tabs"
            ));
        }
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let inner = after
                .strip_prefix('{')
                .and_then(|after| after.split_once('}'));
            let (inner, after) = inner.ok_or(
                "a single $ begins a variable such as ${client.address}: write $$ for a dollar",
            )?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(variable(inner)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The variables that it names.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { variable, .. } => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// The value, with `look_up` telling what variables are.
    pub fn fill(&self, mut look_up: impl FnMut(&Variable) -> Option<Vec<u8>>) -> Value {
        let mut value = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => value.extend_from_slice(text.as_bytes()),
                Part::Variable { variable, default } => match (look_up(variable), default) {
                    (Some(found), _) if !found.is_empty() => value.extend_from_slice(&found),
                    (_, Some(default)) => value.extend_from_slice(default.as_bytes()),
                    (Some(_), None) => {}
                    (None, None) => return Value::Absent,
                },
            }
        }
        if value.len() <= MAX_BYTES && value.iter().all(|byte| may_stand(*byte)) {
            Value::Bytes(value)
        } else {
            Value::Unfit
        }
    }
}

/// As in a shell, the default also stands for an empty value.
fn variable(inner: &str) -> Result<Part, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (inner, None),
    };
    if default.as_ref().is_some_and(|text| text.contains('$')) {
        return Err("a default is plain text: it can't hold a $".to_owned());
    }
    Ok(Part::Variable {
        variable: Variable::parse(name)?,
        default,
    })
}

/// A field's value has visible characters, spaces, tabs and bytes beyond ASCII (RFC 9110 §5.5).
const fn may_stand(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str) -> Value {
        Template::parse(text)
            .unwrap()
            .fill(|variable| match variable {
                Variable::Attribute("route") => Some(b"r".to_vec()),
                Variable::RequestPath => Some(Vec::new()),
                Variable::Shared(key) if key == "crlf" => Some(b"a\r\nx-evil: 1".to_vec()),
                Variable::Shared(key) if key == "long" => Some(vec![b'a'; MAX_BYTES]),
                Variable::Shared(key) if key == "latin" => Some(b"\xe4".to_vec()),
                _ => None,
            })
    }

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn variables_are_filled_in_and_dollars_escaped() {
        assert_eq!(fill("plain"), bytes("plain"));
        assert_eq!(fill(""), bytes(""));
        assert_eq!(fill("a${route}b${route}"), bytes("arbr"));
        assert_eq!(fill("$${route} costs $$5"), bytes("${route} costs $5"));
        assert_eq!(fill("{}:-"), bytes("{}:-"));
        assert_eq!(fill("${shared.latin}"), Value::Bytes(b"\xe4".to_vec()));
    }

    #[test]
    fn what_is_absent_takes_the_default_or_the_whole_value_with_it() {
        assert_eq!(fill("a ${shared.identity}"), Value::Absent);
        assert_eq!(fill("a ${shared.identity:-nobody}"), bytes("a nobody"));
        assert_eq!(fill("a ${shared.identity:-}"), bytes("a "));
        assert_eq!(fill("${route:-other}"), bytes("r"));
        assert_eq!(fill("${request.path:-/}"), bytes("/"));
        assert_eq!(fill("${request.path}"), bytes(""));
    }

    #[test]
    fn line_breaks_and_long_values_do_not_come_through() {
        assert_eq!(fill("${shared.crlf}"), Value::Unfit);
        assert_eq!(fill("${shared.long}"), Value::Bytes(vec![b'a'; MAX_BYTES]));
        assert_eq!(fill("${shared.long}a"), Value::Unfit);
    }

    #[test]
    fn what_can_t_be_read_is_refused() {
        for (text, message) in [
            ("$", "write $$ for a dollar"),
            ("$route", "write $$ for a dollar"),
            ("${route", "write $$ for a dollar"),
            ("${}", "there is no variable"),
            ("${nothing}", "there are client.address"),
            ("${route:-$x}", "plain text"),
            ("a\r\nb", "can't stand in a field"),
            ("ü", "can't stand in a field"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_value_breaks_a_line(text in ".{0,60}", found in prop::collection::vec(any::<u8>(), 0..40)) {
            let value = Template::parse(&text).map(|template| template.fill(|_| Some(found.clone())));
            if let Ok(Value::Bytes(value)) = value {
                prop_assert!(!value.contains(&b'\n') && !value.contains(&b'\r') && !value.contains(&0));
            }
        }
    }
}
