//! One connection: HTTP/1.1 with limits on what a client may send, and on how slowly.

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

use super::connection_limit::{ConnectionPermit, Refused};
use crate::{AppService, ClientAddress, Problem, ProblemKind};
use service::lifecycle::Lifecycle;

/// Room for a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long to wait after the last answer for the client to close.
const LINGER: Duration = Duration::from_secs(2);
/// When to come back, in seconds.
const RETRY_AFTER: u32 = 5;

/// Answers a request as its connection's place allows. While the service drains every answer is its connection's last:
/// a client that knows sends nothing that would meet the end.
async fn answer(
    answers: AppService,
    request: Request<Incoming>,
    peer: SocketAddr,
    place: Arc<ConnectionPermit>,
    draining: CancellationToken,
) -> Response {
    let mut request = request.map(Body::new);
    let proxies = &answers.site().trusted_proxies;
    let client = ClientAddress(proxies.client_address(peer.ip(), request.headers()));
    request.extensions_mut().insert(client);
    let mut response = if answers.is_probe(request.uri().path()) {
        answers.answer(request).await
    } else if let Some(refused) = place.refused {
        answers.refuse(request, refused)
    } else if proxies.trusts(peer.ip().to_canonical()) {
        match place.share(client) {
            Ok(share) => share.held_by(answers.answer(request).await),
            Err(refused) => answers.refuse(request, refused),
        }
    } else {
        answers.answer(request).await
    };
    // What has not come of a request that was too slow would be taken for the next request.
    let is_cut_off = response.status() == StatusCode::REQUEST_TIMEOUT;
    if is_cut_off || !place.may_stay() || draining.is_cancelled() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = match refused {
            Refused::Full => {
                "Too many connections are open. Please try again in a moment.".to_owned()
            }
            Refused::PerAddress(limit) => format!(
                "Your network has {limit} connections open already, which is as many as it may have. Please close some, or try again in a moment."
            ),
        };
        Self::new(ProblemKind::TooManyConnections, detail).retry_after(RETRY_AFTER)
    }
}

/// Serves until the client goes, breaks a limit, or `closing` is cancelled and the request in hand is answered.
pub(crate) async fn serve_connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    answers: AppService,
    place: ConnectionPermit,
    keep_alive: Duration,
    lifecycle: Lifecycle,
) {
    // Only a connection that is gone already refuses this.
    let _ = stream.set_nodelay(true);
    let place = Arc::new(place);
    serve_requests(
        &mut stream,
        peer,
        answers,
        place.clone(),
        keep_alive,
        lifecycle,
    )
    .await;
    linger(&mut stream).await;
    drop(place);
}

async fn serve_requests(
    stream: &mut TcpStream,
    peer: SocketAddr,
    answers: AppService,
    place: Arc<ConnectionPermit>,
    keep_alive: Duration,
    Lifecycle {
        draining,
        shutting_down,
        ..
    }: Lifecycle,
) {
    let unreadable = answers
        .metrics()
        .http_server_unreadable_requests_total
        .clone();
    let has_asked = Arc::new(AtomicBool::new(false));
    let silent = {
        let (patience, has_asked) = (place.patience(), has_asked.clone());
        async move {
            sleep(patience).await;
            if has_asked.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
        }
    };
    let service = service_fn(move |request| {
        has_asked.store(true, Ordering::Relaxed);
        let (answers, place, draining) = (answers.clone(), place.clone(), draining.clone());
        // In a box, so that the room for it does not stay with a connection that only listens.
        Box::pin(async move {
            Ok::<_, Infallible>(answer(answers, request, peer, place, draining).await)
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(keep_alive)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection, silent);
    let mut is_closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // It was answered without anybody being asked.
                    if error.is_parse() {
                        unreadable.inc();
                    }
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = &mut silent => {
                tracing::debug!("a connection that asked nothing was closed");
                return;
            }
            () = shutting_down.cancelled(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                is_closing = true;
            }
        }
    }
}

/// Ends a connection so that the last answer arrives: one that is closed with unread bytes in it is reset, and the client
/// may lose what it has not read yet.
async fn linger(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    let until_closed = async {
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether the client closed, is gone, or does not care: it is over.
    let _ = timeout(LINGER, until_closed).await;
}
