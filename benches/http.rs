//! HTTP requests, each on a connection of its own, to inspect a service from outside.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use local_servers::block_on;
use tokio::time::timeout;

use crate::client::Connection;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends `GET` of a path and returns the body of the response, which must be a 200.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
    )
}

/// Sends a vote as the page's form does and returns the page.
pub fn post_vote(address: SocketAddr, key: &str) -> anyhow::Result<String> {
    let body = format!("vote={key}");
    send(
        address,
        &format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn send(address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let exchange = async {
        let mut connection = Connection::open(address).await?;
        let response = connection.exchange(request.as_bytes()).await?;
        ensure!(response.status == 200, "the status is {}", response.status);
        Ok(String::from_utf8(connection.body().to_vec())?)
    };
    block_on(async { timeout(TIMEOUT, exchange).await? })
}

/// The sum of all samples of a metric whose line contains the label.
pub fn sum_metric(address: SocketAddr, name: &str, label: &str) -> anyhow::Result<f64> {
    let text = get(address, "/metrics")?;
    let samples = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(samples.sum())
}
