//! The listeners of a service.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Length of the kernel's accept queue, as in tokio's listeners.
const BACKLOG: i32 = 1024;

/// Binds an address. `[::]` stands for all IPv6 and IPv4 addresses, or for all IPv4 addresses on a machine without IPv6.
///
/// # Errors
/// The address cannot be bound; the message names it.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = if address.is_ipv6() && address.ip().is_unspecified() {
        fall_back_to_ipv4(bind_dual_stack(address), address.port()).await
    } else {
        TcpListener::bind(address).await
    };
    listener.map_err(|error| ListenError {
        address,
        reason: describe(&error),
    })
}

/// Binds the management address, for operators and Prometheus, if there is one, and logs it.
///
/// # Errors
/// The address cannot be bound; the message names the variable.
pub async fn listen_for_management(
    variable: &'static str,
    address: Option<SocketAddr>,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = listen(address).await.context(variable)?;
    tracing::info!(address = %listener.local_addr()?, variable, "management listening");
    Ok(Some(listener))
}

/// Returns the dual-stack listener, or binds all IPv4 addresses if IPv6 is unavailable. A port in use is an error in both cases.
async fn fall_back_to_ipv4(
    dual_stack: io::Result<TcpListener>,
    port: u16,
) -> io::Result<TcpListener> {
    match dual_stack {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// Binds an IPv6 address for IPv6 and IPv4, independent of the system's default.
fn bind_dual_stack(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    // As tokio does, so that connections of the previous process in TIME_WAIT do not block the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    address: SocketAddr,
    reason: String,
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program is using this port; choose another port or stop that program".into()
        }
        io::ErrorKind::PermissionDenied => {
            "this port needs more privileges; choose a port from 1024 to 65535".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its addresses, 127.0.0.1 for this machine only, or 0.0.0.0 for all"
                .into()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_unspecified_address_accepts_ipv6_and_ipv4() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let has_ipv6 = TcpListener::bind("[::1]:0").await.is_ok();
        for address in ["127.0.0.1", "::1"]
            .into_iter()
            .take(1 + usize::from(has_ipv6))
        {
            let (connected, accepted) = tokio::join!(
                tokio::net::TcpStream::connect((address, port)),
                listener.accept()
            );
            connected.unwrap();
            accepted.unwrap();
        }
        let error = listen(SocketAddr::new([0; 8].into(), port))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("another program is using this port")
        );
    }

    #[tokio::test]
    async fn a_machine_without_ipv6_listens_on_all_ipv4_addresses() {
        let no_ipv6 = io::Error::from_raw_os_error(97); // EAFNOSUPPORT
        let listener = fall_back_to_ipv4(Err(no_ipv6), 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), Ipv4Addr::UNSPECIFIED);
        let in_use = fall_back_to_ipv4(Err(io::ErrorKind::AddrInUse.into()), 0).await;
        assert_eq!(in_use.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
