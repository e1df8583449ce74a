//! The marks of the last appends, in memory and as the text that an exact sink stores with its
//! records. Never asks a broker.

use replication::ports::MARKS;
use std::collections::VecDeque;

/// How many marks are kept: more than the port requires. A mark takes 17 bytes of the 4096 that the
/// broker allows.
const KEPT: usize = 4 * MARKS;

/// The last marks, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    hashes: VecDeque<u64>,
}

impl Marks {
    /// Whether a mark is among them.
    pub(super) fn holds(&self, mark: &str) -> bool {
        self.hashes.contains(&hash(mark.as_bytes()))
    }

    /// The same marks with one more, without the oldest if there are too many.
    pub(super) fn with(&self, mark: &str) -> Self {
        let mut more = self.clone();
        more.hashes.push_back(hash(mark.as_bytes()));
        while more.hashes.len() > KEPT {
            more.hashes.pop_front();
        }
        more
    }

    /// The marks as they are stored.
    pub(super) fn text(&self) -> String {
        let hashes: Vec<_> = self.hashes.iter().map(|hash| format!("{hash:016x}")).collect();
        hashes.join(" ")
    }

    /// Reads what was stored; `None`: this version did not write it. Marks that are not seen would
    /// let records be appended twice.
    pub(super) fn of(text: &str) -> Option<Self> {
        let hashes = text.split(' ').filter(|hash| !hash.is_empty());
        let hashes = hashes.map(|hash| u64::from_str_radix(hash, 16).ok());
        Some(Self { hashes: hashes.collect::<Option<_>>()? })
    }
}

/// FNV-1a of 64 bits: the same in every build, unlike the hashes of the standard library.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_last_marks_are_kept_and_survive_as_text() {
        let marks = (0..100).fold(Marks::default(), |marks, n| marks.with(&format!("window {n}")));
        assert!((100 - MARKS..100).all(|n| marks.holds(&format!("window {n}"))));
        assert!(!marks.holds("window 3") && !marks.holds("window 100"));
        assert!(marks.text().len() < 4096);
        assert_eq!(Marks::of(&marks.text()), Some(marks));
        assert_eq!(Marks::of(""), Some(Marks::default()));
    }

    #[test]
    fn marks_in_another_form_are_not_taken_for_none() {
        for text in ["form=2 af63dc4c8601ec8c", "window@7", "{}"] {
            assert_eq!(Marks::of(text), None, "{text}");
        }
    }

    #[test]
    fn marks_that_earlier_versions_left_are_read_and_written_the_same() {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/stores");
        let versions = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
        let mut read = 0;
        for version in versions.filter(|path| path.is_dir()) {
            for kind in ["sqlite", "etcd", "mysql"] {
                let text = fs::read_to_string(version.join(format!("{kind}.marks.txt"))).unwrap();
                let text = text.trim_end();
                let marks = Marks::of(text).unwrap();
                assert!(marks.hashes.len() > 1, "{text}");
                assert_eq!(marks.text(), text);
                read += 1;
            }
        }
        assert!(read > 0, "no earlier version is there");
    }

    #[test]
    fn the_hash_is_the_same_in_every_build() {
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn any_text_is_marks_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Some(marks) = Marks::of(text) {
                assert_eq!(Marks::of(&marks.text()), Some(marks));
            }
        });
    }
}
