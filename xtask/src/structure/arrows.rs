//! Which file of a crate takes which name from which other one. Never judges that, and knows
//! nothing of other crates.

use super::fault::{Fault, Tree};
use super::source::{Import, Methods, Named, Source};
use std::collections::{BTreeMap, BTreeSet};

/// Names that are shown from file to file are followed no further than this.
const STEPS_MAX: usize = 16;

/// One file takes a name from another one of its crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: String,
    pub(super) line: usize,
    pub(super) to: String,
    pub(super) name: String,
}

/// A module: the crate that it belongs to, and its path in it.
type Place = (String, Vec<String>);

struct Module<'a> {
    file: &'a str,
    source: Source,
}

/// Where a path leads.
struct Found<'a> {
    place: &'a Place,
    /// Whether it names the module itself, not something in it.
    is_module: bool,
}

struct Modules<'a>(BTreeMap<Place, Module<'a>>);

/// All arrows, by file and line; the error is a file that can't be read.
pub(super) fn arrows(tree: &Tree) -> Result<Vec<Arrow>, Fault> {
    let mut modules = BTreeMap::new();
    for (file, text) in tree {
        let Some(place) = place(tree, file) else { continue };
        let source =
            Source::read(text).map_err(|(line, what)| Fault { path: file.clone(), line, what })?;
        modules.insert(place, Module { file, source });
    }
    let modules = Modules(modules);
    let mut arrows = Vec::new();
    for place in modules.0.keys().filter(|place| !modules.is_test(place)) {
        modules.arrows_of(place, &mut arrows);
    }
    modules.arrows_of_objects(&mut arrows);
    arrows.sort();
    Ok(arrows)
}

/// The module of a file below `src`. Each program in `src/bin` is a crate of its own, as `main.rs`
/// is beside a `lib.rs`.
fn place(tree: &Tree, file: &str) -> Option<Place> {
    let (package, below) = file.split_once("/src/")?;
    let mut path: Vec<String> =
        below.strip_suffix(".rs")?.split('/').map(ToOwned::to_owned).collect();
    let mut root = package.to_owned();
    if path.len() > 1 && path[0] == "bin" {
        root = format!("{package}/src/bin/{}", path[1]);
        path.drain(..2);
    } else if path == ["main"] && tree.contains_key(&format!("{package}/src/lib.rs")) {
        root = format!("{package}/src/main.rs");
    }
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    Some((root, path))
}

