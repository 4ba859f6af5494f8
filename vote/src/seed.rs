//! Seeds a voting page with votes, each by a new voter.

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

/// Timeout of one vote with its retries. After it the seeding fails.
const VOTE_TIMEOUT: Duration = Duration::from_mins(1);

/// Settings of the seeding.
#[derive(Args, Clone, Debug)]
pub struct SeedSettings {
    /// URL of the voting page
    #[arg(long, default_value = "http://localhost:8080/")]
    pub url: Uri,

    /// Number of voters that vote at the same time
    #[arg(long, default_value_t = 50, value_parser = whole_number(1_usize..=10_000))]
    pub connections: usize,

    /// Number of votes for an option, such as a=2000
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

/// Casts the votes. Each is counted exactly once: a voter gets a cookie first, so that a retry has the same voter.
///
/// # Errors
/// The page rejects a vote, or does not accept it within a minute.
pub async fn seed(settings: &SeedSettings) -> anyhow::Result<()> {
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let permits = Arc::new(Semaphore::new(settings.connections.max(1)));
    let mut voters = JoinSet::new();
    for (option, count) in &settings.votes {
        for _ in 0..*count {
            let permit = permits.clone().acquire_owned().await?;
            let (client, url, option) = (client.clone(), settings.url.clone(), option.clone());
            voters.spawn(async move {
                let result = vote(&client, &url, &option).await;
                drop(permit);
                result
            });
            while let Some(result) = voters.try_join_next() {
                result??;
            }
        }
        println!("{count} votes for {option}");
    }
    while let Some(result) = voters.join_next().await {
        result??;
    }
    Ok(())
}

async fn vote(client: &HttpClient, url: &Uri, option: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + VOTE_TIMEOUT;
    let mut backoff = Backoff::default();
    let mut cookie = None;
    loop {
        match attempt(client, url, option, &mut cookie).await {
            Ok(StatusCode::OK) => return Ok(()),
            Ok(status) if status.is_client_error() => {
                bail!("{url} rejected a vote for {option:?} with {status}")
            }
            failure if Instant::now() > deadline => {
                let status = failure?;
                bail!("{url} did not accept a vote within a minute: {status}");
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
    let cookie = match cookie {
        Some(cookie) => cookie.clone(),
        None => cookie.insert(new_voter(client, url).await?).clone(),
    };
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, cookie)
        .body(Full::from(format!("vote={option}")))?;
    Ok(client
        .request(request)
        .await
        .with_context(|| format!("{url} does not respond"))?
        .status())
}

/// Returns the cookie of a new voter.
async fn new_voter(client: &HttpClient, url: &Uri) -> anyhow::Result<String> {
    let page = client
        .get(url.clone())
        .await
        .with_context(|| format!("{url} does not respond"))?;
    ensure!(
        page.status().is_success(),
        "{url} responded with {}",
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
