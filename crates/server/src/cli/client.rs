//! Talks to a running service over `/api/v1`. Never retries: scripts decide that.

use super::Outcome;
use clap::Args;
use reqwest::{Certificate, Identity, Method, RequestBuilder, Response};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A pause or delete waits for a task to finish its window.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Where all tasks are.
pub(super) const TASKS: &str = "/api/v1/tasks";

/// Where a task is; an id that is none is one that no task has.
pub(super) fn path_of(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let id: String = id.chars().map(|c| if fits(c) { c } else { '.' }).collect();
    format!("{TASKS}/{id}")
}

/// Where the service is, and how to be let in.
#[derive(Args, Debug)]
pub(super) struct Place {
    /// The service; `https://` if it speaks TLS.
    #[arg(long, global = true, env = "MILVUS_CDC_SERVER", default_value = "http://127.0.0.1:8444")]
    server: String,
    /// A token of the service, if it asks for one; better given by the variable, which other users
    /// can't see.
    #[arg(long, global = true, env = "MILVUS_CDC_API_TOKEN", hide_env_values = true)]
    api_token: Option<String>,
    /// A PEM file with who may sign the service's certificate, besides the authorities that are
    /// trusted anyway.
    #[arg(long, global = true, value_name = "FILE", env = "MILVUS_CDC_API_CA")]
    api_ca: Option<PathBuf>,
    /// A PEM file with the certificate to show, if the service asks for one.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MILVUS_CDC_API_CERT",
        requires = "api_key"
    )]
    api_cert: Option<PathBuf>,
    /// A PEM file with its key.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MILVUS_CDC_API_KEY",
        requires = "api_cert"
    )]
    api_key: Option<PathBuf>,
}

/// A service somewhere.
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

/// Why there is no answer to show; the sentence is for standard error.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) what: String,
    /// The task does not exist.
    pub(super) not_found: bool,
}

impl Failure {
    pub(super) fn new(outcome: Outcome, what: impl Into<String>) -> Self {
        Self { outcome, what: what.into(), not_found: false }
    }
}

impl Client {
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let server = place.server.trim_end_matches('/');
        let server = match server.contains("://") {
            true => server.to_owned(),
            false => format!("http://{server}"),
        };
        if reqwest::Url::parse(&server).is_err() {
            let what = format!("--server {server:?} is not an address: write http://host:port");
            return Err(Failure::new(Outcome::Usage, what));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // A proxy of the environment is for the world outside, not for this service.
            .no_proxy();
        if let Some(ca) = &place.api_ca {
            let ca = Certificate::from_pem_bundle(&read(ca)?).map_err(|e| unusable(ca, &e))?;
            http = ca.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        if let (Some(cert), Some(key)) = (&place.api_cert, &place.api_key) {
            let both = [read(cert)?, read(key)?].concat();
            http = http.identity(Identity::from_pem(&both).map_err(|e| unusable(cert, &e))?);
        }
        let http = http.build().map_err(|e| Failure::new(Outcome::Unreachable, e.to_string()))?;
        Ok(Self { http, server, token: place.api_token.clone() })
    }

    /// Looks at something.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(self.request(Method::GET, path)).await
    }

    /// Does something.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path);
        self.ask(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Removes something.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(self.request(Method::DELETE, path)).await
    }

    /// The metrics as text.
    pub(super) async fn metrics(&self) -> Result<String, Failure> {
        let response = self.send(self.request(Method::GET, "/cdc/metrics")).await?;
        response.text().await.map_err(|e| self.unreachable(&e))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    /// What is answered; null where there is nothing to say.
    async fn ask(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        if status.is_success() && text.is_empty() {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() && answer.is_object() {
            return Ok(answer);
        }
        if !answer["detail"].is_string() {
            let what = format!("{} answers, but it is no milvus-cdc ({status})", self.server);
            return Err(Failure::new(Outcome::Unreachable, what));
        }
        let not_found = status == reqwest::StatusCode::NOT_FOUND;
        Err(Failure { not_found, ..Failure::new(Outcome::Refused, sentence(&answer)) })
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

/// A problem in one sentence: which key, what is wrong, what to do.
fn sentence(problem: &Value) -> String {
    let word = |key: &str| problem[key].as_str().unwrap_or_default();
    let (field, detail, remedy) = (word("field"), word("detail"), word("remedy"));
    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
    // Many details end with what to do.
    let remedy = if detail.contains(remedy) { String::new() } else { format!("; {remedy}") };
    format!("{field}{detail}{remedy}")
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|e| Failure::new(Outcome::Usage, format!("{} can't be read: {e}", file.display())))
}

fn unusable(file: &Path, error: &reqwest::Error) -> Failure {
    let what = format!("{} does not hold what is wanted in PEM: {error}", file.display());
    Failure::new(Outcome::Usage, what)
}
