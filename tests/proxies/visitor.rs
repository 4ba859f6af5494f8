//! A browser at a proxy over plain HTTP: it sends no `Sec-Fetch-Site`, because the site is not localhost.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect::Policy};

use super::servers::HOST;

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// A browser with its cookies.
pub struct Visitor {
    client: Client,
    pub page: Url,
    /// The fields of the form on the page besides its buttons.
    fields: Vec<(String, String)>,
}

/// A page as a voter sees it.
pub struct Seen {
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
            page: Url::parse(&format!("http://{HOST}:{port}/")).expect("it is a URL"),
            fields: Vec::new(),
        }
    }

    /// Goes to a page.
    pub async fn look(&mut self) -> Seen {
        self.go(self.page.clone()).await
    }

    async fn go(&mut self, page: Url) -> Seen {
        let request = self.client.get(page).header("accept", HTML);
        let request = request.header("upgrade-insecure-requests", "1");
        self.see(request.send().await.expect("the page answers"))
            .await
    }

    /// Votes as a form does without a script, and goes where the answer sends it.
    pub async fn vote_without_script(&mut self, choice: &str) -> Seen {
        let request = self.request(choice).header("accept", HTML);
        let answer = request.send().await.expect("the page answers");
        if answer.status() != StatusCode::SEE_OTHER {
            return self.see(answer).await;
        }
        let location = answer.headers()["location"].to_str().expect("it is a URL");
        let next = self.page.join(location).expect("it is a URL");
        self.go(next).await
    }

    /// Votes as the page's script does.
    pub async fn vote_by_script(&mut self, choice: &str) -> Seen {
        let request = self.request(choice).header("accept", "*/*");
        self.see(request.send().await.expect("the page answers"))
            .await
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

    async fn see(&mut self, answer: Response) -> Seen {
        let status = answer.status();
        let html = answer.text().await.expect("the page is text");
        // Labels are set apart from the text around them.
        let html = html.replace("<bdi>", "").replace("</bdi>", "");
        let fields = html.split("<input type=\"hidden\" name=\"").skip(1);
        let field = |text: &str| {
            let (name, rest) = text.split_once("\" value=\"")?;
            Some((name.to_owned(), rest.split('"').next()?.to_owned()))
        };
        self.fields = fields.filter_map(field).collect();
        Seen { status, html }
    }

    /// Votes as a page of another site makes the browser do: without the cookie, which is `SameSite=Lax`.
    pub async fn lured(&self) -> Response {
        let plain = Client::builder()
            .no_proxy()
            .resolve(
                HOST,
                ([127, 0, 0, 1], self.page.port().expect("it has one")).into(),
            )
            .build()
            .expect("a client can be built");
        self.lured_as(&plain).await
    }

    /// The same by a browser that does not know `SameSite`.
    pub async fn lured_with_cookie(&self) -> Response {
        self.lured_as(&self.client).await
    }

    async fn lured_as(&self, client: &Client) -> Response {
        let request = client.post(self.page.clone()).header("accept", HTML);
        let request = request.header("origin", "http://evil.example");
        request
            .form(&[("vote", "b")])
            .send()
            .await
            .expect("it answers")
    }
}
