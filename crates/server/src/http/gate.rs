//! The bounds of every request on tasks: the size of its body, the time it may take, and how many
//! run at once. A request that has begun runs to its end even if the client is gone, so that no
//! change of a task stops half way. A panic ends only its own request. Never looks into a request.

use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The largest body. A task with ten thousand selectors fits.
const BODY_MAX: usize = 1 << 20;

/// How long a client may take to send its body.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How long a request waits for its turn while the permitted number of others run.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// How much longer than the longest wait of a handler a request may take.
const REQUEST_MARGIN: Duration = Duration::from_secs(15);

/// Reads the whole body.
pub(super) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let unread = |kind, what: &str, remedy| {
        Refusal::new(kind, format!("fail to read the request body, error: {what}"), remedy)
    };
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        let what = format!("it is larger than {} KiB", BODY_MAX >> 10);
        unread(Kind::TooLarge, &what, "make several tasks of it")
    };
    if declared.is_some_and(|n| n > BODY_MAX) {
        return Err(too_large());
    }
    let read = axum::body::to_bytes(body, BODY_MAX);
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if exceeds_limit(&error) => Err(too_large()),
        Ok(Err(error)) => Err(unread(Kind::TooSlow, &error.to_string(), "send it again")),
        Err(_) => {
            let what = format!("it did not come within {BODY_WITHIN:?}");
            Err(unread(Kind::TooSlow, &what, "send it at once"))
        }
    }
}

fn exceeds_limit(error: &axum::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<LengthLimitError>())
}

/// Runs the work of a request when its turn has come.
pub(super) async fn in_turn<T: Send + 'static>(
    api: &Arc<ApiState>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Refusal> {
    let limit = api.limits.stop_within * 2 + REQUEST_MARGIN;
    let shared = Arc::clone(api);
    let worked = api.requests.spawn(async move {
        let turn = tokio::time::timeout(TURN_WITHIN, shared.permits.acquire()).await;
        let Ok(Ok(_permit)) = turn else {
            let detail = "too many requests at a time, try again";
            return Err(Refusal::new(Kind::Busy, detail, "try again, or raise limits.requests"));
        };
        tokio::time::timeout(limit, work).await.map_err(|_| {
            let detail = "the request took too long, look at the task";
            Refusal::failed(detail, "look at the task before you try again")
        })
    });
    worked.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request panicked");
        Err(Refusal::failed("internal fault, the log tells more", "report it"))
    })
}
