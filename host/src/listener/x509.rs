//! What rustls does not tell of a certificate (RFC 5280): its names, dates and subject. Reads DER only as
//! far as that needs; whether a certificate is to be trusted is for rustls to say.

use std::fmt::Write;

use data_encoding::HEXLOWER;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The parts of a certificate that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Seconds since 1970 from which on it is valid.
    pub(crate) not_before: i64,
    /// The last second in which it is.
    pub(crate) not_after: i64,
    /// As RFC 4514 writes it: `CN=client,O=Example`; special characters are escaped.
    pub(crate) subject: String,
    /// Of its subject alternative names, in lower case.
    pub(crate) dns_names: Vec<String>,
}

impl Certificate {
    /// `None` if it is not one.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let mut outer = Der(Der(der).expect(SEQUENCE)?);
        let mut fields = Der(outer.expect(SEQUENCE)?);
        fields.optional(VERSION);
        for _serial_algorithm_issuer in 0..3 {
            fields.any()?;
        }
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let subject = fields.expect(SEQUENCE)?;
        let _public_key = fields.expect(SEQUENCE)?;
        let mut extensions = None;
        while let Some((tag, content)) = fields.any() {
            extensions = (tag == EXTENSIONS).then_some(content).or(extensions);
        }
        Some(Self {
            not_before: time(validity.any()?)?,
            not_after: time(validity.any()?)?,
            subject: name(subject)?,
            dns_names: extensions.map_or(Some(Vec::new()), dns_names)?,
        })
    }
}

/// The rest of what is read: elements with a tag and a length (X.690 §8.1, §10.1).
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            // More than 3 bytes of length are no certificate.
            if digits.is_empty() || digits.len() > 3 {
                return None;
            }
            length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) {
            self.any().map(|(_, content)| content)
        } else {
            None
        }
    }
}

fn dns_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut list = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((_, extension)) = list.any() {
        let mut extension = Der(extension);
        if extension.expect(OBJECT_ID)? != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        extension.optional(0x01);
        let value = extension.expect(OCTET_STRING)?;
        let mut general_names = Der(Der(value).expect(SEQUENCE)?);
        while let Some((tag, content)) = general_names.any() {
            if tag == DNS_NAME {
                names.push(String::from_utf8_lossy(content).to_ascii_lowercase());
            }
        }
    }
    Some(names)
}

/// A time of RFC 5280 §4.1.2.5 in seconds since 1970.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let pair = |place: usize| rest.get(place..place + 2)?.parse::<i64>().ok();
    let days = days_since_1970(year, pair(0)?, pair(2)?);
    Some(((days * 24 + pair(4)?) * 60 + pair(6)?) * 60 + pair(8)?)
}

/// Of the Gregorian calendar, with years that begin in March, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// RFC 4514 §2: the last relative name first.
fn name(content: &[u8]) -> Option<String> {
    let mut relative = Vec::new();
    let mut list = Der(content);
    while let Some((tag, set)) = list.any() {
        let (mut parts, mut set) = (Vec::new(), Der(set));
        while let Some((_, part)) = set.any() {
            let mut part = Der(part);
            let key = attribute(part.expect(OBJECT_ID)?);
            parts.push(format!("{key}={}", escape(part.any()?.1)));
        }
        (tag == SET).then(|| relative.push(parts.join("+")))?;
    }
    relative.reverse();
    Some(relative.join(","))
}

fn attribute(id: &[u8]) -> String {
    let known = match id {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        other => return HEXLOWER.encode(other),
    };
    known.to_owned()
}

/// So that no value can pass for another attribute.
fn escape(value: &[u8]) -> String {
    let mut escaped = String::new();
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '#' => {
                escaped.extend(['\\', character]);
            }
            control if control.is_ascii_control() => {
                // Writing to a text can't fail.
                let _ = write!(escaped, "\\{:02x}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_dates_and_subject_are_read() {
        let names = [
            "A.test".to_owned(),
            "*.a.test".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let name = &mut parameters.distinguished_name;
        name.push(rcgen::DnType::OrganizationName, "Example, CN=admin");
        name.push(rcgen::DnType::CommonName, "client");
        parameters.not_before = rcgen::date_time_ymd(2024, 2, 29);
        parameters.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = parameters.self_signed(&key).unwrap();
        let expected = Certificate {
            not_before: 1_709_164_800,
            not_after: 2_556_144_000,
            subject: "CN=client,O=Example\\, CN\\=admin".to_owned(),
            dns_names: vec!["a.test".to_owned(), "*.a.test".to_owned()],
        };
        assert_eq!(Certificate::from_der(made.der()), Some(expected));
        for length in 0..made.der().len() {
            assert_eq!(Certificate::from_der(&made.der()[..length]), None);
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let table: [(u8, &str, Option<i64>); 6] = [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20000301000001Z", Some(951_868_801)),
            (GENERALIZED_TIME, "2000030100Z", None),
            (UTC_TIME, "700101000000", None),
        ];
        for (tag, text, expected) in table {
            assert_eq!(time((tag, text.as_bytes())), expected, "{text}");
        }
    }
}
