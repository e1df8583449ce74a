//! The differences of two tables. Never long: some examples and the numbers.

use super::table::{Partition, Table};
use crate::milvus::Key;
use crate::rows::Columns;
use std::collections::BTreeSet;
use std::fmt;

/// How many keys of each kind a report names.
pub(super) const EXAMPLES_MAX: usize = 5;

/// A row that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: Key,
    /// Field, value on the source, value on the target.
    pub fields: Vec<(String, String, String)>,
}

impl Difference {
    pub(super) fn explain(&mut self, source: &Columns, target: &Columns) {
        // It may have been deleted since.
        let words = |side: &Columns| {
            if side.rows() == 0 { vec![] } else { side.words(0) }
        };
        let (source, target) = (words(source), words(target));
        let value = |side: &[(String, String)], field: &str| {
            let found = side.iter().find(|(name, _)| name == field);
            found.map_or("nothing".to_owned(), |(_, value)| value.clone())
        };
        let names: BTreeSet<&String> = source.iter().chain(&target).map(|(name, _)| name).collect();
        self.fields = names
            .into_iter()
            .map(|name| (name.clone(), value(&source, name), value(&target, name)))
            .filter(|(_, source, target)| source != target)
            .collect();
    }
}

/// How a target compares to its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowReport {
    /// `count(*)` on the source.
    pub source_rows: u64,
    /// `count(*)` on the target.
    pub target_rows: u64,
    /// Keys of the source that the target lacks, in their partition.
    pub missing_rows: u64,
    /// Some of them.
    pub missing: Vec<Key>,
    /// Keys of the target that the source lacks, in their partition.
    pub extra_rows: u64,
    /// Some of them.
    pub extra: Vec<Key>,
    /// Keys whose rows differ.
    pub differing_rows: u64,
    /// Some of them.
    pub differing: Vec<Difference>,
    /// Rows of the target beyond one per key, without those that the source has too.
    pub doubled_rows: u64,
    /// Some of their keys.
    pub doubled: Vec<Key>,
    /// What differs beside rows: partitions, counts.
    pub other: Vec<String>,
}

impl RowReport {
    /// Compares two tables.
    pub fn of(source: &Table, target: &Table) -> Self {
        let mut report =
            Self { source_rows: source.counted, target_rows: target.counted, ..Self::default() };
        let names: BTreeSet<&String> =
            source.partitions.keys().chain(target.partitions.keys()).collect();
        let empty = Partition::default();
        for name in names {
            match (source.partitions.get(name), target.partitions.get(name)) {
                (None, _) => report.other.push(format!("partition {name} on the target only")),
                (_, None) => report.other.push(format!("partition {name} on the source only")),
                _ => {}
            }
            report.partition(
                name,
                source.partitions.get(name).unwrap_or(&empty),
                target.partitions.get(name).unwrap_or(&empty),
            );
        }
        report
    }

    fn partition(&mut self, name: &str, source: &Partition, target: &Partition) {
        for (key, digest) in &source.rows {
            match target.rows.get(key) {
                None => example(&mut self.missing_rows, &mut self.missing, || key.clone()),
                Some(other) if other != digest => {
                    example(&mut self.differing_rows, &mut self.differing, || Difference {
                        key: key.clone(),
                        fields: vec![],
                    });
                }
                Some(_) => {}
            }
        }
        for key in target.rows.keys().filter(|key| !source.rows.contains_key(key)) {
            example(&mut self.extra_rows, &mut self.extra, || key.clone());
        }
        let beyond = |side: &Partition| side.counted.saturating_sub(side.rows.len() as u64);
        self.doubled_rows += beyond(target).saturating_sub(beyond(source));
        for (side, partition) in [("source", source), ("target", target)] {
            let keys = partition.rows.len() as u64;
            if partition.counted < keys {
                let counted = partition.counted;
                self.other.push(format!(
                    "partition {name:?} on the {side} counts {counted} rows, its keys are {keys}"
                ));
            }
        }
        if beyond(source) > beyond(target) {
            self.other.push(format!(
                "partition {name:?} holds {} keys more than once on the source, {} on the target",
                beyond(source),
                beyond(target)
            ));
        }
    }

