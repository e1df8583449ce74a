//! The data of the answers, in the Go tool's shapes. Never does the work itself.

use crate::http::answer::Data;
use crate::http::positions::{self, Position, Positions};
use crate::http::refusal::Refusal;
use crate::http::state::ApiState;
use crate::http::{create, show};
use crate::tasks::TaskRecord;
use serde::Serialize;
use serde_json::{Value, json};

/// `create`
pub(super) async fn create(api: &ApiState, record: TaskRecord) -> Result<Data, Refusal> {
    let created = create::create(api, record).await?;
    let mut data = Data::new();
    data.insert("task_id".into(), json!(created.task_id));
    if !created.warnings.is_empty() {
        data.insert("warnings".into(), json!(created.warnings));
    }
    Ok(data)
}

/// `get`
pub(super) async fn get(api: &ApiState, id: &str) -> Result<Data, Refusal> {
    if id.is_empty() {
        return Err(Refusal::invalid("task_id", "task_id is empty", "give the id of a task"));
    }
    let task = show::find(api, id).await?;
    let unknown = || Refusal { detail: format!("not found: [{id}]"), ..Refusal::unknown_task(id) };
    Ok(Data::from_iter([("task".to_owned(), value(&task.ok_or_else(unknown)?)?)]))
}

/// `list`
pub(super) async fn list(api: &ApiState) -> Result<Data, Refusal> {
    match value(&show::all(api).await?)? {
        Value::Object(data) => Ok(data),
        _ => Ok(Data::new()),
    }
}

/// `position`: the stored positions of one task, or of all tasks if there is no id. An unknown task
/// has none.
pub(super) async fn position(api: &ApiState, id: &str) -> Result<Data, Refusal> {
    let ids = if id.is_empty() {
        let listing = api.book.list().await.map_err(|e| Refusal::store(&e))?;
        listing.records.into_iter().map(|r| r.task_id).collect()
    } else {
        vec![id.to_owned()]
    };
    let mut all = Positions::default();
    for id in ids {
        let shown = positions::of(api, &id).await?;
        all.positions.extend(shown.positions);
        all.op_positions.extend(shown.op_positions);
        all.target_positions.extend(shown.target_positions);
    }
    let mut data = Data::new();
    data.insert("positions".into(), or_null(&all.positions)?);
    data.insert("op_positions".into(), or_null(&all.op_positions)?);
    data.insert("target_positions".into(), or_null(&all.target_positions)?);
    Ok(data)
}

/// The Go tool answers null instead of an empty list.
fn or_null(positions: &[Position]) -> Result<Value, Refusal> {
    if positions.is_empty() { Ok(Value::Null) } else { value(&positions) }
}

fn value(shown: &impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(shown)
        .map_err(|error| Refusal::failed(format!("no JSON form: {error}"), "report it"))
}
