//! The queue of a source, Kafka or Pulsar, for tests that stop or restart either. Never offers what
//! only one of them has.

use crate::error::Result;
use crate::install::Installed;
use crate::processes::process::Process;
use crate::servers::kafka::{Kafka, KafkaOptions};
use crate::servers::milvus::Queue;
use crate::servers::pulsar::{Pulsar, PulsarOptions};
use crate::servers::server::{Server, seal};
use std::path::Path;

/// Which broker a source is to have, and how it is run.
#[derive(Debug, Clone)]
pub enum BrokerOptions {
    /// Apache Kafka.
    Kafka(KafkaOptions),
    /// Apache Pulsar.
    Pulsar(PulsarOptions),
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self::Kafka(KafkaOptions::default())
    }
}

/// A running broker of either kind.
#[derive(Debug)]
pub enum Broker {
    /// Apache Kafka.
    Kafka(Kafka),
    /// Apache Pulsar.
    Pulsar(Pulsar),
}

impl Broker {
    /// Starts a broker below `folder`, named after its kind. Does not wait until it is ready.
    ///
    /// # Errors
    /// If the folder cannot be made or the program not be started.
    pub fn start(installed: &Installed, folder: &Path, options: BrokerOptions) -> Result<Self> {
        Ok(match options {
            BrokerOptions::Kafka(options) => {
                Self::Kafka(Kafka::start(installed, &folder.join("kafka"), options)?)
            }
            BrokerOptions::Pulsar(options) => {
                Self::Pulsar(Pulsar::start(installed, &folder.join("pulsar"), options)?)
            }
        })
    }

    /// The address for a client's configuration: `127.0.0.1:<port>`, for Pulsar with a scheme.
    pub fn address(&self) -> String {
        match self {
            Self::Kafka(kafka) => kafka.broker(),
            Self::Pulsar(pulsar) => pulsar.url(),
        }
    }

    /// The queue option of a Milvus that uses it.
    pub fn queue(&self) -> Queue {
        match self {
            Self::Kafka(kafka) => Queue::Kafka(kafka.broker()),
            Self::Pulsar(pulsar) => Queue::Pulsar { broker: pulsar.port(), web: pulsar.web_port() },
        }
    }

    fn server(&self) -> &dyn Server {
        match self {
            Self::Kafka(kafka) => kafka,
            Self::Pulsar(pulsar) => pulsar,
        }
    }

    fn server_mut(&mut self) -> &mut dyn Server {
        match self {
            Self::Kafka(kafka) => kafka,
            Self::Pulsar(pulsar) => pulsar,
        }
    }
}

impl Server for Broker {
    fn name(&self) -> &str {
        self.server().name()
    }
}

impl seal::Inner for Broker {
    fn process(&self) -> Option<&Process> {
        self.server().process()
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        self.server_mut().process_mut()
    }

    fn launch(&mut self) -> Result<()> {
        self.server_mut().launch()
    }

    fn probe(&self) -> Result<bool> {
        self.server().probe()
    }
}
