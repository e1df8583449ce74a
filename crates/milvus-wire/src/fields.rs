//! Walks over the top-level fields of a protobuf message by tag and length.
//! Never allocates, and never looks into a field that its caller did not ask for.

use crate::error::DecodeError;
use crate::proto::common::MsgBase;
use prost::Message;
use prost::encoding::decode_varint;
use std::ops::Range;

/// Milvus's headers have some dozens of bytes, or a few hundred with a trace in their properties.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// The content of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64,
    /// Wire type 2: text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// Its content.
    pub(crate) value: Value<'a>,
    /// Its bytes in the message, tag included.
    pub(crate) span: Range<usize>,
}

impl<'a> Field<'a> {
    /// The content of an integer field.
    pub(crate) fn varint(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.mistyped()),
        }
    }

    /// The content of a signed integer field (`int64`: two's complement).
    pub(crate) fn int64(&self) -> Result<i64, DecodeError> {
        self.varint().map(u64::cast_signed)
    }

    /// The content of a field with a length.
    pub(crate) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.mistyped()),
        }
    }

    /// The content of a text field.
    pub(crate) fn text(&self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::NotUtf8 { field: self.number })
    }

    /// Calls `each` with the numbers of a repeated field, and with how often in a row each one
    /// occurs: the rows of a message mostly have one timestamp, and comparing thousands of them is
    /// faster than decoding them. The numbers may be packed or not.
    pub(crate) fn runs(&self, mut each: impl FnMut(u64, usize)) -> Result<(), DecodeError> {
        match self.value {
            Value::Varint(value) => each(value, 1),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    let before = packed;
                    let value = decode_varint(&mut packed).map_err(|_| DecodeError::Malformed {
                        message: "a packed field",
                        at: self.span.start,
                    })?;
                    let number = &before[..before.len() - packed.len()];
                    let again = packed
                        .chunks_exact(number.len())
                        .take_while(|next| *next == number)
                        .count();
                    packed = &packed[again * number.len()..];
                    each(value, 1 + again);
                }
            }
            Value::Fixed64 | Value::Fixed32 => return Err(self.mistyped()),
        }
        Ok(())
    }

    /// Merges the field into a header, as protobuf does when a message field occurs twice.
    pub(crate) fn merge_header(&self, header: &mut MsgBase) -> Result<(), DecodeError> {
        let bytes = self.bytes()?;
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(DecodeError::HeaderTooLarge { bytes: bytes.len() });
        }
        header.merge(bytes).map_err(DecodeError::protobuf("the header"))
    }

    fn mistyped(&self) -> DecodeError {
        let wire_type = match self.value {
            Value::Varint(_) => 0,
            Value::Fixed64 => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32 => 5,
        };
        DecodeError::WireType { field: self.number, wire_type }
    }
}

/// The fields of a message, in the order of its bytes. It ends after an error.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    message: &'static str,
    raw: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Walks over `raw`; `message` is its name in errors.
    pub(crate) fn of(message: &'static str, raw: &'a [u8]) -> Self {
        Self { message, raw, rest: raw }
    }

    fn read(&mut self) -> Result<Field<'a>, DecodeError> {
        let start = self.raw.len() - self.rest.len();
        let malformed = DecodeError::Malformed { message: self.message, at: start };
        let tag = decode_varint(&mut self.rest).map_err(|_| malformed.clone())?;
        let Some(number @ 1..) = u32::try_from(tag).ok().map(|tag| tag >> 3) else {
            return Err(malformed);
        };
        let value = match tag & 7 {
            0 => Value::Varint(decode_varint(&mut self.rest).map_err(|_| malformed)?),
            1 => self.take(8, start).map(|_| Value::Fixed64)?,
            2 => {
                let len = decode_varint(&mut self.rest).map_err(|_| malformed)?;
                Value::Bytes(self.take(len, start)?)
            }
            5 => self.take(4, start).map(|_| Value::Fixed32)?,
            // Groups (3 and 4) are not in proto3, the language of all Milvus messages.
            _ => return Err(malformed),
        };
        Ok(Field { number, value, span: start..self.raw.len() - self.rest.len() })
    }

    fn take(&mut self, len: u64, start: usize) -> Result<&'a [u8], DecodeError> {
        let cut = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = cut.ok_or(DecodeError::CutOff { message: self.message, at: start })?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The header of any message: field 1 of every one that Milvus puts into a queue.
pub(crate) fn header(raw: &[u8]) -> Result<MsgBase, DecodeError> {
    let mut header = None;
    for field in Fields::of("a message", raw) {
        let field = field?;
        if field.number == 1 {
            field.merge_header(header.get_or_insert_default())?;
        }
    }
    header.ok_or(DecodeError::Missing { message: "a message", what: "header" })
}
