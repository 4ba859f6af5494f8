//! The error with which a server rejects a connection before it reads a command.

use std::time::Duration;

use redis::ConnectionAddr;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// Timeout of the read: the server sends the error immediately.
const TIMEOUT: Duration = Duration::from_millis(300);

/// Returns the first sentence of the server's error to a connection that sends nothing, as in protected mode or with too many
/// clients. The server then closes the connection, and a client that has sent something does not receive the error.
pub async fn message(address: &ConnectionAddr) -> Option<String> {
    let ConnectionAddr::Tcp(host, port) = address else {
        return None;
    };
    let read = async {
        let mut connection = TcpStream::connect((&**host, *port)).await.ok()?;
        let mut reply = vec![0; 1024];
        let length = connection.read(&mut reply).await.ok()?;
        reply.truncate(length);
        String::from_utf8(reply).ok()
    };
    let reply = timeout(TIMEOUT, read).await.ok()??;
    let error = reply.strip_prefix('-')?;
    let sentence = error.lines().next()?.split(". ").next()?;
    Some(sentence.to_owned())
}
