//! Compares the metadata of a collection: schema, shards, consistency, properties, partitions,
//! indexes, load state. Never compares ids and channels, which differ.

use crate::milvus::Milvus;
use anyhow::{Context, Result};
use milvus_wire::proto::schema::{DataType, FieldSchema};
use std::collections::BTreeMap;

/// Facts about a collection, each under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    facts: BTreeMap<String, String>,
    /// What it is known by: the source's creation time, on either side.
    pub created: u64,
}

impl Metadata {
    /// Reads them.
    ///
    /// # Errors
    /// If Milvus refuses or does not answer.
    pub async fn read(milvus: &Milvus, collection: &str) -> Result<Self> {
        let described = milvus.describe(collection).await?;
        let schema = described.schema.as_ref().context("a description without schema")?;
        let mut facts = BTreeMap::new();
        let mut fact = |name: String, value: String| facts.insert(name, value);
        fact("description".into(), schema.description.clone());
        fact("dynamic field".into(), schema.enable_dynamic_field.to_string());
        fact("shards".into(), described.shards_num.to_string());
        fact("consistency level".into(), format!("{:?}", described.consistency_level()));
        for pair in &described.properties {
            fact(format!("property {}", pair.key), pair.value.clone());
        }
        let mut aliases = described.aliases.clone();
        aliases.sort();
        fact("aliases".into(), aliases.join(" "));
        for (place, field) in schema.fields.iter().enumerate() {
            fact(format!("field {}", field.name), field_fact(place, field));
        }
        for name in milvus.partitions(collection).await?.into_keys() {
            let state = milvus.load_state(collection, &[&name]).await?;
            fact(format!("partition {name}"), format!("{state:?}"));
        }
        fact("loaded".into(), format!("{:?}", milvus.load_state(collection, &[]).await?));
        for index in milvus.indexes(collection).await? {
            let mut parameters: Vec<String> =
                index.params.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
            parameters.sort();
            let name = format!("index {} on {}", index.index_name, index.field_name);
            fact(name, parameters.join(" "));
        }
        Ok(Self { facts, created: described.created_timestamp })
    }
}

fn field_fact(place: usize, field: &FieldSchema) -> String {
    let name = |number| DataType::try_from(number).map_or("unknown", |kind| kind.as_str_name());
    let mut parameters: Vec<String> =
        field.type_params.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
    parameters.sort();
    let flags = [
        ("key", field.is_primary_key),
        ("auto id", field.auto_id),
        ("partition key", field.is_partition_key),
        ("dynamic", field.is_dynamic),
    ];
    let flags: Vec<&str> =
        flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).collect();
    format!(
        "place {place}, {} of {}, {parameters:?}, {flags:?}, default {:?}, {:?}",
        name(field.data_type),
        name(field.element_type),
        field.default_value,
        field.description,
    )
}

/// In what two collections differ, one line each; none if they are equal.
pub fn metadata_differences(source: &Metadata, target: &Metadata) -> Vec<String> {
    let nothing = "nothing".to_owned();
    let names = source
        .facts
        .keys()
        .chain(target.facts.keys().filter(|name| !source.facts.contains_key(*name)));
    names
        .filter_map(|name| {
            let source = source.facts.get(name).unwrap_or(&nothing);
            let target = target.facts.get(name).unwrap_or(&nothing);
            let line = format!("{name}: {source} on the source, {target} on the target");
            (source != target).then_some(line)
        })
        .collect()
}
