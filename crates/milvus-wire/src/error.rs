//! The errors of decoding a message or record of Milvus. Never contains the bytes themselves:
//! errors end up in logs, and rows must not.

/// Why bytes could not be decoded; names the part that is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends inside a field, or a length points behind its end.
    #[error("{message} is cut off at byte {at}")]
    CutOff {
        /// The message that was read.
        message: &'static str,
        /// Where the field that does not fit begins.
        at: usize,
    },
    /// A tag that protobuf does not know, or a number longer than 64 bits.
    #[error("{message} has a malformed tag or number at byte {at}")]
    Malformed {
        /// The message that was read.
        message: &'static str,
        /// Where the field begins.
        at: usize,
    },
    /// A known field is encoded as another type than Milvus gives it.
    #[error("field {field} has wire type {wire_type}")]
    WireType {
        /// The field's number.
        field: u32,
        /// What was found.
        wire_type: u8,
    },
    /// A text field that is not UTF-8.
    #[error("field {field} is not UTF-8")]
    NotUtf8 {
        /// The field's number.
        field: u32,
    },
    /// A header that is larger than any that Milvus writes.
    #[error("the header has {bytes} bytes")]
    HeaderTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A part that is required is missing.
    #[error("{message} has no {what}")]
    Missing {
        /// The message that was read.
        message: &'static str,
        /// The part.
        what: &'static str,
    },
    /// A number outside the range that Milvus gives it.
    #[error("{what} is {value}")]
    OutOfRange {
        /// The number's meaning.
        what: &'static str,
        /// What was found.
        value: i64,
    },
    /// A shard's channel name without collection and shard index.
    #[error("{vchannel:?} is not the name of a virtual channel")]
    Vchannel {
        /// The name.
        vchannel: String,
    },
    /// The shards of a collection are not in the order of their index.
    #[error("invariant I4: place {place} of the collection's shards holds {vchannel:?}")]
    ShardOrder {
        /// The index in `virtual_channel_names`.
        place: usize,
        /// The channel that was found there.
        vchannel: String,
    },
    /// A shard's physical channel is not the one that its virtual channel names.
    #[error("{vchannel:?} is listed with physical channel {pchannel:?}")]
    PhysicalChannel {
        /// The virtual channel.
        vchannel: String,
        /// The physical channel of the same index; empty if there is none.
        pchannel: String,
    },
    /// An insert has not one primary key for each row.
    #[error("{keys} primary keys for {rows} rows")]
    KeyCount {
        /// How many keys were found.
        keys: u64,
        /// How many rows the message has.
        rows: u64,
    },
    /// A column of an insert does not have a value for each row.
    #[error("field {field} has {values} values for {rows} rows")]
    RowCount {
        /// The field's id; zero for the timestamps or for a vector's elements.
        field: i64,
        /// How many values were found.
        values: usize,
        /// How many rows the message has.
        rows: u64,
    },
    /// A part is protobuf, but not of the expected message.
    #[error("{message} can't be decoded")]
    Protobuf {
        /// The message that was read.
        message: &'static str,
        /// What prost says.
        source: prost::DecodeError,
    },
}

impl DecodeError {
    /// For `map_err`: says which message prost could not decode.
    pub(crate) fn protobuf(message: &'static str) -> impl FnOnce(prost::DecodeError) -> Self {
        move |source| Self::Protobuf { message, source }
    }
}
