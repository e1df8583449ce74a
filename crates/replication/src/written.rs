//! The records that earlier versions wrote (`crates/testkit/stores`), for the tests of each kind of
//! record: what is read is written again byte for byte. So an earlier version that is the standby,
//! or that is run again, reads what this one writes. Never a part of the product.

use crate::records::codec::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Reads and writes every record of a kind, and returns them.
pub(crate) fn read_and_written_again<T: DeserializeOwned + Serialize>(kind: &str) -> Vec<T> {
    let mut read = Vec::new();
    for (key, value) in written().into_iter().filter(|(key, _)| kind_of(key) == kind) {
        let record: T = decode(&key, value.as_bytes()).unwrap_or_else(|e| panic!("{e:?}: {value}"));
        let again = String::from_utf8(encode(&record)).unwrap();
        assert_eq!(again, value, "{key} is written otherwise than before");
        read.push(record);
    }
    read
}

/// What fuzz targets ask of any bytes as a record of a kind: they are refused, or what is read is
/// written and read the same.
pub(crate) fn read_or_refused<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    if let Ok(record) = decode::<T>("fuzz", bytes) {
        let written = encode(&record);
        let again: T = decode("fuzz", &written).expect("what was written is read");
        assert_eq!(encode(&again), written);
    }
}

fn kind_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

/// The keys and values of every store of every version.
fn written() -> Vec<(String, String)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/stores");
    let versions = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    let mut records = Vec::new();
    for version in versions.filter(|path| path.is_dir()) {
        for store in ["sqlite", "etcd", "mysql"] {
            let text = fs::read_to_string(version.join(format!("{store}.records.txt"))).unwrap();
            records.extend(text.lines().map(|line| {
                let mut fields = line.splitn(3, '\t').skip(1).map(str::to_owned);
                (fields.next().unwrap(), fields.next().unwrap())
            }));
        }
    }
    records
}

/// Those of tasks belong to the server. The roster is empty.
#[test]
fn every_kind_of_record_that_an_earlier_version_wrote_has_such_a_test() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (key, _) in written() {
        *kinds.entry(kind_of(&key).to_owned()).or_default() += 1;
    }
    let here = ["access", "alive", "checkpoint", "collection", "fence", "lane", "lease"];
    let here = here.into_iter().chain(["missed", "next", "op", "serving"]);
    assert!(kinds.keys().map(String::as_str).eq(here.chain(["task", "task-roster"])), "{kinds:?}");
    assert!(kinds.values().all(|count| *count >= 3), "not each in every kind of store: {kinds:?}");
}
