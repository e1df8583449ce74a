//! The field numbers of names and ids in the DDL messages of a physical channel. Source: Milvus
//! `msg.proto`. Never reads a message.

use crate::proto::common::MsgType;

/// The field numbers of a DDL message's scalars; zero for a scalar that it does not have.
pub(crate) struct DdlLayout {
    pub(crate) message: &'static str,
    pub(crate) database: u32,
    pub(crate) collection: u32,
    pub(crate) partition: u32,
    pub(crate) collection_id: u32,
    pub(crate) partition_id: u32,
}

impl DdlLayout {
    /// The layout of a message type; `None` if it is not a DDL of a physical channel.
    pub(crate) fn of(msg_type: i32) -> Option<&'static Self> {
        match MsgType::try_from(msg_type).ok()? {
            MsgType::CreateCollection => Some(&CREATE_COLLECTION),
            MsgType::DropCollection => Some(&DROP_COLLECTION),
            MsgType::CreatePartition | MsgType::DropPartition => Some(&PARTITION_DDL),
            _ => None,
        }
    }
}

/// Its `partitionName` and `partitionID` are those of the default partition, and stay as they are.
pub(crate) const CREATE_COLLECTION: DdlLayout = DdlLayout {
    message: "a CreateCollection",
    database: 2,
    collection: 3,
    partition: 0,
    collection_id: 6,
    partition_id: 0,
};

pub(crate) const DROP_COLLECTION: DdlLayout = DdlLayout {
    message: "a DropCollection",
    database: 2,
    collection: 3,
    partition: 0,
    collection_id: 5,
    partition_id: 0,
};

pub(crate) const PARTITION_DDL: DdlLayout = DdlLayout {
    message: "a partition's DDL",
    database: 2,
    collection: 3,
    partition: 4,
    collection_id: 6,
    partition_id: 7,
};

pub(crate) const IMPORT: DdlLayout = DdlLayout {
    message: "an Import",
    database: 2,
    collection: 3,
    partition: 0,
    collection_id: 4,
    partition_id: 0,
};
