//! A client without a library, and without manners.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::PATIENCE;

/// Some systems forget what they have received of an answer when the connection is reset.
pub const RESET: &str = "(reset)";

/// An open connection.
pub struct Raw(TcpStream);

impl Raw {
    pub async fn open(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.expect("it accepts"))
    }

    /// The same for a client that holds little itself, so that the server has to.
    pub async fn open_narrow(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.set_recv_buffer_size(2048).expect("it can be set");
        let address = address.parse().expect("it is an address");
        Self(socket.connect(address).await.expect("it accepts"))
    }

    /// Sends this. Returns whether the server took it all before it closed.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = timeout(PATIENCE, self.0.write_all(bytes)).await;
        sent.expect("the server reads or closes").is_ok()
    }

    /// The head of the next answer.
    pub async fn head(&mut self) -> String {
        let mut said = Vec::new();
        let whole = async {
            while !said.ends_with(b"\r\n\r\n") {
                said.push(self.0.read_u8().await?);
            }
            std::io::Result::Ok(())
        };
        let came = timeout(PATIENCE, whole).await;
        came.expect("the server answers").expect("and is there");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Sends this piece again and again, a few times a second, until the server closes. Returns what it said before.
    pub async fn drip(self, piece: &[u8]) -> String {
        let (mut reading, mut writing) = self.0.into_split();
        let drops = async {
            while writing.write_all(piece).await.is_ok() {
                sleep(Duration::from_millis(200)).await;
            }
            std::future::pending().await
        };
        let mut said = Vec::new();
        let ended = tokio::select! {
            ended = timeout(PATIENCE, reading.read_to_end(&mut said)) => ended,
            never = drops => never,
        };
        // A reset is an end like any other; what came before it counts.
        let _ = ended.expect("the server closes");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The same, of which the server may take as little as it likes.
    pub async fn send_unread(&mut self, bytes: &[u8]) {
        const STALLED: Duration = Duration::from_secs(1);
        let _ = timeout(STALLED, self.0.write_all(bytes)).await;
    }

    /// Says that no more will be sent.
    pub async fn finish(&mut self) {
        // The server may have closed already.
        let _ = self.0.shutdown().await;
    }

    /// All that the server says until it closes, and [`RESET`] where it did that the hard way.
    pub async fn until_closed(mut self) -> String {
        let mut said = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut said)).await;
        let ended = ended.expect("the server closes");
        let said = String::from_utf8_lossy(&said).into_owned();
        said + ended.map_or(RESET, |_| "")
    }

    /// Sends a whole request and returns all that the server says until it closes.
    pub async fn ask(url: &str, request: &[u8]) -> String {
        let mut connection = Self::open(url).await;
        let sent = connection.send(request).await;
        let answer = connection.until_closed().await;
        if sent { answer } else { answer + RESET }
    }
}

/// The status of an answer; 0: there was none.
pub fn status(answer: &str) -> u16 {
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}
