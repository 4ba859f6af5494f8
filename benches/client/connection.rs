//! A persistent HTTP connection, with one request at a time. It sends prepared bytes and parses only the head of a response.
//!
//! A client of a library would distort the figures: hyper's takes 10 instead of 6 µs of CPU time per request, and the
//! services and their limits share two cores with the clients.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More headers than any response here has.
const MAX_HEADERS: usize = 32;

pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Offset of the body of the last response.
    body: usize,
}

/// The head of a response.
pub struct Response {
    pub status: u16,
    /// The name and value at the beginning of `Set-Cookie`.
    pub cookie: Option<Vec<u8>>,
    /// True if the server closes the connection after this response.
    pub closes: bool,
}

/// The length of a body.
enum BodyLength {
    Known(usize),
    Chunked,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: connect(address).await?,
            received: Vec::with_capacity(16 * 1024),
            body: 0,
        })
    }

    /// Sends a request and reads the whole response.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            read_more(&mut self.stream, &mut self.received).await?;
            if let Some((response, body, length)) = parse_head(&self.received)? {
                self.body = body;
                self.read_body(&length).await?;
                return Ok(response);
            }
        }
    }

    /// The body of the last response, as it was sent: chunks are not decoded.
    pub fn body(&self) -> &[u8] {
        &self.received[self.body..]
    }

    async fn read_body(&mut self, length: &BodyLength) -> io::Result<()> {
        loop {
            let is_complete = match length {
                BodyLength::Known(bytes) => self.received.len() >= self.body + bytes,
                BodyLength::Chunked => self.body().ends_with(b"0\r\n\r\n"),
            };
            if is_complete {
                return Ok(());
            }
            read_more(&mut self.stream, &mut self.received).await?;
        }
    }
}

/// Opens a connection that sends each request at once.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Appends the bytes that have arrived, at least one.
pub async fn read_more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The head, the offset of the body and its length; `None` while the head is incomplete.
fn parse_head(raw: &[u8]) -> io::Result<Option<(Response, usize, BodyLength)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let status = parsed.parse(raw).map_err(io::Error::other)?;
    let httparse::Status::Complete(body) = status else {
        return Ok(None);
    };
    let mut length = BodyLength::Known(0);
    let (mut cookie, mut closes) = (None, false);
    for header in &*parsed.headers {
        let text = || std::str::from_utf8(header.value).ok();
        if header.name.eq_ignore_ascii_case("content-length") {
            let known = text().and_then(|text| text.parse().ok());
            length = BodyLength::Known(known.ok_or(io::ErrorKind::InvalidData)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = BodyLength::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("set-cookie") {
            cookie = header
                .value
                .split(|byte| *byte == b';')
                .next()
                .map(<[u8]>::to_vec);
        }
    }
    let status = parsed.code.unwrap_or_default();
    let response = Response {
        status,
        cookie,
        closes,
    };
    Ok(Some((response, body, length)))
}
