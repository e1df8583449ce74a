//! Talks to a running service. Never retries: scripts decide that.

use super::Outcome;
use serde_json::{Value, json};
use std::time::Duration;

/// A pause or delete waits for a task to finish its window.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A service somewhere.
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
}

/// Why there is no answer to show; the sentence is for standard error.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) what: String,
}

impl Failure {
    pub(super) fn new(outcome: Outcome, what: impl Into<String>) -> Self {
        Self { outcome, what: what.into() }
    }
}

impl Client {
    pub(super) fn new(server: &str) -> Result<Self, Failure> {
        let server = server.trim_end_matches('/');
        let server = match server.contains("://") {
            true => server.to_owned(),
            false => format!("http://{server}"),
        };
        if reqwest::Url::parse(&server).is_err() {
            let what = format!("--server {server:?} is not an address: write http://host:port");
            return Err(Failure::new(Outcome::Usage, what));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // A proxy of the environment is for the world outside, not for this service.
            .no_proxy()
            .build()
            .map_err(|e| Failure::new(Outcome::Unreachable, e.to_string()))?;
        Ok(Self { http, server })
    }

    /// One request; answers the `data`.
    pub(super) async fn ask(&self, kind: &str, data: Value) -> Result<Value, Failure> {
        let body = json!({ "request_type": kind, "request_data": data });
        let request = self.http.post(format!("{}/cdc", self.server)).json(&body);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(|_| {
            let what = format!("{} answers, but it is no milvus-cdc ({status})", self.server);
            Failure::new(Outcome::Unreachable, what)
        })?;
        // The body's code counts: the Go tool answers everything with status 200.
        if answer["code"] == 200 {
            return Ok(answer["data"].clone());
        }
        let message = answer["message"].as_str().unwrap_or("refused without a reason");
        Err(Failure::new(Outcome::Refused, message))
    }

    /// The metrics as text.
    pub(super) async fn metrics(&self) -> Result<String, Failure> {
        let request = self.http.get(format!("{}/cdc/metrics", self.server));
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        response.text().await.map_err(|e| self.unreachable(&e))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut what = format!("{} does not answer", self.server);
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            what.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Failure::new(Outcome::Unreachable, what)
    }
}
