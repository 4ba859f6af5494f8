//! The server: takes connections in, as many as there is room for.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::task::TaskTracker;

use super::{Answers, connection::serve_connection, room::Room, socket};
use crate::lifecycle::Lifecycle;

/// How many connections a service holds.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct ConnectionSettings {
    /// How many connections may be open at once; further ones are answered 503 and closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
}

/// Serves until the service closes and every request in hand is answered. Handlers find the peer's address as
/// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).
///
/// # Errors
/// The listener is none for TCP.
pub async fn serve(
    listener: TcpListener,
    answers: Answers,
    settings: ConnectionSettings,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let places = settings.max_connections as usize;
    socket::make_room_for(places);
    socket::prepare(&listener).context("the listener cannot be set up")?;
    let room = Room::new(places, answers.metrics().clone());
    let connections = TaskTracker::new();
    while let Some(accepted) = lifecycle
        .closing
        .run_until_cancelled(listener.accept())
        .await
    {
        match accepted {
            Ok((stream, peer)) => {
                if let Some(place) = room.place() {
                    let (answers, lifecycle) = (answers.clone(), lifecycle.clone());
                    connections.spawn(serve_connection(stream, peer, answers, place, lifecycle));
                }
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
