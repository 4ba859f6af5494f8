//! HTTP requests, each on a connection of its own, to inspect a service from outside.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

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
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response
        .split_once("\r\n\r\n")
        .context("the response has no complete head")?;
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "the response is {:?}",
        head.lines().next()
    );
    Ok(body.to_owned())
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
