//! Checks that the positions given to a task belong to the collections that it selects. A position
//! that fits nothing would not be used, and its collection would begin with the next row instead.
//! Never asks the queue whether it still has these positions; opening them shows that.

use crate::selection::{Selection, Selector, named};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, split_vchannel};

/// What to do about positions that do not fit.
pub const REMEDY: &str = "give one position for each channel of a collection that is there, or \
                          none, to a new task";

/// What is wrong with the positions of a task; `None`: nothing. `collections`: all of the source.
pub fn misfit(selection: &Selection, collections: &[Collection]) -> Option<String> {
    let given = selection.selectors.iter().filter(|s| !s.positions.is_empty());
    given.map(|selector| fits(selector, selection, collections)).find_map(Result::err)
}

fn fits(
    selector: &Selector,
    selection: &Selection,
    collections: &[Collection],
) -> Result<(), String> {
    let is_its = |c: &&Collection| {
        c.state == State::Created && selection.find(named(&c.database), c.name()) == Some(selector)
    };
    let name = format!("{}.{}", selector.database, selector.collection);
    let mut channels = Vec::new();
    let mut of: Option<&Collection> = None;
    for vchannel in selector.positions.keys() {
        let (channel, id, _) = split_vchannel(vchannel)
            .ok_or_else(|| format!("{vchannel}, which has a position, is no virtual channel"))?;
        let is_it = |c: &&Collection| c.id == id;
        let it = collections.iter().filter(is_its).find(is_it).ok_or_else(|| {
            let there: Vec<_> = collections.iter().filter(is_its).map(|c| c.id).collect();
            format!("the positions of {name} are of collection {id}, {}", told(&there))
        })?;
        if !it.pchannels.iter().any(|p| p == channel) {
            return Err(format!(
                "{name} has a position on {channel}, which is none of its channels"
            ));
        }
        channels.push(channel);
        of = Some(it);
    }
    let missing =
        of.into_iter().flat_map(|c| &c.pchannels).find(|p| !channels.contains(&p.as_str()));
    match missing {
        // With it the rest begins at its beginning, and nothing is lost.
        Some(channel) if !selector.use_start_position => {
            Err(format!("{name} has positions, and none on its channel {channel}"))
        }
        _ => Ok(()),
    }
}

fn told(there: &[CollectionId]) -> String {
    match there {
        [] => "and the source has none of this name".to_owned(),
        [id] => format!("and the source's is {id}"),
        ids => format!("and the source has others of this name: {ids:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::position::MessageId;
    use milvus_wire::proto::schema::CollectionSchema;
    use milvus_wire::timestamp::Timestamp;

    /// Two shards on the channels `p_0` and `p_1`.
    fn collection(id: i64, name: &str) -> Collection {
        Collection {
            id: CollectionId(id),
            database_id: Default::default(),
            database: "d".into(),
            state: State::Created,
            schema: CollectionSchema { name: name.into(), ..Default::default() },
            created: Timestamp(1),
            vchannels: vec![format!("p_0_{id}v0"), format!("p_1_{id}v1")],
            pchannels: vec!["p_0".into(), "p_1".into()],
            start_positions: Default::default(),
            consistency_level: 0,
            properties: Vec::new(),
            partition_count: None,
        }
    }

    fn misfit_of(positions: &[&str], use_start_position: bool) -> Option<String> {
        let at = |channel: &&str| ((*channel).to_owned(), MessageId::default());
        let selector = Selector {
            database: "d".into(),
            collection: "c".into(),
            use_start_position,
            positions: positions.iter().map(at).collect(),
        };
        let selection = Selection { selectors: vec![selector], excluded: Vec::new() };
        misfit(&selection, &[collection(7, "c"), collection(8, "other")])
    }

    #[test]
    fn a_position_for_each_channel_of_the_collection_fits_and_so_does_none() {
        assert_eq!(misfit_of(&[], false), None);
        assert_eq!(misfit_of(&["p_0_7v0", "p_1_7v1"], false), None);
        assert_eq!(misfit_of(&["p_1_7v1"], true), None, "the other one begins at its beginning");
    }

    #[test]
    fn a_position_that_would_not_be_used_is_named() {
        for (positions, what) in [
            (&["p_0_9v0", "p_1_9v1"][..], "are of collection 9, and the source's is 7"),
            (&["p_0_8v0", "p_1_8v1"], "are of collection 8, and the source's is 7"),
            (&["p_2_7v0", "p_1_7v1"], "a position on p_2, which is none of its channels"),
            (&["p_1_7v1"], "none on its channel p_0"),
            (&["p_0"], "p_0, which has a position, is no virtual channel"),
        ] {
            let said = misfit_of(positions, false).unwrap_or_default();
            assert!(said.contains(what), "{said:?} has no {what:?}");
        }
    }

    #[test]
    fn a_collection_that_is_not_there_is_told_as_such() {
        let at = |channel: &str| (channel.to_owned(), MessageId::default());
        let selector = Selector {
            database: "*".into(),
            collection: "gone".into(),
            use_start_position: false,
            positions: [at("p_0_7v0")].into(),
        };
        let selection = Selection { selectors: vec![selector], excluded: Vec::new() };
        let said = misfit(&selection, &[collection(7, "c")]).unwrap();
        assert!(said.contains("and the source has none of this name"), "{said}");
    }
}
