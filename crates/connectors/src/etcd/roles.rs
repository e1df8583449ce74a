//! Reads roles, their grants and their members. Never reads the users' records beside them, which
//! contain a hash of their password.

use super::cluster::Cluster;
use super::listing::list;
use super::record::{text, unreadable};
use etcd_client::KeyValue;
use milvus_wire::DecodeError;
use milvus_wire::roles::{Roles, assemble, decode_grantee, decode_member, decode_privilege};
use replication::error::Result;

/// All roles, as of one moment.
pub(super) async fn roles(cluster: &Cluster) -> Result<Roles> {
    let (keys, connection) = (&cluster.keys, &cluster.connection);
    let (names, revision) = list(connection, &keys.roles(), None).await?;
    let below = async |prefix: &str| list(connection, prefix, Some(revision)).await;
    let (members, _) = below(&keys.members()).await?;
    let (grantees, _) = below(&keys.grantees()).await?;
    let (privileges, _) = below(&keys.privileges()).await?;
    Ok(assemble(
        read(&keys.roles(), &names, |key, _| Ok(key.to_owned()))?,
        read(&keys.members(), &members, |key, _| decode_member(key))?,
        read(&keys.grantees(), &grantees, decode_grantee)?,
        read(&keys.privileges(), &privileges, |key, _| decode_privilege(key))?,
    ))
}

/// Decodes records by the part of the key behind the prefix.
fn read<T>(
    prefix: &str,
    records: &[KeyValue],
    decode: impl Fn(&str, &[u8]) -> std::result::Result<T, DecodeError>,
) -> Result<Vec<T>> {
    let read = |record: &KeyValue| {
        let key = text(record.key());
        let behind = key.strip_prefix(prefix).unwrap_or(&key);
        decode(behind, record.value()).map_err(|error| unreadable(record, error))
    };
    records.iter().map(read).collect()
}
