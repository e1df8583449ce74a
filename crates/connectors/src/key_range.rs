//! The range of keys that begin with a prefix, for stores that sort keys by their bytes. Never asks
//! a store.

/// The first key behind all that begin with `prefix`, which is text and so does not end in 255.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    if let Some(last) = key.last_mut() {
        *last += 1;
    }
    key
}
