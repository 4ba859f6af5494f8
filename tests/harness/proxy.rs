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
pub enum Network {
    Good,
    /// Data is delayed by this time.
    Slow(Duration),
    /// At most this many bytes per second pass in each direction; more are queued.
    Narrow(u32),
    /// Connections are accepted, and no data passes.
    BlackHole,
    /// No data passes from the client to the server.
    NoRequests,
    /// No data passes from the server to the client.
    NoAnswers,
    /// Connections are reset at once.
    Reset,
}

/// A proxy in front of a server.
pub struct Proxy {
    /// The server of new connections.
    upstream: Arc<Mutex<String>>,
    /// A connection stays subscribed to the sender under which it was accepted.
    network: Arc<Mutex<watch::Sender<Network>>>,
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
        let network = Arc::new(Mutex::new(watch::Sender::new(Network::Good)));
        let accepting = tokio::spawn(accept(listener, upstream.clone(), network.clone()));
        url.set_host(Some("127.0.0.1")).expect("it has a host");
        url.set_port(Some(port)).expect("it has a port");
        let proxy = Self {
            upstream,
            network,
            _accepting: AbortOnDropHandle::new(accepting),
        };
        (proxy, url.into())
    }

    /// Directs new connections to another server, as a DNS name does after a failover. Open connections stay.
    pub fn lead_to(&self, url: &str) {
        *self.upstream.lock().unwrap() = address(&url::Url::parse(url).expect("it is a URL"));
    }

    /// Sets the fault for new and open connections. Data that was held back passes once the fault allows it.
    pub fn make(&self, network: Network) {
        self.network.lock().unwrap().send_replace(network);
    }

    /// Resets the open connections; new ones have no fault.
    pub fn reset_open_connections(&self) {
        self.replace_sender().send_replace(Network::Reset);
    }

    /// Removes the fault for new connections only: open ones stay silent for ever, as when a router has lost their state.
    pub fn mend_for_new_connections(&self) {
        drop(self.replace_sender());
    }

    /// Replaces the fault of new connections by none. Returns the sender of the open ones.
    fn replace_sender(&self) -> watch::Sender<Network> {
        let good = watch::Sender::new(Network::Good);
        mem::replace(&mut *self.network.lock().unwrap(), good)
    }
}

fn address(url: &url::Url) -> String {
    let host = url.host_str().expect("it has a host");
    format!("{host}:{}", url.port().expect("it has a port"))
}

async fn accept(
    listener: TcpListener,
    upstream: Arc<Mutex<String>>,
    network: Arc<Mutex<watch::Sender<Network>>>,
) {
    // The connections end with the proxy.
    let open = CancellationToken::new();
    let _close = open.clone().drop_guard();
    while let Ok((client, _)) = listener.accept().await {
        let upstream = upstream.lock().unwrap().clone();
        let network = network.lock().unwrap().subscribe();
        let connection = open
            .clone()
            .run_until_cancelled_owned(connect(client, upstream, network));
        tokio::spawn(connection);
    }
}

async fn connect(mut client: TcpStream, upstream: String, network: watch::Receiver<Network>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        // Data that was held back must not pass when the connection is reset.
        let holds_requests = |network| {
            use Network::{BlackHole, NoRequests, Reset};
            matches!(network, BlackHole | NoRequests | Reset)
        };
        let holds_responses = |network| {
            use Network::{BlackHole, NoAnswers, Reset};
            matches!(network, BlackHole | NoAnswers | Reset)
        };
        let mut resets = network.clone();
        tokio::select! {
            () = forward(from_client, to_server, network.clone(), holds_requests) => return,
            () = forward(from_server, to_client, network, holds_responses) => return,
            _ = wait_until(&mut resets, |network| network == Network::Reset) => {}
        }
    }
    let _ = client.set_zero_linger();
}

/// Forwards data until either side closes.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
    holds: impl Fn(Network) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passes = |network| !holds(network);
        let chunk = match wait_until(&mut network, passes).await {
            Network::Slow(delay) => {
                sleep(delay).await;
                count
            }
            Network::Narrow(bytes_per_second) => (bytes_per_second / 100) as usize,
            _ => count,
        };
        for chunk in buffer[..count].chunks(chunk) {
            let is_narrow = matches!(*network.borrow(), Network::Narrow(_));
            if is_narrow {
                sleep(Duration::from_millis(10)).await;
            }
            if to.write_all(chunk).await.is_err() {
                return;
            }
        }
    }
    // The end of the stream is held back, too.
    wait_until(&mut network, |network| !holds(network)).await;
}

/// Waits until the fault fulfils the condition: for ever, if the sender of this connection was replaced.
async fn wait_until(
    network: &mut watch::Receiver<Network>,
    condition: impl Fn(Network) -> bool,
) -> Network {
    let now = network
        .wait_for(|network| condition(*network))
        .await
        .map(|now| *now);
    match now {
        Ok(now) => now,
        Err(_) => std::future::pending().await,
    }
}
