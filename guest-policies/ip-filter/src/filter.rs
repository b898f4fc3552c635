//! Who may pass: what is denied may not, and if there is a list of who is allowed, nobody else may.

use std::net::IpAddr;

use crate::listed::{Listed, NoSecret};

/// The lists.
#[derive(Debug)]
pub struct Filter {
    /// Who may pass; `None`: all.
    pub allow: Option<Listed>,
    /// Who may not, whatever `allow` says.
    pub deny: Listed,
}

/// What the lists say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Allowed,
    /// It is denied.
    Denied,
    /// There is a list of who is allowed, and it is not on it.
    Unlisted,
}

impl Filter {
    /// Whether a list has entries in a secret.
    pub fn asks_for_secrets(&self) -> bool {
        self.deny.has_secret() || self.allow.as_ref().is_some_and(Listed::has_secret)
    }

    /// Looks the address up; also how many entries of the secrets that were asked are broken. `secret` tells secrets by name.
    ///
    /// # Errors
    ///
    /// [`NoSecret`].
    pub fn judge(
        &self,
        address: IpAddr,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Result<(Verdict, usize), NoSecret> {
        let denied = self.deny.find(address, &secret)?;
        if denied.is_in {
            return Ok((Verdict::Denied, denied.broken));
        }
        let Some(allow) = &self.allow else {
            return Ok((Verdict::Allowed, denied.broken));
        };
        let allowed = allow.find(address, &secret)?;
        let verdict = if allowed.is_in {
            Verdict::Allowed
        } else {
            Verdict::Unlisted
        };
        Ok((verdict, denied.broken + allowed.broken))
    }
}

impl Verdict {
    /// The metric's word.
    pub const fn outcome(self, is_shadow: bool) -> &'static str {
        match (self, is_shadow) {
            (Self::Allowed, _) => "allowed",
            (Self::Denied, false) => "denied",
            (Self::Unlisted, false) => "unlisted",
            (Self::Denied, true) => "shadow_denied",
            (Self::Unlisted, true) => "shadow_unlisted",
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_sdk::AddressSet;

    use super::*;

    fn list(texts: &[&str]) -> Listed {
        Listed::new(AddressSet::parse(texts.iter().copied()).unwrap(), None)
    }

    fn judge(filter: &Filter, address: &str) -> Verdict {
        filter.judge(address.parse().unwrap(), |_| None).unwrap().0
    }

    #[test]
    fn deny_comes_first_and_allow_is_for_all_others() {
        let filter = Filter {
            allow: Some(list(&["10.0.0.0/8"])),
            deny: list(&["10.1.0.0/16", "192.0.2.0/24"]),
        };
        for (address, expected) in [
            ("10.0.0.1", Verdict::Allowed),
            ("10.1.0.1", Verdict::Denied),
            ("192.0.2.1", Verdict::Denied),
            ("198.51.100.1", Verdict::Unlisted),
            ("::ffff:10.0.0.1", Verdict::Allowed),
            ("2001:db8::1", Verdict::Unlisted),
        ] {
            assert_eq!(judge(&filter, address), expected, "{address}");
        }
        let filter = Filter {
            allow: None,
            deny: list(&["10.0.0.0/8"]),
        };
        assert_eq!(
            (judge(&filter, "10.0.0.1"), judge(&filter, "11.0.0.1")),
            (Verdict::Denied, Verdict::Allowed)
        );
    }

    #[test]
    fn ten_thousand_networks_tell_each_of_theirs() {
        let texts: Vec<String> = (0..10_000_u32)
            .map(|i| format!("10.{}.{}.0/25", i / 256, i % 256))
            .collect();
        let deny = Listed::new(
            AddressSet::parse(texts.iter().map(String::as_str)).unwrap(),
            None,
        );
        let filter = Filter { allow: None, deny };
        for i in 0..10_000_u32 {
            let (high, low) = (i / 256, i % 256);
            assert_eq!(
                judge(&filter, &format!("10.{high}.{low}.127")),
                Verdict::Denied
            );
            assert_eq!(
                judge(&filter, &format!("10.{high}.{low}.128")),
                Verdict::Allowed
            );
        }
    }

    #[test]
    fn a_missing_secret_is_no_verdict() {
        let filter = Filter {
            allow: None,
            deny: Listed::new(AddressSet::default(), Some("list".to_owned())),
        };
        let judged = filter.judge("10.0.0.1".parse().unwrap(), |_| None);
        assert_eq!(judged, Err(NoSecret("list".to_owned())));
    }
}
