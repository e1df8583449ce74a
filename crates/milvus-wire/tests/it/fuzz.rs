//! Fuzz target: any bytes, to every decoder of the crate. Never fails except by a panic, or if what
//! was rewritten can't be read.

use crate::everything::read;

#[test]
fn any_bytes_are_decoded_or_refused() {
    bolero::check!().for_each(|bytes: &[u8]| read(bytes));
}
