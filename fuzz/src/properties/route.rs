//! The table of routes finds what a search of all of them finds, for any routes and requests.

mod input;
mod oracle;

use portcullis::route::matcher::Matcher;
use portcullis::route::table::RouteTable;
use portcullis_config::Match;

use self::input::Input;

/// So that no input takes long.
const MOST_REQUESTS: usize = 64;

/// Routes, and then requests until the bytes end.
pub fn hold(data: &[u8]) {
    let mut input = Input::new(data);
    let routes = input.routes();
    // As a snapshot orders them: of equally specific routes the first in the config stays first.
    let mut sorted: Vec<(Matcher, &Match)> = routes
        .iter()
        .map(|route| (Matcher::from_config(route), route))
        .collect();
    sorted.sort_by_key(|(matcher, _)| matcher.specificity());
    let table = RouteTable::new(sorted.iter().map(|(matcher, _)| matcher));
    for request in std::iter::from_fn(|| input.request()).take(MOST_REQUESTS) {
        let key = request.key();
        let place = table.find(key, |place| sorted[place].0.conditions.hold(key));
        let found = place.map(|place| sorted[place].1);
        let expected = oracle::best(&routes, &request);
        // Which of two equal routes is found makes a difference, so not their values are compared.
        assert_eq!(
            found.map(std::ptr::from_ref),
            expected.map(std::ptr::from_ref),
            "{request:?}\nfound {found:#?}\nexpected {expected:#?}"
        );
    }
}
