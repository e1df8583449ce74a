//! What a task is given: the ports to the outside, and who listens. Never opens any of them.

use crate::destination::Destination;
use crate::observer::Observer;
use crate::ports::{Catalog, Source, Store};
use std::sync::Arc;

/// All that a task needs of the world.
#[derive(Clone)]
pub struct Ports {
    /// The queue.
    pub source: Arc<dyn Source>,
    /// The metadata.
    pub catalog: Arc<dyn Catalog>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// Where changes go.
    pub destination: Destination,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
}
