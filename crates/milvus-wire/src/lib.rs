//! Milvus's formats on the wire, in etcd and in the queue; never opens a connection.
//!
//! In reading order: [`timestamp`], [`ids`] and [`position`] are the vocabulary; [`message`] and
//! [`op`] (with [`rbac`]) decode messages of the queue; [`splice`] gives a message its new names
//! without touching its rows; [`columns`] decodes rows for sinks that need them; [`fence`] makes
//! deletes of an insert's keys; [`replicate`] is the call that carries messages to a target;
//! [`keys`], [`catalog`], [`serving`] and [`roles`] are the keys and records in etcd; [`version`]
//! has what the version of a Milvus says of it. Every decoding error is a [`DecodeError`].

#![allow(deprecated)] // ReplicateMessage is deprecated since 3.0; 2.3 to 2.5 have nothing else.

pub mod catalog;
pub mod columns;
mod error;
pub mod fence;
mod fields;
pub mod ids;
pub mod keys;
mod layout;
pub mod message;
pub mod op;
pub mod position;
pub mod rbac;
mod records;
pub mod replicate;
pub mod roles;
pub mod serving;
pub mod splice;
pub mod timestamp;
pub mod version;

pub use error::DecodeError;
pub use milvus::proto;
