//! Milvus's formats on the wire, in etcd and in the queue; never opens a connection.
//!
//! In reading order: [`timestamp`], [`ids`] and [`position`] are the vocabulary; [`message`] and
//! [`op`] read what the queue holds; [`splice`] gives a message its new names without touching its
//! rows; [`replicate`] is the call that carries messages to a target; [`catalog`] reads etcd's
//! records.

#![allow(deprecated)] // ReplicateMessage is deprecated since 3.0; 2.3 to 2.5 have nothing else.

pub mod catalog;
pub mod ids;
pub mod message;
pub mod op;
pub mod position;
pub mod replicate;
pub mod splice;
pub mod timestamp;

pub use milvus::proto;
