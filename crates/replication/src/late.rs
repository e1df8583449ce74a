//! Rows of the source that come after a tick which covers them. They get a timestamp above that
//! tick, because the target would drop them otherwise; so on the target they come behind younger
//! rows of their key, which the source orders behind them: a late delete removes a younger row, a
//! late insert brings a removed one back. Nobody here knows whether there is such a row, so they
//! are all told of, with their first keys. By its policy the task stops there, or goes on and keeps
//! a list. Never leaves one out.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::message::Read;
use crate::rows::roster::Roster;
use crate::task::LateMessages;
use crate::unsupported::Missed;
use milvus_wire::columns::{Keys, Value};
use milvus_wire::fence::primary_keys;
use milvus_wire::message::{Message, RowKind, RowMessage};
use milvus_wire::proto::schema::i_ds::IdField;
use std::collections::BTreeMap;

/// How many keys are told.
const KEYS_TOLD: usize = 5;

/// The late rows of one kind and collection.
#[derive(Default)]
struct Late<'a> {
    rows: u64,
    messages: Vec<&'a RowMessage>,
}

/// Tells of the late rows of a round, or stops the task at them.
pub(crate) async fn note(round: &[Read], roster: &Roster, context: &Context) -> Result<()> {
    // A log has both timestamps, and its readers decide.
    if context.ports.destination.milvus().is_none() {
        return Ok(());
    }
    for missed in late(round, roster) {
        let Missed { at, collection, request, detail } = &missed;
        if context.task.policies.late == LateMessages::Stop {
            return Err(Error::permanent(format!(
                "the source has written rows of {collection} later than its ticks: {request} at \
                 {at} of {detail}. On the target they would come behind younger rows of the same \
                 keys. Set lateMessages: continue, restart and resume the task, and compare these \
                 keys then. Nothing after them was replicated"
            )));
        }
        let what = "late rows come behind younger rows of their keys: compare these";
        tracing::error!(task = %context.task.id, collection, request, %at, detail, "{what}");
        missed.keep(context).await?;
    }
    Ok(())
}

fn late(round: &[Read], roster: &Roster) -> Vec<Missed> {
    let mut late: BTreeMap<_, Late<'_>> = BTreeMap::new();
    for read in round {
        if let Message::Row(row) = &read.entry.message
            && read.entry.order > row.timestamp
            && roster.get(row.collection_id).is_some()
        {
            let is_delete = row.kind == RowKind::Delete;
            let late = late.entry((row.collection_id, is_delete)).or_default();
            late.rows += row.rows;
            late.messages.push(row);
        }
    }
    let missed = late.into_iter().filter_map(|((id, is_delete), late)| {
        let at = late.messages.iter().map(|row| row.timestamp).min()?;
        let key = roster.get(id).map_or(0, |collection| collection.primary_key);
        let keys = late.messages.iter().flat_map(|row| keys_of(row, key));
        let keys: Vec<_> = keys.take(KEYS_TOLD).collect();
        Some(Missed {
            at,
            request: if is_delete { "LateDelete" } else { "LateInsert" }.to_owned(),
            collection: roster.get(id).map(|c| c.name.clone()).unwrap_or_default(),
            detail: format!("{} rows, the first keys are {}", late.rows, keys.join(", ")),
        })
    });
    missed.collect()
}

/// The first keys of a message, as texts.
fn keys_of(row: &RowMessage, key: i64) -> Vec<String> {
    let told = |value: Value<'_>| match value {
        Value::Int(id) => id.to_string(),
        Value::Text(text) => format!("{text:?}"),
        _ => "of another kind".to_owned(),
    };
    if row.kind == RowKind::Delete {
        let Ok(keys) = Keys::of(row) else { return Vec::new() };
        return (0..keys.stamps.len().min(KEYS_TOLD)).map(|at| told(keys.value(at))).collect();
    }
    match primary_keys(row, key).ok().and_then(|ids| ids.id_field) {
        Some(IdField::IntId(ids)) => {
            ids.data.iter().take(KEYS_TOLD).map(|id| told(Value::Int(*id))).collect()
        }
        Some(IdField::StrId(ids)) => {
            ids.data.iter().take(KEYS_TOLD).map(|id| told(Value::Text(id))).collect()
        }
        _ => Vec::new(),
    }
}
