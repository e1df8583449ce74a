//! A Milvus as the destination. Contains no code of its own.

mod calls;
mod claims;
mod clock;
pub(crate) mod deliver;
mod fence;
mod floor;
mod lane;
pub mod link;
mod proxy;
mod settle;
mod sight;
mod stamp;
mod ticker;
