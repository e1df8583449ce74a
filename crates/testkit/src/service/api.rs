//! The HTTP API of a milvus-cdc as a script uses it. Never hides an answer: anything but a success
//! is an error with the whole answer.

use crate::wait;
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// Creating a task answers quickly; this is for a machine that is busy with other tests.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
}

/// The HTTP API of one milvus-cdc.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// At `host:port`.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn at(address: &str) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build()?;
        Ok(Self { base: format!("http://{address}"), client })
    }

    /// Sends any request and returns whatever comes back.
    ///
    /// # Errors
    /// If nothing comes back, or no JSON.
    pub async fn ask(&self, request_type: &str, data: Value) -> Result<Answer> {
        let body = json!({"request_type": request_type, "request_data": data}).to_string();
        let sent = self.client.post(format!("{}/cdc", self.base)).body(body).send().await?;
        let status = sent.status().as_u16();
        let text = sent.text().await?;
        let body = serde_json::from_str(&text)
            .with_context(|| format!("{request_type} answered {status} {text}"))?;
        Ok(Answer { status, body })
    }

    /// Sends a request that must succeed; returns its `data`.
    ///
    /// # Errors
    /// If it does not succeed.
    pub async fn request(&self, request_type: &str, data: Value) -> Result<Value> {
        let Answer { status, mut body } = self.ask(request_type, data).await?;
        ensure!(status == 200 && body["code"] == 200, "{request_type}: {status} {body}");
        Ok(body["data"].take())
    }

    /// Creates a task for whole databases or selected collections on a target at `host:port`;
    /// `more` is merged into the request. Returns the task's id.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create_task(&self, target: &str, more: Value) -> Result<String> {
        let mut data = json!({"milvus_connect_param": {"uri": format!("http://{target}")}});
        for (key, value) in more.as_object().context("`more` is no object")? {
            data[key] = value.clone();
        }
        let answer = self.request("create", data).await?;
        Ok(answer["task_id"].as_str().context("no task id in the answer")?.to_owned())
    }

    /// Creates a task for all databases and collections.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create_task_for_all(&self, target: &str) -> Result<String> {
        self.create_task(target, json!({"db_collections": {"*": [{"name": "*"}]}})).await
    }

    /// Pauses a task.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn pause(&self, task: &str) -> Result<()> {
        self.request("pause", json!({"task_id": task})).await.map(drop)
    }

    /// Resumes a task.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn resume(&self, task: &str) -> Result<()> {
        self.request("resume", json!({"task_id": task})).await.map(drop)
    }

    /// Deletes a task.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn delete(&self, task: &str) -> Result<()> {
        self.request("delete", json!({"task_id": task})).await.map(drop)
    }

    /// A task as the API shows it.
    ///
    /// # Errors
    /// If there is no such task.
    pub async fn task(&self, task: &str) -> Result<Value> {
        Ok(self.request("get", json!({"task_id": task})).await?["task"].take())
    }

    /// All tasks as the API shows them.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn tasks(&self) -> Result<Vec<Value>> {
        let answer = self.request("list", Value::Null).await?;
        Ok(answer["tasks"].as_array().context("no list of tasks")?.clone())
    }

    /// The positions of a task.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn position(&self, task: &str) -> Result<Value> {
        self.request("position", json!({"task_id": task})).await
    }

    /// Waits until a task is in a state; a paused task that should run is an error at once, with
    /// its reason.
    ///
    /// # Errors
    /// If it does not come to be `within` the time given.
    #[track_caller]
    pub fn wait_state(
        &self,
        task: &str,
        state: &str,
        within: Duration,
    ) -> impl Future<Output = Result<()>> {
        let caller = Location::caller();
        async move {
            let what = format!("task {task} to be {state}, for {caller}");
            let seen = wait::until(what, within, || async {
                let seen = self.task(task).await?;
                let there = seen["state"] == state;
                let stuck = seen["state"] == "Paused" && state == "Running";
                Ok((there || stuck).then_some(seen))
            });
            let seen = seen.await?;
            ensure!(seen["state"] == state, "at {caller}: not {state} but {seen}");
            Ok(())
        }
    }

    /// Waits until a new task has its positions in the source: all later changes there are
    /// replicated, including indexes and loading.
    ///
    /// # Errors
    /// If that does not happen `within` the time given.
    pub async fn wait_begun(&self, task: &str, within: Duration) -> Result<()> {
        self.wait_state(task, "Running", within).await?;
        wait::until(format!("task {task} to begin"), within, || async {
            let position = self.position(task).await?;
            let begun = position["op_positions"].as_array().is_some_and(|all| !all.is_empty());
            Ok(begun.then_some(()))
        })
        .await
    }

    /// Whether it answers at all.
    pub async fn is_healthy(&self) -> bool {
        self.get_status("/healthz").await.is_ok_and(|status| status == 200)
    }

    /// The status of a GET.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get_status(&self, path: &str) -> Result<u16> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await?;
        Ok(answer.status().as_u16())
    }

    /// The text of its metrics.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn metrics(&self) -> Result<String> {
        let answer = self.client.get(format!("{}/cdc/metrics", self.base)).send().await?;
        Ok(answer.text().await?)
    }

    /// The sum of a metric over those of its series whose labels contain `label`.
    ///
    /// # Errors
    /// If there is no answer, or no such series.
    pub async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let text = self.metrics().await?;
        let values: Vec<f64> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']) && rest.contains(label))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
            .collect();
        ensure!(!values.is_empty(), anyhow!("no metric {name} with {label}"));
        Ok(values.iter().sum())
    }
}
