//! The words with which a server turns a connection away before it is asked anything.

use std::time::Duration;

use redis::ConnectionAddr;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// The time limit for them: they come at once.
const TIMEOUT: Duration = Duration::from_millis(300);

/// The first sentence of what the server says to a connection that only listens, as in protected mode or where it has too many
/// clients. It closes such a connection, and whoever has sent something meanwhile reads nothing of it.
pub async fn refusal(address: &ConnectionAddr) -> Option<String> {
    let ConnectionAddr::Tcp(host, port) = address else {
        return None;
    };
    let read = async {
        let mut connection = TcpStream::connect((&**host, *port)).await.ok()?;
        let mut said = vec![0; 1024];
        let length = connection.read(&mut said).await.ok()?;
        said.truncate(length);
        String::from_utf8(said).ok()
    };
    let said = timeout(TIMEOUT, read).await.ok()??;
    let said = said.strip_prefix('-')?;
    let sentence = said.lines().next()?.split(". ").next()?;
    Some(sentence.to_owned())
}
