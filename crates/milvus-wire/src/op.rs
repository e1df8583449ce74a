//! Reads the requests of the op channel (`<prefix>-replicate-msg`): databases, indexes, load,
//! flush. Never carries them out.

use crate::proto::milvus as pb;
use crate::timestamp::Timestamp;

/// A request that the source has carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum OpRequest {
    /// `CreateDatabase`.
    CreateDatabase(pb::CreateDatabaseRequest),
    /// `DropDatabase`.
    DropDatabase(pb::DropDatabaseRequest),
    /// `CreateIndex`.
    CreateIndex(pb::CreateIndexRequest),
    /// `DropIndex`.
    DropIndex(pb::DropIndexRequest),
    /// `LoadCollection`.
    LoadCollection(pb::LoadCollectionRequest),
    /// `ReleaseCollection`.
    ReleaseCollection(pb::ReleaseCollectionRequest),
    /// `LoadPartitions`.
    LoadPartitions(pb::LoadPartitionsRequest),
    /// `ReleasePartitions`.
    ReleasePartitions(pb::ReleasePartitionsRequest),
    /// `Flush`.
    Flush(pb::FlushRequest),
}

/// An entry of the op channel.
#[derive(Clone, Debug, PartialEq)]
pub struct OpMessage {
    /// The begin timestamp of the request on the source.
    pub timestamp: Timestamp,
    /// What was asked, or the number of a type that is not replicated.
    pub request: Result<OpRequest, i32>,
}
