//! What the version of a Milvus says of it: one function for each fact, with its source. Never asks
//! a server.

/// The version of a Milvus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads what a proxy answers to GetVersion, such as `v2.3.5` or `2.4.23-dev`. `None` for
    /// anything else: a build without a tag answers with nothing, or with a commit.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut parts = text.split(['-', '+']).next()?.split('.').map(str::parse);
        let mut part = || parts.next()?.ok();
        let version = Self { major: part()?, minor: part()?, patch: part()? };
        parts.next().is_none().then_some(version)
    }

    /// Whether it may lose rows and deletes that are not flushed when it restarts, if shards share
    /// a physical channel: its data nodes skip what lies between the checkpoints of two shards.
    /// Source: milvus-io/milvus#34255, mended in 2.3.19 and 2.4.6 by #34562 (`tryMerge` in
    /// `pkg/mq/msgdispatcher/manager.go`).
    pub fn forgets_at_restarts(self) -> bool {
        match (self.major, self.minor) {
            (0 | 1, _) | (2, 0..=2) => true,
            (2, 3) => self.patch < 19,
            (2, 4) => self.patch < 6,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_however_it_is_built() {
        let version = |patch| Some(Version { major: 2, minor: 3, patch });
        for text in ["v2.3.5", "2.3.5", " v2.3.5\n", "2.3.5-dev", "v2.3.5-rc1+dirty"] {
            assert_eq!(Version::parse(text), version(5), "{text:?}");
        }
        for text in ["", "v", "master", "2.3", "2.3.x", "2.3.5.1", "6b9dd3e"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
        assert!(Version::parse("2.3.19") > Version::parse("2.3.5"));
    }

    #[test]
    fn the_versions_that_forget_are_known() {
        let forgets = |text| Version::parse(text).unwrap().forgets_at_restarts();
        for text in ["2.2.16", "2.3.0", "2.3.18", "2.4.0", "2.4.5"] {
            assert!(forgets(text), "{text}");
        }
        for text in ["2.3.19", "2.3.22", "2.4.6", "2.4.23", "2.5.0", "2.6.18", "3.0.0"] {
            assert!(!forgets(text), "{text}");
        }
    }
}
