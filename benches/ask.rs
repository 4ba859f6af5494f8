//! One request on a connection of its own, for looking at a service from outside.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

const PATIENCE: Duration = Duration::from_secs(10);

/// `GET` of a path: the body of a good answer.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
    )
}

/// A vote, as the page's form sends it: the page that is the answer.
pub fn vote(address: SocketAddr, key: &str) -> anyhow::Result<String> {
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
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer has no end")?;
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "the answer is {:?}",
        head.lines().next()
    );
    Ok(body.to_owned())
}

/// The sum of all samples of a metric whose line has this text.
pub fn metric(address: SocketAddr, name: &str, label: &str) -> anyhow::Result<f64> {
    let text = get(address, "/metrics")?;
    let samples = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(samples.sum())
}
