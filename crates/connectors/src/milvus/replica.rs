//! Asks a target whether it is a replica. Never appends anything: the call that asks has no
//! messages and names no channel.

#![allow(deprecated)] // ReplicateMessage is deprecated since 3.0; 2.3 to 2.5 have nothing else.

use super::client::{Client, Stub};
use milvus_wire::proto::milvus::ReplicateMessageRequest;
use replication::error::Result;

/// Whether any proxy on the connections takes replicate messages. A proxy that does not says so
/// before it looks at the call; any other one then finds that the call names no channel, and goes
/// no further. Source: `Proxy.ReplicateMessage` in `internal/proxy/impl.go`: `CheckHealthy`, then
/// `CommonCfg.TTMsgEnabled` (`merr.ErrDenyReplicateMessage`, in 2.5 also by
/// `common.collectionReplicateEnable`), then `req.GetChannelName() == ""`
/// (`merr.WrapErrParameterInvalidMsg`), and only then the messages.
pub(super) async fn is_replica(client: &Client) -> Result<bool> {
    let mut takes = false;
    for connection in client.connections() {
        let request = ReplicateMessageRequest::default();
        let call = async |mut c: Stub, r| c.replicate_message(r).await;
        takes |= match client.ask_over(connection, "", request, call).await {
            Ok(_) => true,
            Err(fault) if fault.is_not_a_replica() => false,
            Err(fault) if fault.is_of_a_parameter() => true,
            Err(fault) => return Err(client.error("ask whether it is a replica", fault)),
        };
    }
    Ok(takes)
}
