//! The order of the folders of a crate, from top to bottom: a name is only taken from below. Never
//! looks inside a folder: there only circles are forbidden.

use super::arrows::Arrow;
use super::fault::Fault;
use std::collections::BTreeSet;

/// The files and folders of a crate's `src`, from top to bottom. What a crate has besides these is
/// at the bottom.
const ORDERS: [(&str, &[&str]); 1] = [(
    "crates/replication",
    &[
        "lib",
        "run",
        "path",
        "replay",
        "collections",
        "metadata",
        "takeover",
        "late",
        "unsupported",
        "context",
        "destination",
        "rows",
        "records",
        "ports",
        "message",
    ],
)];

pub(super) fn faults(arrows: &[Arrow]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (package, order) in ORDERS {
        let mut seen = BTreeSet::new();
        for arrow in arrows {
            let (Some(from), Some(to)) = (room(package, &arrow.from), room(package, &arrow.to))
            else {
                continue;
            };
            let is_up = layer(order, to) < layer(order, from);
            if !is_up || !seen.insert((&arrow.from, &arrow.to)) {
                continue;
            }
            let what = format!(
                "takes `{}` from {}, but {to} is above {from}; move it down, or hand it in from \
                 above. The order is {}, then all else",
                arrow.name,
                arrow.to,
                order.join(", ")
            );
            faults.push(Fault { path: arrow.from.clone(), line: arrow.line, what });
        }
    }
    faults
}

/// The file or folder of the package's `src` that a path belongs to.
fn room<'a>(package: &str, path: &'a str) -> Option<&'a str> {
    let below = path.strip_prefix(package)?.strip_prefix("/src/")?;
    let room = below.split('/').next().unwrap_or(below);
    Some(room.strip_suffix(".rs").unwrap_or(room))
}

fn layer(order: &[&str], room: &str) -> usize {
    order.iter().position(|listed| *listed == room).unwrap_or(order.len())
}

#[cfg(test)]
mod tests {
    use super::super::arrows::arrows;
    use super::super::tests::tree_of;
    use super::*;

    const LIB: (&str, &str) =
        ("crates/replication/src/lib.rs", "mod path;\nmod records;\nmod rows;\nmod task;");

    #[test]
    fn arrows_run_downwards() {
        let tree = tree_of(&[
            LIB,
            ("crates/replication/src/path.rs", "use crate::rows::Row;"),
            ("crates/replication/src/rows/mod.rs", "use crate::records::R;\npub struct Row(R);"),
            ("crates/replication/src/records.rs", "use crate::task::Task;\npub struct R(Task);"),
            ("crates/replication/src/task.rs", "pub struct Task;"),
        ]);
        assert_eq!(faults(&arrows(&tree).unwrap()), []);
    }

    #[test]
    fn an_arrow_up_is_reported_even_if_it_closes_no_circle() {
        let tree = tree_of(&[
            LIB,
            ("crates/replication/src/path.rs", ""),
            ("crates/replication/src/rows/mod.rs", "mod read;\npub struct Row;"),
            ("crates/replication/src/rows/read.rs", ""),
            ("crates/replication/src/records.rs", "\nuse crate::rows::Row;"),
            ("crates/replication/src/task.rs", "fn t() { crate::rows::read(); }"),
        ]);
        let faults = faults(&arrows(&tree).unwrap());
        let places: Vec<_> = faults.iter().map(|f| (f.path.as_str(), f.line)).collect();
        let expected =
            [("crates/replication/src/records.rs", 3), ("crates/replication/src/task.rs", 2)];
        assert_eq!(places, expected);
        assert!(faults[0].what.contains("rows is above records"), "{}", faults[0]);
    }

    #[test]
    fn the_order_binds_no_other_crate() {
        let tree = tree_of(&[
            ("crates/a/src/lib.rs", "mod path;\nmod records;"),
            ("crates/a/src/records.rs", "use crate::path::P;"),
            ("crates/a/src/path.rs", "pub struct P;"),
        ]);
        assert_eq!(faults(&arrows(&tree).unwrap()), []);
    }
}
