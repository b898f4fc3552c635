//! The fuzz targets' corpus, replayed: what fuzzing has found once stays found.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/properties/mod.rs"]
#[expect(
    unreachable_pub,
    reason = "the fuzz targets use them from outside of their crate"
)]
mod properties;

fn replay(target: &str, hold: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let files = fs::read_dir(corpus.join(target)).unwrap();
    let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(!paths.is_empty(), "{target} has no corpus");
    for path in paths {
        // Shown only where the property does not hold.
        println!("{}", path.display());
        hold(&fs::read(path).unwrap());
    }
}

#[test]
fn paths_of_the_corpus_have_one_harmless_spelling() {
    replay("path", properties::path::hold);
}

#[test]
fn fields_of_the_corpus_are_the_clients_own_afterwards() {
    replay("fields", properties::fields::hold);
}

#[test]
fn configs_of_the_corpus_are_parsed_or_refused() {
    replay("config", properties::config::hold);
}

#[test]
fn requests_of_the_corpus_find_the_route_that_a_plain_search_finds() {
    replay("route", properties::route::hold);
}
