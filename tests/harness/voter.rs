//! A voter whose client stores cookies.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

/// A voter.
#[derive(Clone)]
pub struct Voter {
    client: Client,
    vote: String,
}

/// A page as the voter sees it.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub html: String,
    pub retry_after: Option<String>,
}

/// A client with a timeout and without cookies and proxies.
pub fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_mins(1))
        .build()
        .expect("a client can be built")
}

impl Voter {
    pub fn new(vote: &str) -> Self {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .cookie_store(true)
            .build();
        Self {
            client: client.expect("a client can be built"),
            vote: vote.to_owned(),
        }
    }

    /// The same voter at another URL of the service.
    pub fn at(&self, vote: &str) -> Self {
        Self {
            client: self.client.clone(),
            vote: vote.to_owned(),
        }
    }

    pub async fn get_page(&self) -> Page {
        page(
            self.client
                .get(&self.vote)
                .send()
                .await
                .expect("the page responds"),
        )
        .await
    }

    pub async fn vote_for(&self, choice: &str) -> Page {
        self.post(
            "application/x-www-form-urlencoded",
            format!("vote={choice}"),
        )
        .await
    }

    /// Votes and asserts that the vote is accepted.
    pub async fn must_vote_for(&self, choice: &str) {
        let page = self.vote_for(choice).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    }

    pub async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Page {
        page(
            self.client
                .post(&self.vote)
                .header(CONTENT_TYPE, content_type)
                .body(body)
                .send()
                .await
                .expect("the page responds"),
        )
        .await
    }

    /// Votes by the API and returns the status and the JSON of the response.
    pub async fn api_vote(&self, body: impl Into<String>) -> (StatusCode, Value) {
        let request = self
            .client
            .post(format!("{}/api/votes", self.vote))
            .header(CONTENT_TYPE, "application/json");
        let response = request
            .body(body.into())
            .send()
            .await
            .expect("the API responds");
        (
            response.status(),
            response.json().await.expect("the response is JSON"),
        )
    }
}

async fn page(response: Response) -> Page {
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let (status, retry_after) = (response.status(), header("retry-after"));
    Page {
        status,
        html: response.text().await.expect("the page is text"),
        retry_after,
    }
}

impl Page {
    /// The keys of the options that are marked as the voter's choice.
    pub fn selected_options(&self) -> Vec<&str> {
        self.html
            .split("<button ")
            .skip(1)
            .filter(|button| button.contains("aria-pressed=\"true\""))
            .filter_map(|button| button.split("id=\"").nth(1)?.split('"').next())
            .collect()
    }
}
