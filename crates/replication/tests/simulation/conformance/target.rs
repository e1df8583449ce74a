//! The simulated Milvus against the suite of targets. Never compares it with a source.

use super::quiet::{block_on, no_faults};
use crate::cluster::LANES;
use crate::faults::{Fault, Faults, Verdict};
use crate::milvus::{Condition, Milvus};
use crate::script::Script;
use ::conformance::target::{self, Logged, Mortal, TargetUnderTest};
use async_trait::async_trait;
use milvus_wire::timestamp::Timestamp;
use replication::ports::Target;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_simulated_milvus_is_a_target() {
    let (faults, verdict) = (no_faults(), Verdict::default());
    block_on(async {
        let replica = Replica::new(&faults, &verdict);
        target::suite(&replica).await;
        faults.force(Fault::Refuse);
        target::refusal(&replica).await;
        faults.heal();
        target::answers(&replica).await;
    });
    assert_eq!(verdict.first(), None);
}

/// A target and the world that has its users.
struct Replica {
    script: Script,
    milvus: Milvus,
}

impl Replica {
    fn new(faults: &Faults, verdict: &Verdict) -> Self {
        let script = Script::new(0, faults.clone(), verdict.clone());
        let milvus = Milvus::new(faults.clone(), script.clone(), verdict.clone(), 1);
        Self { script, milvus }
    }
}

#[async_trait]
impl TargetUnderTest for Replica {
    fn target(&self) -> Arc<dyn Target> {
        Arc::new(self.milvus.clone())
    }

    async fn collections(&self, database: &str) -> BTreeSet<String> {
        self.milvus.collections(database)
    }

    async fn make_user(&self, name: &str) {
        self.script.roles.make_user(name);
    }

    fn moves_collections(&self) -> bool {
        true
    }

    fn removes_properties(&self) -> bool {
        true
    }
}

#[async_trait]
impl Logged for Replica {
    fn target(&self) -> Arc<dyn Target> {
        Arc::new(self.milvus.clone())
    }

    async fn pchannel(&self) -> String {
        LANES[0].to_owned()
    }

    async fn ticks(&self, pchannel: &str) -> Vec<Timestamp> {
        self.milvus.ticks(pchannel)
    }
}

#[async_trait]
impl Mortal for Replica {
    async fn freeze(&self) {
        self.milvus.set_condition(Condition::StandsStill);
    }

    async fn thaw(&self) {
        self.milvus.set_condition(Condition::Serves);
    }

    async fn die(&self) {
        self.milvus.set_condition(Condition::IsDead);
    }

    fn stands_still(&self) -> Duration {
        Duration::from_secs(100)
    }
}
