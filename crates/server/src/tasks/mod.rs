//! Tasks as they are stored: the options that a user gave, the state, and the rules for changing
//! it. Never touches a running task: the supervisor reads the stored ones and acts on them.

mod admission;
mod book;
mod kafka_param;
mod milvus_param;
mod overlap;
mod record;
mod target_address;
mod task_id;
mod to_task;

pub(crate) use admission::found_in_the_way;
pub use admission::{CreateError, in_brackets};
pub use book::{Book, Listing, PAUSED_BY_DELETE, PAUSED_BY_RESTART, PAUSED_BY_USER, StateChange};
pub use kafka_param::{KafkaParam, KafkaSasl};
pub use milvus_param::{DialConfig, MilvusParam};
pub use record::{BufferConfig, CollectionInfo, ExtraInfo, RpcChannel, State, TaskRecord, VERSION};
pub use target_address::{HOW_TO_NAME, TargetAddress};
pub use task_id::{ID_MAX, check_id};
pub use to_task::to_task;
