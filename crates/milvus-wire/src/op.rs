//! Decodes the requests of the op channel (`<prefix>-replicate-msg`): on databases, indexes, load,
//! flush, users and roles. Never carries them out.

use crate::error::DecodeError;
use crate::fields;
use crate::proto::common::MsgType;
use crate::proto::milvus as pb;
use crate::rbac::RbacRequest;
use crate::timestamp::Timestamp;
use prost::Message;

/// A request that the source has carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum OpRequest {
    /// `CreateDatabase`.
    CreateDatabase(pb::CreateDatabaseRequest),
    /// `DropDatabase`.
    DropDatabase(pb::DropDatabaseRequest),
    /// `AlterDatabase`, since 2.4.
    AlterDatabase(pb::AlterDatabaseRequest),
    /// `CreateIndex`.
    CreateIndex(pb::CreateIndexRequest),
    /// `DropIndex`.
    DropIndex(pb::DropIndexRequest),
    /// `AlterIndex`.
    AlterIndex(pb::AlterIndexRequest),
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
    /// A request on users, roles or grants.
    Rbac(RbacRequest),
}

/// An entry of the op channel.
#[derive(Clone, Debug, PartialEq)]
pub struct OpMessage {
    /// The begin timestamp of the request on the source.
    pub timestamp: Timestamp,
    /// The request, or the number of a message type that is not replicated.
    pub request: Result<OpRequest, i32>,
}

/// Decodes one record of the op channel's topic.
pub fn decode(raw: &[u8]) -> Result<OpMessage, DecodeError> {
    let header = fields::header(raw)?;
    let kind = MsgType::try_from(header.msg_type);
    if let Some(access) = kind.ok().and_then(|kind| RbacRequest::decode(kind, raw)) {
        let request = Ok(OpRequest::Rbac(access?));
        return Ok(OpMessage { timestamp: Timestamp(header.timestamp), request });
    }
    let request = match kind {
        Ok(MsgType::CreateDatabase) => OpRequest::CreateDatabase(body("a CreateDatabase", raw)?),
        Ok(MsgType::DropDatabase) => OpRequest::DropDatabase(body("a DropDatabase", raw)?),
        Ok(MsgType::AlterDatabase) => OpRequest::AlterDatabase(body("an AlterDatabase", raw)?),
        Ok(MsgType::CreateIndex) => OpRequest::CreateIndex(body("a CreateIndex", raw)?),
        Ok(MsgType::DropIndex) => OpRequest::DropIndex(body("a DropIndex", raw)?),
        Ok(MsgType::AlterIndex) => OpRequest::AlterIndex(body("an AlterIndex", raw)?),
        Ok(MsgType::LoadCollection) => OpRequest::LoadCollection(body("a LoadCollection", raw)?),
        Ok(MsgType::ReleaseCollection) => {
            OpRequest::ReleaseCollection(body("a ReleaseCollection", raw)?)
        }
        Ok(MsgType::LoadPartitions) => OpRequest::LoadPartitions(body("a LoadPartitions", raw)?),
        Ok(MsgType::ReleasePartitions) => {
            OpRequest::ReleasePartitions(body("a ReleasePartitions", raw)?)
        }
        Ok(MsgType::Flush) => OpRequest::Flush(body("a Flush", raw)?),
        _ => {
            let request = Err(header.msg_type);
            return Ok(OpMessage { timestamp: Timestamp(header.timestamp), request });
        }
    };
    Ok(OpMessage { timestamp: Timestamp(header.timestamp), request: Ok(request) })
}

fn body<M: Message + Default>(message: &'static str, raw: &[u8]) -> Result<M, DecodeError> {
    M::decode(raw).map_err(DecodeError::protobuf(message))
}

