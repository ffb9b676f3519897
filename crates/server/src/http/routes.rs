//! Paths and answers: `docs/api.md`.

use std::{io, net::TcpListener, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State, WebSocketUpgrade, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::Access,
    assets,
    camera::Camera,
    live,
    processes::Processes,
    results::{self, Results, Wanted},
};

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    processes: Arc<Processes>,
    cameras: Vec<Arc<Camera>>,
    blocks: Vec<String>,
    results: Results,
}

impl App {
    pub fn new(processes: Arc<Processes>, cameras: Vec<Arc<Camera>>, blocks: Vec<String>, results: Results) -> Self {
        Self(Arc::new(Inner { processes, cameras, blocks, results }))
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, access: Access, app: App) -> io::Result<()> {
    let router = Router::new()
        .route("/api/processes", get(processes))
        .route("/api/cameras", get(cameras))
        .route("/api/health", get(health))
        .route("/api/cameras/{name}/live", get(watch))
        .route("/api/results", get(find))
        .fallback(page)
        .layer(middleware::from_fn_with_state(access, guard))
        .with_state(app);
    // A picture is several small writes; waiting to fill a segment would cost 40 ms.
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}

#[derive(Debug, Deserialize)]
struct Shown {
    token: Option<String>,
}

async fn guard(
    State(access): State<Access>,
    Query(Shown { token }): Query<Shown>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    if let Err((status, why)) = access.check(&headers, token.as_deref()) {
        return error(status, why);
    }
    let mut response = next.run(request).await;
    let cookie = access.cookie(token.as_deref()).and_then(|cookie| HeaderValue::try_from(cookie).ok());
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

async fn processes(State(app): State<App>) -> Json<Value> {
    Json(json!(app.0.processes.rows().await))
}

async fn cameras(State(app): State<App>) -> Json<Value> {
    let rows = app.0.processes.rows().await;
    Json(json!(app.0.cameras.iter().map(|camera| camera.shown(&rows)).collect::<Vec<_>>()))
}

async fn health(State(app): State<App>) -> Response {
    let rows = app.0.processes.rows().await;
    let mut reasons: Vec<String> =
        rows.iter().filter(|row| row.state != "ready").map(|row| format!("{}: {}", row.name, row.state)).collect();
    for row in rows.iter().filter(|row| row.state == "ready") {
        // What matters of a traceback is its last line.
        let trouble = row.trouble.iter().filter_map(|trouble| trouble.trim().lines().next_back());
        reasons.extend(trouble.map(|why| format!("{}: {why}", row.name)));
    }
    for camera in &app.0.cameras {
        let state = camera.state().state;
        if state != "streaming" {
            reasons.push(format!("{}: {state}", camera.name()));
        }
    }
    if reasons.is_empty() {
        Json(json!({"status": "ok"})).into_response()
    } else {
        let degraded = Json(json!({"status": "degraded", "reasons": reasons}));
        (StatusCode::SERVICE_UNAVAILABLE, degraded).into_response()
    }
}

async fn watch(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let camera = name.ok().and_then(|Path(name)| app.0.cameras.iter().find(|camera| camera.name() == name).cloned());
    match (camera, upgrade) {
        (None, _) => error(StatusCode::NOT_FOUND, "there is no camera of that name; /api/cameras lists them"),
        (_, Err(rejection)) => error(rejection.status(), "this address speaks WebSocket; see docs/api.md"),
        // What a viewer says is ignored, so it needn't be able to say much.
        (Some(camera), Ok(upgrade)) => {
            upgrade.max_message_size(4096).max_frame_size(4096).on_upgrade(move |socket| live::serve(socket, camera))
        }
    }
}

async fn find(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    if wanted.camera.as_ref().is_some_and(|wanted| app.0.cameras.iter().all(|camera| camera.name() != wanted.as_str()))
    {
        return error(StatusCode::NOT_FOUND, "there is no camera of that name; /api/cameras lists them");
    }
    if wanted.block.as_ref().is_some_and(|wanted| !app.0.blocks.contains(wanted)) {
        let there_are = app.0.blocks.join(", ");
        return error(StatusCode::NOT_FOUND, &format!("nothing of that name finds anything; there are {there_are}"));
    }
    match upgrade {
        Err(rejection) => error(rejection.status(), "this address speaks WebSocket; see docs/api.md"),
        Ok(upgrade) => {
            let listener = app.0.results.listen(wanted);
            let upgrade = upgrade.max_message_size(4096).max_frame_size(4096);
            upgrade.on_upgrade(move |socket| results::serve(socket, listener))
        }
    }
}

async fn page(uri: Uri) -> Response {
    match assets::find(uri.path()) {
        Some((media_type, content)) => {
            let headers = [
                (header::CONTENT_TYPE, media_type),
                // Names don't change with content, so a browser asks each time.
                (header::CACHE_CONTROL, "no-cache"),
                (header::CONTENT_SECURITY_POLICY, assets::POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "no-referrer"),
            ];
            (headers, content).into_response()
        }
        None => error(StatusCode::NOT_FOUND, "there is nothing at this address; the page is at /"),
    }
}

fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}
