//! HTTP client with one persistent connection and one request at a time, like a browser.
//!
//! The connection pool of a library may resend a request, or hide whether it was sent. The outcome of an attempt depends on
//! both.

use std::{fmt, io, str::FromStr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    StatusCode, Uri,
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

/// Request with its whole body in memory.
pub type Request = hyper::Request<Full<Bytes>>;

/// Base URL of a service: `http://HOST[:PORT][/PATH]`, or https.
#[derive(Clone, Debug)]
pub struct Target {
    uri: Uri,
    host: HeaderValue,
    /// Path without the trailing slash.
    path: String,
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(raw: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(raw.to_owned());
        let uri: Uri = raw.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid())?;
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { uri, host, path })
    }
}

/// Error of text that is not the base URL of a service.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an address; write http://HOST[:PORT] or https://HOST[:PORT]")]
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

    /// Creates a `GET` request for this path.
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        let mut request = Request::new(Full::default());
        self.set_address(path, &mut request);
        request
    }

    /// Creates a `POST` request with this JSON for this path.
    #[must_use]
    pub fn post(&self, path: &str, json: Bytes) -> Request {
        let mut request = Request::new(Full::new(json));
        *request.method_mut() = hyper::Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        self.set_address(path, &mut request);
        request
    }

    fn set_address(&self, path: &str, request: &mut Request) {
        let path = format!("{}{path}", self.path);
        *request.uri_mut() = path
            .parse()
            .expect("the concatenation of two paths is a path");
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
    }
}

/// Opens connections over TCP or TLS. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Connector {
    /// `None`: no target uses https, so no root certificates are needed.
    https: Option<HttpsConnector<HttpConnector>>,
}

impl Connector {
    /// Creates a connector for these targets.
    ///
    /// # Errors
    /// A target uses https, and no root certificates are installed.
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
            return Connection::handshake(stream.map_err(io::Error::other)?).await;
        }
        let host = target.uri.host().unwrap_or_default();
        // An IPv6 address has brackets only in a URL.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = target.uri.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Connection::handshake(TokioIo::new(stream)).await
    }
}

/// HTTP connection, closed on drop.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    async fn handshake(stream: impl Read + Write + Unpin + Send + 'static) -> io::Result<Self> {
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

/// Response with its whole body.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// `NAME=VALUE` of the `Set-Cookie` header.
    pub cookie: Option<String>,
    /// Body.
    pub body: Bytes,
}

/// Error of a request without a response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The request was not sent.
    #[error("no connection: {0}")]
    NotSent(#[from] io::Error),
    /// The request was sent, and the deadline passed before the response was complete.
    #[error("no response in time")]
    Timeout,
    /// At least a part of the request was sent, and the connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
}

/// Client of one target, which reuses its connection and reconnects if it was closed.
pub struct HttpClient {
    connector: Connector,
    target: Target,
    idle: Option<Connection>,
}

impl HttpClient {
    /// Creates a client that connects at its first request.
    #[must_use]
    pub fn new(connector: &Connector, target: &Target) -> Self {
        Self {
            connector: connector.clone(),
            target: target.clone(),
            idle: None,
        }
    }

    /// Returns the base URL.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request once and reads the response. Closes the connection after an error.
    ///
    /// # Errors
    /// There is no complete response before the deadline.
    pub async fn send(
        &mut self,
        request: Request,
        deadline: Instant,
    ) -> Result<Response, RequestError> {
        let idle = self.idle.take().filter(|idle| !idle.sender.is_closed());
        let unsent = match idle {
            Some(idle) => match self.exchange(idle, request, deadline).await? {
                Exchange::Completed(response) => return Ok(response),
                // The service had closed the idle connection.
                Exchange::Unsent(request) => request,
            },
            None => request,
        };
        let connecting = timeout_at(deadline, self.connector.connect(&self.target)).await;
        let new = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        match self.exchange(new, unsent, deadline).await? {
            Exchange::Completed(response) => Ok(response),
            Exchange::Unsent(_) => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: Request,
        deadline: Instant,
    ) -> Result<Exchange, RequestError> {
        let sent = timeout_at(deadline, connection.sender.try_send_request(request)).await;
        match sent.map_err(|_| RequestError::Timeout)? {
            Ok(response) => {
                let response = timeout_at(deadline, read(response)).await;
                let response = response.map_err(|_| RequestError::Timeout)??;
                self.idle = Some(connection);
                Ok(Exchange::Completed(response))
            }
            // The error contains the request if no part of it was sent.
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Exchange::Unsent(unsent)),
                None => Err(error.into_error().into()),
            },
        }
    }
}

enum Exchange {
    Completed(Response),
    Unsent(Request),
}

async fn read(response: hyper::Response<Incoming>) -> Result<Response, hyper::Error> {
    let cookie = response.headers().get(header::SET_COOKIE);
    let cookie = cookie
        .and_then(|cookie| cookie.to_str().ok()?.split(';').next())
        .map(str::to_owned);
    Ok(Response {
        status: response.status(),
        cookie,
        body: response.into_body().collect().await?.to_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_base_url_for_paths() {
        let host = |request: &Request| request.headers()[header::HOST].to_str().unwrap().to_owned();
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
