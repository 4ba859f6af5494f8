//! A TCP proxy that injects network faults between a client and its server, also on open connections. The faults are named
//! after the toxics of Toxiproxy.

use std::{
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// A network fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toxic {
    None,
    /// Data is delayed by this time.
    Latency(Duration),
    /// At most this many bytes per second pass in each direction; more are queued.
    Bandwidth(u32),
    /// Connections are accepted, and no data passes.
    Timeout,
    /// No data passes from the client to the server.
    TimeoutUpstream,
    /// No data passes from the server to the client.
    TimeoutDownstream,
    /// Connections are reset at once.
    ResetPeer,
}

/// A proxy in front of a server.
pub struct Proxy {
    /// The server of new connections.
    upstream: Arc<Mutex<String>>,
    /// A connection stays subscribed to the sender under which it was accepted.
    toxic: Arc<Mutex<watch::Sender<Toxic>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server at this URL. Returns it and the URL through the proxy.
    pub async fn to(url: &str) -> (Self, String) {
        let mut url = url::Url::parse(url).expect("it is a URL");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("the listener is bound").port();
        let upstream = Arc::new(Mutex::new(address(&url)));
        let toxic = Arc::new(Mutex::new(watch::Sender::new(Toxic::None)));
        let accepting = tokio::spawn(accept(listener, upstream.clone(), toxic.clone()));
        url.set_host(Some("127.0.0.1")).expect("it has a host");
        url.set_port(Some(port)).expect("it has a port");
        let proxy = Self {
            upstream,
            toxic,
            _accepting: AbortOnDropHandle::new(accepting),
        };
        (proxy, url.into())
    }

    /// Directs new connections to another server, as a DNS name does after a failover. Open connections stay.
    pub fn set_upstream(&self, url: &str) {
        *self.upstream.lock().unwrap() = address(&url::Url::parse(url).expect("it is a URL"));
    }

    /// Sets the fault for new and open connections. Data that was held back passes once the fault allows it.
    pub fn set_toxic(&self, toxic: Toxic) {
        self.toxic.lock().unwrap().send_replace(toxic);
    }

    /// Resets the open connections; new ones have no fault.
    pub fn reset_open_connections(&self) {
        self.replace_sender().send_replace(Toxic::ResetPeer);
    }

    /// Removes the fault for new connections only: open ones stay silent forever, as when a router has lost their state.
    pub fn clear_toxic_for_new_connections(&self) {
        drop(self.replace_sender());
    }

    /// Replaces the fault of new connections by none. Returns the sender of the open ones.
    fn replace_sender(&self) -> watch::Sender<Toxic> {
        let good = watch::Sender::new(Toxic::None);
        mem::replace(&mut *self.toxic.lock().unwrap(), good)
    }
}

fn address(url: &url::Url) -> String {
    let host = url.host_str().expect("it has a host");
    format!("{host}:{}", url.port().expect("it has a port"))
}

async fn accept(
    listener: TcpListener,
    upstream: Arc<Mutex<String>>,
    toxic: Arc<Mutex<watch::Sender<Toxic>>>,
) {
    // The connections end with the proxy.
    let open = CancellationToken::new();
    let _close = open.clone().drop_guard();
    while let Ok((client, _)) = listener.accept().await {
        let upstream = upstream.lock().unwrap().clone();
        let toxic = toxic.lock().unwrap().subscribe();
        let connection = open
            .clone()
            .run_until_cancelled_owned(connect(client, upstream, toxic));
        tokio::spawn(connection);
    }
}

async fn connect(mut client: TcpStream, upstream: String, toxic: watch::Receiver<Toxic>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        // Data that was held back must not pass when the connection is reset.
        let holds_requests = |toxic| {
            use Toxic::{ResetPeer, Timeout, TimeoutUpstream};
            matches!(toxic, Timeout | TimeoutUpstream | ResetPeer)
        };
        let holds_responses = |toxic| {
            use Toxic::{ResetPeer, Timeout, TimeoutDownstream};
            matches!(toxic, Timeout | TimeoutDownstream | ResetPeer)
        };
        let mut resets = toxic.clone();
        tokio::select! {
            () = forward(from_client, to_server, toxic.clone(), holds_requests) => return,
            () = forward(from_server, to_client, toxic, holds_responses) => return,
            _ = wait_until(&mut resets, |toxic| toxic == Toxic::ResetPeer) => {}
        }
    }
    let _ = client.set_zero_linger();
}

/// Forwards data until either side closes.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut toxic: watch::Receiver<Toxic>,
    holds: impl Fn(Toxic) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passes = |toxic| !holds(toxic);
        let chunk = match wait_until(&mut toxic, passes).await {
            Toxic::Latency(delay) => {
                sleep(delay).await;
                count
            }
            Toxic::Bandwidth(bytes_per_second) => (bytes_per_second / 100) as usize,
            _ => count,
        };
        for chunk in buffer[..count].chunks(chunk) {
            let is_limited = matches!(*toxic.borrow(), Toxic::Bandwidth(_));
            if is_limited {
                sleep(Duration::from_millis(10)).await;
            }
            if to.write_all(chunk).await.is_err() {
                return;
            }
        }
    }
    // The end of the stream is held back, too.
    wait_until(&mut toxic, |toxic| !holds(toxic)).await;
}

/// Waits until the fault fulfils the condition: forever, if the sender of this connection was replaced.
async fn wait_until(
    toxic: &mut watch::Receiver<Toxic>,
    condition: impl Fn(Toxic) -> bool,
) -> Toxic {
    let now = toxic
        .wait_for(|toxic| condition(*toxic))
        .await
        .map(|now| *now);
    match now {
        Ok(now) => now,
        Err(_) => std::future::pending().await,
    }
}
