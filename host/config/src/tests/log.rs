//! The log.

use super::{SAMPLE, parse, problems};
use crate::{LogFilter, LogFormat, LogLevel};

fn filter(text: &str) -> Result<String, String> {
    Ok(text.parse::<LogFilter>()?.to_string())
}

#[test]
fn the_form_and_the_filter_have_defaults() {
    let log = parse(SAMPLE).unwrap().log;
    assert_eq!(log.format, LogFormat::Auto);
    assert_eq!(log.filter.to_string(), "warn,policy=info,portcullis=info");
    let text = format!("{SAMPLE}log: {{ format: json, filter: debug }}\n");
    let log = parse(&text).unwrap().log;
    assert_eq!(
        (log.format, log.filter.others),
        (LogFormat::Json, LogLevel::Debug)
    );
}

#[test]
fn filters_are_levels_of_modules_and_of_all_others() {
    for (text, read) in [
        ("info", "info"),
        ("INFO", "info"),
        ("off", "off"),
        ("policy=debug", "off,policy=debug"),
        (
            " warn , portcullis::upstream = trace ",
            "warn,portcullis::upstream=trace",
        ),
        ("a=info,warn,b=off", "warn,a=info,b=off"),
    ] {
        assert_eq!(filter(text).as_deref(), Ok(read));
    }
}

#[test]
fn what_is_no_filter_is_refused_in_words() {
    let levels =
        "is neither a level nor MODULE=LEVEL; levels are off, error, warn, info, debug, trace";
    for (text, message) in [
        ("", format!("\"\" {levels}")),
        ("inof", format!("\"inof\" {levels}")),
        (
            "warn,portcullis=loud",
            format!("\"portcullis=loud\" {levels}"),
        ),
        ("warn,", format!("\"\" {levels}")),
        ("=info", "\"\" is not the name of a module".to_owned()),
        ("a b=info", "\"a b\" is not the name of a module".to_owned()),
        (
            "info,debug",
            "\"debug\": there is another level for the same".to_owned(),
        ),
        (
            "a=info,a=debug",
            "\"a=debug\": there is another level for the same".to_owned(),
        ),
        (&"x".repeat(5_000), "longer than 4096 bytes".to_owned()),
    ] {
        assert_eq!(filter(text), Err(message));
    }
    let line = SAMPLE.lines().count() + 1;
    assert_eq!(
        problems(&format!("{SAMPLE}log: {{ filter: portcullis=loud }}\n")),
        [format!("{line}: log.filter: \"portcullis=loud\" {levels}")]
    );
}
