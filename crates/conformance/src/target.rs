//! What every [`Target`] must pass. Each case has collections of its own, whose names begin with
//! `suite_`, so a target may be shared.
//! The cases are in `target_cases`.
//! Never makes a target or a client of a Milvus itself: what the tests of an implementation give
//! does.
//!
//! Not checked, and why:
//! - "A Milvus that takes replicate messages (2.3.2 to 2.5, `common.ttMsgEnabled: false`)." "Why a
//!   replicate call did not succeed." "A request on the metadata of the target." "A collection as
//!   the target has it." "A partition as a target has it." They say what it is.
//! - "Names are the target's already." This binds the caller.
//! - "One that was started again has another id." A target that is shared can't be restarted; the
//!   end-to-end tests of faults do that.
//! - "The answer may be [`NODES_KNOWN_FOR`] old." It may as well be new.
//! - "One of several proxies that takes them is enough." A Milvus of the tests has one proxy.
//! - "It may appear now, later or never." Each of them is right, so nothing can be wrong.

use crate::cases::Cases;
use crate::target_cases::{answers, collections, names, service};

pub use crate::target_cases::world::{Logged, Mortal, TargetUnderTest};

/// The cases that need a target that works.
pub async fn suite(world: &impl TargetUnderTest) {
    let mut cases = Cases::of("the target");
    of_collections(world, &mut cases).await;
    of_names(world, &mut cases).await;
    of_the_service(world, &mut cases).await;
    cases.end();
}

async fn of_collections(world: &impl TargetUnderTest, cases: &mut Cases) {
    let sentence = "Describes a collection; `None` if the collection or its database does not \
                    exist.";
    cases.case(sentence, collections::what_is_not_there_is_not_described(world)).await;
    let sentence = "Create a collection as the source has it, under this name. In the \
                    order of the shards: the place is the shard index (invariant I4). As \
                    [`milvus_wire::catalog::field_texts`] tells them, for comparing with the \
                    source; `None`: whatever the source has. Its properties.";
    cases.case(sentence, collections::a_collection_is_described(world)).await;
    let sentence = "Idempotent: what exists already is not created again, what is gone is not \
                    dropped again, both succeed. Drop a collection. Its id there.";
    cases.case(sentence, collections::collections_come_and_go(world)).await;
    let sentence = "Applies a request. `at` is the source's timestamp of it. Its identity: for \
                    one that we created, the creation time on the source. Of one that came with \
                    its collection, when that was created; of any other, not before it was \
                    created on the source.";
    cases.case(sentence, collections::what_is_created_is_as_old_as_on_the_source(world)).await;
    let sentence = "The partitions of a collection, by name. Create a partition.";
    cases.case(sentence, collections::partitions_come_and_go(world)).await;
    let sentence = "Drop a partition; one that is loaded is released first.";
    cases.case(sentence, collections::a_loaded_partition_is_dropped(world)).await;
    let sentence = "Set properties of a collection and remove others; all else stays as it is.";
    cases.case(sentence, collections::properties_are_changed(world)).await;
    let sentence = "The physical channels that carry any collection of the target, sorted.";
    cases.case(sentence, collections::channels_of_all_collections_are_listed(world)).await;
}

async fn of_names(world: &impl TargetUnderTest, cases: &mut Cases) {
    cases.case("An alias is not a collection.", names::an_alias_is_not_described(world)).await;
    let sentence = "The collection that has an alias; `None` if there is no such alias. Drop an \
                    alias.";
    cases.case(sentence, names::an_alias_has_one_collection(world)).await;
    let sentence = "Give an alias to a collection, and take it from whoever has it.";
    cases.case(sentence, names::an_alias_is_taken_from_whoever_has_it(world)).await;
    let sentence = "Give a collection another name, in another database perhaps; its old aliases \
                    end there.";
    cases.case(sentence, names::a_collection_gets_another_name(world)).await;
    cases.case(sentence, names::a_collection_goes_into_another_database(world)).await;
}

async fn of_the_service(world: &impl TargetUnderTest, cases: &mut Cases) {
    let sentence = "The databases. Create a database.";
    cases.case(sentence, service::databases_come_and_go(world)).await;
    let sentence = "The collections of a database; none if there is no such database.";
    cases.case(sentence, service::the_collections_of_a_database_are_listed(world)).await;
    cases.case("The users.", service::users_are_listed(world)).await;
    let sentence = "A role, with its grants in these databases (`*` is one of them) at least; \
                    `None` if there is no such role.";
    cases.case(sentence, service::a_role_is_read_as_it_was_made(world)).await;
    let sentence = "A request of the op channel, names already rewritten.";
    cases.case(sentence, service::requests_of_the_op_channel_are_carried_out(world)).await;
    let sentence = "Asks for a flush of a collection: of all that it has got until now. Whether \
                    all that a flush was asked for is stored. It ends only while somebody ticks \
                    the channels of the collection.";
    cases.case(sentence, service::a_flush_ends(world)).await;
    let sentence = "The target's own clock (`AllocTimestamp`), which never goes back.";
    cases.case(sentence, service::the_clock_goes_on(world)).await;
    let sentence = "The proxies that calls of this client reach, by their ids.";
    cases.case(sentence, service::a_proxy_answers(world)).await;
    let sentence = "The data nodes, which store what is flushed, by their ids.";
    cases.case(sentence, service::the_data_nodes_are_listed(world)).await;
    let sentence = "The version of the target, as it names it. A build without a tag names none.";
    cases.case(sentence, service::the_version_is_named(world)).await;
}

/// The case of a target that refuses each call.
pub async fn refusal(world: &impl Logged) {
    let mut cases = Cases::of("the target");
    let sentence = "The target did not take it: it answered so, or could not be reached. Nothing \
                    of it will appear.";
    cases.case(sentence, answers::nothing_of_a_refused_call_appears(world)).await;
    let sentence = "Whether it takes replicate messages now; changes nothing.";
    cases.case(sentence, answers::what_refuses_each_call_is_not_a_replica(world)).await;
    cases.end();
}

/// The cases of a target that may stand still, and dies in the end.
pub async fn answers(world: &impl Mortal) {
    let mut cases = Cases::of("the target");
    let sentence = "One ReplicateMessage call: success means that all of it is in the target's \
                    log, in order.";
    cases.case(sentence, answers::what_was_taken_is_in_the_log(world)).await;
    let sentence = "Whether it takes replicate messages now; changes nothing.";
    cases.case(sentence, answers::a_replica_is_asked_without_a_trace(world)).await;
    let sentence = "There is no deadline on an answer while the connection lives. No answer.";
    cases
        .case(sentence, answers::a_target_that_stands_still_is_waited_for_until_it_dies(world))
        .await;
    cases.end();
}
