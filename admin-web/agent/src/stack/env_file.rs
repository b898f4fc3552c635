//! Files of environment variables: a `NAME=value` on each line, as Docker and systemd read them, without quotes and expansion.

/// The variables in `text`. Empty lines and those that begin with `#` are no variables.
///
/// # Errors
/// The number of the first line that is no variable, and why.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .filter(|(name, _)| is_variable(name))
            .ok_or_else(|| format!("line {} is not NAME=value", index + 1))?;
        if value.contains('\0') {
            return Err(format!("line {} has a NUL in it", index + 1));
        }
        variables.push((name.to_owned(), value.to_owned()));
    }
    Ok(variables)
}

/// Whether a variable can have this name: letters, digits and `_`, no digit first (POSIX.1-2017, 3.235).
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_they_are() {
        let read = parse("# comment\n\nA=1\nB_2=x = \"y\" # z\nEMPTY=\n").unwrap();
        let read: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(read, [("A", "1"), ("B_2", "x = \"y\" # z"), ("EMPTY", "")]);
    }

    #[test]
    fn what_is_no_variable_is_told_by_its_line() {
        for text in [
            "A=1\nB",
            "A=1\n=b",
            "A=1\n1B=2",
            "A=1\nexport B=2",
            "A=1\nB=\0",
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with("line 2 "), "{text:?}: {message}");
        }
    }
}
