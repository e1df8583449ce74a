//! How much memory the channels of a source may fill ahead of their readers, for any queue. Never
//! measures it: each queue does that.

/// Bytes that all channels of a source together may prefetch.
pub(crate) const PREFETCH_BYTES_MAX: usize = 20 << 20;

/// The smallest share of a channel; a larger message is prefetched alone.
const CHANNEL_BYTES_MIN: usize = 256 << 10;

/// The largest share of a channel: more does not make reading faster, and a stalled channel would
/// waste it.
const CHANNEL_BYTES_MAX: usize = 8 << 20;

/// The channels of a source by default: `rootCoord.dmlChannelNum` is 16, and there is the op
/// channel.
pub(crate) const CHANNELS: usize = 17;

/// Bytes that one of `channels` channels may prefetch.
pub(crate) fn of_a_channel(channels: usize) -> usize {
    (PREFETCH_BYTES_MAX / channels.max(1)).clamp(CHANNEL_BYTES_MIN, CHANNEL_BYTES_MAX)
}
