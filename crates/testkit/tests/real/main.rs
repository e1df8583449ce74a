//! The test kit itself against a real Milvus: a client that lies or a comparison that cannot fail
//! would make every other test worthless.

mod comparison;
mod every_type;
mod server;
