//! Kernel settings of connections: socket options and the limit on open files.

use std::{io, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;

/// Idle time before the first TCP keepalive probe.
const KEEPALIVE_TIME: Duration = Duration::from_mins(1);
/// Interval of further keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Time for which sent bytes may stay unacknowledged, or the client's receive window may stay closed, before the kernel closes
/// the connection. Viewers get heartbeats more often, so a viewer that has vanished is detected within this time.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of bytes that the kernel buffers for a client that does not read; its default limit is several MB per connection.
/// Linux reserves twice as much, for its bookkeeping. It is about the initial congestion window
/// (<https://www.rfc-editor.org/rfc/rfc6928>).
const SEND_BUFFER: usize = 16 * 1024;
/// The same for received bytes that are not read yet: the head of a request, and a vote.
const RECEIVE_BUFFER: usize = 16 * 1024;
/// Open files besides connections: storage, logs, the runtime.
const OTHER_FILES: u64 = 256;

/// Sets the socket options that accepted connections inherit.
pub(crate) fn set_options(listener: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    Ok(())
}

/// Raises the limit on open files to its maximum: each connection is one. Logs a warning if that is not enough.
pub(crate) fn raise_nofile_limit(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Only an operator can raise the maximum. If this fails, too, the limit is unchanged.
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < max_connections as u64 + OTHER_FILES {
        tracing::warn!(
            files,
            max_connections,
            "limit on open files is too low for MAX_CONNECTIONS: raise the limit or set MAX_CONNECTIONS lower"
        );
    }
}
