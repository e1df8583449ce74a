//! Serves the document, and a page that shows it and tries the operations. Both are in the binary.
//! Never needs anything from elsewhere: the page works if it can reach this service.

use crate::http::state::ApiState;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

const PAGE: &str = include_str!("explorer.html");
const SCRIPT: &str = include_str!("explorer.js");

/// The page may run its own script and talk to this service, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                      style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// These paths need no token: they contain only what is in every copy of the program.
pub(super) fn routes(document: &utoipa::openapi::OpenApi) -> Router<Arc<ApiState>> {
    let document = document.to_pretty_json().unwrap_or_else(|error| {
        tracing::error!(%error, "the document has no JSON form");
        "{}".to_owned()
    });
    Router::new()
        .route("/api/v1/openapi.json", serve("application/json", document))
        .route("/api/v1/explorer.js", serve("text/javascript; charset=utf-8", SCRIPT))
        .route("/api/v1/", serve("text/html; charset=utf-8", PAGE))
        .route("/api/v1", get(|| async { axum::response::Redirect::permanent("/api/v1/") }))
}

fn serve<S>(kind: &'static str, text: impl Into<String>) -> axum::routing::MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let text: axum::body::Bytes = text.into().into();
    get(move || {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        std::future::ready((headers, text.clone()).into_response())
    })
}
