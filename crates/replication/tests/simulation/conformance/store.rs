//! The store in memory against the suite of stores. Never loses a record.

use super::quiet::{block_on, no_faults};
use crate::store::Memory;
use ::conformance::store;
use std::sync::Arc;

#[test]
fn the_store_in_memory_is_a_store() {
    block_on(async {
        let memory = Memory::new(no_faults());
        store::suite(Arc::new(memory.shared("one", no_faults()))).await;
        store::durability(async || Ok(memory.shared("one", no_faults()))).await;
        let [one, other] = ["one", "other"].map(|holder| memory.shared(holder, no_faults()));
        store::sharing(&one, &other).await;
    });
}
