//! Votes to begin with: a voting page is given so many votes for each option, each by a voter of its own.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use axum::{
    body::Bytes,
    http::{Request, StatusCode, Uri, header},
};
use clap::Args;
use cli::whole_number;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use retry::Backoff;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long one voter tries before the seeding is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// What to seed.
#[derive(Args, Clone, Debug)]
pub struct SeedSettings {
    /// The voting page
    #[arg(long, default_value = "http://localhost:8080/")]
    pub url: Uri,

    /// How many voters vote at the same time
    #[arg(long, default_value_t = 50, value_parser = whole_number(1_usize..=10_000))]
    pub connections: usize,

    /// How many votes for which option, such as a=2000
    #[arg(required = true, value_parser = votes)]
    pub votes: Vec<(String, u64)>,
}

fn votes(raw: &str) -> Result<(String, u64), String> {
    let votes = raw
        .split_once('=')
        .and_then(|(option, count)| Some((option.to_owned(), count.parse().ok()?)));
    votes.ok_or_else(|| "write OPTION=NUMBER, such as a=2000".into())
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Casts the votes. Each is counted exactly once: a voter first gets a cookie, so that a vote that has to be sent again
/// is the same voter's.
///
/// # Errors
/// The page refuses a vote, or does not take it in for a minute.
pub async fn seed(settings: &SeedSettings) -> anyhow::Result<()> {
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let room = Arc::new(Semaphore::new(settings.connections.max(1)));
    let mut voters = JoinSet::new();
    for (option, count) in &settings.votes {
        for _ in 0..*count {
            let permit = room.clone().acquire_owned().await?;
            let (client, url, option) = (client.clone(), settings.url.clone(), option.clone());
            voters.spawn(async move {
                let voted = vote(&client, &url, &option).await;
                drop(permit);
                voted
            });
            while let Some(voted) = voters.try_join_next() {
                voted??;
            }
        }
        println!("{count} votes for {option}");
    }
    while let Some(voted) = voters.join_next().await {
        voted??;
    }
    Ok(())
}

async fn vote(client: &HttpClient, url: &Uri, option: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut backoff = Backoff::default();
    let mut cookie = None;
    loop {
        match attempt(client, url, option, &mut cookie).await {
            Ok(StatusCode::OK) => return Ok(()),
            Ok(status) if status.is_client_error() => {
                bail!("{url} refuses a vote for {option:?} with {status}")
            }
            unsuccessful if Instant::now() > deadline => {
                let status = unsuccessful?;
                bail!("{url} does not take votes in: {status}");
            }
            Ok(_) | Err(_) => sleep(backoff.next_delay()).await,
        }
    }
}

async fn attempt(
    client: &HttpClient,
    url: &Uri,
    option: &str,
    cookie: &mut Option<String>,
) -> anyhow::Result<StatusCode> {
    let known = match cookie {
        Some(cookie) => cookie.clone(),
        None => cookie.insert(new_voter(client, url).await?).clone(),
    };
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, known)
        .body(Full::from(format!("vote={option}")))?;
    Ok(client
        .request(request)
        .await
        .with_context(|| format!("{url} does not answer"))?
        .status())
}

/// The cookie of somebody who has not voted yet.
async fn new_voter(client: &HttpClient, url: &Uri) -> anyhow::Result<String> {
    let page = client
        .get(url.clone())
        .await
        .with_context(|| format!("{url} does not answer"))?;
    ensure!(
        page.status().is_success(),
        "{url} answers {}",
        page.status()
    );
    let cookie = page
        .headers()
        .get(header::SET_COOKIE)
        .and_then(|cookie| cookie.to_str().ok());
    let cookie = cookie
        .and_then(|cookie| cookie.split(';').next())
        .context("the page sets no cookie")?;
    Ok(cookie.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_written_as_option_and_number() {
        assert_eq!(votes("a=2000"), Ok(("a".to_owned(), 2000)));
        for bad in ["", "a", "a=", "a=-1", "a=x"] {
            assert!(votes(bad).is_err(), "{bad}");
        }
    }
}
