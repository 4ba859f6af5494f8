//! What the kernel is told about connections, and about how many there may be.

use std::{io, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;

/// An idle connection is asked after so long whether its client is still there, and then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_AFTER: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a client may leave sent bytes unacknowledged, or take none, before its connection is ended. Viewers are sent
/// a heartbeat more often, so one that has gone without a word is noticed in this time.
#[cfg(target_os = "linux")]
const UNTAKEN_AFTER: Duration = Duration::from_secs(30);
/// The number of bytes that the kernel holds for a client that does not take them, where its own limit is some MB for each
/// connection. Linux takes twice as many, for its bookkeeping. It is as much as goes out at first anyway, before a client has
/// acknowledged anything (<https://www.rfc-editor.org/rfc/rfc6928>).
const SEND_BUFFER: usize = 16 * 1024;
/// The same for what a client sends before it is read: a request's head, and a vote.
const RECEIVE_BUFFER: usize = 16 * 1024;
/// Files besides connections: storage, logs, the runtime.
const OTHER_FILES: u64 = 256;

/// Sets what accepted connections inherit.
pub(crate) fn prepare(listener: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNTAKEN_AFTER))?;
    Ok(())
}

/// Lets the process open as many files as it may, for each connection is one.
pub(crate) fn make_room_for(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Only an operator can give more than the maximum; where even that is refused, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < connections as u64 + OTHER_FILES {
        tracing::warn!(
            files,
            connections,
            "this process may not open enough files for MAX_CONNECTIONS; raise its limit or set fewer"
        );
    }
}
