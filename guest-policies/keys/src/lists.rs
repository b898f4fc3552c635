//! Callers who are not counted, and callers who are not served.

use ipnet::IpNet;
use portcullis_sdk::ConfigProblem;

use crate::{Facts, ListEntry, Source, address};

/// Entries of one list: each costs a look-up for each request.
const MAX_ENTRIES: usize = 16;
/// Values of one entry.
const MAX_VALUES: usize = 1_000;

/// The `allow` and `deny` of a config, made ready.
#[derive(Debug, Default)]
pub struct Lists {
    deny: Vec<Entry>,
    allow: Vec<Entry>,
}

/// Which list a caller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Passes uncounted.
    Allowed,
    /// Is refused, whatever it has left.
    Denied,
}

#[derive(Debug)]
struct Entry {
    source: Source,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Texts(Vec<String>),
    Networks(Vec<IpNet>),
}

impl Lists {
    /// Checks and prepares both lists; problems are at `/allow/…` and `/deny/…`.
    pub fn new(allow: &[ListEntry], deny: &[ListEntry], problems: &mut Vec<ConfigProblem>) -> Self {
        Self {
            deny: entries("/deny", deny, problems),
            allow: entries("/allow", allow, problems),
        }
    }

    /// Whether the caller is on a list; `deny` goes before `allow`.
    pub fn find(&self, facts: &impl Facts) -> Option<Listed> {
        let is_on = |list: &[Entry]| list.iter().any(|entry| entry.holds(facts));
        if is_on(&self.deny) {
            return Some(Listed::Denied);
        }
        is_on(&self.allow).then_some(Listed::Allowed)
    }
}

impl Entry {
    fn holds(&self, facts: &impl Facts) -> bool {
        let Some(value) = self.source.value(facts) else {
            return false;
        };
        match &self.values {
            Values::Texts(texts) => texts.contains(&value),
            Values::Networks(networks) => address::parse(&value)
                .is_some_and(|address| networks.iter().any(|network| network.contains(&address))),
        }
    }
}

fn entries(path: &str, list: &[ListEntry], problems: &mut Vec<ConfigProblem>) -> Vec<Entry> {
    if list.len() > MAX_ENTRIES {
        let message = format!("must have at most {MAX_ENTRIES} items: join those of the same key");
        problems.push(ConfigProblem::new(path, message));
    }
    let numbered = list.iter().enumerate();
    numbered
        .map(|(i, item)| entry(&format!("{path}/{i}"), item, problems))
        .collect()
}

fn entry(path: &str, item: &ListEntry, problems: &mut Vec<ConfigProblem>) -> Entry {
    let key = format!("{path}/key");
    item.key.check(&key, problems);
    if item.key.row().count() > 1 {
        let message = "has `or`, which lists can't tell apart: make an item of each";
        problems.push(ConfigProblem::new(key, message));
    }
    if !(1..=MAX_VALUES).contains(&item.values.len()) {
        let message = format!("must have 1 to {MAX_VALUES} values");
        problems.push(ConfigProblem::new(format!("{path}/in"), message));
    }
    let source = item.key.source();
    let values = if source == Source::ClientAddress {
        Values::Networks(networks(path, &item.values, problems))
    } else {
        Values::Texts(item.values.clone())
    };
    Entry { source, values }
}

fn networks(path: &str, values: &[String], problems: &mut Vec<ConfigProblem>) -> Vec<IpNet> {
    let mut networks = Vec::with_capacity(values.len());
    for (i, text) in values.iter().enumerate() {
        match address::parse_network(text) {
            Some(network) => networks.push(network),
            None => problems.push(ConfigProblem::new(
                format!("{path}/in/{i}"),
                format!("\"{text}\" is no address and no network such as 10.0.0.0/8"),
            )),
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::CLIENT_ADDRESS;
    use crate::selector::tests::Request;

    fn lists(allow: Value, deny: Value) -> (Lists, Vec<(String, String)>) {
        let read = |value| serde_json::from_value::<Vec<ListEntry>>(value).unwrap();
        let mut problems = Vec::new();
        let lists = Lists::new(&read(allow), &read(deny), &mut problems);
        let told = problems.into_iter();
        (
            lists,
            told.map(|problem| (problem.path, problem.message))
                .collect(),
        )
    }

    #[test]
    fn callers_are_found_by_network_and_by_value() {
        let (lists, problems) = lists(
            json!([{ "key": "client_address", "in": ["10.0.0.0/8", "::1"] }, { "key": "identity", "in": ["probe", "admin"] }]),
            json!([{ "key": { "header": "x-api-key" }, "in": ["stolen"] }]),
        );
        assert_eq!(problems, []);
        let from = |address| Request::default().with(CLIENT_ADDRESS, address);
        assert_eq!(lists.find(&from("10.1.2.3")), Some(Listed::Allowed));
        assert_eq!(lists.find(&from("::1")), Some(Listed::Allowed));
        assert_eq!(lists.find(&from("192.0.2.1")), None);
        assert_eq!(lists.find(&from("unix")), None);
        let admin = from("192.0.2.1").with(">identity", "admin");
        assert_eq!(lists.find(&admin), Some(Listed::Allowed));
        assert_eq!(
            lists.find(&from("192.0.2.1").with(">identity", "adm")),
            None
        );
        let stolen = admin.with("x-api-key", "stolen");
        assert_eq!(lists.find(&stolen), Some(Listed::Denied));
    }

    #[test]
    fn each_problem_names_its_place() {
        let many: Vec<String> = (0..=MAX_VALUES).map(|i| i.to_string()).collect();
        for (list, place, message) in [
            (
                json!([{ "key": "client_address", "in": ["::1", "10/8"] }]),
                "/deny/0/in/1",
                "\"10/8\" is no address",
            ),
            (
                json!([{ "key": "route", "in": [] }]),
                "/deny/0/in",
                "1 to 1000",
            ),
            (
                json!([{ "key": "route", "in": many }]),
                "/deny/0/in",
                "1 to 1000",
            ),
            (
                json!([{ "key": { "header": "x y" }, "in": ["a"] }]),
                "/deny/0/key",
                "no name",
            ),
            (
                json!([{ "key": { "header": "a", "or": "route" }, "in": ["a"] }]),
                "/deny/0/key",
                "`or`",
            ),
            (
                Value::from(vec![json!({ "key": "route", "in": ["a"] }); 17]),
                "/deny",
                "at most 16",
            ),
        ] {
            let (_, problems) = lists(json!([]), list);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].0, place);
            assert!(problems[0].1.contains(message), "{problems:?}");
        }
    }
}
