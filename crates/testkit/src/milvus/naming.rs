//! Changes a collection's name, aliases and properties. Never touches its rows.

use super::Milvus;
use super::fault::Result;
use super::spec::pair;
use milvus_wire::proto::milvus::{
    AlterAliasRequest, AlterCollectionRequest, CreateAliasRequest, DropAliasRequest,
    RenameCollectionRequest,
};

impl Milvus {
    /// Gives a collection another name in its database.
    ///
    /// # Errors
    /// As every call.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_into(from, self.database_name(), to).await
    }

    /// Gives a collection another name in another database.
    ///
    /// # Errors
    /// As every call.
    pub async fn rename_into(&self, from: &str, database: &str, to: &str) -> Result<()> {
        let question = RenameCollectionRequest {
            db_name: self.database_name().to_owned(),
            old_name: from.to_owned(),
            new_name: to.to_owned(),
            new_db_name: database.to_owned(),
            ..Default::default()
        };
        self.call("RenameCollection", question, |mut stub, request| async move {
            stub.rename_collection(request).await
        })
        .await
        .map(drop)
    }

    /// Gives a collection an alias.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_alias(&self, collection: &str, alias: &str) -> Result<()> {
        let question = CreateAliasRequest {
            collection_name: collection.to_owned(),
            alias: alias.to_owned(),
            ..Default::default()
        };
        self.call("CreateAlias", question, |mut stub, request| async move {
            stub.create_alias(request).await
        })
        .await
        .map(drop)
    }

    /// Gives an alias to another collection.
    ///
    /// # Errors
    /// As every call.
    pub async fn alter_alias(&self, collection: &str, alias: &str) -> Result<()> {
        let question = AlterAliasRequest {
            collection_name: collection.to_owned(),
            alias: alias.to_owned(),
            ..Default::default()
        };
        self.call("AlterAlias", question, |mut stub, request| async move {
            stub.alter_alias(request).await
        })
        .await
        .map(drop)
    }

    /// Takes an alias away.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_alias(&self, alias: &str) -> Result<()> {
        let question = DropAliasRequest { alias: alias.to_owned(), ..Default::default() };
        self.call("DropAlias", question, |mut stub, request| async move {
            stub.drop_alias(request).await
        })
        .await
        .map(drop)
    }

    /// Sets properties of a collection; others stay as they are.
    ///
    /// # Errors
    /// As every call.
    pub async fn alter_properties(
        &self,
        collection: &str,
        properties: &[(&str, &str)],
    ) -> Result<()> {
        let question = AlterCollectionRequest {
            collection_name: collection.to_owned(),
            properties: properties.iter().map(|(key, value)| pair(key, value)).collect(),
            ..Default::default()
        };
        self.call("AlterCollection", question, |mut stub, request| async move {
            stub.alter_collection(request).await
        })
        .await
        .map(drop)
    }
}
