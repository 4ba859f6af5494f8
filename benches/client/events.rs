//! The event stream of the live result, as a viewer receives it.

use std::{io, net::SocketAddr};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use super::connection::{connect, read_more};

pub struct EventStream {
    stream: TcpStream,
    /// Events and the beginning of the next one, as received.
    received: Vec<u8>,
}

impl EventStream {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let mut stream = connect(address).await?;
        let request =
            format!("GET /events HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(4096),
        })
    }

    /// Waits for bytes and calls `on_total` for each event that they complete, with the time of arrival and the total of
    /// votes.
    pub async fn read(&mut self, mut on_total: impl FnMut(Instant, u64)) -> io::Result<()> {
        read_more(&mut self.stream, &mut self.received).await?;
        let now = Instant::now();
        while let Some(end) = self.received.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<_> = self.received.drain(..end + 2).collect();
            if let Some(total) = total(&event) {
                on_total(now, total);
            }
        }
        Ok(())
    }
}

/// The total of votes in an event.
fn total(event: &[u8]) -> Option<u64> {
    let event = std::str::from_utf8(event).ok()?;
    let after = event.split_once("\"total\":")?.1;
    let end = after.find(|other: char| !other.is_ascii_digit())?;
    after[..end].parse().ok()
}
