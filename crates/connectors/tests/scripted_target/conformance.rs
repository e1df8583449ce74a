//! The Milvus target against those parts of the suite of targets that are about replicate calls.
//! Never about metadata: this server understands no request. Needs no other servers.

use crate::requests::refusal;
use crate::server::ScriptedTarget;
use ::conformance::target::{self, Logged, Mortal};
use async_trait::async_trait;
use connectors::milvus::{Milvus, MilvusOptions};
use milvus_wire::message::{Message, decode};
use milvus_wire::timestamp::Timestamp;
use replication::ports::Target;
use std::sync::Arc;
use std::time::Duration;

/// `merr.ErrDenyReplicateMessage`: it is not a replica.
const NOT_A_REPLICA: i32 = 1900;

#[tokio::test]
async fn nothing_of_a_call_that_is_refused_appears() {
    let refusal =
        refusal(NOT_A_REPLICA, "deny to use the replicate message in the normal instance");
    target::refusal(&Scripted(ScriptedTarget::refusing(refusal))).await;
}

#[tokio::test]
async fn what_is_taken_is_in_the_log_and_what_dies_with_the_target_is_open() {
    target::answers(&Scripted(ScriptedTarget::start(vec![]))).await;
}

struct Scripted(ScriptedTarget);

#[async_trait]
impl Logged for Scripted {
    fn target(&self) -> Arc<dyn Target> {
        Arc::new(Milvus::new(&MilvusOptions::new(&self.0.address)).unwrap())
    }

    async fn pchannel(&self) -> String {
        "dst-rootcoord-dml_0".to_owned()
    }

    async fn ticks(&self, pchannel: &str) -> Vec<Timestamp> {
        let of_the_channel = self.0.taken().into_iter().filter(|it| it.channel_name == pchannel);
        let messages = of_the_channel.flat_map(|call| call.msgs);
        let tick = |message: Vec<u8>| match decode(message.into()).unwrap() {
            Message::Tick(at) => Some(at),
            _ => None,
        };
        messages.filter_map(tick).collect()
    }
}

#[async_trait]
impl Mortal for Scripted {
    async fn freeze(&self) {
        self.0.stand_still(true);
    }

    async fn thaw(&self) {
        self.0.stand_still(false);
    }

    async fn die(&self) {
        self.0.die();
    }

    fn stands_still(&self) -> Duration {
        // What stands still for a minute is a real one.
        Duration::from_secs(2)
    }
}
