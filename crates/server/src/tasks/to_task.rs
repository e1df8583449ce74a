//! From a stored task to what the data path runs. Never hands a secret on.

use super::record::TaskRecord;
use connectors::InvalidOption;
use milvus_wire::position::{MessageId, decode_position};
use replication::selection::{Names, Selection, Selector};
use replication::task::{Limits, Policies, Task};

/// What a stored task that can't be read needs.
const REMEDY: &str = "delete the task and create it anew";

/// The data path's view of a stored task.
pub fn to_task(
    record: &TaskRecord,
    op_channel: &str,
    policies: Policies,
    limits: &Limits,
) -> Result<Task, InvalidOption> {
    let selectors = record.selectors().map(|(database, info)| {
        let positions = info.positions.iter().flatten();
        let positions =
            positions.map(|(channel, text)| Ok((channel.clone(), id("positions", text)?)));
        Ok(Selector {
            database: database.to_owned(),
            collection: info.name.clone(),
            use_start_position: info.use_start_position,
            positions: positions.collect::<Result<_, InvalidOption>>()?,
        })
    });
    let selectors = selectors.collect::<Result<Vec<_>, InvalidOption>>()?;
    let op_position = match record.rpc_channel.position.as_str() {
        "" => None,
        text => Some(id("rpc_channel_info.position", text)?),
    };
    let excluded = record.excludes().into_iter().map(|c| (c.database, c.name)).collect();
    Ok(Task {
        id: record.task_id.clone(),
        selection: Selection { selectors, excluded },
        names: Names { rules: record.name_mapping.clone().unwrap_or_default() },
        op_channel: op_channel.to_owned(),
        op_position,
        ignore_partition: record.milvus_connect_param.ignore_partition,
        rbac: record.extra_info.enable_user_role,
        policies,
        limits: limits.clone(),
    })
}

fn id(field: &'static str, text: &str) -> Result<MessageId, InvalidOption> {
    let position = decode_position(text);
    let position = position.map_err(|problem| InvalidOption::new(field, problem, REMEDY))?;
    Ok(MessageId(position.msg_id.into()))
}
