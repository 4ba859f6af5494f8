//! One HTTP/1.1 connection, with limits on the size and the slowness of requests.

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::connection_limit::{ConnectionPermit, Rejection};
use crate::{ClientAddress, Problem, ProblemKind, app_service::LayeredService};
use service::lifecycle::Lifecycle;

/// Maximum size of a request's head in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Timeout for the client to close the connection after the last response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// `Retry-After` of a rejected request, in seconds.
const RETRY_AFTER: u32 = 5;

/// Handles a request as its connection's permit allows.
///
/// While the service drains every response carries `Connection: close`, so that the client sends no request into a
/// connection that is being closed.
async fn respond(
    mut app: LayeredService,
    request: Request<Incoming>,
    peer: SocketAddr,
    permit: Arc<ConnectionPermit>,
    draining: CancellationToken,
) -> Response {
    let mut request = request.map(Body::new);
    let proxies = &app.site().trusted_proxies;
    let client = ClientAddress(proxies.client_address(peer.ip(), request.headers()));
    request.extensions_mut().insert(client);
    let mut response = if app.is_probe(request.uri().path()) {
        app.respond(request).await
    } else if let Some(rejection) = permit.rejection {
        app.reject(request, rejection)
    } else if proxies.trusts(peer.ip().to_canonical()) {
        match permit.acquire_request(client) {
            Ok(request_permit) => request_permit.attach_to(app.respond(request).await),
            Err(rejection) => app.reject(request, rejection),
        }
    } else {
        app.respond(request).await
    };
    // The unread rest of a request that was too slow would be parsed as the next request.
    let is_cut_off = response.status() == StatusCode::REQUEST_TIMEOUT;
    if is_cut_off || !permit.keep_alive_allowed() || draining.is_cancelled() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = match rejection {
            Rejection::Full => {
                "Too many connections are open. Please try again in a moment.".to_owned()
            }
            Rejection::PerAddress(limit) => format!(
                "Your network has {limit} open connections, which is the limit. Please close some, or try again in a moment."
            ),
        };
        Self::new(ProblemKind::TooManyConnections, detail).retry_after(RETRY_AFTER)
    }
}

/// Serves until the client closes the connection or exceeds a limit, or until `shutting_down` is cancelled and the request in
/// flight is finished.
pub(crate) async fn serve_connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    app: LayeredService,
    permit: ConnectionPermit,
    keep_alive: Duration,
    lifecycle: Lifecycle,
) {
    // This fails only if the connection is closed already.
    let _ = stream.set_nodelay(true);
    let permit = Arc::new(permit);
    serve_requests(
        &mut stream,
        peer,
        app,
        permit.clone(),
        keep_alive,
        lifecycle,
    )
    .await;
    linger(&mut stream).await;
    drop(permit);
}

async fn serve_requests(
    stream: &mut TcpStream,
    peer: SocketAddr,
    app: LayeredService,
    permit: Arc<ConnectionPermit>,
    keep_alive: Duration,
    Lifecycle {
        draining,
        shutting_down,
        ..
    }: Lifecycle,
) {
    let unreadable = app.metrics().http_server_unreadable_requests_total.clone();
    let has_request = Arc::new(AtomicBool::new(false));
    let first_request_timeout = {
        let (limit, has_request) = (permit.first_request_timeout(), has_request.clone());
        async move {
            sleep(limit).await;
            if has_request.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
        }
    };
    let service = service_fn(move |request| {
        has_request.store(true, Ordering::Relaxed);
        let (app, permit, draining) = (app.clone(), permit.clone(), draining.clone());
        // Boxed, so that an idle connection does not reserve memory for the future.
        Box::pin(
            async move { Ok::<_, Infallible>(respond(app, request, peer, permit, draining).await) },
        )
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(keep_alive)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection, first_request_timeout);
    let mut is_closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // hyper has responded without calling the service.
                    if error.is_parse() {
                        unreadable.inc();
                    }
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
            () = &mut first_request_timeout => {
                tracing::debug!("connection closed: no request before the timeout");
                return;
            }
            () = shutting_down.cancelled(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                is_closing = true;
            }
        }
    }
}

/// Closes a connection so that the last response arrives: the kernel resets one that is closed with unread bytes, and the
/// client may lose the part of the response that it has not read.
async fn linger(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    let until_closed = async {
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The connection is closed in any case, also after an error or the timeout.
    let _ = timeout(LINGER_TIMEOUT, until_closed).await;
}
