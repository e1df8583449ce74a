//! A task from its creation to its end, with reqwest. It only wraps requests to `/api/v1`, and
//! never decides what a task may be: the service says that.

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A pause waits until the open window is finished, which takes up to half a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at a task.
const PAUSE: Duration = Duration::from_secs(1);

/// A task from its creation to its end.
///
/// Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command line.
#[derive(Parser)]
struct Arguments {
    /// The service.
    #[arg(long, env = "MILVUS_CDC_SERVER", default_value = "http://127.0.0.1:8444")]
    server: String,
    /// Its token, if it asks for one.
    #[arg(long, env = "MILVUS_CDC_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A PEM file with the authority of its certificate.
    #[arg(long, env = "MILVUS_CDC_API_CA")]
    ca: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what a creation would cover, and create nothing.
    Check { request: PathBuf },
    /// Create a task and print its id.
    Create { request: PathBuf },
    /// Wait until the target has all that the source's queue has now.
    Watch {
        task: String,
        /// How long to wait at most.
        #[arg(default_value_t = 600)]
        seconds: u64,
    },
    /// Pause a task.
    Pause { task: String },
    /// Resume it.
    Resume { task: String },
    /// Delete it.
    Delete { task: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("example-task: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let api = Api::new(&arguments)?;
    match arguments.command {
        Command::Check { request } => {
            let checked = api.call(Method::POST, "/tasks/check", Some(&request)).await?;
            println!("{checked:#}");
        }
        Command::Create { request } => {
            let created = api.call(Method::POST, "/tasks", Some(&request)).await?;
            for warning in created["warnings"].as_array().into_iter().flatten() {
                eprintln!("warning: {}", text(warning));
            }
            println!("{}", text(&created["task_id"]));
        }
        Command::Watch { task, seconds } => {
            watch(&api, &task, Duration::from_secs(seconds)).await?;
        }
        Command::Pause { task } => {
            api.call(Method::POST, &format!("/tasks/{task}/pause"), None).await?;
        }
        Command::Resume { task } => {
            api.call(Method::POST, &format!("/tasks/{task}/resume"), None).await?;
        }
        Command::Delete { task } => {
            api.call(Method::DELETE, &format!("/tasks/{task}"), None).await?;
        }
    }
    Ok(())
}

/// The HTTP API of a service.
struct Api {
    server: String,
    token: Option<String>,
    client: Client,
}

impl Api {
    fn new(arguments: &Arguments) -> Result<Self> {
        let mut builder = Client::builder().timeout(ANSWER_WITHIN);
        if let Some(file) = &arguments.ca {
            let pem = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            let authority = Certificate::from_pem(&pem)
                .with_context(|| format!("{} is not a PEM certificate", file.display()))?;
            builder = builder.add_root_certificate(authority);
        }
        let (server, token) = (arguments.server.clone(), arguments.token.clone());
        Ok(Self { server, token, client: builder.build()? })
    }

    /// Sends a request, with a file as its body, and returns the answer's JSON: null if it has
    /// none.
    async fn call(&self, method: Method, path: &str, body: Option<&Path>) -> Result<Value> {
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.server));
        if let Some(file) = body {
            let body = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            request = request.header("Content-Type", "application/json").body(body);
        }
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.send(request).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let no_answer =
            || format!("no answer from {}: is it the address of milvus-cdc?", self.server);
        let answer = request.send().await.with_context(no_answer)?;
        let status = answer.status();
        let body = answer.text().await.with_context(no_answer)?;
        if !status.is_success() {
            bail!("refused with status {}: {}", status.as_u16(), explain(&body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).with_context(|| format!("the answer is not JSON: {body}"))
    }
}

/// Makes a sentence of a problem (RFC 9457); shows whatever else was answered as it is.
fn explain(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let Some(detail) = problem["detail"].as_str() else { return body.to_owned() };
    let field = problem["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
    format!("{field}{detail}. {}", problem["remedy"].as_str().unwrap_or_default())
}

async fn watch(api: &Api, task: &str, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let (mut began, mut goal) = (None, BTreeMap::new());
    loop {
        let seen = api.call(Method::GET, &format!("/tasks/{task}"), None).await?;
        let status = &seen["status"];
        show(&seen);
        if seen["state"] == "Paused" {
            bail!("the task is paused: {}", seen["reason"].as_str().unwrap_or("without a reason"));
        }
        let began = *began.get_or_insert(status["at_ms"].as_u64().unwrap_or_default());
        let channels = status["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
        if reached(channels, began, &mut goal) {
            println!("caught up");
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("the time is up: {}", why_not(status));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether each channel is on the target up to its goal: its end as it was read for the first time
/// after the watch began.
fn reached(channels: &[Value], began: u64, goal: &mut BTreeMap<String, u64>) -> bool {
    for channel in channels {
        let looked = channel["looked_ms"].as_u64().is_some_and(|looked| looked > began);
        if let (true, Some(end)) = (looked, channel["source_ms"].as_u64()) {
            goal.entry(text(&channel["channel_name"])).or_insert(end);
        }
    }
    let is_done = |channel: &Value| {
        let goal = goal.get(&text(&channel["channel_name"]));
        goal.is_some_and(|goal| channel["acknowledged_ms"].as_u64().is_some_and(|at| at >= *goal))
    };
    !channels.is_empty() && channels.iter().all(is_done)
}

fn show(task: &Value) {
    let status = &task["status"];
    let lag = status["lag_seconds"].as_f64().map_or("unknown".into(), |lag| format!("{lag:.1}"));
    let waiting = status["waiting"].as_str().map(|what| format!(", waiting: {what}"));
    eprintln!(
        "{}, {}, lag {lag} s{}",
        text(&task["state"]),
        text(&status["stage"]),
        waiting.unwrap_or_default()
    );
}

fn why_not(status: &Value) -> String {
    if let Some(waiting) = status["waiting"].as_str() {
        return waiting.to_owned();
    }
    if status["channels"].as_array().is_none_or(Vec::is_empty) {
        return "no channel is read; does the source have a collection of the task?".to_owned();
    }
    format!("it lags by {} s", status["lag_seconds"])
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
