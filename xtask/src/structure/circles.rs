//! Finds files of a crate that take names from each other in a circle. Never reads a file.

use super::arrows::Arrow;
use super::fault::Fault;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each file the files that it takes names from, each with the first arrow to it.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Arrow>>;

/// One fault for each group of files that are in circles with each other.
pub(super) fn faults(arrows: &[Arrow]) -> Vec<Fault> {
    let mut graph = Graph::new();
    for arrow in arrows {
        graph.entry(&arrow.from).or_default().entry(&arrow.to).or_insert(arrow);
    }
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for file in graph.keys() {
        if seen.contains(file) {
            continue;
        }
        let Some(circle) = shortest_circle(&graph, file) else { continue };
        let below = reachable(&graph, file);
        let group: BTreeSet<_> =
            below.into_iter().filter(|other| reachable(&graph, other).contains(file)).collect();
        faults.push(fault(&circle, group.len()));
        seen.extend(group);
    }
    faults
}

fn fault(circle: &[&Arrow], files: usize) -> Fault {
    let steps: Vec<_> = circle
        .iter()
        .map(|arrow| {
            format!("    {}:{} takes `{}` from {}", arrow.from, arrow.line, arrow.name, arrow.to)
        })
        .collect();
    let what = format!(
        "an import circle ({files} files are in circles with each other); move what is taken into \
         a file of its own that both sides can use:\n{}",
        steps.join("\n")
    );
    Fault { path: circle[0].from.clone(), line: circle[0].line, what }
}

/// The files below a file: itself only if it is in a circle.
fn reachable<'a>(graph: &Graph<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(*next) {
                open.push(next);
            }
        }
    }
    found
}

/// The arrows of the shortest way from a file back to itself.
fn shortest_circle<'a>(graph: &Graph<'a>, file: &str) -> Option<Vec<&'a Arrow>> {
    let mut reached_by: BTreeMap<&str, &Arrow> = BTreeMap::new();
    let mut open = VecDeque::from([file]);
    while let Some(here) = open.pop_front() {
        for (next, arrow) in graph.get(here).into_iter().flatten() {
            if reached_by.contains_key(next) {
                continue;
            }
            reached_by.insert(next, arrow);
            open.push_back(next);
        }
    }
    let mut circle = vec![*reached_by.get(file)?];
    while circle.last().is_some_and(|arrow| arrow.from != file) {
        let arrow = circle.last().and_then(|arrow| reached_by.get(arrow.from.as_str()))?;
        circle.push(arrow);
    }
    circle.reverse();
    Some(circle)
}

#[cfg(test)]
mod tests {
    use super::super::arrows::arrows;
    use super::super::tests::tree_of;
    use super::*;

    fn faults_of(files: &[(&str, &str)]) -> Vec<Fault> {
        faults(&arrows(&tree_of(files)).unwrap())
    }

    #[test]
    fn two_files_that_take_names_from_each_other_are_a_circle() {
        let faults = faults_of(&[
            ("crates/a/src/lib.rs", "mod b;\nmod c;"),
            ("crates/a/src/b.rs", "use crate::c::C;"),
            ("crates/a/src/c.rs", "\n\nfn c() -> super::b::B { super::b::B }"),
        ]);
        assert_eq!(faults.len(), 1);
        let told = faults[0].to_string();
        assert!(told.starts_with("crates/a/src/b.rs:2: an import circle (2 files"), "{told}");
        assert!(told.contains("b.rs:2 takes `C` from crates/a/src/c.rs"), "{told}");
        assert!(told.contains("c.rs:4 takes `B` from crates/a/src/b.rs"), "{told}");
    }

    #[test]
    fn a_circle_of_many_is_reported_once_by_its_shortest_way() {
        let faults = faults_of(&[
            ("crates/a/src/lib.rs", "mod b;\nmod c;\nmod d;\nmod e;"),
            ("crates/a/src/b.rs", "use crate::{c::C, d::D};"),
            ("crates/a/src/c.rs", "use crate::d::D;"),
            ("crates/a/src/d.rs", "use crate::b::B;"),
            ("crates/a/src/e.rs", "use crate::b::B;"),
        ]);
        assert_eq!(faults.len(), 1);
        let told = faults[0].to_string();
        assert!(told.contains("(3 files") && told.lines().count() == 3, "{told}");
    }

    #[test]
    fn a_child_that_takes_what_its_user_defines_is_a_circle() {
        let child = ("crates/a/src/b/child.rs", "use super::Shared;\npub fn read() {}");
        let user = "mod child;\nstruct Shared;\nfn f() { child::read() }";
        let faults =
            faults_of(&[("crates/a/src/lib.rs", "mod b;"), ("crates/a/src/b/mod.rs", user), child]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        // Whoever only declares and shows a child does not use it.
        let shows = "mod child;\npub use child::read;\nstruct Shared;";
        let faults = faults_of(&[
            ("crates/a/src/lib.rs", "mod b;"),
            ("crates/a/src/b/mod.rs", shows),
            child,
        ]);
        assert_eq!(faults, []);
    }

    #[test]
    fn files_of_one_object_that_call_each_others_methods_are_a_circle() {
        let lib = ("crates/a/src/lib.rs", "mod b;\nmod c;\nmod d;");
        let c = ("crates/a/src/c.rs", "use crate::b::B;\nimpl B { fn c(&self) {} }");
        let faults =
            |home, d| faults_of(&[lib, ("crates/a/src/b.rs", home), c, ("crates/a/src/d.rs", d)]);
        assert_eq!(faults("pub struct B;", ""), []);
        let calls = "use crate::b::B;\nimpl B { fn d(&self) { self.c() } }";
        assert_eq!(faults("pub struct B;", calls), []);
        let back = faults("pub struct B;\nimpl B { fn b(&self) {\n self.c() } }", "");
        assert_eq!(back.len(), 1);
        assert!(back[0].what.contains("b.rs:4 takes `c` from crates/a/src/c.rs"), "{}", back[0]);
    }

    #[test]
    fn tests_may_take_names_from_anywhere() {
        let faults = faults_of(&[
            ("crates/a/src/lib.rs", "mod b;\nmod c;\n#[cfg(test)]\nmod samples;"),
            ("crates/a/src/b.rs", "use crate::c::C;\npub struct B;"),
            ("crates/a/src/c.rs", "pub struct C;\n#[cfg(test)]\nmod tests { use crate::b::B; }"),
            ("crates/a/src/samples.rs", "use crate::{b::B, c::C};"),
        ]);
        assert_eq!(faults, []);
    }
}
