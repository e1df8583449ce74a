//! How much memory the channels of a source may fill ahead of their readers, whichever queue they
//! are in. Never measures it: each queue does.

/// What all channels of a source may hold prefetched, together.
pub(crate) const PREFETCH_BYTES_MAX: usize = 20 << 20;

/// The share of a channel is not less; a message that is larger comes alone.
const CHANNEL_BYTES_MIN: usize = 256 << 10;

/// More would not read faster and makes a stalled channel dear.
const CHANNEL_BYTES_MAX: usize = 8 << 20;

/// Milvus's default for `rootCoord.dmlChannelNum`, and the op channel.
pub(crate) const CHANNELS: usize = 17;

/// What one of so many channels may hold prefetched.
pub(crate) fn of_a_channel(channels: usize) -> usize {
    (PREFETCH_BYTES_MAX / channels.max(1)).clamp(CHANNEL_BYTES_MIN, CHANNEL_BYTES_MAX)
}
