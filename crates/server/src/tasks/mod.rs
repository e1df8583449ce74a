//! Tasks as they are stored: what a user asked for, the state, and the rules for changing it.
//! Never touches a running task; the supervisor reads what stands here and acts on it.

mod address;
mod admission;
mod book;
mod kafka_param;
mod overlap;
mod record;
mod spec;

pub use address::TargetAddress;
pub use admission::Objection;
pub use book::{
    Book, Change, CreateError, Listing, PAUSED_BY_DELETE, PAUSED_BY_RESTART, PAUSED_BY_USER,
};
pub use kafka_param::{KafkaParam, KafkaSasl};
pub use overlap::in_brackets;
pub use record::{
    BufferConfig, CollectionInfo, DialConfig, ExtraInfo, MilvusParam, RpcChannel, State,
    TaskRecord, VERSION,
};
pub use spec::{ID_MAX, check_id, differences, to_task};
