//! Reads one Rust file: what it declares, and by which paths it names things. Never follows a path,
//! and leaves out what only tests compile.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// Words behind which an item's name stands.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];

/// What a file says.
#[derive(Default)]
pub(super) struct Source {
    /// The modules of other files that it declares.
    pub(super) children: Vec<Child>,
    /// The names of its own items.
    pub(super) items: BTreeSet<String>,
    /// The paths of its imports.
    pub(super) imports: Vec<Import>,
    /// The other paths in it.
    pub(super) paths: Vec<Named>,
    /// The types that it gives methods to, those of traits apart.
    pub(super) methods: Vec<Methods>,
    /// The methods and functions that a type calls of itself, with the first line of each.
    pub(super) calls: BTreeMap<String, usize>,
    /// All words outside of imports.
    pub(super) words: BTreeSet<String>,
    /// Whether only tests compile it.
    pub(super) is_test: bool,
}

/// `mod name;`
pub(super) struct Child {
    pub(super) name: String,
    pub(super) is_test: bool,
}

/// `impl Type { … }`
pub(super) struct Methods {
    pub(super) of: Named,
    /// Their names.
    pub(super) names: BTreeSet<String>,
}

/// A path and where it stands.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    /// How many modules it is inside of that have no file of their own.
    pub(super) depth: usize,
}

/// A path of a `use`.
pub(super) struct Import {
    pub(super) named: Named,
    /// What it is called here; `*` for everything.
    pub(super) name: String,
    pub(super) is_public: bool,
}

impl Source {
    /// Reads a file; the error is a line and what is wrong there.
    pub(super) fn read(text: &str) -> Result<Self, (usize, String)> {
        let tokens: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            (error.span().start().line, format!("can't be read as Rust: {error}"))
        })?;
        let mut source = Self::default();
        source.scan(tokens, 0, true);
        Ok(source)
    }

    /// Takes in tokens; `is_file` says that they are the file's own items.
    fn scan(&mut self, tokens: TokenStream, depth: usize, is_file: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at] {
                TokenTree::Punct(it) if it.as_char() == '#' => self.attribute(&tokens, at, is_file),
                TokenTree::Ident(it) => self.word(it, &tokens, at, (depth, is_file)),
                TokenTree::Group(group) => {
                    self.scan(group.stream(), depth, false);
                    1
                }
                _ => 1,
            };
        }
    }

    /// An attribute, and the item behind it if only tests compile that. Returns how many tokens
    /// these are.
    fn attribute(&mut self, tokens: &[TokenTree], at: usize, is_file: bool) -> usize {
        let is_inner = is_punct(tokens.get(at + 1), '!');
        let Some(TokenTree::Group(attribute)) = tokens.get(at + 1 + usize::from(is_inner)) else {
            return 1;
        };
        let length = 2 + usize::from(is_inner);
        if !is_cfg_test(attribute) {
            return length;
        }
        if is_inner {
            self.is_test |= is_file;
            return tokens.len() - at;
        }
        let item = &tokens[at + length..];
        let end = item.iter().position(ends_item).map_or(item.len(), |end| end + 1);
        for (place, token) in item[..end].iter().enumerate() {
            if let Some(name) = declared_module(token, &item[place + 1..end]) {
                self.children.push(Child { name, is_test: true });
            }
        }
        length + end
    }

    /// A word and what belongs to it. Returns how many tokens these are.
    fn word(
        &mut self,
        word: &Ident,
        tokens: &[TokenTree],
        at: usize,
        (depth, is_file): (usize, bool),
    ) -> usize {
        let behind = &tokens[at + 1..];
        let text = word.to_string();
        match text.as_str() {
            // In a type `use<…>` imports nothing.
            "use" if !is_punct(behind.first(), '<') => {
                let end = behind.iter().position(|token| is_punct(Some(token), ';'));
                let tree = &behind[..end.unwrap_or(behind.len())];
                self.import(tree, &mut Vec::new(), depth, is_public(&tokens[..at]));
                return tree.len() + 1;
            }
            "mod" => {
                if let Some(name) = declared_module(&tokens[at], behind) {
                    self.children.push(Child { name, is_test: false });
                    return 3;
                }
                // A macro gives the name behind a `$`.
                let name = usize::from(is_punct(behind.first(), '$'));
                if let Some(TokenTree::Group(group)) = behind.get(name + 1) {
                    self.items.extend(is_file.then(|| behind[name].to_string()));
                    self.scan(group.stream(), depth + 1, false);
                    return name + 3;
                }
            }
            // `pub(in path)` takes nothing from there.
            "pub" if matches!(behind.first(), Some(TokenTree::Group(_))) => return 2,
            "impl" if begins_item(&tokens[..at]) => self.methods.extend(methods(behind, depth)),
            "macro_rules" if is_file => {
                self.items.extend(behind.get(1).map(ToString::to_string));
            }
            item if is_file && ITEMS.contains(&item) => {
                self.items.extend(behind.first().map(ToString::to_string));
            }
            _ => {}
        }
        self.path(word, tokens, at, depth)
    }

    /// A word, and the path that begins with it. Returns how many tokens these are.
    fn path(&mut self, word: &Ident, tokens: &[TokenTree], at: usize, depth: usize) -> usize {
        let mut path = vec![word.to_string()];
        let mut end = at + 1;
        while is_double_colon(&tokens[end..])
            && let Some(TokenTree::Ident(next)) = tokens.get(end + 2)
        {
            path.push(next.to_string());
            end += 3;
        }
        self.words.extend(path.iter().cloned());
        let line = word.span().start().line;
        let is_called =
            at > 1 && is_punct(tokens.get(at - 1), '.') && tokens[at - 2].to_string() == "self";
        match &path[..] {
            [name] | [_, name] if is_called || path[0] == "Self" => {
                self.calls.entry(name.clone()).or_insert(line);
            }
            _ => {}
        }
        let is_continued = at >= 2 && is_double_colon(&tokens[at - 2..]);
        if path.len() > 1 && !is_continued {
            self.paths.push(Named { path, line, depth });
        }
        end - at
    }

    /// The tree of a `use`, below `before`.
    fn import(
        &mut self,
        tree: &[TokenTree],
        before: &mut Vec<String>,
        depth: usize,
        is_public: bool,
    ) {
        let length = before.len();
        for (at, token) in tree.iter().enumerate() {
            let is_last = !is_double_colon(&tree[at + 1..]);
            match token {
                TokenTree::Ident(word) if is_last => {
                    let word_text = word.to_string();
                    let name = match tree.get(at + 2) {
                        Some(renamed) => renamed.to_string(),
                        None if word_text == "self" => before.last().cloned().unwrap_or_default(),
                        None => word_text.clone(),
                    };
                    let mut path = before.clone();
                    if word_text != "self" || path.is_empty() {
                        path.push(word_text);
                    }
                    let named = Named { path, line: word.span().start().line, depth };
                    self.imports.push(Import { named, name, is_public });
                    break;
                }
                TokenTree::Ident(word) => before.push(word.to_string()),
                TokenTree::Group(group) => {
                    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                    for tree in tokens.split(|token| is_punct(Some(token), ',')) {
                        self.import(tree, before, depth, is_public);
                    }
                }
                TokenTree::Punct(it) if it.as_char() == '*' => {
                    let line = it.span().start().line;
                    let named = Named { path: before.clone(), line, depth };
                    self.imports.push(Import { named, name: "*".to_owned(), is_public });
                }
                _ => {}
            }
        }
        before.truncate(length);
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(it)) if it.as_char() == wanted)
}

