//! The template of topic names. Never asks a broker.

use crate::invalid_option::InvalidOption;

/// Kafka refuses longer names.
const NAME_BYTES_MAX: usize = 249;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Task,
    Database,
    Collection,
}

/// A text with `{task}`, `{database}` and `{collection}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Reads the template of an option.
    pub(super) fn new(field: &'static str, template: &str) -> Result<Self, InvalidOption> {
        let remedy = "use letters, digits, `.`, `_`, `-`, and {task}, {database}, {collection}";
        let refuse = |problem: String| Err(InvalidOption::new(field, problem, remedy));
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else {
                return refuse("a `{` is not closed".into());
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "task" => Part::Task,
                "database" => Part::Database,
                "collection" => Part::Collection,
                _ => return refuse(format!("{{{name}}} is not known")),
            });
            rest = behind;
        }
        if rest.contains('}') {
            return refuse("a `}` is not opened".into());
        }
        parts.push(Part::Text(rest.to_owned()));
        let made = Self { parts };
        match made.name("t", "d", "c").as_str() {
            "" => refuse("it is empty".into()),
            name @ ("." | "..") => refuse(format!("Kafka allows no topic {name}")),
            name if name.len() > NAME_BYTES_MAX => {
                refuse(format!("Kafka allows {NAME_BYTES_MAX} bytes, these are {}", name.len()))
            }
            _ => Ok(made),
        }
    }

    /// Whether the name depends on the collection or its database.
    pub(super) fn names_collections(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Database | Part::Collection))
    }

    /// Whether this template and that of another task can give the same name, for some names of
    /// collections.
    pub(super) fn may_equal(&self, task: &str, other: &Self, other_task: &str) -> bool {
        may_match(&self.pattern(task), &other.pattern(other_task))
    }

    /// The characters of its names; `None` stands for any text, the name of a collection or
    /// database.
    fn pattern(&self, task: &str) -> Vec<Option<char>> {
        let of = |part: &Part| match part {
            Part::Text(text) => text.chars().map(allowed).map(Some).collect(),
            Part::Task => task.chars().map(allowed).map(Some).collect(),
            Part::Database | Part::Collection => vec![None],
        };
        self.parts.iter().flat_map(of).take(NAME_BYTES_MAX).collect()
    }

    /// The topic's name: characters that Kafka does not allow become `_`, and a name that is too
    /// long is cut.
    pub(super) fn name(&self, task: &str, database: &str, collection: &str) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Task => task,
            Part::Database => database,
            Part::Collection => collection,
        });
        parts.flat_map(str::chars).map(allowed).take(NAME_BYTES_MAX).collect()
    }
}

fn allowed(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' }
}

/// Whether some text fits both patterns.
fn may_match(a: &[Option<char>], b: &[Option<char>]) -> bool {
    // `fits[j]`: whether some text fits both `a[..i]` and `b[..j]`.
    let mut fits = vec![false; b.len() + 1];
    for i in 0..=a.len() {
        let before = std::mem::replace(&mut fits, vec![false; b.len() + 1]);
        for j in 0..=b.len() {
            let any = (i > 0 && a[i - 1].is_none()) || (j > 0 && b[j - 1].is_none());
            fits[j] = match (i, j) {
                (0, 0) => true,
                (_, 0) => any && before[0],
                (0, _) => any && fits[j - 1],
                _ if any => before[j] || fits[j - 1],
                _ => a[i - 1] == b[j - 1] && before[j - 1],
            };
        }
    }
    fits[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_a_name_that_kafka_allows() {
        let template = Template::new("topic", "cdc.{task}.{database}.{collection}-rows").unwrap();
        assert_eq!(template.name("t1", "default", "bücher 2"), "cdc.t1.default.b_cher_2-rows");
        assert!(template.names_collections());
        assert_eq!(template.name("t", "d", &"x".repeat(300)).len(), NAME_BYTES_MAX);
        let plain = Template::new("topic", "rows").unwrap();
        assert_eq!(plain.name("t", "d", "c"), "rows");
        assert!(!plain.names_collections());
    }

    #[test]
    fn templates_that_may_give_one_name_are_distinguished_from_those_that_cannot() {
        let may_equal = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| Template::new("topic", text).unwrap());
            let there = a.may_equal("t1", &b, "t2");
            assert_eq!(there, b.may_equal("t2", &a, "t1"), "both ways");
            there
        };
        for (a, b) in [
            ("rows", "rows"),
            ("ro/ws", "ro_ws"),
            ("x.{collection}", "x.orders"),
            ("x.{collection}", "x.{database}.{collection}"),
            ("{database}.rows", "x.{collection}"),
            ("{task}", "t1{collection}"),
            ("{collection}", "a{collection}b{database}c"),
        ] {
            assert!(may_equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("rows", "row"),
            ("{task}.{database}.{collection}", "{task}.{database}.{collection}"),
            ("x.{collection}", "y.orders"),
            ("{collection}.a", "{collection}.b"),
            ("a{collection}b", "ab{collection}c"),
        ] {
            assert!(!may_equal(a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_malformed_template_is_refused() {
        for template in ["", ".", "{shard}", "{task", "task}", "{}", "{ task }"] {
            let refused = Template::new("topic", template).unwrap_err();
            assert_eq!(refused.field, "topic", "{template}");
            assert!(refused.remedy.contains("{task}"), "{refused}");
        }
    }
}
