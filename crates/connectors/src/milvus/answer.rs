//! The answers of a target, each of which contains a status or is one. Never judges it: `fault`
//! does.

use milvus_wire::proto::common::Status;
use milvus_wire::proto::milvus as pb;

/// An answer that contains a status or is one.
pub(super) trait Answer {
    /// The status.
    fn status(&self) -> Option<&Status>;
}

impl Answer for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

macro_rules! answers {
    ($($name:ident),*) => {
        $(impl Answer for pb::$name {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*
    };
}

answers!(
    AllocTimestampResponse,
    DescribeCollectionResponse,
    FlushResponse,
    GetFlushStateResponse,
    GetMetricsResponse,
    GetVersionResponse,
    ListCredUsersResponse,
    ListDatabasesResponse,
    ReplicateMessageResponse,
    SelectGrantResponse,
    SelectRoleResponse,
    ShowCollectionsResponse,
    ShowPartitionsResponse
);