fn is_double_colon(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}

fn is_brace(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn ends_item(token: &TokenTree) -> bool {
    is_punct(Some(token), ';') || is_brace(token)
}

/// Whether an item can begin behind these tokens: behind another item, or behind an attribute.
fn begins_item(before: &[TokenTree]) -> bool {
    match before.last() {
        None => true,
        Some(TokenTree::Group(group)) => group.delimiter() != Delimiter::Parenthesis,
        Some(last) => is_punct(Some(last), ';') || last.to_string() == "unsafe",
    }
}

/// Whether the tokens before an item end with `pub` or `pub(…)`.
fn is_public(before: &[TokenTree]) -> bool {
    let is_pub = |token: Option<&TokenTree>| token.is_some_and(|it| it.to_string() == "pub");
    is_pub(before.last())
        || (matches!(before.last(), Some(TokenTree::Group(_)))
            && is_pub(before.iter().rev().nth(1)))
}

/// `cfg(test)`, alone or with other conditions.
fn is_cfg_test(attribute: &Group) -> bool {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let [TokenTree::Ident(name), TokenTree::Group(condition)] = &tokens[..] else { return false };
    let text = condition.stream().to_string();
    name == "cfg"
        && text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        && !text.contains("not")
}

/// The name in `mod name;`.
fn declared_module(word: &TokenTree, behind: &[TokenTree]) -> Option<String> {
    match behind {
        [TokenTree::Ident(name), end, ..] if is_punct(Some(end), ';') => {
            (word.to_string() == "mod").then(|| name.to_string())
        }
        _ => None,
    }
}

/// The type and the methods of `impl<T> Type<T> {`; none if a trait is implemented.
fn methods(behind: &[TokenTree], depth: usize) -> Option<Methods> {
    let mut angles = 0;
    let mut path = Vec::new();
    let mut line = 0;
    let mut names = BTreeSet::new();
    for (at, token) in behind.iter().enumerate() {
        match token {
            TokenTree::Punct(it) if it.as_char() == '<' => angles += 1,
            TokenTree::Punct(it) if it.as_char() == '>' => {
                let is_arrow = at > 0 && is_punct(behind.get(at - 1), '-');
                angles -= i32::from(!is_arrow);
            }
            TokenTree::Ident(word) if angles == 0 && word == "for" => return None,
            TokenTree::Ident(word) if angles == 0 && word == "where" => angles = i32::MAX / 2,
            TokenTree::Ident(word) if angles == 0 => {
                line = word.span().start().line;
                path.push(word.to_string());
            }
            TokenTree::Group(group) if is_brace(token) => {
                names = functions(group);
                break;
            }
            _ => {}
        }
    }
    (!path.is_empty()).then_some(Methods { of: Named { path, line, depth }, names })
}

/// The names of the functions in a block.
fn functions(block: &Group) -> BTreeSet<String> {
    let tokens: Vec<TokenTree> = block.stream().into_iter().collect();
    let names = tokens.windows(2).filter(|pair| pair[0].to_string() == "fn");
    names.map(|pair| pair[1].to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<(String, String, bool)> {
        let source = Source::read(text).unwrap();
        let import = |it: &Import| (it.named.path.join("::"), it.name.clone(), it.is_public);
        source.imports.iter().map(import).collect()
    }

    #[test]
    fn every_branch_of_a_use_is_an_import() {
        let of = |path: &str, name: &str| (path.to_owned(), name.to_owned(), false);
        let text = "use a::{self, b::{C, D as E}, f::*};\nuse super::g;";
        let expected = [
            of("a", "a"),
            of("a::b::C", "C"),
            of("a::b::D", "E"),
            of("a::f", "*"),
            of("super::g", "g"),
        ];
        assert_eq!(imports(text), expected);
        assert!(imports("pub use a::B;")[0].2 && imports("pub(crate) use a::B;")[0].2);
        assert_eq!(imports("fn f() -> impl Fn() + use<'_> { || {} }"), []);
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let text = "mod a;\n#[cfg(test)]\nmod samples;\n#[cfg(test)]\nuse x::Y;\n
            #[cfg(test)]\nmod tests { use crate::z::Z; }\n#[cfg(not(test))]\nuse crate::b::B;";
        let source = Source::read(text).unwrap();
        assert_eq!(imports(text).len(), 1);
        let children: Vec<_> = source.children.iter().map(|it| (&*it.name, it.is_test)).collect();
        assert_eq!(children, [("a", false), ("samples", true)]);
        assert!(Source::read("//! It.\n#![cfg(test)]\nuse crate::a::B;").unwrap().is_test);
    }

    #[test]
    fn paths_are_found_in_bodies_types_and_macros_but_not_in_texts() {
        let text = r#"
            fn f(a: crate::a::A) -> Vec<super::b::B> {
                // crate::no::No
                println!("crate::no::No {}", crate::c::c());
                Vec::<u8>::new().into_iter().map(self::d::D::from).collect()
            }"#;
        let source = Source::read(text).unwrap();
        let paths: Vec<_> = source.paths.iter().map(|it| (it.path.join("::"), it.line)).collect();
        let expected =
            [("crate::a::A", 2), ("super::b::B", 2), ("crate::c::c", 4), ("self::d::D::from", 5)];
        assert_eq!(paths, expected.map(|(path, line)| (path.to_owned(), line)));
        assert!(source.items.contains("f") && !source.items.contains("c"));
    }

    #[test]
    fn methods_of_a_type_are_distinguished_from_those_of_a_trait() {
        let types = |text: &str| -> Vec<String> {
            let source = Source::read(text).unwrap();
            source.methods.iter().map(|it| it.of.path.join("::")).collect()
        };
        let text = "impl A { const B: u8 = 1;\npub async fn c(&self) { fn no() {} } }";
        let methods = &Source::read(text).unwrap().methods[0];
        assert_eq!(methods.names, BTreeSet::from(["c".to_owned()]));
        assert_eq!(
            types("struct A;\nimpl A { fn a() {} }\nimpl<T: Fn() -> u8> B<T> {}"),
            ["A", "B"]
        );
        let others = "impl A for B {}\nimpl<'a> C<'a> for D {}\nfn e() -> impl E { e() }";
        assert_eq!(types(others), [""; 0]);
    }

    #[test]
    fn what_a_type_calls_of_itself_is_found_wherever_it_stands() {
        let source = Source::read("fn f() {\n self.b().c();\n Self::d(|| e::f(self.h)) }").unwrap();
        let calls: Vec<_> = source.calls.iter().map(|(name, line)| (&**name, *line)).collect();
        assert_eq!(calls, [("b", 2), ("d", 3), ("h", 3)]);
    }

    #[test]
    fn a_path_in_a_visibility_takes_nothing() {
        let source = Source::read("pub(in crate::a) struct B;\npub(super) fn c() {}").unwrap();
        assert!(source.paths.is_empty());
        assert!(source.items.contains("B") && source.items.contains("c"));
    }

    #[test]
    fn a_module_without_a_file_of_its_own_is_an_item() {
        let source = Source::read("mod code { use super::X; pub const A: i32 = 1; }").unwrap();
        assert!(source.items.contains("code") && !source.items.contains("A"));
        assert_eq!(source.imports[0].named.depth, 1);
        assert!(source.children.is_empty());
    }
}
