//! The form of stored records: JSON, with ids as base64 and the number of the form. Never damages a
//! record that it can't read: the task stops.

use crate::error::{Error, Result};
use crate::ports::Store;
use crate::records::keys::COLLECTIONS;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The highest form that this version knows of the record under a key. A record says which it has;
/// one of a higher form is refused, and a record without a form is of the first one. In the second
/// a collection may be out of step.
fn highest_form(key: &str) -> u32 {
    if key.starts_with(COLLECTIONS) { 2 } else { 1 }
}

/// A record as it is stored, in the first form.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    encode_as(1, record)
}

/// A record as it is stored, in this form: the lowest that can express it, so that as many versions
/// as possible can read it.
pub(crate) fn encode_as<T: Serialize>(form: u32, record: &T) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a, T> {
        form: u32,
        #[serde(flatten)]
        record: &'a T,
    }
    serde_json::to_vec(&Written { form, record })
        .expect("a record of numbers, texts and maps has a JSON form")
}

/// The record that is stored under a key.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T> {
    let bad = |e| {
        Error::permanent(format!(
            "the stored record {key} can't be read; restore the task store from a backup"
        ))
        .because(e)
    };
    refuse_newer(key, value)?;
    serde_json::from_slice(value).map_err(bad)
}

/// Fails if a record has a newer form than this version knows, whatever the record is.
pub(crate) fn refuse_newer(key: &str, value: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Form {
        form: Option<u32>,
    }
    let form = serde_json::from_slice(value).ok().and_then(|Form { form }| form);
    match form {
        Some(form) if form > highest_form(key) => Err(Error::permanent(format!(
            "the stored record {key} was written by a newer milvus-cdc; run that version"
        ))),
        _ => Ok(()),
    }
}

/// The record under a key, if there is one.
pub(crate) async fn load_one<T: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<T>> {
    store.get(key).await?.map(|stored| decode(key, &stored.value)).transpose()
}

/// For `#[serde(with)]`: base64.
pub(crate) mod id {
    use super::{Deserialize, Deserializer, Serializer};
    use base64::{Engine, engine::general_purpose::STANDARD};
    use milvus_wire::position::MessageId;

    pub(crate) fn serialize<S: Serializer>(id: &MessageId, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(&id.0))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<MessageId, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(MessageId(bytes.into()))
    }
}

/// For `#[serde(with)]`: the number inside.
macro_rules! number {
    ($module:ident, $of:path, $number:ty) => {
        pub(crate) mod $module {
            use super::{Deserialize, Deserializer, Serialize, Serializer};
            use $of as Number;

            pub(crate) fn serialize<S: Serializer>(
                value: &Number,
                s: S,
            ) -> Result<S::Ok, S::Error> {
                value.0.serialize(s)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Number, D::Error> {
                <$number>::deserialize(d).map(Number)
            }
        }
    };
}

number!(timestamp, milvus_wire::timestamp::Timestamp, u64);
number!(collection, milvus_wire::ids::CollectionId, i64);

/// For `#[serde(with)]`: by channel.
pub(crate) mod positions {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use crate::records::position::{Position, Seen};
    use milvus_wire::position::MessageId;
    use milvus_wire::timestamp::Timestamp;
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    struct Stored {
        #[serde(with = "super::id")]
        id: MessageId,
        #[serde(with = "super::timestamp")]
        tick: Timestamp,
        /// The timestamp of the message at `id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<u64>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        done: bool,
    }

    impl From<&Position> for Stored {
        fn from(position: &Position) -> Self {
            let seen = position.seen;
            Self {
                id: position.id.clone(),
                tick: position.tick,
                seen: seen.map(|seen| seen.at.0),
                done: seen.is_some_and(|seen| seen.is_done),
            }
        }
    }

    impl From<Stored> for Position {
        fn from(stored: Stored) -> Self {
            let seen = |at| Seen { at: Timestamp(at), is_done: stored.done };
            Self { seen: stored.seen.map(seen), id: stored.id, tick: stored.tick }
        }
    }

    pub(crate) fn serialize<S: Serializer>(
        positions: &BTreeMap<String, Position>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_map(positions.iter().map(|(channel, position)| (channel, Stored::from(position))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<BTreeMap<String, Position>, D::Error> {
        let stored = BTreeMap::<String, Stored>::deserialize(d)?;
        Ok(stored.into_iter().map(|(channel, stored)| (channel, stored.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        number: u64,
    }

    #[test]
    fn a_record_says_its_form_and_one_without_is_read() {
        let stored = encode(&Record { number: 7 });
        assert_eq!(stored, br#"{"form":1,"number":7}"#);
        for known in [stored.as_slice(), br#"{"number":7}"#] {
            assert_eq!(decode::<Record>("k", known).unwrap(), Record { number: 7 });
        }
    }

    #[test]
    fn a_newer_form_is_refused_by_the_name_of_its_key() {
        let of_form = |form| format!(r#"{{"form":{form},"number":"seven"}}"#);
        for (key, newer) in [("collection/t/1", 3), ("checkpoint/t", 2)] {
            let error = decode::<Record>(key, of_form(newer).as_bytes()).unwrap_err();
            assert_eq!(error.kind, Kind::Permanent);
            let said = format!("{key} was written by a newer");
            assert!(error.what.contains(&said), "{error}");
            let known = of_form(newer - 1).replace("\"seven\"", "7");
            assert_eq!(decode::<Record>(key, known.as_bytes()).unwrap(), Record { number: 7 });
        }
    }
}
