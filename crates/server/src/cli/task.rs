//! `milvus-cdc task …`: one request each, and `watch`. Never keeps anything between two runs.

use super::Outcome;
use super::client::{Client, Failure};
use super::create::Create;
use super::output::{self, Form};
use super::watch::Watch;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Args, Debug)]
pub(super) struct TaskCommand {
    /// The service.
    #[arg(long, global = true, env = "MILVUS_CDC_SERVER", default_value = "http://127.0.0.1:8444")]
    server: String,
    /// The form of the output.
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: Form,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a task; prints its id.
    Create(Box<Create>),
    /// List all tasks.
    List,
    /// Show a task.
    Get(OneTask),
    /// Stop a task until it is resumed.
    Pause(OneTask),
    /// Let a task run.
    Resume(OneTask),
    /// Remove a task and its positions.
    Delete {
        #[command(flatten)]
        task: OneTask,
        /// A task that does not exist is as good as deleted.
        #[arg(long)]
        ignore_not_found: bool,
    },
    /// Show how far a task is, or all of them.
    Position {
        /// The task's id.
        task_id: Option<String>,
    },
    /// Follow a task: state, lag, rows per second.
    Watch(Watch),
}

#[derive(Args, Debug)]
struct OneTask {
    /// The task's id.
    task_id: String,
}

impl TaskCommand {
    pub(super) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(self.carry_out()),
            Err(error) => Err(Failure::new(Outcome::Refused, error.to_string())),
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(failure) => {
                eprintln!("{}", failure.what);
                failure.outcome
            }
        }
    }

    async fn carry_out(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let by_id = |id: &OneTask| json!({ "task_id": id.task_id });
        let (kind, data) = match &self.verb {
            Verb::Watch(watch) => return watch.run(&client, self.output).await,
            Verb::Create(create) => ("create", create.request()?),
            Verb::List => ("list", Value::Null),
            Verb::Get(id) => ("get", by_id(id)),
            Verb::Pause(id) => ("pause", by_id(id)),
            Verb::Resume(id) => ("resume", by_id(id)),
            Verb::Delete { task, ignore_not_found } => {
                let id = &task.task_id;
                ("delete", json!({ "task_id": id, "ignore_not_found": ignore_not_found }))
            }
            Verb::Position { task_id } => ("position", json!({ "task_id": task_id })),
        };
        let answer = client.ask(kind, data).await?;
        self.show(&answer);
        Ok(())
    }

    fn show(&self, data: &Value) {
        for warning in data["warnings"].as_array().into_iter().flatten() {
            eprintln!("warning: {}", output::text(warning));
        }
        if self.output == Form::Json {
            let text = if data.is_null() { "{}".to_owned() } else { data.to_string() };
            println!("{text}");
            return;
        }
        match &self.verb {
            Verb::Create(_) => println!("{}", output::text(&data["task_id"])),
            Verb::List => {
                let tasks = data["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
                print!("{}", output::tasks(tasks));
            }
            Verb::Get(_) => print!("{}", output::task(&data["task"])),
            Verb::Position { .. } => print!("{}", output::positions(data)),
            Verb::Pause(id) => eprintln!("task {} is paused", id.task_id),
            Verb::Resume(id) => eprintln!("task {} is set to run", id.task_id),
            Verb::Delete { task, .. } => eprintln!("task {} is deleted", task.task_id),
            Verb::Watch(_) => {}
        }
    }
}
