//! What the control socket can be asked to do, beside telling.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Feed, http};
use mantle_protocol::{Epoch, NodeName};

/// Where a handoff is asked for.
pub const HANDOFF: &str = "/handoff";

/// How long its outcome may take: within what a connection may.
pub const OUTCOME_WITHIN: Duration = Duration::from_secs(8);

/// A handoff that somebody asks for.
#[derive(Debug)]
pub struct Asked {
    /// The VIP.
    pub vip: IpAddr,
    /// The node that is to follow, if it is to be that one.
    pub to: Option<NodeName>,
    /// Where the outcome goes: who is owner now, or why nothing has changed.
    pub outcome: oneshot::Sender<Result<Moved, String>>,
}

/// Where a VIP went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its new owner.
    pub to: NodeName,
    /// The new owner's epoch.
    pub epoch: Epoch,
}

/// The answer to who asked for a handoff that came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The VIP.
    pub vip: IpAddr,
    /// Its new owner.
    pub owner: String,
    /// The new owner's epoch.
    pub epoch: Epoch,
    /// How long it took, from the asking.
    pub took_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Wish {
    vip: IpAddr,
    to: Option<String>,
}

/// What the control socket of a running agent answers: all that there is to read, and what it can be asked to do.
pub fn commanding(feed: Feed, asks: UnboundedSender<Asked>) -> Router {
    let handoff = move |wish: Query<Wish>| {
        let asks = asks.clone();
        async move { handoff(wish.0, &asks).await }
    };
    http::control(feed).route(HANDOFF, post(handoff))
}

async fn handoff(wish: Wish, asks: &UnboundedSender<Asked>) -> Response {
    let began = Instant::now();
    let Ok(to) = wish.to.map(|to| to.parse::<NodeName>()).transpose() else {
        return (StatusCode::BAD_REQUEST, "that is no node's name\n").into_response();
    };
    let (outcome, told) = oneshot::channel();
    // The core is gone only when the agent ends.
    let _ = asks.send(Asked { vip: wish.vip, to, outcome });
    match timeout(OUTCOME_WITHIN, told).await {
        Ok(Ok(Ok(moved))) => {
            let took_ms = (began.elapsed().as_secs_f64() * 1e6).round() / 1e3;
            let handed =
                HandedOver { vip: wish.vip, owner: moved.to.to_string(), epoch: moved.epoch, took_ms };
            match serde_json::to_string(&handed) {
                Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json + "\n").into_response(),
                Err(error) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, format!("could not tell: {error}\n")).into_response()
                }
            }
        }
        Ok(Ok(Err(why))) => (StatusCode::CONFLICT, why + "\n").into_response(),
        Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "the agent is ending\n").into_response(),
        Err(_) => {
            let late = format!("nothing was decided within {OUTCOME_WITHIN:?}; see `mantle status`\n");
            (StatusCode::GATEWAY_TIMEOUT, late).into_response()
        }
    }
}
