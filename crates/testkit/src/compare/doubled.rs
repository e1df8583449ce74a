//! Finds keys that occur more than once, which Milvus never shows: a query returns each key once,
//! and only `count(*)` counts all of them. Halves ranges of keys until one is left.

use super::report::EXAMPLES_MAX;
use super::table::Table;
use crate::milvus::{Key, Milvus, Reading};
use anyhow::Result;

/// Some keys of which there is more than one row in one partition.
pub(super) async fn examples(milvus: &Milvus, table: &Table, reading: Reading) -> Result<Vec<Key>> {
    let mut found = vec![];
    for (name, partition) in &table.partitions {
        let names: Vec<String> =
            Some(name).filter(|name| !name.is_empty()).cloned().into_iter().collect();
        let keys: Vec<&Key> = partition.rows.keys().collect();
        let mut ranges = vec![keys.as_slice()];
        while let Some(range) = ranges.pop() {
            let [first, .., last] = range else {
                // One key, asked for by name.
                if let [key] = range
                    && milvus
                        .count(
                            &table.collection,
                            &Key::any_of(&table.key_field, [*key]),
                            &names,
                            reading,
                        )
                        .await?
                        > 1
                {
                    found.push((*key).clone());
                }
                continue;
            };
            if found.len() >= EXAMPLES_MAX {
                return Ok(found);
            }
            let field = &table.key_field;
            let expression = format!("{field} >= {first} and {field} <= {last}");
            let counted = milvus.count(&table.collection, &expression, &names, reading).await?;
            if counted > range.len() as u64 {
                let (low, high) = range.split_at(range.len() / 2);
                ranges.extend([high, low]);
            }
        }
    }
    Ok(found)
}
