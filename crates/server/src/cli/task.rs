//! `milvus-cdc task …`: one or two requests for each verb, and `watch`. Never keeps anything
//! between two runs.

use super::client::{self, Client, ServerArgs, TASKS, path_of};
use super::create::Create;
use super::drain::Drain;
use super::failure::Failure;
use super::outcome::Outcome;
use super::output::{self, OutputFormat};
use super::watch::Watch;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Args, Debug)]
pub(super) struct TaskCommand {
    #[command(flatten)]
    server: ServerArgs,
    /// The form of the output.
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: OutputFormat,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a task; prints its id.
    Create(Box<Create>),
    /// Check what `create` would do, and whether the target answers; creates nothing.
    Check(Box<Create>),
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
        /// Succeed if the task does not exist.
        #[arg(long)]
        ignore_not_found: bool,
    },
    /// Show the positions of a task, or of all tasks.
    Position {
        /// The task's id.
        task_id: Option<String>,
    },
    /// Show how far a task is behind its source, by channel.
    Lag(OneTask),
    /// Show what happened to a task since the service started, the newest last.
    Events(OneTask),
    /// Show the requests that the target of a task lacks, because they can't be replicated.
    Missed(OneTask),
    /// Show which collections a task covers.
    Collections(OneTask),
    /// Wait until a task has caught up and its target has stored everything: the first step before
    /// the target is restarted or promoted.
    Drain(Drain),
    /// Follow a task: state, lag, rows per second.
    Watch(Watch),
}

#[derive(Args, Debug)]
struct OneTask {
    /// The task's id.
    task_id: String,
}

impl OneTask {
    fn path(&self, below: &str) -> String {
        format!("{}{below}", path_of(&self.task_id))
    }
}

impl TaskCommand {
    pub(super) fn run(self) -> Outcome {
        client::carry_out(self.carry_out())
    }

    async fn carry_out(self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let answer = match &self.verb {
            Verb::Watch(watch) => return watch.run(&client, Some(self.output)).await,
            Verb::Drain(drain) => {
                let (answer, in_step) = drain.run(&client).await?;
                self.show(&answer);
                return in_step;
            }
            Verb::Create(create) => client.post(TASKS, Some(&create.request()?)).await?,
            Verb::Check(create) => {
                client.post(&format!("{TASKS}/check"), Some(&create.request()?)).await?
            }
            Verb::List => client.get(TASKS).await?,
            Verb::Get(task) => json!({ "task": client.get(&task.path("")).await? }),
            Verb::Pause(task) => client.post(&task.path("/pause"), None).await?,
            Verb::Resume(task) => client.post(&task.path("/resume"), None).await?,
            Verb::Delete { task, ignore_not_found } => match client.delete(&task.path("")).await {
                Err(failure) if failure.not_found && *ignore_not_found => Value::Null,
                answer => answer?,
            },
            Verb::Position { task_id } => positions(&client, task_id.as_deref()).await?,
            Verb::Lag(task) => client.get(&task.path("/lag")).await?,
            Verb::Events(task) => client.get(&task.path("/events")).await?,
            Verb::Missed(task) => client.get(&task.path("/missed")).await?,
            Verb::Collections(task) => client.get(&task.path("/collections")).await?,
        };
        self.show(&answer);
        match &self.verb {
            Verb::Check(_) => reachable(&answer["target"]),
            _ => Ok(()),
        }
    }

    fn show(&self, answer: &Value) {
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            eprintln!("warning: {}", output::text(warning));
        }
        if self.output == OutputFormat::Json {
            let text = if answer.is_null() { "{}".to_owned() } else { answer.to_string() };
            println!("{text}");
            return;
        }
        match &self.verb {
            Verb::Create(_) => println!("{}", output::text(&answer["task_id"])),
            Verb::List => print!("{}", output::tasks(output::items(&answer["tasks"]))),
            Verb::Get(_) => print!("{}", output::task(&answer["task"])),
            Verb::Position { .. } => print!("{}", output::positions(answer)),
            Verb::Lag(_) => print!("{}", output::channels(output::items(&answer["channels"]))),
            Verb::Events(_) => print!("{}", output::events(output::items(&answer["events"]))),
            Verb::Missed(_) => print!("{}", output::missed(output::items(&answer["missed"]))),
            Verb::Check(_) | Verb::Collections(_) => {
                if answer["source_catalog"] != "ok" {
                    eprintln!("warning: the source: {}", output::text(&answer["source_catalog"]));
                }
                print!("{}", output::collections(output::items(&answer["collections"])));
            }
            Verb::Pause(id) => eprintln!("task {} is paused", id.task_id),
            Verb::Resume(id) => eprintln!("task {} is set to run", id.task_id),
            Verb::Delete { task, .. } => eprintln!("task {} is deleted", task.task_id),
            Verb::Drain(_) => {
                print!("{}", output::flushed(output::items(&answer["collections"])))
            }
            Verb::Watch(_) => {}
        }
    }
}

/// The positions of a task, or of all tasks if there is no id. An unknown task has none.
async fn positions(client: &Client, id: Option<&str>) -> Result<Value, Failure> {
    let paths: Vec<String> = match id {
        Some(id) => vec![path_of(id)],
        None => {
            let tasks = client.get(TASKS).await?;
            let ids = output::items(&tasks["tasks"]).iter();
            ids.map(|task| path_of(&output::text(&task["task_id"]))).collect()
        }
    };
    let mut all = json!({ "positions": [], "op_positions": [], "target_positions": [] });
    for path in paths {
        let shown = match client.get(&format!("{path}/positions")).await {
            Err(failure) if failure.not_found => continue,
            shown => shown?,
        };
        for (kind, list) in all.as_object_mut().into_iter().flatten() {
            if let Some(list) = list.as_array_mut() {
                list.extend(output::items(&shown[kind]).iter().cloned());
            }
        }
    }
    // Scripts expect null for nothing, as `/cdc` answers.
    for list in all.as_object_mut().into_iter().flatten().map(|(_, list)| list) {
        if output::items(list).is_empty() {
            *list = Value::Null;
        }
    }
    Ok(all)
}

/// A check fails if the target can't be reached.
fn reachable(target: &Value) -> Result<(), Failure> {
    if target["reachable"] == true {
        return Ok(());
    }
    let (uri, reason) = (output::text(&target["uri"]), output::text(&target["reason"]));
    Err(Failure::new(Outcome::Refused, format!("the target {uri} does not answer: {reason}")))
}
