//! A command's arguments, taken one by one.

use super::Refused;

/// What is left of them.
pub(super) struct Arguments<'a> {
    command: &'a str,
    rest: &'a [Vec<u8>],
}

impl<'a> Arguments<'a> {
    /// Of that command.
    pub(super) fn new(command: &'a str, rest: &'a [Vec<u8>]) -> Self {
        Self { command, rest }
    }

    /// The next one; there must be one.
    pub(super) fn next(&mut self) -> Result<&'a [u8], Refused> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.too_few())?;
        self.rest = rest;
        Ok(first)
    }

    /// The next one, if there is one, as an option's name in capitals.
    pub(super) fn option(&mut self) -> Option<String> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(String::from_utf8_lossy(first).to_ascii_uppercase())
    }

    /// The next one, a whole number.
    pub(super) fn int(&mut self) -> Result<i64, Refused> {
        integer(self.next()?)
    }

    /// All that are left; at least one.
    pub(super) fn all(&mut self) -> Result<&'a [Vec<u8>], Refused> {
        let all = std::mem::take(&mut self.rest);
        if all.is_empty() {
            return Err(self.too_few());
        }
        Ok(all)
    }

    /// All that are left, two by two; at least one pair.
    pub(super) fn pairs(&mut self) -> Result<&'a [[Vec<u8>; 2]], Refused> {
        match self.all()?.as_chunks() {
            (pairs, []) => Ok(pairs),
            _ => Err(self.too_few()),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Refused> {
        match self.rest {
            [] => Ok(()),
            _ => Err(self.too_few()),
        }
    }

    fn too_few(&self) -> Refused {
        let command = self.command.to_ascii_lowercase();
        format!("ERR wrong number of arguments for '{command}' command")
    }
}

/// A whole number in decimal digits.
pub(super) fn integer(text: &[u8]) -> Result<i64, Refused> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| "ERR value is not an integer or out of range".to_owned())
}

/// A number, or `inf` or `-inf`.
pub(super) fn float(text: &[u8]) -> Result<f64, Refused> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    let number = number.filter(|number| !number.is_nan());
    number.ok_or_else(|| "ERR value is not a valid float".to_owned())
}
