//! A list of addresses: what the config names, and what a secret's text adds.

use std::cell::RefCell;
use std::net::IpAddr;

use portcullis_sdk::AddressSet;

/// Addresses of the config and of a secret.
#[derive(Debug, Default)]
pub struct Listed {
    set: AddressSet,
    secret: Option<Secret>,
}

/// A secret's list, with what an instance that serves several requests has read of it.
#[derive(Debug)]
struct Secret {
    name: String,
    read: RefCell<Read>,
}

#[derive(Debug, Default)]
struct Read {
    text: String,
    set: AddressSet,
    broken: usize,
}

/// Whether an address is in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// It is.
    pub is_in: bool,
    /// Entries of the secret that are no address and no network, and were passed over.
    pub broken: usize,
}

/// The secret is not there: it is not granted, or has another name.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSecret(pub String);

impl Listed {
    /// A list of `set` and of the secret of that name.
    pub fn new(set: AddressSet, secret: Option<String>) -> Self {
        let secret = secret.map(|name| Secret {
            name,
            read: RefCell::default(),
        });
        Self { set, secret }
    }

    /// Whether a secret's text belongs to it.
    pub const fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Looks for `address`; `secret` tells secrets by name, and is asked only if the config does not name the address.
    ///
    /// # Errors
    ///
    /// [`NoSecret`], since then nobody can say who is listed.
    pub fn find(
        &self,
        address: IpAddr,
        secret: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Found, NoSecret> {
        let Some(list) = &self.secret else {
            return Ok(Found {
                is_in: self.set.contains(address),
                broken: 0,
            });
        };
        if self.set.contains(address) {
            return Ok(Found {
                is_in: true,
                broken: 0,
            });
        }
        let text = secret(&list.name).ok_or_else(|| NoSecret(list.name.clone()))?;
        let mut read = list.read.borrow_mut();
        if read.text != text {
            *read = read_list(text);
        }
        Ok(Found {
            is_in: read.set.contains(address),
            broken: read.broken,
        })
    }
}

fn read_list(text: String) -> Read {
    let entries: Vec<&str> = entries(&text).collect();
    let (set, broken) = match AddressSet::parse(entries.iter().copied()) {
        Ok(set) => (set, 0),
        Err(errors) => {
            let is_sound = |place: &usize| {
                errors
                    .binary_search_by_key(place, |(place, _)| *place)
                    .is_err()
            };
            let sound = (0..entries.len())
                .filter(is_sound)
                .map(|place| entries[place]);
            (AddressSet::parse(sound).unwrap_or_default(), errors.len())
        }
    };
    Read { set, broken, text }
}

/// The words of a list's text.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines
        .flat_map(|line| line.split(|c: char| c == ',' || c.is_whitespace()))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(list: &Listed, address: &str, text: Option<&str>) -> Result<Found, NoSecret> {
        list.find(address.parse().unwrap(), |_| text.map(str::to_owned))
    }

    #[test]
    fn a_text_has_entries_comments_and_broken_ones() {
        let text =
            "# offices\n10.0.0.0/8, 192.0.2.7\n2001:db8::/32 # v6\n\nexample.com 10.0.0.1/8\r\n";
        let list = Listed::new(AddressSet::default(), Some("list".to_owned()));
        for (address, is_in) in [
            ("10.9.9.9", true),
            ("192.0.2.7", true),
            ("2001:db8::1", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(
                find(&list, address, Some(text)),
                Ok(Found { is_in, broken: 2 }),
                "{address}"
            );
        }
        assert_eq!(
            find(&list, "192.0.2.7", Some("# nobody")),
            Ok(Found {
                is_in: false,
                broken: 0
            })
        );
    }

    #[test]
    fn another_text_is_read_anew() {
        let list = Listed::new(AddressSet::default(), Some("list".to_owned()));
        for text in ["10.0.0.1", "10.0.0.2", "10.0.0.1"] {
            assert_eq!(
                find(&list, "10.0.0.1", Some(text)).unwrap().is_in,
                text == "10.0.0.1"
            );
        }
    }

    #[test]
    fn what_the_config_names_needs_no_secret() {
        let list = Listed::new(
            AddressSet::parse(["10.0.0.1"]).unwrap(),
            Some("list".to_owned()),
        );
        assert!(find(&list, "10.0.0.1", None).unwrap().is_in);
        assert_eq!(
            find(&list, "10.0.0.2", None),
            Err(NoSecret("list".to_owned()))
        );
    }
}
