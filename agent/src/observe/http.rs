//! The routes: what is answered on the TCP port, and what on the control socket.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Router, body::Body};

use super::metrics::{self, Metrics};
use super::{Feed, health};

/// The status page: one file, nothing loaded from elsewhere.
const PAGE: &str = include_str!("page.html");

/// Only what the page itself brings may run in it, and it may talk only to its own agent.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// No request of ours carries a body worth more.
const BODY_LIMIT: usize = 16 * 1024;

/// What the TCP port answers: reading only, since anyone who reaches the port may ask.
pub fn public(feed: Feed) -> Router {
    reading(feed).route("/", get(page))
}

/// What the control socket answers: its file's mode lets in root only.
pub fn control(feed: Feed) -> Router {
    reading(feed)
}

fn reading(feed: Feed) -> Router {
    let metrics = Arc::new(Metrics::new(feed.clone()));
    let scrape: MethodRouter<Feed> = get(move || async move { scrape(&metrics) });
    Router::new()
        .route("/metrics", scrape)
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status.json", get(status))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(feed)
}

fn scrape(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => broken("metrics", &error),
    }
}

async fn healthz(State(feed): State<Feed>) -> Response {
    verdict(health::not_alive(&feed.status()).as_slice())
}

async fn readyz(State(feed): State<Feed>) -> Response {
    verdict(&health::not_ready(&feed.status()))
}

/// 200 if nothing is wrong, else 503 with a line for each thing that is.
fn verdict(wrong: &[String]) -> Response {
    if wrong.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, wrong.join("\n") + "\n").into_response()
    }
}

/// Laid out for reading, so that `mantle status -o json` can pass it on byte by byte, with fields it doesn't know.
async fn status(State(feed): State<Feed>) -> Response {
    match serde_json::to_string_pretty(&feed.status()) {
        Ok(json) => uncached(([(header::CONTENT_TYPE, "application/json")], json + "\n").into_response()),
        Err(error) => broken("status", &error),
    }
}

fn broken(what: &str, error: &dyn std::error::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("could not write the {what}: {error}\n")).into_response()
}

async fn page() -> Response {
    let mut response = uncached(Html(PAGE).into_response());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn elsewhere() -> Response<Body> {
    (StatusCode::NOT_FOUND, "there is /metrics, /healthz, /readyz, /status.json and the page at /\n")
        .into_response()
}