impl Modules<'_> {
    /// Whether only tests compile a module: it says so itself, or whoever declares it or a module
    /// above it does.
    fn is_test(&self, place: &Place) -> bool {
        let (root, path) = place;
        let declared = (0..path.len()).any(|length| {
            let above = self.0.get(&(root.clone(), path[..length].to_vec()));
            let children = above.iter().flat_map(|module| &module.source.children);
            children.into_iter().any(|child| child.is_test && child.name == path[length])
        });
        declared || self.0.get(place).is_some_and(|module| module.source.is_test)
    }

    fn arrows_of(&self, place: &Place, arrows: &mut Vec<Arrow>) {
        let Module { file, source } = &self.0[place];
        let mut add = |to: &Place, named: &Named, name: &str| {
            if to != place && !self.is_test(to) {
                arrows.push(Arrow {
                    from: (*file).to_owned(),
                    line: named.line,
                    to: self.0[to].file.to_owned(),
                    name: name.to_owned(),
                });
            }
        };
        for import in &source.imports {
            let Some(found) = self.find(place, &import.named) else { continue };
            // A module that is imported says nothing yet: the paths that begin with it do.
            let is_taken = !found.is_module || import.name == "*";
            if is_taken && !is_only_shown(source, import, place, found.place) {
                let name = import.named.path.last().map_or("", String::as_str);
                add(found.place, &import.named, if import.name == "*" { "*" } else { name });
            }
        }
        for named in &source.paths {
            if let Some(found) = self.find(place, &self.through_import(place, named)) {
                add(found.place, named, named.path.last().map_or("", String::as_str));
            }
        }
    }

    /// Between the files of one object: a method can be called without naming the file that has it.
    fn arrows_of_objects(&self, arrows: &mut Vec<Arrow>) {
        let mut objects: BTreeMap<(&Place, &str), Vec<(&Place, &Methods)>> = BTreeMap::new();
        for (place, module) in self.0.iter().filter(|(place, _)| !self.is_test(place)) {
            for methods in &module.source.methods {
                let Some(name) = methods.of.path.last() else { continue };
                let found = self.find(place, &self.through_import(place, &methods.of));
                let home = found.map_or(place, |found| found.place);
                objects.entry((home, name)).or_default().push((place, methods));
            }
        }
        for ((home, _), parts) in objects {
            let files = parts.iter().map(|(place, _)| *place).chain([home]);
            for from in files.collect::<BTreeSet<_>>() {
                for (to, methods) in parts.iter().filter(|(to, _)| *to != from) {
                    let calls = &self.0[from].source.calls;
                    let call = calls.iter().find(|(name, _)| methods.names.contains(*name));
                    arrows.extend(call.map(|(name, line)| Arrow {
                        from: self.0[from].file.to_owned(),
                        line: *line,
                        to: self.0[*to].file.to_owned(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }

    /// A path that begins with an imported name, as the path of that import and what is behind.
    fn through_import(&self, place: &Place, named: &Named) -> Named {
        let imports = &self.0[place].source.imports;
        let import = imports.iter().find(|import| import.name == named.path[0]);
        let Some(import) = import else { return named.clone() };
        let path = [&import.named.path, &named.path[1..]].concat();
        Named { path, line: named.line, depth: import.named.depth }
    }

    /// The module in which the thing is that a path names; `None` if it is of another crate, or in
    /// the same file.
    fn find(&self, place: &Place, named: &Named) -> Option<Found<'_>> {
        let (at, path) = self.start(place, named)?;
        self.follow(at, path, STEPS_MAX)
    }

    /// The module in which a path begins, and the rest of the path.
    fn start<'p>(&self, place: &Place, named: &'p Named) -> Option<(Place, &'p [String])> {
        let (root, at) = place;
        let path = &named.path[..];
        match path.first()?.as_str() {
            "crate" => Some(((root.clone(), vec![]), &path[1..])),
            "self" if named.depth == 0 => Some((place.clone(), &path[1..])),
            "super" => {
                let supers = path.iter().take_while(|word| *word == "super").count();
                let length = at.len().checked_sub(supers.checked_sub(named.depth)?)?;
                Some(((root.clone(), at[..length].to_vec()), &path[supers..]))
            }
            first if named.depth == 0 => {
                let child = (root.clone(), [&at[..], &[first.to_owned()]].concat());
                self.0.contains_key(&child).then(|| (child, &path[1..]))
            }
            _ => None,
        }
    }

    fn follow(&self, mut at: Place, path: &[String], steps: usize) -> Option<Found<'_>> {
        let steps = steps.checked_sub(1)?;
        for (number, word) in path.iter().enumerate() {
            at.1.push(word.clone());
            if self.0.contains_key(&at) {
                continue;
            }
            at.1.pop();
            let (place, module) = self.0.get_key_value(&at)?;
            let here = Some(Found { place, is_module: false });
            if module.source.items.contains(word) {
                return here;
            }
            let behind = |import: &Import, from: usize| {
                let (at, before) = self.start(place, &import.named)?;
                self.follow(at, &[before, &path[from..]].concat(), steps)
            };
            let mut imports = module.source.imports.iter();
            if let Some(shown) = imports.find(|import| &import.name == word) {
                return behind(shown, number + 1);
            }
            let mut globs = module.source.imports.iter().filter(|import| import.name == "*");
            let shown = globs.find_map(|import| {
                let found = behind(import, path.len())?;
                self.0[found.place].source.items.contains(word).then(|| behind(import, number))?
            });
            return shown.or(here);
        }
        let place = self.0.get_key_value(&at)?.0;
        Some(Found { place, is_module: true })
    }
}

/// Whether a module shows what a module below it has, and makes no use of it itself.
fn is_only_shown(source: &Source, import: &Import, place: &Place, of: &Place) -> bool {
    let is_below = place.0 == of.0 && of.1.starts_with(&place.1);
    import.is_public && is_below && !source.words.contains(&import.name)
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree_of;
    use super::*;

    /// The arrows as `from -> to: name`, without what all paths have in common.
    fn arrows_of(files: &[(&str, &str)]) -> Vec<String> {
        let short = |path: &str| path.trim_start_matches("crates/a/src/").to_owned();
        let arrows = arrows(&tree_of(files)).unwrap();
        let text = |it: &Arrow| format!("{} -> {}: {}", short(&it.from), short(&it.to), it.name);
        arrows.iter().map(text).collect()
    }

    #[test]
    fn a_name_leads_to_the_file_that_defines_it_however_it_is_shown() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\nmod d;\npub use b::C;"),
            ("crates/a/src/b/mod.rs", "mod c;\nmod glob;\npub use c::*;\npub(crate) use glob::G;"),
            ("crates/a/src/b/c.rs", "pub struct C;"),
            ("crates/a/src/b/glob.rs", "pub struct G;"),
            ("crates/a/src/d.rs", "use crate::C;\nuse crate::b::{C as Other, G};"),
        ];
        let expected = ["d.rs -> b/c.rs: C", "d.rs -> b/c.rs: C", "d.rs -> b/glob.rs: G"];
        assert_eq!(arrows_of(&files), expected);
    }

    #[test]
    fn whoever_shows_a_name_and_uses_it_takes_it() {
        let child = ("crates/a/src/b.rs", "pub struct B;");
        let shows = ("crates/a/src/lib.rs", "mod b;\npub use b::B;");
        assert_eq!(arrows_of(&[shows, child]), [""; 0]);
        let uses = ("crates/a/src/lib.rs", "mod b;\npub use b::B;\nfn f(b: B) {}");
        assert_eq!(arrows_of(&[uses, child]), ["lib.rs -> b.rs: B"]);
    }

    #[test]
    fn a_module_that_is_imported_counts_by_what_is_taken_from_it() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\nmod d;"),
            ("crates/a/src/b/mod.rs", "mod c;\npub use c::c;"),
            ("crates/a/src/b/c.rs", "pub fn c() {}"),
            ("crates/a/src/d.rs", "use crate::b;\nfn d() { b::c() }"),
        ];
        assert_eq!(arrows_of(&files), ["d.rs -> b/c.rs: c"]);
    }

    #[test]
    fn inside_a_module_without_a_file_super_is_the_file() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\nmod c;"),
            ("crates/a/src/b.rs", "mod code { use super::X;\nuse super::super::c::C; }\nstruct X;"),
            ("crates/a/src/c.rs", "pub struct C;"),
        ];
        assert_eq!(arrows_of(&files), ["b.rs -> c.rs: C"]);
    }

    #[test]
    fn programs_and_libraries_are_crates_of_their_own() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\npub struct A;"),
            ("crates/a/src/b.rs", ""),
            ("crates/a/src/main.rs", "use a::A;\nfn main() { crate::b::b() }"),
            ("crates/a/src/bin/p/main.rs", "mod b;\nuse b::B;"),
            ("crates/a/src/bin/p/b.rs", "pub struct B;"),
            ("crates/a/tests/t.rs", "use crate::a::A;"),
        ];
        let expected = ["bin/p/main.rs -> bin/p/b.rs: B"];
        assert_eq!(arrows_of(&files), expected);
    }

    #[test]
    fn names_of_other_crates_and_of_the_same_file_are_no_arrows() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\npub struct A;\nfn f() -> self::A { crate::A }"),
            (
                "crates/a/src/b.rs",
                "use std::fmt::{self, Display};\nfn f() -> fmt::Result { b::c() }",
            ),
        ];
        assert_eq!(arrows_of(&files), [""; 0]);
    }
}
