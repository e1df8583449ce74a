//! From a stored task to what the data path runs, and what of it is not run. Never hands a secret on.

use super::record::{BufferConfig, TaskRecord};
use milvus_wire::position::{MessageId, decode_position};
use replication::selection::{Names, Selection, Selector};
use replication::task::{Limits, Task, Unsupported};

/// The longest task id.
pub const ID_MAX: usize = 128;

/// Whether an id can be part of keys and names.
pub fn check_id(id: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if id.is_empty() || id.len() > ID_MAX || !id.chars().all(fits) {
        return Err(format!("the task_id is invalid, write 1 to {ID_MAX} letters, digits, - or _"));
    }
    Ok(())
}

/// What was asked for and is not done, or not from every source: nothing is left out in silence.
pub fn differences(record: &TaskRecord) -> Vec<&'static str> {
    let mut differences = Vec::new();
    if record.writer_cache_config != BufferConfig::default() {
        differences.push("buffer_config has no effect");
    }
    if record.milvus_connect_param.channel_num != 0 {
        differences.push("channel_num has no effect, the target is asked for its channels");
    }
    if record.extra_info.enable_user_role {
        differences.push(
            "enable_user_role carries over no users of a source of Milvus 2.3: it does not log them, and its \
             etcd has only a hash of their passwords; create them on the target, then they get their \
             roles, which follow like grants",
        );
    }
    differences
}

/// The data path's view of a stored task; the error says what is wrong with the record.
pub fn to_task(
    record: &TaskRecord,
    op_channel: &str,
    unsupported: Unsupported,
    limits: &Limits,
) -> Result<Task, String> {
    let selectors = record.selectors().map(|(database, info)| {
        let positions = info.positions.iter().flatten();
        let positions = positions.map(|(channel, text)| Ok((channel.clone(), id(text)?)));
        Ok(Selector {
            database: database.to_owned(),
            collection: info.name.clone(),
            use_start_position: info.use_start_position,
            positions: positions.collect::<Result<_, String>>()?,
        })
    });
    let selectors = selectors.collect::<Result<Vec<_>, String>>()?;
    let op_position = match record.rpc_channel.position.as_str() {
        "" => None,
        text => Some(id(text)?),
    };
    Ok(Task {
        id: record.task_id.clone(),
        selection: Selection { selectors, excluded: record.excludes() },
        names: Names { rules: record.name_mapping.clone().unwrap_or_default() },
        op_channel: op_channel.to_owned(),
        op_position,
        ignore_partition: record.milvus_connect_param.ignore_partition,
        access: record.extra_info.enable_user_role,
        unsupported,
        limits: limits.clone(),
    })
}

fn id(text: &str) -> Result<MessageId, String> {
    Ok(MessageId(decode_position(text)?.msg_id.into()))
}
