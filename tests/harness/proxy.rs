//! A TCP proxy that breaks the network between a service and its server, while connections are open.

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

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Good,
    /// All that is sent comes later by so much.
    Slow(Duration),
    /// So many bytes pass in a second in each direction, and the others wait in line.
    Narrow(u32),
    /// Connections are made, and nothing that is sent arrives.
    BlackHole,
    /// What clients send does not arrive.
    NoRequests,
    /// What the server answers does not arrive.
    NoAnswers,
    /// Every connection is reset at once.
    Reset,
}

/// A way to a server.
pub struct Proxy {
    /// Where new connections lead.
    target: Arc<Mutex<String>>,
    /// A connection keeps the one under which it was made.
    network: Arc<Mutex<watch::Sender<Network>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A good way to the server of this URL, and the URL that leads along it.
    pub async fn to(url: &str) -> (Self, String) {
        let mut url = url::Url::parse(url).expect("it is a URL");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let target = Arc::new(Mutex::new(address(&url)));
        let network = Arc::new(Mutex::new(watch::Sender::new(Network::Good)));
        let accepting = tokio::spawn(accept(listener, target.clone(), network.clone()));
        url.set_host(Some("127.0.0.1")).expect("it has a host");
        url.set_port(Some(port)).expect("it has a port");
        let proxy = Self {
            target,
            network,
            _accepting: AbortOnDropHandle::new(accepting),
        };
        (proxy, url.into())
    }

    /// Leads new connections to another server, as a name does after a failover; those that are open stay.
    pub fn lead_to(&self, url: &str) {
        *self.target.lock().unwrap() = address(&url::Url::parse(url).expect("it is a URL"));
    }

    /// Makes the network so, for open connections too. What was held back goes on once it may.
    pub fn make(&self, network: Network) {
        self.network.lock().unwrap().send_replace(network);
    }

    /// Resets the connections that are open; new ones are good.
    pub fn reset_open_connections(&self) {
        self.make_anew().send_replace(Network::Reset);
    }

    /// Mends it for new connections only: those that are open have been forgotten on the way, and nobody says so.
    pub fn mend_for_new_connections(&self) {
        drop(self.make_anew());
    }

    /// Makes a good network for new connections. Returns that of those that are open.
    fn make_anew(&self) -> watch::Sender<Network> {
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
    target: Arc<Mutex<String>>,
    network: Arc<Mutex<watch::Sender<Network>>>,
) {
    // Its connections end with the proxy.
    let open = CancellationToken::new();
    let _close = open.clone().drop_guard();
    while let Ok((client, _)) = listener.accept().await {
        let target = target.lock().unwrap().clone();
        let network = network.lock().unwrap().subscribe();
        let connection = open
            .clone()
            .run_until_cancelled_owned(connect(client, target, network));
        tokio::spawn(connection);
    }
}

async fn connect(mut client: TcpStream, target: String, network: watch::Receiver<Network>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        // What was held back does not slip through when the connection is reset.
        let holds_requests = |network| {
            use Network::{BlackHole, NoRequests, Reset};
            matches!(network, BlackHole | NoRequests | Reset)
        };
        let holds_answers = |network| {
            use Network::{BlackHole, NoAnswers, Reset};
            matches!(network, BlackHole | NoAnswers | Reset)
        };
        let mut resets = network.clone();
        tokio::select! {
            () = pass(from_client, to_server, network.clone(), holds_requests) => return,
            () = pass(from_server, to_client, network, holds_answers) => return,
            _ = until(&mut resets, |network| network == Network::Reset) => {}
        }
    }
    let _ = client.set_zero_linger();
}

/// Passes on what comes, until either side ends.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
    holds: impl Fn(Network) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passes = |network| !holds(network);
        let piece = match until(&mut network, passes).await {
            Network::Slow(delay) => {
                sleep(delay).await;
                count
            }
            Network::Narrow(bytes_per_second) => (bytes_per_second / 100) as usize,
            _ => count,
        };
        for piece in buffer[..count].chunks(piece) {
            let is_narrow = matches!(*network.borrow(), Network::Narrow(_));
            if is_narrow {
                sleep(Duration::from_millis(10)).await;
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
    }
    // A goodbye is held back too.
    until(&mut network, |network| !holds(network)).await;
}

/// Waits until the network is so: for ever, if this connection has been forgotten.
async fn until(network: &mut watch::Receiver<Network>, so: impl Fn(Network) -> bool) -> Network {
    let now = network
        .wait_for(|network| so(*network))
        .await
        .map(|now| *now);
    match now {
        Ok(now) => now,
        Err(_) => std::future::pending().await,
    }
}
