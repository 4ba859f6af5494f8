//! The sockets that a service listens on.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// The length of the kernel's queue of new connections, as tokio's own listeners have it.
const BACKLOG: i32 = 1024;

/// Binds an address. `[::]` is all addresses: of IPv6 and of IPv4, and those of IPv4 where the machine has no IPv6.
///
/// # Errors
/// It is in use or not ours; the message names it.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = if address.is_ipv6() && address.ip().is_unspecified() {
        or_ipv4(dual_stack(address), address.port()).await
    } else {
        TcpListener::bind(address).await
    };
    listener.map_err(|error| ListenError {
        address,
        reason: reason(&error),
    })
}

/// Listens on the address for operators and Prometheus, where there is one, and says so.
///
/// # Errors
/// The address cannot be used; the message names the variable.
pub async fn listen_for_management(
    variable: &'static str,
    address: Option<SocketAddr>,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = listen(address).await.context(variable)?;
    tracing::info!(address = %listener.local_addr()?, variable, "management listens");
    Ok(Some(listener))
}

/// The listener, or one for IPv4 alone where there can be none for IPv6. A port that is taken is taken for both.
async fn or_ipv4(dual: io::Result<TcpListener>, port: u16) -> io::Result<TcpListener> {
    match dual {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// A listener for both protocols, whatever the system's default for that is.
fn dual_stack(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    // As tokio does: connections of the previous process that are still closing do not block the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    address: SocketAddr,
    reason: String,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program is using this port; choose another one or end that program".into()
        }
        io::ErrorKind::PermissionDenied => {
            "this port needs more rights; choose one from 1024 to 65535".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own, 127.0.0.1 for this machine alone, or 0.0.0.0 for all"
                .into()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_are_those_of_both_protocols() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = TcpListener::bind("[::1]:0").await.is_ok();
        for address in ["127.0.0.1", "::1"].into_iter().take(1 + usize::from(here)) {
            let (connected, accepted) = tokio::join!(
                tokio::net::TcpStream::connect((address, port)),
                listener.accept()
            );
            connected.unwrap();
            accepted.unwrap();
        }
        let twice = listen(SocketAddr::new([0; 8].into(), port))
            .await
            .unwrap_err();
        assert!(
            twice
                .to_string()
                .contains("another program is using this port")
        );
    }

    #[tokio::test]
    async fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let no_ipv6 = io::Error::from_raw_os_error(97); // EAFNOSUPPORT
        let listener = or_ipv4(Err(no_ipv6), 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), Ipv4Addr::UNSPECIFIED);
        let taken = or_ipv4(Err(io::ErrorKind::AddrInUse.into()), 0).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
