use serde_json::{Value, json};

use super::*;

fn groups(value: Value) -> Result<Groups, Vec<(String, String)>> {
    let config: Config = serde_json::from_value(value).unwrap();
    config.groups().map_err(|problems| {
        problems
            .into_iter()
            .map(|problem| (problem.path, problem.message))
            .collect()
    })
}

#[test]
fn groups_keep_their_order() {
    let groups = groups(json!({
        "request": [
            { "append": { "x-a": "1" }, "set": { "x-b": "2" }, "remove": ["x-c"], "rename": { "x-d": "x-e" }, "set_if_absent": { "x-f": "3" } },
            { "remove": ["x-a"] },
        ],
        "response": [{ "when_status": ["2xx", 404], "set": { "cache-control": "no-store" } }],
    }))
    .unwrap();
    let kinds: Vec<&str> = groups.request[0]
        .edits
        .iter()
        .map(|edit| match edit {
            Edit::Rename(..) => "rename",
            Edit::Remove(..) => "remove",
            Edit::Set(..) => "set",
            Edit::SetIfAbsent(..) => "set_if_absent",
            Edit::Append(..) => "append",
        })
        .collect();
    assert_eq!(
        kinds,
        ["rename", "remove", "set", "set_if_absent", "append"]
    );
    assert_eq!(groups.request.len(), 2);
    assert!(
        groups.response[0]
            .when_status
            .as_ref()
            .is_some_and(|set| set.contains(404) && !set.contains(500))
    );
}

#[test]
fn each_problem_names_its_place_and_the_remedy() {
    let many: BTreeMap<String, &str> = (0..101).map(|i| (format!("x-{i}"), "v")).collect();
    for (value, place, message) in [
        (json!({}), "", "changes nothing"),
        (json!({ "request": [{}] }), "/request/0", "changes nothing"),
        (
            json!({ "request": [{ "set": { "Host": "a" } }] }),
            "/request/0/set/host",
            "rewrite",
        ),
        (
            json!({ "request": [{ "append": { "connection": "x" } }] }),
            "/request/0/append/connection",
            "one connection only",
        ),
        (
            json!({ "request": [{ "rename": { "x-a": "content-length" } }] }),
            "/request/0/rename/x-a",
            "content-length follows",
        ),
        (
            json!({ "request": [{ "rename": { "te": "x-a" } }] }),
            "/request/0/rename/te",
            "te concerns",
        ),
        (
            json!({ "response": [{ "remove": ["x-a", "trailer"] }] }),
            "/response/0/remove/1",
            "trailer",
        ),
        (
            json!({ "response": [{ "set": { "x-request-id": "1" } }] }),
            "/response/0/set/x-request-id",
            "after all policies",
        ),
        (
            json!({ "request": [{ "set": { "x-a": "${nope}" } }] }),
            "/request/0/set/x-a",
            "there are client.address",
        ),
        (
            json!({ "request": [{ "set": { "x-a": "${response.status}" } }] }),
            "/request/0/set/x-a",
            "no response yet",
        ),
        (
            json!({ "request": [{ "set_if_absent": { "x-a": "$" } }] }),
            "/request/0/set_if_absent/x-a",
            "write $$",
        ),
        (
            json!({ "response": [{ "when_status": [], "remove": ["x-a"] }] }),
            "/response/0/when_status",
            "must name a status",
        ),
        (
            json!({ "response": [{ "when_status": [200, "6xx"], "remove": ["x-a"] }] }),
            "/response/0/when_status/1",
            "from 200 to 599",
        ),
        (
            json!({ "request": [{ "set": many }] }),
            "/request",
            "more than 100",
        ),
    ] {
        let problems = groups(value.clone()).unwrap_err();
        let (path, text) = &problems[0];
        assert!(
            path == place && text.contains(message),
            "{value}: {problems:?}"
        );
    }
}

#[test]
fn the_request_s_id_may_be_set_for_the_upstream() {
    assert!(groups(json!({ "request": [{ "set": { "x-request-id": "${request.id}" } }] })).is_ok());
}

#[test]
fn unknown_keys_and_broken_names_are_refused() {
    for (value, message) in [
        (json!({ "request": [{ "add": {} }] }), "unknown field `add`"),
        (
            json!({ "request": [{ "when_status": [200] }] }),
            "unknown field `when_status`",
        ),
        (
            json!({ "request": [{ "set": { "a b": "c" } }] }),
            "is no field name",
        ),
        (
            json!({ "response": [{ "when_status": [true] }] }),
            "expected a status",
        ),
    ] {
        let error = serde_json::from_value::<Config>(value)
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn the_schema_file_is_current() {
    portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
}
