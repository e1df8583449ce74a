//! Gives a message of the queue its new names, ids and timestamp. Never copies or decodes the rows:
//! they stay slices of the original.

use crate::error::DecodeError;
use crate::fields::{Field, Fields};
use crate::ids::{CollectionId, PartitionId};
use crate::layout::DdlLayout;
use crate::message::{DdlMessage, RowKind, RowMessage};
use crate::proto::common::MsgBase;
use crate::proto::msg::InsertRequest;
use crate::timestamp::Timestamp;
use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, int64, message, string};
use std::ops::Range;

/// The timestamps of the rows, in an insert and in a delete.
const TIMESTAMPS: u32 = 10;

/// A message of Milvus needs one or two slices. If the fields of a message are so scattered that it
/// needs more, the rest of it is copied.
const SLICES_MAX: usize = 16;

/// What changes in a message on its way to the target.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    /// The target's virtual channel.
    pub vchannel: &'a str,
    /// The target's database.
    pub database: &'a str,
    /// The target's collection name.
    pub collection: &'a str,
    /// The target's collection id.
    pub collection_id: CollectionId,
    /// The target's partition id; `None` keeps −1 in a delete that names no partition.
    pub partition_id: Option<PartitionId>,
    /// A new timestamp for the message and all its rows; `None` keeps the source's.
    pub stamp: Option<Timestamp>,
    /// A new `base.msgID`, for a message that is sent again across a tick; `None` keeps the
    /// source's.
    pub msg_id: Option<i64>,
}

/// A message in parts: a new head, then slices of the original.
#[derive(Clone, Debug, Default)]
pub struct Spliced {
    /// In order; together they are the message.
    pub parts: Vec<Bytes>,
}

impl Spliced {
    /// Bytes of the whole message.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole message in one piece: a copy, for tests and for messages that are stored.
    pub fn to_bytes(&self) -> Bytes {
        self.parts.concat().into()
    }

    /// A message without slices of an original.
    pub(crate) fn whole(message: &impl Message) -> Self {
        Self { parts: vec![message.encode_to_vec().into()] }
    }
}

/// Gives an insert or a delete its new names, ids and timestamp. All else is kept, including fields
/// that this version of Milvus's formats does not know.
pub fn splice(message: &RowMessage, patch: &Patch<'_>) -> Result<Spliced, DecodeError> {
    let name = match message.kind {
        RowKind::Insert => "an insert",
        RowKind::Delete => "a delete",
    };
    // Up to field 10 an insert and a delete have the same fields, except for 9, which is kept.
    let mut head = InsertRequest {
        shard_name: patch.vchannel.to_owned(),
        db_name: patch.database.to_owned(),
        collection_name: patch.collection.to_owned(),
        collection_id: patch.collection_id.0,
        ..Default::default()
    };
    let mut stamps = 0;
    let mut tail = Tail::of(&message.raw);
    for field in Fields::of(name, &message.raw) {
        let field = field?;
        match field.number {
            1 => field.merge_header(head.base.get_or_insert_default())?,
            2..=4 | 7 => {}
            5 => head.partition_name = field.text()?.to_owned(),
            6 => head.db_id = field.int64()?,
            8 => head.partition_id = field.int64()?,
            TIMESTAMPS if patch.stamp.is_some() => field.runs(|_, times| stamps += times)?,
            _ => tail.keep(&field),
        }
    }
    if let Some(partition) = patch.partition_id {
        head.partition_id = partition.0;
    }
    if let Some(stamp) = patch.stamp {
        head.base.get_or_insert_default().timestamp = stamp.0;
    }
    if let Some(id) = patch.msg_id {
        head.base.get_or_insert_default().msg_id = id;
    }
    let mut head = head.encode_to_vec();
    if let Some(stamp) = patch.stamp {
        put_stamps(stamp, stamps, &mut head);
    }
    Ok(tail.behind(head))
}

/// Writes the packed timestamps of rows: one number, encoded once and repeated.
fn put_stamps(stamp: Timestamp, rows: usize, head: &mut Vec<u8>) {
    let mut number = Vec::with_capacity(10);
    encode_varint(stamp.0, &mut number);
    encode_key(TIMESTAMPS, WireType::LengthDelimited, head);
    encode_varint((number.len() * rows) as u64, head);
    head.extend_from_slice(&number.repeat(rows));
}

/// Gives a DDL message its new names, ids and timestamp. The names of the channels that a
/// CreateCollection lists are kept: a target's coordinator chooses its own.
///
/// `message` must come from [`crate::message::decode`], so that its bytes are known to be good. For
/// any other message the result is empty, and no target accepts that.
pub fn splice_ddl(message: &DdlMessage, patch: &Patch<'_>) -> Spliced {
    rewrite_ddl(message, patch).unwrap_or_default()
}

fn rewrite_ddl(ddl: &DdlMessage, patch: &Patch<'_>) -> Result<Spliced, DecodeError> {
    let mut base = crate::fields::header(&ddl.raw)?;
    let layout = DdlLayout::of(base.msg_type).ok_or(DecodeError::OutOfRange {
        what: "the message type of a DDL",
        value: base.msg_type.into(),
    })?;
    if let Some(stamp) = patch.stamp {
        base.timestamp = stamp.0;
    }
    if let Some(id) = patch.msg_id {
        base.msg_id = id;
    }
    let mut partition = ddl.partition_id.0;
    let mut tail = Tail::of(&ddl.raw);
    for field in Fields::of(layout.message, &ddl.raw) {
        let field = field?;
        match field.number {
            1 => {}
            n if n == layout.database || n == layout.collection || n == layout.collection_id => {}
            n if n == layout.partition_id => partition = field.int64()?,
            _ => tail.keep(&field),
        }
    }
    if let Some(id) = patch.partition_id {
        partition = id.0;
    }
    Ok(tail.behind(ddl_head(layout, &base, patch, partition)))
}

fn ddl_head(layout: &DdlLayout, base: &MsgBase, patch: &Patch<'_>, partition: i64) -> Vec<u8> {
    let mut head = Vec::new();
    message::encode(1, base, &mut head);
    string::encode(layout.database, &patch.database.to_owned(), &mut head);
    string::encode(layout.collection, &patch.collection.to_owned(), &mut head);
    int64::encode(layout.collection_id, &patch.collection_id.0, &mut head);
    if layout.partition_id != 0 {
        int64::encode(layout.partition_id, &partition, &mut head);
    }
    head
}

/// The fields of a message that stay as they are, as few slices as possible.
struct Tail<'a> {
    raw: &'a Bytes,
    open: Range<usize>,
    parts: Vec<Bytes>,
    copied: BytesMut,
}

impl<'a> Tail<'a> {
    fn of(raw: &'a Bytes) -> Self {
        // A place for the head is kept free: nothing has to be moved once the head is known.
        Self { raw, open: 0..0, parts: vec![Bytes::new()], copied: BytesMut::new() }
    }

    fn keep(&mut self, field: &Field<'_>) {
        if self.open.end == field.span.start {
            self.open.end = field.span.end;
        } else {
            self.close();
            self.open = field.span.clone();
        }
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        if self.parts.len() <= SLICES_MAX {
            self.parts.push(self.raw.slice(self.open.clone()));
        } else {
            self.copied.extend_from_slice(&self.raw[self.open.clone()]);
        }
    }

    fn behind(mut self, head: Vec<u8>) -> Spliced {
        self.close();
        self.parts[0] = head.into();
        if !self.copied.is_empty() {
            self.parts.push(self.copied.freeze());
        }
        Spliced { parts: self.parts }
    }
}
