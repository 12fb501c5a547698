//! What the star serves over HTTP.

mod metrics;
mod page;
mod pipe;
pub(crate) mod polling;
mod query;
mod websocket;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::Method,
    response::IntoResponse,
    routing::{any, get},
};
pub(crate) use axum::{http::StatusCode, response::Response};
use libp2p_identity::Keypair;
use starpoint_wire::native::PIPE_PATH;
use tokio_util::task::TaskTracker;
use tower_http::cors::CorsLayer;

use self::query::{Query, QueryError, Transport};
use crate::{
    account::Account, config::Metrics, connections::Connections, pipes::PipeContext,
    registry::Registry, snapshots::Snapshots, socketio, source::Source, tally::Tally,
};

/// What requests share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) registry: Arc<Registry>,
    pub(crate) socketio: socketio::Service,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) account: Arc<Account>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) max_message_bytes: usize,
    pub(crate) identity: Arc<Keypair>,
    pub(crate) tasks: TaskTracker,
    pub(crate) pipes: Arc<PipeContext>,
    pub(crate) connections: Arc<Connections>,
}

/// Creates the routes of a star.
pub(crate) fn router(app: App, metrics: Metrics) -> Router {
    // A page from anywhere may be a peer: the original clients poll with credentials.
    // Nothing else is for the scripts of other sites.
    let mut router = Router::new()
        .route("/socket.io", any(socket))
        .route("/socket.io/", any(socket))
        .route_layer(CorsLayer::very_permissive())
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .route(&format!("{PIPE_PATH}{{token}}"), get(pipe::open));
    if metrics == Metrics::Served {
        router = router.route("/metrics", get(metrics_text));
    }
    router.with_state(app)
}

/// Returns whether a path is served to connections that the star has no room for.
pub(crate) fn is_about_health(path: &str) -> bool {
    ["/healthz", "/metrics"].contains(&path)
}

/// Refuses a request of a connection that the star has no room for.
pub(crate) fn no_room() -> Response {
    let retry = [(axum::http::header::RETRY_AFTER, "10")];
    let text = "too many connections\n";
    (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response()
}

async fn page(State(app): State<App>) -> Response {
    match app.snapshots.fresh().await {
        Some(snapshot) => page::render(snapshot.gauges.peers).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn healthz(State(app): State<App>) -> Response {
    match app.snapshots.recent().await {
        Some(_) => "ok\n".into_response(),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the star does not answer\n",
        )
            .into_response(),
    }
}

async fn metrics_text(State(app): State<App>) -> Response {
    match app.snapshots.fresh().await {
        Some(snapshot) => {
            let sockets = metrics::Sockets {
                bytes_piped: app.pipes.carried_bytes(),
                held_bytes: app.account.held_bytes(),
                tally: app.tally,
                connections: app.connections.numbers(),
            };
            metrics::render(&snapshot, sockets)
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn socket(
    State(app): State<App>,
    Extension(source): Extension<Arc<Source>>,
    request: Request,
) -> Response {
    let query = match Query::parse(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(QueryError::Transport) => return refuse(0, "Transport unknown"),
        Err(QueryError::Protocol) => return refuse(5, "Unsupported protocol version"),
        Err(QueryError::Session) => return unknown_session(),
    };
    match (query.transport, &query.sid) {
        (Transport::WebSocket, _) => websocket::accept(app, source, query, request),
        (Transport::Polling, Some(sid)) => polling::exchange(app, sid, &query, request).await,
        (Transport::Polling, None) if request.method() == Method::GET => {
            polling::begin(app, source, &query).await
        }
        (Transport::Polling, None) => refuse(2, "Bad handshake method"),
    }
}

/// Refuses an Engine.IO request as the original does.
fn refuse(code: u8, message: &str) -> Response {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    (StatusCode::BAD_REQUEST, json, body).into_response()
}

fn unknown_session() -> Response {
    refuse(1, "Session ID unknown")
}
