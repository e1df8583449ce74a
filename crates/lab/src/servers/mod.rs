//! The servers of the lab: what they have in common (`server`), one file for each of them, the
//! queue of a source whichever it is (`broker`), and a source with its target (`pair`). Never
//! installs a program.

pub(crate) mod broker;
pub(crate) mod etcd;
pub(crate) mod kafka;
mod litter;
pub(crate) mod mariadb;
pub(crate) mod milvus;
mod milvus_config;
pub(crate) mod pair;
pub(crate) mod pulsar;
pub(crate) mod server;
