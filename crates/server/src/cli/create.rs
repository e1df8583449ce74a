//! `task create`: turns flags or a file into a request. Never checks what the server checks.

use super::failure::Failure;
use super::outcome::Outcome;
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(super) struct Create {
    /// A file with the whole request or only its `request_data`; `-` reads standard input.
    #[arg(long, conflicts_with_all = ["uri", "kafka", "collections", "databases"])]
    file: Option<PathBuf>,
    /// The target Milvus, `http(s)://host:port`.
    #[arg(long, required_unless_present_any = ["file", "kafka"])]
    uri: Option<String>,
    /// Its `user:password`. Prefer the variable, which other users can't see.
    #[arg(long, env = "MILVUS_CDC_TARGET_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The brokers of a Kafka to write to instead; its login is given with `--file`.
    #[arg(long, value_name = "HOST:PORT,…", conflicts_with = "uri", requires = "topic")]
    kafka: Option<String>,
    /// Its topic, or a template: `{task}` and, for change events, `{database}` and `{collection}`.
    #[arg(long, requires = "kafka")]
    topic: Option<String>,
    /// `replicate` or `change_event`.
    #[arg(long, requires = "kafka", default_value = "", hide_default_value = true)]
    format: String,
    /// `at_least_once` or `exactly_once`.
    #[arg(long, requires = "kafka", default_value = "", hide_default_value = true)]
    delivery: String,
    /// A collection, `database.collection` or `collection`; either may be `*`. Repeatable.
    #[arg(long = "collection", value_name = "DB.COLLECTION")]
    collections: Vec<String>,
    /// All collections of a database. Repeatable.
    #[arg(long = "database", value_name = "DB")]
    databases: Vec<String>,
    /// Another name on the target: `db=db` or `db.collection=db.collection`. Repeatable.
    #[arg(long = "map", value_name = "SOURCE=TARGET")]
    mappings: Vec<String>,
    /// The id; if there is none, the server makes one.
    #[arg(long)]
    task_id: Option<String>,
    /// Read existing collections from their first message, not from now.
    #[arg(long)]
    from_start: bool,
    /// Do not create and drop partitions.
    #[arg(long)]
    ignore_partition: bool,
    /// How long a connection to the target may take.
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<u32>,
    /// Pause the task when the service starts.
    #[arg(long)]
    disable_auto_start: bool,
}

impl Create {
    /// The `request_data` of the request.
    pub(super) fn request(&self) -> Result<Value, Failure> {
        match &self.file {
            Some(file) => read(file),
            None => self.of_flags(),
        }
    }

    fn of_flags(&self) -> Result<Value, Failure> {
        let mut by_database: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut add = |database: &str, name: &str| {
            let info = json!({ "name": name, "use_start_position": self.from_start });
            by_database.entry(database.to_owned()).or_default().push(info);
        };
        self.databases.iter().for_each(|database| add(database, "*"));
        for collection in &self.collections {
            match collection.split_once('.') {
                Some((database, name)) => add(database, name),
                None => add("default", collection),
            }
        }
        if by_database.is_empty() {
            let what = "nothing is selected: give --collection or --database";
            return Err(Failure::new(Outcome::Usage, what));
        }
        let mut request = json!({
            "db_collections": by_database,
            "disable_auto_start": self.disable_auto_start,
        });
        let (key, target) = self.target();
        request[key] = target;
        if let Some(id) = &self.task_id {
            request["task_id"] = json!(id);
        }
        if !self.mappings.is_empty() {
            request["name_mapping"] = mapping(&self.mappings)?;
        }
        Ok(request)
    }

    fn target(&self) -> (&'static str, Value) {
        if let Some(brokers) = &self.kafka {
            let kafka = json!({
                "address": brokers,
                "topic": self.topic,
                "format": self.format,
                "delivery": self.delivery,
            });
            return ("kafka_connect_param", kafka);
        }
        let milvus = json!({
            "uri": self.uri,
            "token": self.token.as_deref().unwrap_or_default(),
            "ignore_partition": self.ignore_partition,
            "connect_timeout": self.connect_timeout.unwrap_or(0),
        });
        ("milvus_connect_param", milvus)
    }
}

/// The name mapping, with one rule per pair of databases.
fn mapping(texts: &[String]) -> Result<Value, Failure> {
    let mut rules: BTreeMap<(&str, &str), Map<String, Value>> = BTreeMap::new();
    for text in texts {
        let wrong = || {
            let what = format!("--map {text:?}: write db=db or db.collection=db.collection");
            Failure::new(Outcome::Usage, what)
        };
        let (source, target) = text.split_once('=').ok_or_else(wrong)?;
        match (source.split_once('.'), target.split_once('.')) {
            (Some((sdb, s)), Some((tdb, t))) => {
                rules.entry((sdb, tdb)).or_default().insert(s.into(), t.into());
            }
            (None, None) => {
                rules.entry((source, target)).or_default();
            }
            _ => return Err(wrong()),
        }
    }
    let rules = rules.into_iter().map(|((source, target), collections)| {
        json!({ "source_db": source, "target_db": target, "collection_mapping": collections })
    });
    Ok(rules.collect())
}

fn read(file: &PathBuf) -> Result<Value, Failure> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let usage = |what: String| Failure::new(Outcome::Usage, what);
    let text = text.map_err(|e| usage(format!("{} can't be read: {e}", file.display())))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| {
        usage(format!("{} is not JSON: line {} column {}", file.display(), e.line(), e.column()))
    })?;
    match (value.get("request_type"), value.get("request_data")) {
        (None, _) => Ok(value),
        (Some(kind), Some(data)) if kind == "create" => Ok(data.clone()),
        _ => Err(usage(format!("{} is not a create request", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_between_the_same_two_databases_are_one_rule() {
        let texts = ["a.x=b.y", "a.z=b.w", "c=d"].map(String::from);
        assert_eq!(
            mapping(&texts).unwrap(),
            json!([
                {"source_db": "a", "target_db": "b", "collection_mapping": {"x": "y", "z": "w"}},
                {"source_db": "c", "target_db": "d", "collection_mapping": {}},
            ])
        );
        for wrong in ["a", "a.x=b", "a=b.y"] {
            assert!(mapping(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
