//! The validated edits of header fields that a route makes itself.

use http::HeaderName;

/// What a route changes of a head: first what it removes, then what it sets, then what it appends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldEdits {
    /// All values of these fields go.
    pub remove: Vec<HeaderName>,
    /// In place of all values that are there. Sorted by name and each name once.
    pub set: Vec<(HeaderName, FieldText)>,
    /// After the values that are there. Sorted by name and each name once.
    pub append: Vec<(HeaderName, FieldText)>,
}

/// A field's value: its parts are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldText(pub Vec<FieldPart>);

/// A part of a field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPart {
    /// Visible ASCII characters and spaces.
    Text(String),
    /// `{client.address}`: the client's IP address.
    ClientAddress,
    /// `{request.id}`: the exchange's id.
    RequestId,
    /// `{route}`: the route's name.
    Route,
    /// `{upstream}`: the name of the upstream that was chosen; empty where the route answers itself.
    Upstream,
}

/// Every placeholder, for messages.
const PLACEHOLDERS: &str = "{client.address}, {request.id}, {route}, {upstream}";

impl FieldText {
    /// A value as the config writes it. A word in braces is a placeholder; `{{` is a brace, and so is any
    /// other that no word follows.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            literal.push_str(&rest[..start]);
            rest = &rest[start + 1..];
            if let Some(after) = rest.strip_prefix('{') {
                literal.push('{');
                rest = after;
            } else if let Some(word) = word(rest) {
                if !literal.is_empty() {
                    parts.push(FieldPart::Text(std::mem::take(&mut literal)));
                }
                parts.push(placeholder(word)?);
                rest = &rest[word.len() + 1..];
            } else {
                literal.push('{');
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(FieldPart::Text(literal));
        }
        Ok(Self(parts))
    }
}

/// The word before the closing brace, if there is nothing else before it.
fn word(rest: &str) -> Option<&str> {
    let (word, _) = rest.split_once('}')?;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!word.is_empty() && word.bytes().all(is_word)).then_some(word)
}

fn placeholder(word: &str) -> Result<FieldPart, String> {
    match word {
        "client.address" => Ok(FieldPart::ClientAddress),
        "request.id" => Ok(FieldPart::RequestId),
        "route" => Ok(FieldPart::Route),
        "upstream" => Ok(FieldPart::Upstream),
        _ => Err(format!(
            "{{{word}}} is no placeholder: write {{{{{word}}} for the text itself; known: {PLACEHOLDERS}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_braces_are_placeholders_and_other_braces_are_text() {
        let text = |text: &str| FieldPart::Text(text.to_owned());
        let table = [
            ("", vec![text("")]),
            ("plain", vec![text("plain")]),
            ("{route}", vec![FieldPart::Route]),
            (
                "a {client.address}/{request.id} b",
                vec![
                    text("a "),
                    FieldPart::ClientAddress,
                    text("/"),
                    FieldPart::RequestId,
                    text(" b"),
                ],
            ),
            ("{{route}", vec![text("{route}")]),
            ("{\"group\":{\"a\":1}}", vec![text("{\"group\":{\"a\":1}}")]),
            ("{}", vec![text("{}")]),
            ("{", vec![text("{")]),
            ("{upstream", vec![text("{upstream")]),
        ];
        for (written, parts) in table {
            assert_eq!(FieldText::parse(written), Ok(FieldText(parts)), "{written}");
        }
        let error = FieldText::parse("{client.addres}").unwrap_err();
        assert!(error.starts_with("{client.addres} is no placeholder: write {{client.addres}"));
    }
}
