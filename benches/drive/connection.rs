//! A connection that stays open, one request at a time.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

/// More headers than any answer here has.
const MAX_HEADERS: usize = 32;

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// What an answer's head says.
pub struct Answer {
    pub status: u16,
    /// The pair at the beginning of `Set-Cookie`.
    pub cookie: Option<Vec<u8>>,
    /// Whether the connection ends with it.
    pub is_last: bool,
}

/// How long the body is.
enum Length {
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
        })
    }

    /// Sends a request and reads its answer to the end.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.filled = 0;
        loop {
            self.read_more().await?;
            if let Some((answer, body, length)) = head(&self.buffer[..self.filled])? {
                self.read_body(body, &length).await?;
                return Ok(answer);
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

    async fn read_body(&mut self, body: usize, length: &Length) -> io::Result<()> {
        loop {
            let is_whole = match length {
                Length::Known(bytes) => self.filled >= body + bytes,
                Length::Chunked => self.buffer[body..self.filled].ends_with(b"0\r\n\r\n"),
            };
            if is_whole {
                return Ok(());
            }
            self.read_more().await?;
        }
    }

    /// The stream alone, for a reader of its own.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// What has come; at least one byte.
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

/// The head, where the body begins and how long it is; `None`: there is more to come.
fn head(raw: &[u8]) -> io::Result<Option<(Answer, usize, Length)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(raw).map_err(io::Error::other)?;
    let httparse::Status::Complete(body) = parsed else {
        return Ok(None);
    };
    let mut length = Length::Known(0);
    let (mut cookie, mut is_last) = (None, false);
    for header in &*response.headers {
        let text = || std::str::from_utf8(header.value).ok();
        if header.name.eq_ignore_ascii_case("content-length") {
            let known = text().and_then(|text| text.parse().ok());
            length = Length::Known(known.ok_or(io::ErrorKind::InvalidData)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            is_last = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("set-cookie") {
            cookie = header
                .value
                .split(|byte| *byte == b';')
                .next()
                .map(<[u8]>::to_vec);
        }
    }
    let status = response.code.unwrap_or_default();
    let answer = Answer {
        status,
        cookie,
        is_last,
    };
    Ok(Some((answer, body, length)))
}