impl OpRequest {
    /// The request's name in Milvus's API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateDatabase(_) => "CreateDatabase",
            Self::DropDatabase(_) => "DropDatabase",
            Self::AlterDatabase(_) => "AlterDatabase",
            Self::CreateIndex(_) => "CreateIndex",
            Self::DropIndex(_) => "DropIndex",
            Self::AlterIndex(_) => "AlterIndex",
            Self::LoadCollection(_) => "LoadCollection",
            Self::ReleaseCollection(_) => "ReleaseCollection",
            Self::LoadPartitions(_) => "LoadPartitions",
            Self::ReleasePartitions(_) => "ReleasePartitions",
            Self::Flush(_) => "Flush",
            Self::Rbac(request) => request.name(),
        }
    }

    /// The database it concerns, as the request has it; may be empty for the default database.
    pub fn database(&self) -> &str {
        match self {
            Self::CreateDatabase(request) => &request.db_name,
            Self::DropDatabase(request) => &request.db_name,
            Self::AlterDatabase(request) => &request.db_name,
            Self::CreateIndex(request) => &request.db_name,
            Self::DropIndex(request) => &request.db_name,
            Self::AlterIndex(request) => &request.db_name,
            Self::LoadCollection(request) => &request.db_name,
            Self::ReleaseCollection(request) => &request.db_name,
            Self::LoadPartitions(request) => &request.db_name,
            Self::ReleasePartitions(request) => &request.db_name,
            Self::Flush(request) => &request.db_name,
            Self::Rbac(_) => "",
        }
    }

    /// The collections it concerns: none for a request on databases, users or roles, any number for
    /// a flush.
    pub fn collections(&self) -> Vec<&str> {
        match self {
            Self::CreateDatabase(_)
            | Self::DropDatabase(_)
            | Self::AlterDatabase(_)
            | Self::Rbac(_) => Vec::new(),
            Self::CreateIndex(request) => vec![&request.collection_name],
            Self::DropIndex(request) => vec![&request.collection_name],
            Self::AlterIndex(request) => vec![&request.collection_name],
            Self::LoadCollection(request) => vec![&request.collection_name],
            Self::ReleaseCollection(request) => vec![&request.collection_name],
            Self::LoadPartitions(request) => vec![&request.collection_name],
            Self::ReleasePartitions(request) => vec![&request.collection_name],
            Self::Flush(request) => request.collection_names.iter().map(String::as_str).collect(),
        }
    }

    /// Moves it to another database, its collections renamed by `f`. A request on users or roles is
    /// renamed by [`RbacRequest::rename`].
    pub fn rename(&mut self, database: &str, f: impl Fn(&str) -> String) {
        let (old, names): (&mut String, &mut [String]) = match self {
            Self::CreateDatabase(request) => (&mut request.db_name, &mut []),
            Self::DropDatabase(request) => (&mut request.db_name, &mut []),
            Self::AlterDatabase(request) => (&mut request.db_name, &mut []),
            Self::CreateIndex(request) => one(&mut request.db_name, &mut request.collection_name),
            Self::DropIndex(request) => one(&mut request.db_name, &mut request.collection_name),
            Self::AlterIndex(request) => one(&mut request.db_name, &mut request.collection_name),
            Self::LoadCollection(request) => {
                one(&mut request.db_name, &mut request.collection_name)
            }
            Self::ReleaseCollection(request) => {
                one(&mut request.db_name, &mut request.collection_name)
            }
            Self::LoadPartitions(request) => {
                one(&mut request.db_name, &mut request.collection_name)
            }
            Self::ReleasePartitions(request) => {
                one(&mut request.db_name, &mut request.collection_name)
            }
            Self::Flush(request) => (&mut request.db_name, &mut request.collection_names),
            Self::Rbac(_) => return,
        };
        database.clone_into(old);
        for name in names {
            *name = f(name);
        }
    }
}

fn one<'a>(database: &'a mut String, name: &'a mut String) -> (&'a mut String, &'a mut [String]) {
    (database, std::slice::from_mut(name))
}
