//! What every [`Source`] must pass. Each case has channels of its own, whose names begin with
//! `suite-`, so a queue may be shared.
//! Never makes a source or speaks to a queue itself: [`SourceUnderTest`] does.
//!
//! Not checked, and why:
//! - "The message queue of a source Milvus." "One entry of a queue." They say what it is.
//! - "A bare protobuf of Milvus." A source passes on what the queue has; it is not asked to look.
//! - "Never waits." Only that it comes back while the queue is away is checked: how long a call
//!   takes says something of the machine.

use crate::cases::{Cases, becomes, done, soon, within};
use async_trait::async_trait;
use futures::future::join_all;
use milvus_wire::position::MessageId;
use replication::error::{Error, Kind};
use replication::ports::{ChannelReader, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What the newest entries of so many channels are looked for in.
const CHANNELS: usize = 16;

/// As large as a message of Milvus may be.
const LARGE_BYTES: usize = 3 << 20;

/// A look at the newest entries of all channels is for showing: it is over by then.
const LOOKED_WITHIN: Duration = Duration::from_secs(10);

/// That a topic is missing is answered without waiting for it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// Entries that a queue loses, and those that are left.
const LOST: usize = 30;
const LEFT: usize = 5;

/// What the suite needs of an implementation and its queue.
#[async_trait]
pub trait SourceUnderTest: Sync {
    /// A source that has read nothing yet.
    fn source(&self) -> Arc<dyn Source>;

    /// Makes the topic of a channel, without an entry.
    async fn create(&self, channel: &str);

    /// Appends entries to a channel, whose topic is made if there is none.
    async fn append(&self, channel: &str, payloads: Vec<Vec<u8>>);

    /// What the queue has of a channel besides its entries, as it says itself: its topic,
    /// subscriptions, positions that are kept for readers.
    async fn kept(&self, channel: &str) -> Vec<String>;

    /// How long the source doubts a state of the queue before it takes it for a fault.
    fn doubts_for(&self) -> Duration;

    /// How long after a topic is made its reader has what is in it, at the latest.
    fn finds_within(&self) -> Duration;
}

/// A queue that loses what is old.
#[async_trait]
pub trait Losing: SourceUnderTest {
    /// Loses so many of the oldest entries of a channel, which has more, as retention does. The
    /// topic was made by `create`; the number is a multiple of ten.
    async fn lose(&self, channel: &str, entries: usize);
}

/// A queue that can be away.
#[async_trait]
pub trait Leaving: SourceUnderTest {
    /// The queue ends without a word.
    async fn leave(&self);

    /// It is there again, with all that it had.
    async fn come_back(&self);
}

/// The errors for positions that a queue does not contain.
pub struct Losses {
    /// Of the entry 3 of 35, of which the first 30 are lost.
    pub lost: Error,
    /// Of the entry 34 of a topic that has only five: it was made anew, or is another one.
    pub foreign: Error,
}

/// The cases that need a queue that works.
pub async fn suite(world: &impl SourceUnderTest) {
    let mut cases = Cases::of("the source");
    cases.case("Opens a channel at `from`, inclusive.", from_is_inclusive(world)).await;
    let sentence = "A topic that does not exist yet is not an error: the reader waits for it.";
    cases.case(sentence, a_missing_topic_is_waited_for(world)).await;
    let sentence = "A channel may be open more than once; its readers do not disturb each other.";
    cases.case(sentence, readers_do_not_disturb_each_other(world)).await;
    let sentence = "Only reads: it never makes a topic, and leaves nothing behind at the queue.";
    cases.case(sentence, nothing_is_left_behind(world)).await;
    let sentence = "The id that the next message of the channel will have, or one below it and \
                    above all that is there; the first possible id if the topic does not exist.";
    cases.case(sentence, the_end_is_between_what_is_there_and_what_comes(world)).await;
    cases.case(sentence, the_end_of_a_missing_topic_is_its_beginning(world)).await;
    let sentence = "The newest entries of a channel, oldest first, at most `count`; for the lag. \
                    Does not disturb readers.";
    cases.case(sentence, the_newest_are_read_beside_readers(world)).await;
    cases.case("Which of two ids of one channel lies earlier.", ids_are_ordered(world)).await;
    let sentence = "Reads one channel in order. The queue's id of this entry.";
    cases.case(sentence, a_channel_is_read_in_order(world)).await;
    cases.case("The next entry; waits for it.", the_next_entry_is_waited_for(world)).await;
    let sentence = "Safe to cancel: an entry is never lost by that.";
    cases.case(sentence, no_entry_is_lost_by_cancelling(world)).await;
    let sentence = "The next entry if it is here already.";
    cases.case(sentence, what_is_here_is_taken_without_waiting(world)).await;
    cases.end();
}

/// The cases that need a queue that loses entries. Returns what was told of them, for an
/// implementation that promises more words.
pub async fn losses(world: &impl Losing) -> Losses {
    let mut cases = Cases::of("the source");
    let mut told = None;
    let sentence = "A `from` that the queue does not contain, because it was lost or because the \
                    topic was made anew, is a permanent error, from here or from the first read, \
                    that names the channel and says what was lost.";
    cases.case(sentence, async { told = Some(what_is_lost_is_told(world).await) }).await;
    let sentence = "Where to open a channel to go on behind an entry, even if the queue has lost \
                    that entry since and none behind it; the entry itself, if the queue does not \
                    say which is the next.";
    cases.case(sentence, what_lies_behind_a_lost_entry_is_read(world)).await;
    cases.end();
    told.unwrap_or_else(|| unreachable!("a case that passed has told"))
}

/// The cases that need a queue that goes away and comes back.
pub async fn absence(world: &impl Leaving) {
    let mut cases = Cases::of("the source");
    let sentence = "Faults of the connection heal inside, within the limits of the client; only \
                    what does not heal is returned.";
    cases.case(sentence, a_queue_that_was_away_is_found_again(world)).await;
    cases.end();
}

async fn from_is_inclusive(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-inclusive", 1000).await;
    for from in [0, 1, 2, 3, 100, 998, 999] {
        let mut reader = done(source.open("suite-inclusive", &all[from].0).await);
        assert_eq!(take(&mut *reader, 1000 - from).await, all[from..], "from {from}");
        assert!(done(reader.try_next()).is_none(), "the end is no error");
    }
}

async fn a_channel_is_read_in_order(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-in-order", 1000).await;
    for (place, (id, payload)) in all.iter().enumerate() {
        assert_eq!(*payload, (place as u32).to_le_bytes(), "at {place}");
        assert!(place == 0 || source.compare(&all[place - 1].0, id).is_lt(), "at {place}");
    }
}

async fn ids_are_ordered(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-ids", 300).await;
    for (place, (id, _)) in all.iter().enumerate() {
        assert!(source.compare(id, id).is_eq(), "{place}");
        for (later, _) in &all[place + 1..] {
            assert!(source.compare(id, later).is_lt(), "{place}: {id:?} {later:?}");
            assert!(source.compare(later, id).is_gt(), "{place}: {later:?} {id:?}");
        }
    }
}

async fn a_missing_topic_is_waited_for(world: &impl SourceUnderTest) {
    let source = world.source();
    let asked = async {
        assert!(done(source.newest("suite-later", 3).await).is_empty());
        done(source.end("suite-later").await)
    };
    let first = within(ANSWERED_WITHIN, "an answer about a topic that is not there", asked).await;
    let mut reader = done(source.open("suite-later", &first).await);
    let waited = timeout(world.doubts_for(), reader.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(world.kept("suite-later").await, Vec::<String>::new(), "nobody makes the topic");
    world.append("suite-later", numbers(0..3)).await;
    let taken = take(&mut *reader, 3);
    let taken = within(world.finds_within(), "a topic that was made", taken).await;
    assert_eq!(payloads(&taken), numbers(0..3));
}

async fn nothing_is_left_behind(world: &impl SourceUnderTest) {
    let source = world.source();
    done(soon("the end", source.end("suite-never")).await);
    done(soon("the newest", source.newest("suite-never", 3)).await);
    let first = done(soon("the end", source.end("suite-left")).await);
    world.append("suite-left", numbers(0..10)).await;
    let before = world.kept("suite-left").await;
    let mut readers = Vec::new();
    for _ in 0..2 {
        let mut reader = done(source.open("suite-left", &first).await);
        take(&mut *reader, 10).await;
        readers.push(reader);
    }
    done(soon("the newest", source.newest("suite-left", 3)).await);
    drop((readers, source));
    becomes("what is left behind", &before, async || world.kept("suite-left").await).await;
    assert_eq!(world.kept("suite-never").await, Vec::<String>::new());
}

async fn readers_do_not_disturb_each_other(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-shared", 100).await;
    let mut first = done(source.open("suite-shared", &all[0].0).await);
    assert_eq!(take(&mut *first, 10).await, all[..10]);
    let mut second = done(source.open("suite-shared", &all[50].0).await);
    assert_eq!(take(&mut *second, 10).await, all[50..60]);
    drop(second);
    assert_eq!(take(&mut *first, 90).await, all[10..]);
}

async fn the_end_is_between_what_is_there_and_what_comes(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-end", 100).await;
    let end = done(soon("the end", source.end("suite-end")).await);
    for (id, _) in &all {
        assert!(source.compare(id, &end).is_lt(), "{id:?} is there, the end is {end:?}");
    }
    let mut reader = done(source.open("suite-end", &end).await);
    world.append("suite-end", numbers(100..101)).await;
    let next = take(&mut *reader, 1).await.remove(0);
    assert_eq!(next.1, 100_u32.to_le_bytes(), "what is there is not read from the end on");
    assert!(source.compare(&end, &next.0).is_le(), "{:?} comes, the end was {end:?}", next.0);
}

async fn the_end_of_a_missing_topic_is_its_beginning(world: &impl SourceUnderTest) {
    let source = world.source();
    let missing = done(soon("the end", source.end("suite-no-topic")).await);
    world.create("suite-empty").await;
    let empty = done(soon("the end", source.end("suite-empty")).await);
    for (channel, end) in [("suite-no-topic", &missing), ("suite-empty", &empty)] {
        world.append(channel, numbers(0..3)).await;
        let mut reader = done(source.open(channel, end).await);
        let taken = take(&mut *reader, 3).await;
        assert_eq!(payloads(&taken), numbers(0..3), "{channel}");
        for (id, _) in &taken {
            assert!(source.compare(end, id).is_le(), "{channel}: {end:?} {id:?}");
            assert!(source.compare(&missing, id).is_le(), "{channel}: {missing:?} {id:?}");
        }
    }
}

async fn the_newest_are_read_beside_readers(world: &impl SourceUnderTest) {
    let source = world.source();
    let channels: Vec<_> = (0..CHANNELS).map(|number| format!("suite-newest-{number}")).collect();
    let first = done(soon("the end", source.end(&channels[3])).await);
    for channel in &channels {
        let mut entries = numbers(0..50);
        entries.push(vec![7; LARGE_BYTES]);
        world.append(channel, entries).await;
    }
    let mut reader = done(source.open(&channels[3], &first).await);
    assert_eq!(payloads(&take(&mut *reader, 5).await), numbers(0..5));
    for _ in 0..3 {
        let look = async {
            for channel in &channels {
                let newest = done(source.newest(channel, 2).await);
                let [before, last] = &newest[..] else { panic!("{} of 2", newest.len()) };
                assert_eq!(before.payload[..], 49_u32.to_le_bytes());
                assert_eq!(last.payload.len(), LARGE_BYTES);
                assert!(source.compare(&before.id, &last.id).is_lt());
            }
        };
        within(LOOKED_WITHIN, "the newest of all channels", look).await;
    }
    let all = done(soon("the newest", source.newest(&channels[0], 500)).await);
    assert_eq!(all.len(), 51, "there are no more");
    assert!(done(soon("the newest", source.newest(&channels[0], 0)).await).is_empty());
    assert_eq!(payloads(&take(&mut *reader, 5).await), numbers(5..10));
}

async fn the_next_entry_is_waited_for(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-awaited", 3).await;
    let mut reader = done(source.open("suite-awaited", &all[2].0).await);
    take(&mut *reader, 1).await;
    for number in 3..6 {
        let appended = world.append("suite-awaited", numbers(number..number + 1));
        let (taken, ()) = futures::future::join(take(&mut *reader, 1), appended).await;
        assert_eq!(payloads(&taken), numbers(number..number + 1));
    }
}

async fn no_entry_is_lost_by_cancelling(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-cancelled", 1).await;
    let mut reader = done(source.open("suite-cancelled", &all[0].0).await);
    take(&mut *reader, 1).await;
    for _ in 0..20 {
        let waited = timeout(Duration::from_millis(5), reader.next()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    let mut taken = Vec::new();
    let appending = async {
        for number in 0..20 {
            world.append("suite-cancelled", numbers(number * 10..number * 10 + 10)).await;
        }
    };
    let reading = async {
        // Given up before it waits, while it waits, and hardly ever.
        for patience in [0, 1, 20].iter().cycle() {
            if taken.len() == 200 {
                return;
            }
            let next = timeout(Duration::from_millis(*patience), reader.next()).await;
            taken.extend(next.ok().map(|next| done(next).payload.to_vec()));
        }
    };
    soon("all entries", futures::future::join(appending, reading)).await;
    assert_eq!(taken, numbers(0..200));
}

async fn what_is_here_is_taken_without_waiting(world: &impl SourceUnderTest) {
    let (source, all) = filled(world, "suite-here", 50).await;
    let mut reader = done(source.open("suite-here", &all[0].0).await);
    let mut taken = take(&mut *reader, 1).await;
    let (expected, reader) = (all.len(), tokio::sync::Mutex::new((&mut reader, &mut taken)));
    becomes("the entries at hand", &expected, async || {
        let (reader, taken) = &mut *reader.lock().await;
        while let Some(record) = done(reader.try_next()) {
            taken.push((record.id, record.payload.to_vec()));
        }
        taken.len()
    })
    .await;
    assert_eq!(taken, all);
}

async fn what_is_lost_is_told(world: &impl Losing) -> Losses {
    world.create("suite-lost").await;
    let (source, all) = filled(world, "suite-lost", LOST + LEFT).await;
    world.create("suite-foreign").await;
    world.append("suite-foreign", numbers(0..LEFT as u32)).await;
    let ids: Vec<_> = all.into_iter().map(|(id, _)| id).collect();
    world.lose("suite-lost", LOST).await;

    for from in [LOST, LOST + LEFT - 1] {
        let mut reader = done(source.open("suite-lost", &ids[from]).await);
        let taken = take(&mut *reader, LOST + LEFT - from).await;
        assert_eq!(payloads(&taken), numbers(from as u32..(LOST + LEFT) as u32));
    }
    let last = LOST + LEFT - 1;
    let asked = [("suite-lost", 3), ("suite-lost", LOST - 1), ("suite-foreign", last)].map(
        async |(channel, from)| {
            let error = refusal(&*source, channel, &ids[from]).await;
            assert_eq!(error.kind, Kind::Permanent, "{channel} from {from}: {error:?}");
            assert!(error.what.contains(channel), "{channel} is not in: {error}");
            error
        },
    );
    let mut told = join_all(asked).await.into_iter();
    match (told.next(), told.nth(1)) {
        (Some(lost), Some(foreign)) => Losses { lost, foreign },
        _ => unreachable!("three were asked for"),
    }
}

async fn what_lies_behind_a_lost_entry_is_read(world: &impl Losing) {
    world.create("suite-behind").await;
    let (source, all) = filled(world, "suite-behind", LOST + LEFT).await;
    let behind = |entry: usize| source.behind(&all[entry].0);
    let itself = usize::from(behind(LOST) != all[LOST].0);
    let mut reader = done(source.open("suite-behind", &behind(LOST)).await);
    let from = LOST + itself;
    assert_eq!(take(&mut *reader, LOST + LEFT - from).await, all[from..]);
    // Nothing is there to be told by, unless the queue says which is the next.
    if itself == 1 {
        world.lose("suite-behind", LOST).await;
        let mut reader = done(source.open("suite-behind", &behind(LOST - 1)).await);
        assert_eq!(take(&mut *reader, LEFT).await, all[LOST..]);
        world.lose("suite-behind", LOST + LEFT).await;
        let mut reader = done(source.open("suite-behind", &behind(LOST + LEFT - 1)).await);
        world.append("suite-behind", numbers(7..8)).await;
        assert_eq!(payloads(&take(&mut *reader, 1).await), numbers(7..8));
    }
}

async fn refusal(source: &dyn Source, channel: &str, from: &MessageId) -> Error {
    let mut reader = match source.open(channel, from).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    match soon("a refusal", reader.next()).await {
        Ok(record) => panic!("{channel} from {from:?} is not there, yet {record:?} was read"),
        Err(error) => error,
    }
}

/// A client may meet a queue that is half up, and let several of its own limits pass in turn.
const FOUND_AGAIN_WITHIN: Duration = Duration::from_secs(90);

async fn a_queue_that_was_away_is_found_again(world: &impl Leaving) {
    let (source, all) = filled(world, "suite-restarted", 10).await;
    world.create("suite-quiet").await;
    let end = done(soon("the end", source.end("suite-restarted")).await);
    let quiet = done(soon("the end", source.end("suite-quiet")).await);
    let mut reader = done(source.open("suite-restarted", &all[0].0).await);
    take(&mut *reader, 10).await;
    world.leave().await;
    let waited = timeout(world.doubts_for(), reader.next()).await;
    assert!(waited.is_err(), "a queue that is away is no error: {waited:?}");
    assert!(done(reader.try_next()).is_none());
    let unanswered = soon("the end", source.end("suite-restarted")).await;
    assert_eq!(unanswered.map_err(|error| error.kind), Err(Kind::Transient));
    // Channels that are opened meanwhile wait as well.
    let mut middle = done(source.open("suite-restarted", &all[5].0).await);
    let mut behind = done(source.open("suite-restarted", &end).await);
    let mut quiet = done(source.open("suite-quiet", &quiet).await);
    world.come_back().await;
    world.append("suite-restarted", numbers(10..11)).await;
    world.append("suite-quiet", numbers(0..1)).await;
    let again = within(FOUND_AGAIN_WITHIN, "the queue to be found again", reader.next());
    let again = done(again.await);
    let next = vec![(again.id, again.payload.to_vec())];
    assert_eq!(payloads(&next), numbers(10..11));
    let from_the_middle = take(&mut *middle, 6).await;
    assert_eq!(from_the_middle[..5], all[5..]);
    assert_eq!(from_the_middle[5..], next);
    assert_eq!(take(&mut *behind, 1).await, next);
    assert_eq!(payloads(&take(&mut *quiet, 1).await), numbers(0..1));
}

/// Entries with their ids.
type Taken = Vec<(MessageId, Vec<u8>)>;

/// Fills a channel with numbers; what a reader finds from the beginning.
async fn filled(
    world: &impl SourceUnderTest,
    channel: &str,
    count: usize,
) -> (Arc<dyn Source>, Taken) {
    let source = world.source();
    let first = done(soon("the end", source.end(channel)).await);
    world.append(channel, numbers(0..count as u32)).await;
    let mut reader = done(source.open(channel, &first).await);
    let all = take(&mut *reader, count).await;
    (source, all)
}

async fn take(reader: &mut dyn ChannelReader, count: usize) -> Taken {
    let mut taken = Vec::new();
    while taken.len() < count {
        let record = done(soon("an entry", reader.next()).await);
        taken.push((record.id, record.payload.to_vec()));
    }
    taken
}

fn payloads(taken: &[(MessageId, Vec<u8>)]) -> Vec<Vec<u8>> {
    taken.iter().map(|(_, payload)| payload.clone()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    range.map(|number| number.to_le_bytes().to_vec()).collect()
}
