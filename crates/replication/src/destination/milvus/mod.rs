//! A Milvus as the destination. Contains no code of its own.

mod adopt;
mod beside;
mod calls;
mod claims;
mod clock;
pub(crate) mod deliver;
mod fence;
mod floor;
mod lane;
pub mod link;
pub mod neighbours;
pub mod one_clock;
mod proxy;
pub(crate) mod restarts;
mod settle;
mod sight;
mod stamp;
mod ticker;
