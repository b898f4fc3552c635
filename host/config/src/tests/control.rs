//! The control API's listener.

use super::{SAMPLE, parse, problems};
use crate::Control;

#[test]
fn the_control_api_is_off_unless_it_has_an_address() {
    assert_eq!(parse(SAMPLE).unwrap().control, None);
    let config = parse(&format!("{SAMPLE}control: {{ address: 127.0.0.1:9901 }}\n")).unwrap();
    let expected = Control {
        address: "127.0.0.1:9901".parse().unwrap(),
        token_file: "/etc/gw/control.token".into(),
        hosts: [].into(),
        base: "/etc/gw".into(),
    };
    assert_eq!(config.control, Some(expected));
    let text = "{ address: '127.0.0.1:0', token_file: /run/t, hosts: [GW.internal] }";
    let config = parse(&format!("{SAMPLE}control: {text}\n")).unwrap();
    let control = config.control.unwrap();
    assert_eq!(control.token_file, std::path::Path::new("/run/t"));
    assert_eq!(control.hosts, ["gw.internal".to_owned()].into());
}

#[test]
fn bad_values_are_named_with_their_place() {
    for (text, problem) in [
        ("{}", "control: missing key \"address\""),
        (
            "{ address: '0.0.0.0:9464' }",
            "control.address: the same address as metrics.address",
        ),
        (
            "{ address: '127.0.0.1:1', hosts: ['gw:80'] }",
            "control.hosts[0]: expected a host name without a port, such as gateway.internal, found \"gw:80\"",
        ),
        (
            "{ address: '127.0.0.1:1', token_file: '' }",
            "control.token_file: must not be empty",
        ),
    ] {
        let found = problems(&format!("{SAMPLE}control: {text}\n"));
        assert!(
            found.iter().any(|found| found.ends_with(problem)),
            "{text}: {found:?}"
        );
    }
}
