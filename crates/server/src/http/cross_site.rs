//! Refuses requests that a page of another site makes a browser send: the browser may run on a
//! machine that can reach the service, whoever wrote the page. Never asks who the sender is; tokens
//! do that.

use super::answer::Answer;
use super::problem::Problem;
use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that comes from another site.
pub(super) async fn refuse(
    State(api): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    match check(api.only_local, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) if request.uri().path().starts_with("/api/") => {
            Problem::from(refusal).into_response()
        }
        Err(refusal) => Answer::from(refusal).into_response(),
    }
}

fn check(only_local: bool, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    // A value that is not text is neither our name nor our origin.
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST);
    if only_local && !host.is_none_or(is_this_machine) {
        return Err(Refusal::new(
            Kind::NotAllowed,
            "the request is for a host of another name, and without tokens only this machine is \
             answered",
            "ask for localhost, or set api.manageTokens",
        ));
    }
    // A browser says where a request comes from; other clients say nothing about it.
    let is_ours = match (text(FETCH_SITE), text(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let (_, authority) = origin.split_once("://").unwrap_or_default();
            host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
        }
        (None, None) => true,
    };
    // Reading changes nothing, and the browser does not show the answer to a page of another site.
    if is_ours || method.is_safe() {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::NotAllowed,
        "the request comes from a page of another site",
        "use the page of this service, or a client other than a browser",
    ))
}

/// Whether a host is this machine. A name can be made to mean another machine, an address can't.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn allowed(only_local: bool, method: Method, headers: &[(HeaderName, &'static str)]) -> bool {
        let headers = headers.iter().map(|(k, v)| (k.clone(), HeaderValue::from_static(v)));
        check(only_local, &method, &headers.collect()).is_ok()
    }

    #[test]
    fn a_page_of_another_site_can_change_nothing() {
        let from = |headers: &[(HeaderName, &'static str)]| {
            let host = (header::HOST, "Cdc:8444");
            allowed(false, Method::POST, &[&[host][..], headers].concat())
        };
        let origin = |origin| from(&[(header::ORIGIN, origin)]);
        assert!(from(&[]), "a script");
        assert!(origin("http://cdc:8444"));
        for other in ["http://cdc", "https://elsewhere:8444", "null", "", "http://", "cdc:8444"] {
            assert!(!origin(other), "{other}");
        }
        // Behind a proxy the host is another one, and the browser knows better.
        let proxied = (header::ORIGIN, "https://cdc.example.com");
        assert!(from(&[proxied.clone(), (FETCH_SITE, "same-origin")]));
        for site in ["cross-site", "same-site"] {
            assert!(!from(&[(header::ORIGIN, "http://cdc:8444"), (FETCH_SITE, site)]), "{site}");
        }
        assert!(allowed(false, Method::GET, &[proxied]), "a link to the page");
    }

    #[test]
    fn a_service_for_this_machine_alone_answers_to_no_other_host_name() {
        let at = |host| allowed(true, Method::GET, &[(header::HOST, host)]);
        for here in ["localhost:8444", "LOCALHOST", "127.0.0.1:8444", "[::1]:8444", "a.localhost"] {
            assert!(at(here), "{here}");
        }
        assert!(allowed(true, Method::GET, &[]), "HTTP/1.0");
        for other in ["elsewhere.example.com:8444", "localhost.example.com", "", "[::1", "?"] {
            assert!(!at(other), "{other}");
        }
        assert!(allowed(false, Method::GET, &[(header::HOST, "elsewhere.example.com")]));
    }
}
