//! Where tasks, checkpoints and lanes are kept. Never interprets a value.
//!
//! [`memory`] forgets, [`sqlite`] is one file next to the server; [`conformance`] is what every
//! store must pass.

pub mod conformance;
pub mod memory;
pub mod sqlite;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