    /// Whether there is nothing to report.
    pub fn is_equal(&self) -> bool {
        self.source_rows == self.target_rows
            && self.missing_rows == 0
            && self.extra_rows == 0
            && self.differing_rows == 0
            && self.doubled_rows == 0
            && self.other.is_empty()
    }
}

fn example<T>(count: &mut u64, examples: &mut Vec<T>, one: impl FnOnce() -> T) {
    *count += 1;
    if examples.len() < EXAMPLES_MAX {
        examples.push(one());
    }
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_equal() { "equal" } else { "not equal" };
        write!(f, "{verdict}: {} rows on the source, ", self.source_rows)?;
        write!(f, "{} on the target", self.target_rows)?;
        let kinds = [
            ("missing", self.missing_rows, &self.missing),
            ("extra", self.extra_rows, &self.extra),
            ("doubled", self.doubled_rows, &self.doubled),
        ];
        for (kind, rows, examples) in kinds.into_iter().filter(|(_, rows, _)| *rows > 0) {
            let examples: Vec<String> = examples.iter().map(Key::to_string).collect();
            write!(f, "; {rows} {kind} ({})", examples.join(", "))?;
        }
        if self.differing_rows > 0 {
            write!(f, "; {} differing", self.differing_rows)?;
        }
        for Difference { key, fields } in &self.differing {
            for (field, source, target) in fields {
                write!(f, "; {key}.{field}: {source} on the source, {target} on the target")?;
            }
        }
        for other in &self.other {
            write!(f, "; {other}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milvus::CollectionSpec;
    use crate::rows::{RowGenerator, RowId};

    /// Keys with their versions, and how many rows `count(*)` finds.
    fn table(rows: &[(u64, u64)], counted: u64) -> Table {
        let spec = CollectionSpec::small("t", 4);
        let generator = RowGenerator::new(&spec.schema, 0).unwrap();
        let digests = rows.iter().map(|&(key, version)| {
            let columns = Columns::new(generator.columns(&[RowId { key, version }])).unwrap();
            (generator.key(key), columns.digest(0))
        });
        let partition = Partition { rows: digests.collect(), counted };
        Table {
            collection: "t".into(),
            key_field: "id".into(),
            partitions: [("_default".to_owned(), partition)].into(),
            counted,
        }
    }

    #[test]
    fn the_same_rows_are_equal() {
        let source = table(&[(1, 0), (2, 0)], 2);
        assert!(RowReport::of(&source, &source.clone()).is_equal());
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let source = table(&[(1, 0), (2, 0)], 2);
        let missing = RowReport::of(&source, &table(&[(1, 0)], 1));
        assert_eq!((missing.missing_rows, missing.missing.clone()), (1, vec![Key::Int(2)]));
        let extra = RowReport::of(&source, &table(&[(1, 0), (2, 0), (3, 0)], 3));
        assert_eq!((extra.extra_rows, extra.extra.clone()), (1, vec![Key::Int(3)]));
        let differing = RowReport::of(&source, &table(&[(1, 0), (2, 1)], 2));
        assert_eq!(
            (differing.differing_rows, differing.differing[0].key.clone()),
            (1, Key::Int(2))
        );
        let doubled = RowReport::of(&source, &table(&[(1, 0), (2, 0)], 3));
        assert_eq!(doubled.doubled_rows, 1);
        // The source's own doubles must be there too.
        let undoubled = RowReport::of(&table(&[(1, 0), (2, 0)], 3), &source);
        for report in [missing, extra, differing, doubled, undoubled] {
            assert!(!report.is_equal(), "{report}");
        }
    }

    #[test]
    fn a_doubled_key_does_not_make_up_for_a_missing_one() {
        let report = RowReport::of(&table(&[(1, 0), (2, 0)], 2), &table(&[(1, 0)], 2));
        assert_eq!((report.missing_rows, report.doubled_rows), (1, 1));
        assert!(!report.is_equal());
    }
}
