use http::{HeaderMap, HeaderName, Method};
use portcullis_config::{Condition, HostPattern, Match};

use super::*;
use crate::exchange::RequestHead;

/// The next of a series of numbers below `bound` that is the same in every run (Knuth's MMIX).
fn draw(state: &mut u64, bound: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % bound
}

fn pick<'a>(state: &mut u64, texts: &[&'a str]) -> &'a str {
    texts[draw(state, texts.len())]
}

const HOSTS: [&str; 7] = ["", "a.b.c", "x.a.b.c", "*.b.c", "*.c", "*.a.b.c", "other"];
const PREFIXES: [&str; 7] = ["/", "/a", "/ab", "/a/b", "/a/b/c", "/b", "/a/bc"];
const PATHS: [&str; 10] = [
    "/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/b/c/d", "/b", "/c", "/a/bc",
];

fn random_match(state: &mut u64) -> Match {
    let host = match pick(state, &HOSTS) {
        "" => None,
        host => Some(match host.strip_prefix('*') {
            Some(suffix) => HostPattern::Wildcard(suffix.to_owned()),
            None => HostPattern::Exact(host.to_owned()),
        }),
    };
    let is_exact = draw(state, 3) == 0;
    let condition = |state: &mut u64| match draw(state, 3) {
        0 => Condition::Exact("1".to_owned()),
        1 => Condition::Present,
        _ => Condition::Absent,
    };
    let named = |state: &mut u64, names: &[&str]| {
        let name = pick(state, names).to_owned();
        if name.is_empty() {
            Vec::new()
        } else {
            vec![(name, condition(state))]
        }
    };
    Match {
        host,
        path: is_exact.then(|| pick(state, &PATHS).to_owned()),
        path_prefix: if is_exact {
            "/"
        } else {
            pick(state, &PREFIXES)
        }
        .to_owned(),
        methods: [vec![], vec![Method::GET], vec![Method::GET, Method::PUT]][draw(state, 3)]
            .clone(),
        headers: named(state, &["", "", "x-h"])
            .into_iter()
            .map(|(name, condition)| (HeaderName::try_from(name).unwrap(), condition))
            .collect(),
        cookies: named(state, &["", "", "c"]),
        query: named(state, &["", "", "q"]),
    }
}

fn random_head(state: &mut u64) -> RequestHead {
    let mut headers = HeaderMap::new();
    let hosts = [
        "",
        "a.b.c",
        "A.B.C:80",
        "x.a.b.c",
        "y.x.a.b.c",
        "q.c",
        "c",
        ".c",
        "é.c",
        "other",
    ];
    let host = pick(state, &hosts);
    if !host.is_empty() {
        headers.insert(
            "host",
            http::HeaderValue::from_bytes(host.as_bytes()).unwrap(),
        );
    }
    for (name, values) in [("x-h", ["", "1", "2"]), ("cookie", ["", "c=1", "c=2"])] {
        let value = pick(state, &values);
        if !value.is_empty() {
            headers.insert(name, value.parse().unwrap());
        }
    }
    let query = pick(state, &["", "?q=1", "?q=2&q=1", "?x"]);
    RequestHead {
        accepts_trailers: false,
        upgrade: None,
        method: [Method::GET, Method::POST][draw(state, 2)].clone(),
        target: format!("{}{query}", pick(state, &PATHS)).parse().unwrap(),
        headers,
    }
}

/// What the documentation says, with nothing but the config's own functions.
fn matches(config: &Match, head: &RequestHead) -> bool {
    let host = matcher::host(&head.headers);
    config.matches_path(head.target.path())
        && config
            .host
            .as_ref()
            .is_none_or(|pattern| host.is_some_and(|host| pattern.matches(host)))
        && Matcher::from_config(config)
            .conditions
            .hold(head.route_key())
}

#[test]
fn the_table_finds_what_a_search_of_all_routes_finds() {
    let mut state = 7;
    let mut found = 0;
    for _ in 0..200 {
        let count = 1 + draw(&mut state, 40);
        let mut configs: Vec<Match> = (0..count).map(|_| random_match(&mut state)).collect();
        configs.sort_by_key(|config| Matcher::from_config(config).specificity());
        let matchers: Vec<Matcher> = configs.iter().map(Matcher::from_config).collect();
        let table = RouteTable::new(&matchers);
        for _ in 0..200 {
            let head = random_head(&mut state);
            let key = head.route_key();
            let expected = configs.iter().position(|config| matches(config, &head));
            let place = table.find(key, |place| matchers[place].conditions.hold(key));
            assert_eq!(place, expected, "{head:?}\n{configs:#?}");
            found += usize::from(place.is_some());
        }
    }
    assert!(found > 10_000, "{found}");
}

#[test]
fn what_is_compared_first_decides() {
    let parse = |path: &str, exact: bool, host: Option<HostPattern>| Match {
        host,
        path: exact.then(|| path.to_owned()),
        path_prefix: if exact { "/" } else { path }.to_owned(),
        methods: Vec::new(),
        headers: Vec::new(),
        cookies: Vec::new(),
        query: Vec::new(),
    };
    let wildcard = |suffix: &str| Some(HostPattern::Wildcard(suffix.to_owned()));
    let with_method = |mut config: Match| {
        config.methods = vec![Method::GET];
        config
    };
    let with_values = |mut config: Match| {
        config.query = vec![("a".to_owned(), Condition::Present)];
        config.cookies = vec![("a".to_owned(), Condition::Absent)];
        config
    };
    let ordered = [
        parse("/", false, Some(HostPattern::Exact("a.b.c".to_owned()))),
        parse("/very/long", true, wildcard(".b.c")),
        parse("/very/long", true, wildcard(".c")),
        parse("/", true, None),
        parse("/longer", false, None),
        with_method(parse("/long", false, None)),
        with_values(parse("/long", false, None)),
        parse("/long", false, None),
        parse("/", false, None),
    ];
    for pair in ordered.windows(2) {
        let [first, second] =
            [&pair[0], &pair[1]].map(|config| Matcher::from_config(config).specificity());
        assert!(first < second, "{pair:#?}");
    }
}
