//! The server: HTTP/1.1 with limits on what a client may hold open.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a connection may take to send a request's head, idle time between requests included: longer than the 60 s
/// of an AWS load balancer, which would otherwise use a connection that this side is just closing.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// Room for a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How many connections may be open at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;

/// Serves until `closing` is cancelled and every request in hand is answered.
///
/// # Errors
/// None; the signature fits a service's tasks.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    closing: CancellationToken,
) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let next = async || {
        let permit = room.clone().acquire_owned().await;
        (listener.accept().await, permit)
    };
    while let Some((accepted, permit)) = closing.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_connection(stream, routes.clone(), closing.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely; other connections will end and free some.
                tracing::error!(%error, "a connection cannot be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn serve_connection(stream: TcpStream, routes: Router, closing: CancellationToken) {
    // Only a connection that is gone already refuses this.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    let ended = if let Some(ended) = closing.run_until_cancelled(connection.as_mut()).await {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
