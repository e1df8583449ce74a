//! The stores of tasks, checkpoints and lanes. Never interprets a value.
//!
//! [`memory`] is lost with the process, [`sqlite`] is one file next to the server, [`etcd`] and
//! [`mysql`] can be shared by several machines. The crate `conformance` has what every store must
//! pass.

pub mod etcd;
mod holder;
pub mod memory;
pub mod mysql;
pub mod sqlite;

pub use etcd::EtcdStore;
pub use memory::MemoryStore;
pub use mysql::{Dsn, MysqlOptions, MysqlStore};
pub use sqlite::SqliteStore;
