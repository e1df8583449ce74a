//! A primary key: a number or text, and its form in Milvus's expressions. Never makes one up: see
//! [`crate::rows`].

use anyhow::{Result, bail};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::i_ds::IdField;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::proto::schema::{FieldData, IDs};
use std::fmt;

/// A primary key, ordered as Milvus orders it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of an int64 key.
    Int(i64),
    /// Of a varchar key.
    Text(String),
}

impl fmt::Display for Key {
    /// As a literal in an expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            // Milvus reads the escapes of JSON.
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
        }
    }
}

impl Key {
    /// `field in [k1, k2]`.
    pub fn any_of<'a>(field: &str, keys: impl IntoIterator<Item = &'a Self>) -> String {
        let keys: Vec<String> = keys.into_iter().map(Self::to_string).collect();
        format!("{field} in [{}]", keys.join(", "))
    }

    /// The keys in a column.
    ///
    /// # Errors
    /// If it is not of a type that keys can have.
    pub fn column(column: &FieldData) -> Result<Vec<Self>> {
        let Some(Field::Scalars(scalars)) = &column.field else {
            bail!("{} is not a key", column.field_name)
        };
        Ok(match &scalars.data {
            Some(Data::LongData(numbers)) => numbers.data.iter().copied().map(Self::Int).collect(),
            Some(Data::StringData(texts)) => texts.data.iter().cloned().map(Self::Text).collect(),
            _ => bail!("{} is not a key", column.field_name),
        })
    }

    /// The keys in an answer to a write.
    pub fn list(ids: Option<IDs>) -> Vec<Self> {
        match ids.and_then(|ids| ids.id_field) {
            Some(IdField::IntId(numbers)) => numbers.data.into_iter().map(Self::Int).collect(),
            Some(IdField::StrId(texts)) => texts.data.into_iter().map(Self::Text).collect(),
            // 2.3 knows no other keys.
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_literals() {
        let keys = [Key::Int(-3), Key::Text("a\"b".into())];
        assert_eq!(Key::any_of("id", &keys), r#"id in [-3, "a\"b"]"#);
    }
}
