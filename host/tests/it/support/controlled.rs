//! A gateway with a control listener, and who calls that.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use super::process::{Finished, Portcullis, run};
use super::{Answer, TestClient};

/// A `portcullis run` whose config has `control: { address: '127.0.0.1:0' }`.
pub(crate) struct Controlled {
    /// The gateway.
    pub(crate) gateway: Portcullis,
    /// Of its control listener.
    pub(crate) address: SocketAddr,
}

impl Controlled {
    /// Serves `config` (YAML without `listeners` and `metrics`).
    pub(crate) async fn start(config: &str) -> Self {
        Self::over(Portcullis::start(config).await).await
    }

    /// Asks that gateway, which has been started.
    pub(crate) async fn over(gateway: Portcullis) -> Self {
        gateway.wait_for_log("control API on http://").await;
        let log = gateway.log();
        let (_, after) = log.split_once("control API on http://").unwrap();
        let (address, _) = after.split_once("/api/v1").unwrap();
        Self {
            address: address.parse().unwrap(),
            gateway,
        }
    }

    /// The file with the tokens.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.gateway.directory().join("control.token")
    }

    /// The token of that role.
    pub(crate) fn token(&self, role: &str) -> String {
        let file = std::fs::read_to_string(self.tokens()).unwrap();
        let mut lines = file.lines();
        let line = lines.find_map(|line| line.strip_prefix(&format!("{role} ")));
        line.unwrap().to_owned()
    }

    /// Calls without a token of its own.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let mut client = TestClient::connect(self.address).await;
        client.send(method, path, headers, body).await
    }

    /// Calls as that role.
    pub(crate) async fn call_as(
        &self,
        role: &str,
        method: Method,
        path: &str,
        (kind, body): (&str, Vec<u8>),
    ) -> Answer {
        let token = format!("Bearer {}", self.token(role));
        let headers = [("authorization", token.as_str()), ("content-type", kind)];
        self.call(method, path, &headers, body).await
    }

    /// Asks for something as that role.
    pub(crate) async fn get(&self, path: &str, role: &str) -> Answer {
        self.call_as(role, Method::GET, path, ("text/plain", Vec::new()))
            .await
    }

    /// Posts JSON as that role.
    pub(crate) async fn post(&self, path: &str, role: &str, document: &Value) -> Answer {
        let body = document.to_string().into_bytes();
        self.call_as(role, Method::POST, path, ("application/json", body))
            .await
    }

    /// Uploads a form with these fields as that role.
    pub(crate) async fn upload(
        &self,
        policy: &str,
        role: &str,
        fields: &[(&str, &[u8])],
    ) -> Answer {
        let path = format!("/api/v1/store/{policy}/versions");
        let form = (FORM, form(fields));
        self.call_as(role, Method::POST, &path, form).await
    }

    /// Runs the command line, which asks this gateway.
    pub(crate) fn ask(&self, words: &[&str]) -> Finished {
        let (address, tokens) = (self.address.to_string(), self.tokens());
        let more = [
            "--control",
            &address,
            "--token-file",
            tokens.to_str().unwrap(),
        ];
        run(&[words, &more].concat())
    }
}

const FORM: &str = "multipart/form-data; boundary=portcullis-test";

fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let head =
            format!("--portcullis-test\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(value);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--portcullis-test--\r\n");
    form
}

/// Pushes a component as the policy `guard`; `None` if the gateway is gone before it has answered.
pub(crate) async fn try_upload(
    address: SocketAddr,
    token: &str,
    component: &[u8],
) -> Option<Value> {
    let mut client = TestClient::try_connect(address).await?;
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str()), ("content-type", FORM)];
    let path = "/api/v1/store/guard/versions";
    let form = form(&[("component", component)]);
    let answer = client.try_send(Method::POST, path, &headers, form).await;
    let answer = answer.ok()?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Some(answer.json())
}
