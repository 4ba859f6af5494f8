//! A browser behind a proxy over plain HTTP. It sends no `Sec-Fetch-Site`, because the site is not localhost.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect::Policy};

use super::servers::HOST;

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// A browser with cookies.
pub struct Visitor {
    client: Client,
    pub page: Url,
    /// The hidden fields of the form on the page.
    fields: Vec<(String, String)>,
}

/// A loaded page.
pub struct LoadedPage {
    pub status: StatusCode,
    pub html: String,
}

impl Visitor {
    pub fn new(port: u16) -> Self {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .cookie_store(true)
            .redirect(Policy::none())
            .resolve(HOST, ([127, 0, 0, 1], port).into());
        Self {
            client: client.build().expect("a client can be built"),
            page: Url::parse(&format!("http://{HOST}:{port}/")).expect("a valid URL"),
            fields: Vec::new(),
        }
    }

    /// Loads the page.
    pub async fn load(&mut self) -> LoadedPage {
        self.get(self.page.clone()).await
    }

    async fn get(&mut self, page: Url) -> LoadedPage {
        let request = self.client.get(page).header("accept", HTML);
        let request = request.header("upgrade-insecure-requests", "1");
        self.read(request.send().await.expect("a response")).await
    }

    /// Votes as a form without a script, and follows the redirect.
    pub async fn vote_without_script(&mut self, choice: &str) -> LoadedPage {
        let request = self.request(choice).header("accept", HTML);
        let response = request.send().await.expect("a response");
        if response.status() != StatusCode::SEE_OTHER {
            return self.read(response).await;
        }
        let location = response.headers()["location"]
            .to_str()
            .expect("a valid URL");
        let next = self.page.join(location).expect("a valid URL");
        self.get(next).await
    }

    /// Votes as the script of the page does.
    pub async fn vote_by_script(&mut self, choice: &str) -> LoadedPage {
        let request = self.request(choice).header("accept", "*/*");
        self.read(request.send().await.expect("a response")).await
    }

    fn request(&self, choice: &str) -> RequestBuilder {
        let vote = [("vote".to_owned(), choice.to_owned())];
        let form: Vec<_> = self.fields.iter().chain(&vote).collect();
        let origin = self.page.origin().ascii_serialization();
        self.client
            .request(Method::POST, self.page.clone())
            .header("origin", origin)
            .form(&form)
    }

    async fn read(&mut self, response: Response) -> LoadedPage {
        let status = response.status();
        let html = response.text().await.expect("the page is text");
        // Labels are wrapped in <bdi>.
        let html = html.replace("<bdi>", "").replace("</bdi>", "");
        let fields = html.split("<input type=\"hidden\" name=\"").skip(1);
        let field = |text: &str| {
            let (name, rest) = text.split_once("\" value=\"")?;
            Some((name.to_owned(), rest.split('"').next()?.to_owned()))
        };
        self.fields = fields.filter_map(field).collect();
        LoadedPage { status, html }
    }

    /// Votes from a page of another site: without the cookie, which is `SameSite=Lax`.
    pub async fn vote_cross_site(&self) -> Response {
        let without_cookies = Client::builder()
            .no_proxy()
            .resolve(
                HOST,
                (
                    [127, 0, 0, 1],
                    self.page.port().expect("the URL has a port"),
                )
                    .into(),
            )
            .build()
            .expect("a client can be built");
        self.send_cross_site(&without_cookies).await
    }

    /// Votes from a page of another site in a browser that does not support `SameSite`.
    pub async fn vote_cross_site_with_cookie(&self) -> Response {
        self.send_cross_site(&self.client).await
    }

    async fn send_cross_site(&self, client: &Client) -> Response {
        let request = client.post(self.page.clone()).header("accept", HTML);
        let request = request.header("origin", "http://evil.example");
        request
            .form(&[("vote", "b")])
            .send()
            .await
            .expect("a response")
    }
}
