//! The paths under `/_mock`.

use http::StatusCode;
use mock_service::{MockService, Settings};
use serde_json::{Value, json};

use crate::support::{get, open_get, read_until_closed, request, send};

#[tokio::test]
async fn attempts_show_what_was_asked_and_answered_and_when() {
    let upstream = MockService::start().await;
    let address = upstream.address();
    get(address, "/flaky").await;
    get(address, "/hello").await;
    get(address, "/flaky?key=").await;
    read_until_closed(open_get(address, "/reset", "").await).await;

    let all = get(address, "/_mock/attempts").await.json();
    let columns = ["number", "method", "path", "status", "outcome"];
    let rows: Vec<Value> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| {
            columns
                .iter()
                .map(|column| attempt[column].clone())
                .collect()
        })
        .collect();
    let expected = [
        json!([1, "GET", "/flaky", 503, "answered"]),
        json!([2, "GET", "/hello", 200, "answered"]),
        json!([3, "GET", "/flaky", 503, "answered"]),
        json!([4, "GET", "/reset", null, "closed"]),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn attempts_of_one_path_tell_the_time_since_the_previous_one() {
    let upstream = MockService::start().await;
    let address = upstream.address();
    for target in ["/delay/20", "/hello", "/delay/20"] {
        get(address, target).await;
    }
    let attempts = get(address, "/_mock/attempts?path=%2Fdelay%2F20")
        .await
        .json();
    assert_eq!(attempts.as_array().map(Vec::len), Some(2));
    assert_eq!(attempts[0]["since_previous_ms"], Value::Null);
    let since = attempts[1]["since_previous_ms"].as_f64().unwrap();
    let between = attempts[1]["at_ms"].as_f64().unwrap() - attempts[0]["at_ms"].as_f64().unwrap();
    assert!(since >= 20.0, "{since}");
    // Each of the three is rounded to a tenth.
    assert!((since - between).abs() < 0.2, "{since} {between}");
}

#[tokio::test]
async fn the_record_keeps_the_latest_requests() {
    let settings = Settings {
        kept_requests: 2,
        ..Settings::default()
    };
    let upstream = MockService::with(settings).await.unwrap();
    for target in ["/1", "/2", "/3"] {
        get(upstream.address(), target).await;
    }
    let attempts = get(upstream.address(), "/_mock/attempts").await.json();
    assert_eq!(attempts.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&attempts[0]["path"], &attempts[1]["path"]),
        (&json!("/2"), &json!("/3"))
    );
    assert_eq!(
        (&attempts[0]["number"], &attempts[1]["status"]),
        (&json!(2), &json!(200))
    );
}

#[tokio::test]
async fn reset_forgets_requests_and_counters() {
    let upstream = MockService::start().await;
    let address = upstream.address();
    get(address, "/fail/1").await;
    let reply = send(address, request("POST", "/_mock/reset", "")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(get(address, "/_mock/attempts").await.json(), json!([]));
    // Without the reset this would be the success.
    let reply = get(address, "/fail/1").await;
    assert_eq!(reply.json()["attempt"], 1);
    let attempts = get(address, "/_mock/attempts").await.json();
    assert_eq!(attempts[0]["number"], 1);
}

#[tokio::test]
async fn wrong_control_requests_say_what_is_expected() {
    let upstream = MockService::start().await;
    let address = upstream.address();
    for target in ["/_mock", "/_mock/", "/_mock/unknown"] {
        let reply = get(address, target).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{target}");
        let error = "expected GET /_mock/attempts or POST /_mock/reset";
        assert_eq!(reply.json(), json!({ "error": error }));
    }
    let reply = get(address, "/_mock/reset").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.headers["allow"], "POST");
    assert_eq!(get(address, "/_mocked").await.status, StatusCode::OK);
}
