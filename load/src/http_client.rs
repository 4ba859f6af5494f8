//! HTTP as a browser speaks it: connections that stay open, one request at a time on each.
//!
//! A library's connection pool would send a request again by itself, or hide whether it was sent at all. Here that is
//! what matters.

use std::{fmt, io, str::FromStr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
    rt::{Read, Write},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tower::ServiceExt;

/// A request, which can be sent more than once.
pub type Ask = Request<Full<Bytes>>;

/// Where a service is: `http://HOST[:PORT][/PATH]`, or https.
#[derive(Clone, Debug)]
pub struct Target {
    uri: Uri,
    host: HeaderValue,
    /// The path without the slash at its end.
    path: String,
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(raw: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(raw.to_owned());
        let uri: Uri = raw.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        if !known || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid())?;
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { uri, host, path })
    }
}

/// The text is no address of a service.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address; write http://HOST[:PORT] or https://HOST[:PORT]")]
pub struct InvalidTarget(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl Target {
    fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// `GET` of this path.
    #[must_use]
    pub fn get(&self, path: &str) -> Ask {
        let mut request = Request::new(Full::default());
        self.address(path, &mut request);
        request
    }

    /// `POST` of this JSON to this path.
    #[must_use]
    pub fn post(&self, path: &str, json: Bytes) -> Ask {
        let mut request = Request::new(Full::new(json));
        *request.method_mut() = hyper::Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        self.address(path, &mut request);
        request
    }

    fn address(&self, path: &str, request: &mut Ask) {
        let path = format!("{}{path}", self.path);
        *request.uri_mut() = path.parse().expect("two paths make a path");
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
    }
}

/// Makes connections. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Client {
    /// `None`: no target wants it, and a machine without certificates will do.
    https: Option<HttpsConnector<HttpConnector>>,
}

impl Client {
    /// A client for these targets.
    ///
    /// # Errors
    /// One wants https, and there are no certificates on this machine to trust.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a Target>) -> io::Result<Self> {
        let https = targets.into_iter().any(Target::is_https).then(|| {
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            let tls = HttpsConnectorBuilder::new().with_native_roots()?;
            Ok::<_, io::Error>(tls.https_only().enable_http1().wrap_connector(tcp))
        });
        Ok(Self {
            https: https.transpose()?,
        })
    }

    async fn connect(&self, target: &Target) -> io::Result<Connection> {
        if let (true, Some(https)) = (target.is_https(), &self.https) {
            let stream = https.clone().oneshot(target.uri.clone()).await;
            return Connection::over(stream.map_err(io::Error::other)?).await;
        }
        let host = target.uri.host().unwrap_or_default();
        // A v6 address has brackets in a URL only.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = target.uri.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Connection::over(TokioIo::new(stream)).await
    }
}

/// A connection; it is closed when this is dropped.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    async fn over(stream: impl Read + Write + Unpin + Send + 'static) -> io::Result<Self> {
        let (sender, driver) = http1::handshake(stream).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Self { sender, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What the service wants to be sent from now on: name and value.
    pub cookie: Option<String>,
    /// Its body.
    pub body: Bytes,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request was not sent.
    #[error("no connection can be made: {0}")]
    NotSent(#[from] io::Error),
    /// It was sent, and not answered in time.
    #[error("it does not answer in time")]
    Timeout,
    /// It was sent, at least in part, and the connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
}

/// A line to one target: a connection where one is open, and a new one where it is not.
pub struct Line {
    client: Client,
    target: Target,
    open: Option<Connection>,
}

impl Line {
    /// A line that connects when it is first used.
    #[must_use]
    pub fn new(client: &Client, target: &Target) -> Self {
        Self {
            client: client.clone(),
            target: target.clone(),
            open: None,
        }
    }

    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request, once, and reads the answer. After a failure the connection is closed.
    ///
    /// # Errors
    /// There is no answer until `deadline`.
    pub async fn ask(&mut self, request: Ask, deadline: Instant) -> Result<Answer, Failure> {
        let kept = self.open.take().filter(|kept| !kept.sender.is_closed());
        let unsent = match kept {
            Some(kept) => match self.exchange(kept, request, deadline).await? {
                Exchanged::Answer(answer) => return Ok(answer),
                // The service closed the connection meanwhile.
                Exchanged::Unsent(request) => request,
            },
            None => request,
        };
        let connecting = timeout_at(deadline, self.client.connect(&self.target)).await;
        let new = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        match self.exchange(new, unsent, deadline).await? {
            Exchanged::Answer(answer) => Ok(answer),
            Exchanged::Unsent(_) => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: Ask,
        deadline: Instant,
    ) -> Result<Exchanged, Failure> {
        let sent = timeout_at(deadline, connection.sender.try_send_request(request)).await;
        match sent.map_err(|_| Failure::Timeout)? {
            Ok(response) => {
                let answer = timeout_at(deadline, read(response)).await;
                let answer = answer.map_err(|_| Failure::Timeout)??;
                self.open = Some(connection);
                Ok(Exchanged::Answer(answer))
            }
            // The request comes back where nothing of it was sent.
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Exchanged::Unsent(unsent)),
                None => Err(error.into_error().into()),
            },
        }
    }
}

enum Exchanged {
    Answer(Answer),
    Unsent(Ask),
}

async fn read(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let cookie = response.headers().get(header::SET_COOKIE);
    let cookie = cookie
        .and_then(|cookie| cookie.to_str().ok()?.split(';').next())
        .map(str::to_owned);
    Ok(Answer {
        status: response.status(),
        cookie,
        body: response.into_body().collect().await?.to_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_paths_are_put_behind() {
        let host = |request: &Ask| request.headers()[header::HOST].to_str().unwrap().to_owned();
        for (address, path) in [
            ("http://localhost:8080", "/api/poll"),
            ("http://localhost:8080/", "/api/poll"),
            ("https://localhost:8080/vote/", "/vote/api/poll"),
        ] {
            let request = address.parse::<Target>().unwrap().get("/api/poll");
            assert_eq!(request.uri().path(), path);
            assert_eq!(host(&request), "localhost:8080");
        }
        for wrong in ["", "localhost:8080", "/", "ftp://host", "http://host?a=b"] {
            let message = wrong.parse::<Target>().unwrap_err().to_string();
            assert!(message.contains("write http://HOST"), "{message}");
        }
    }
}
