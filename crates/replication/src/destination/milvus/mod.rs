//! A Milvus as the destination. Contains no code of its own.

mod calls;
mod claims;
mod clock;
pub(crate) mod deliver;
mod lane;
pub mod link;
mod settle;
mod stamp;
mod ticker;
