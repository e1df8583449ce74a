//! Whether a failed gRPC call has certainly not reached its server. Never guesses: what is not
//! known may have had its effect.

use std::error::Error as StdError;

/// Whether the server has not begun to carry out this call, and will not.
///
/// No connection could be made, or it ended while the call still waited to be written (`hyper`
/// calls that cancelled). Or the other side closes the connection in good order, or takes no more
/// streams: a stream above the last one that a GOAWAY names, and one that is refused, were not
/// looked at (RFC 9113, 6.8 and 8.7). `h2` gives its GOAWAY error to those streams only
/// (`Inner::recv_go_away`); streams below end as they would without it.
pub(crate) fn is_unsent(status: &tonic::Status) -> bool {
    causes(status).any(|cause| {
        cause.is::<tonic::ConnectError>()
            || cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref().is_some_and(is_refused_stream)
    })
}

/// Whether no connection could be made.
pub(crate) fn is_unreachable(status: &tonic::Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::ConnectError>())
}

fn is_refused_stream(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}

fn causes(status: &tonic::Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = StdError::source(status);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}
