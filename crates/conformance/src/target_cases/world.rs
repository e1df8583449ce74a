//! What the suite of targets needs of an implementation and its Milvus. Never a client of either.

use async_trait::async_trait;
use milvus_wire::timestamp::Timestamp;
use replication::ports::Target;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What the suite needs of an implementation and its Milvus.
#[async_trait]
pub trait TargetUnderTest: Sync {
    /// The target; it may grant.
    fn target(&self) -> Arc<dyn Target>;

    /// The names of the collections of a database, as a user of the target sees them.
    async fn collections(&self, database: &str) -> BTreeSet<String>;

    /// Makes a user, as a user of the target does.
    async fn make_user(&self, name: &str);

    /// Whether a collection can go into another database: some versions rename it in its own.
    fn moves_collections(&self) -> bool;

    /// Whether properties can be removed: since 2.5.
    fn removes_properties(&self) -> bool;
}

/// A target whose log can be read.
#[async_trait]
pub trait Logged: Sync {
    /// The target.
    fn target(&self) -> Arc<dyn Target>;

    /// A physical channel of it.
    async fn pchannel(&self) -> String;

    /// The ticks in the log of the channel, in order.
    async fn ticks(&self, pchannel: &str) -> Vec<Timestamp>;
}

/// A target that can stand still and die.
#[async_trait]
pub trait Mortal: Logged {
    /// It stands still: it takes nothing in and answers nothing, while connections live.
    async fn freeze(&self);

    /// It goes on.
    async fn thaw(&self);

    /// It ends, with all that it has not taken in yet.
    async fn die(&self);

    /// How long it may stand still without a call being given up.
    fn stands_still(&self) -> Duration;
}
