//! A persistent HTTP connection, with one request at a time.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

/// More headers than any response here has.
const MAX_HEADERS: usize = 32;

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
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
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 16 * 1024],
            filled: 0,
            body: 0,
        })
    }

    /// Sends a request and reads the whole response.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request).await?;
        self.filled = 0;
        loop {
            self.read_more().await?;
            if let Some((response, body, length)) = parse_head(&self.buffer[..self.filled])? {
                self.body = body;
                self.read_body(&length).await?;
                return Ok(response);
            }
        }
    }

    pub async fn send(&self, request: &[u8]) -> io::Result<()> {
        let mut rest = request;
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        self.filled += read(&self.stream, &mut self.buffer[self.filled..]).await?;
        Ok(())
    }

    /// The body of the last response, as it was sent: chunks are not decoded.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body..self.filled]
    }

    async fn read_body(&mut self, length: &BodyLength) -> io::Result<()> {
        loop {
            let is_complete = match length {
                BodyLength::Known(bytes) => self.filled >= self.body + bytes,
                BodyLength::Chunked => self.body().ends_with(b"0\r\n\r\n"),
            };
            if is_complete {
                return Ok(());
            }
            self.read_more().await?;
        }
    }

    /// The TCP stream, for callers that read it themselves.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Reads the bytes that have arrived, at least one.
pub async fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
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
