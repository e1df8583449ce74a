//! Stores that earlier versions of the product wrote, and what those versions showed of them. They
//! are kept as text in `crates/testkit/stores`, in a folder named after the version.
//! Never interprets a record: a store goes in and out as it is.
//!
//! [`Store`] is a store of one kind with a server of its own, filled from such a [`Text`].
//! [`shown`] collects what a milvus-cdc on it shows to its users.

mod etcd;
mod mysql;
mod shown;
mod sqlite;
mod store;
mod text;

pub use etcd::dump as dump_etcd;
pub use mysql::dump as dump_mysql;
pub use shown::{differences, shown};
pub use sqlite::dump as dump_sqlite;
pub use store::{NOBODY, Store};
pub use text::{Kind, ROOT, Record, Text, Written};
