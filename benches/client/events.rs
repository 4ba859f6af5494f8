//! The event stream of the live result, as a viewer receives it.

use std::{io, net::SocketAddr};

use tokio::{net::TcpStream, time::Instant};

use super::connection::{Connection, read};

pub struct EventStream {
    stream: TcpStream,
    buffer: [u8; 4096],
    /// The beginning of an event whose end has not arrived.
    rest: Vec<u8>,
}

impl EventStream {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let connection = Connection::open(address).await?;
        let request =
            format!("GET /events HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
        connection.send(request.as_bytes()).await?;
        Ok(Self {
            stream: connection.into_stream(),
            buffer: [0; 4096],
            rest: Vec::new(),
        })
    }

    /// Waits for bytes and calls `on_total` for each event that they complete, with the time of arrival and the total of
    /// votes.
    pub async fn read(&mut self, mut on_total: impl FnMut(Instant, u64)) -> io::Result<()> {
        let count = read(&self.stream, &mut self.buffer).await?;
        let now = Instant::now();
        self.rest.extend_from_slice(&self.buffer[..count]);
        while let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<_> = self.rest.drain(..end + 2).collect();
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
