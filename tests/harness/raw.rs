//! A raw TCP client for what no HTTP library sends or shows: malformed, unfinished and slow requests, connections without a
//! request, and the bytes of a response as received.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::TIMEOUT;

/// The marker of a reset connection. Some systems discard the received part of a response on a reset.
pub const RESET: &str = "(reset)";

/// An open connection.
pub struct RawClient(TcpStream);

impl RawClient {
    pub async fn open(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.expect("it accepts"))
    }

    /// Opens a connection with a small receive buffer, so that the server has to buffer.
    pub async fn open_narrow(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        let socket = TcpSocket::new_v4().expect("a socket can be created");
        socket.set_recv_buffer_size(2048).expect("it can be set");
        let address = address.parse().expect("it is an address");
        Self(socket.connect(address).await.expect("it accepts"))
    }

    /// Sends these bytes. Returns whether the server accepted all of them before it closed.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = timeout(TIMEOUT, self.0.write_all(bytes)).await;
        sent.expect("the server reads or closes").is_ok()
    }

    /// The head of the next response.
    pub async fn read_head(&mut self) -> String {
        let mut received = Vec::new();
        let head = async {
            while !received.ends_with(b"\r\n\r\n") {
                received.push(self.0.read_u8().await?);
            }
            std::io::Result::Ok(())
        };
        let outcome = timeout(TIMEOUT, head).await;
        outcome
            .expect("the server responds")
            .expect("the connection is open");
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Sends this chunk repeatedly, a few times a second, until the server closes. Returns the response.
    pub async fn send_repeatedly(self, chunk: &[u8]) -> String {
        let (mut reading, mut writing) = self.0.into_split();
        let sending = async {
            while writing.write_all(chunk).await.is_ok() {
                sleep(Duration::from_millis(200)).await;
            }
            std::future::pending().await
        };
        let mut received = Vec::new();
        let ended = tokio::select! {
            ended = timeout(TIMEOUT, reading.read_to_end(&mut received)) => ended,
            never = sending => never,
        };
        // A reset is an end like any other; the data before it counts.
        let _ = ended.expect("the server closes");
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Sends these bytes until the server stops reading.
    pub async fn send_until_stalled(&mut self, bytes: &[u8]) {
        const STALLED: Duration = Duration::from_secs(1);
        let _ = timeout(STALLED, self.0.write_all(bytes)).await;
    }

    /// Shuts down the sending side.
    pub async fn shutdown_write(&mut self) {
        // The server may have closed already.
        let _ = self.0.shutdown().await;
    }

    /// Reads until the server closes, and appends [`RESET`] if it reset the connection.
    pub async fn read_until_closed(mut self) -> String {
        let mut received = Vec::new();
        let ended = timeout(TIMEOUT, self.0.read_to_end(&mut received)).await;
        let ended = ended.expect("the server closes");
        let received = String::from_utf8_lossy(&received).into_owned();
        received + ended.map_or(RESET, |_| "")
    }

    /// Sends a request and reads until the server closes.
    pub async fn exchange(url: &str, request: &[u8]) -> String {
        let mut connection = Self::open(url).await;
        let sent = connection.send(request).await;
        let response = connection.read_until_closed().await;
        if sent { response } else { response + RESET }
    }
}

/// The status of a response; 0 if there was none.
pub fn status(response: &str) -> u16 {
    let status = response
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}
