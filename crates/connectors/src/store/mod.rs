//! Where tasks, checkpoints and lanes are kept. Never interprets a value.
//!
//! [`memory`] forgets, [`sqlite`] is one file next to the server, [`etcd`] and [`mysql`] can be
//! shared by several machines; [`conformance`] is what every store must pass.

pub mod conformance;
pub mod etcd;
mod holder;
pub mod memory;
pub mod mysql;
pub mod sqlite;

pub use etcd::EtcdStore;
pub use memory::MemoryStore;
pub use mysql::{Dsn, MysqlOptions, MysqlStore};
pub use sqlite::SqliteStore;

/// The first key behind all that begin with this one, which is text and so never ends in 255.
fn behind(mut key: Vec<u8>) -> Vec<u8> {
    if let Some(last) = key.last_mut() {
        *last += 1;
    }
    key
}
