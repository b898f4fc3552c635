//! How many units a request costs.

use portcullis_keys::Facts;

/// What one limit charges for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The same for each; at least 1.
    Fixed(u32),
    /// What the request says.
    Header(HeaderCost),
}

/// A cost that a request header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCost {
    /// In lower case.
    pub name: String,
    /// When the header is missing or is no whole number.
    pub default: u32,
    /// Less than this counts as this.
    pub min: u32,
    /// More than this counts as this.
    pub max: u32,
}

impl Cost {
    /// Of that request.
    pub fn of(&self, facts: &impl Facts) -> u32 {
        match self {
            Self::Fixed(units) => *units,
            Self::Header(header) => header.of(facts.header(&header.name).as_deref()),
        }
    }
}

impl HeaderCost {
    fn of(&self, value: Option<&str>) -> u32 {
        let is_number =
            |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match value.map(str::trim).filter(is_number) {
            // One that is too long for the type is beyond every maximum.
            Some(digits) => digits.parse().unwrap_or(u32::MAX).clamp(self.min, self.max),
            None => self.default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_costs_what_it_says_within_bounds() {
        let cost = HeaderCost {
            name: "x-cost".to_owned(),
            default: 3,
            min: 1,
            max: 100,
        };
        for (value, expected) in [
            (None, 3),
            (Some("7"), 7),
            (Some(" 7 "), 7),
            (Some("0"), 1),
            (Some("101"), 100),
            (Some("99999999999999999999"), 100),
            (Some(""), 3),
            (Some("-1"), 3),
            (Some("+1"), 3),
            (Some("1.5"), 3),
            (Some("one"), 3),
        ] {
            assert_eq!(cost.of(value), expected, "{value:?}");
        }
        let free = HeaderCost { min: 0, ..cost };
        assert_eq!(free.of(Some("0")), 0);
    }
}
