//! A target Milvus (2.3.2 to 2.5 in replica mode). Never retries: only the caller knows whether
//! that is safe.
//!
//! `options` say how to reach it, `client` has the connections, and `fault` says what an answer
//! means. `describe` and `roles` read metadata, `replica` asks for the mode, `flush` stores rows.
//! `ddl` changes metadata through `database`, `collection`, `partition`, `alias`, `op` and `rbac`.
//! `replicate_call` appends to the target's log.

mod alias;
mod answer;
mod client;
mod collection;
mod database;
mod ddl;
mod describe;
mod fault;
mod flush;
mod limits;
mod op;
mod options;
mod partition;
mod rbac;
mod replica;
mod replicate_call;
mod roles;

pub use options::MilvusOptions;

use async_trait::async_trait;
use client::Client;
use describe::ChannelCache;
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::proto::milvus as pb;
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::roles::Role;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use replication::ports::{CallError, Ddl, Flush, Target, TargetCollection, TargetPartition};
use std::collections::{BTreeMap, BTreeSet};

/// A target.
pub struct Milvus {
    client: Client,
    channels: ChannelCache,
}

impl Milvus {
    /// Checks the options and reads the certificates; connects when it is first needed.
    pub fn new(options: &MilvusOptions) -> Result<Self> {
        Ok(Self { client: Client::new(options)?, channels: ChannelCache::default() })
    }
}

#[async_trait]
impl Target for Milvus {
    async fn describe(&self, name: &CollectionName) -> Result<Option<TargetCollection>> {
        describe::collection(&self.client, name).await
    }

    async fn alias(&self, database: &str, alias: &str) -> Result<Option<CollectionId>> {
        describe::alias(&self.client, database, alias).await
    }

    async fn users(&self) -> Result<BTreeSet<String>> {
        roles::users(&self.client).await
    }

    async fn role(&self, name: &str, databases: &BTreeSet<&str>) -> Result<Option<Role>> {
        roles::role(&self.client, name, databases).await
    }

    async fn partitions(&self, name: &CollectionName) -> Result<BTreeMap<String, TargetPartition>> {
        describe::partitions(&self.client, name).await
    }

    async fn databases(&self) -> Result<Vec<String>> {
        describe::databases(&self.client).await
    }

    async fn collections(&self, database: &str) -> Result<BTreeSet<CollectionName>> {
        let listed = describe::collections(&self.client, database).await?;
        Ok(listed.into_iter().map(|(name, _)| name).collect())
    }

    async fn pchannels(&self) -> Result<Vec<String>> {
        self.channels.pchannels(&self.client).await
    }

    async fn apply(&self, ddl: &Ddl, at: Timestamp) -> Result<()> {
        ddl::apply(&self.client, ddl, at).await
    }

    async fn replicate(&self, call: &ReplicateCall) -> std::result::Result<(), CallError> {
        replicate_call::send(&self.client, call).await
    }

    async fn flush(&self, name: &CollectionName) -> Result<Flush> {
        flush::begin(&self.client, name).await
    }

    async fn is_flushed(&self, flush: &Flush) -> Result<bool> {
        flush::has_ended(&self.client, flush).await
    }

    async fn clock(&self) -> Result<Timestamp> {
        let request = pb::AllocTimestampRequest::default();
        let asked = self.client.ask("", request, async |mut c, r| c.alloc_timestamp(r).await);
        let answer = asked.await.map_err(|fault| self.client.error("read the clock", fault))?;
        Ok(Timestamp(answer.timestamp))
    }

    async fn proxies(&self) -> Result<BTreeSet<i64>> {
        describe::proxies(&self.client).await
    }

    async fn data_nodes(&self) -> Result<BTreeSet<i64>> {
        describe::data_nodes(&self.client).await
    }

    async fn is_replica(&self) -> Result<bool> {
        replica::is_replica(&self.client).await
    }

    async fn version(&self) -> Result<String> {
        describe::version(&self.client).await
    }
}
