//! A Milvus as the destination.
//! Never holds code itself.

pub mod claims;
pub mod deliver;
pub mod lane;
pub mod link;
pub mod stamp;
