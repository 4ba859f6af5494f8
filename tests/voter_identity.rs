//! Voters are recognised: one voter has one vote, and nothing replaces a voter's cookie.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};

use crate::harness::{
    app::App,
    proxy::{Network, Proxy},
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::until_votes,
};

const FORM: &str = "application/x-www-form-urlencoded";

/// A client that keeps no cookies and goes nowhere by itself.
fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_mins(1))
        .redirect(Policy::none())
        .build()
        .expect("a client can be built")
}

async fn app(flags: &[&str]) -> (App, Storage) {
    let storage = Storage::new(Kind::Embedded)
        .await
        .expect("files can be made");
    (App::start(&storage, flags).await, storage)
}

/// A vote as `curl -d vote=KEY` sends it.
fn vote(url: &str, choice: &str) -> RequestBuilder {
    client()
        .post(url)
        .header("content-type", FORM)
        .body(format!("vote={choice}"))
}

async fn accepted(request: RequestBuilder) -> Response {
    let answer = request.send().await.expect("it answers");
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

/// The cookies that the response sets, each a name and a value.
fn cookies(answer: &Response) -> Vec<String> {
    let set = answer.headers().get_all("set-cookie").iter();
    set.map(|cookie| {
        cookie
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    })
    .collect()
}

fn cookie(answer: &Response) -> String {
    let mut cookies = cookies(answer);
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    cookies.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_voter_cookie_is_found_among_other_cookies() {
    let (app, _storage) = app(&[]).await;
    let pair = cookie(&accepted(vote(&app.vote, "a")).await);
    let (name, value) = pair.split_once('=').unwrap();
    let latin_1 = [b"name=J\xf6rg; ", pair.as_bytes()].concat();
    for header in [
        latin_1,
        format!("name=Jörg; {pair}").into_bytes(),
        format!("{name}=\"{value}\"").into_bytes(),
        format!("a=\"b; {pair}; c").into_bytes(),
    ] {
        accepted(vote(&app.vote, "b").header("cookie", &*header)).await;
        until_votes(&app.result, &[0, 1]).await;
        accepted(vote(&app.vote, "a").header("cookie", &*header)).await;
        until_votes(&app.result, &[1, 0]).await;
    }
    let other = vote(&app.vote, "b")
        .header("cookie", "x=y")
        .header("cookie", &pair);
    accepted(other).await;
    until_votes(&app.result, &[0, 1]).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_polls_on_one_host_use_separate_cookies() {
    let ((one, _one), (other, _other)) = (app(&[]).await, app(&[]).await);
    let mut jar = cookie(&accepted(vote(&one.vote, "a")).await);
    let of_other = accepted(vote(&other.vote, "a").header("cookie", &jar)).await;
    jar = format!("{jar}; {}", cookie(&of_other));
    for app in [&one, &other] {
        accepted(vote(&app.vote, "b").header("cookie", &jar)).await;
        until_votes(&app.result, &[0, 1]).await;
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_choice_of_another_poll_is_not_shown() {
    let (app, storage) = app(&[]).await;
    let jar = cookie(&accepted(vote(&app.vote, "a")).await);
    until_votes(&app.result, &[1, 0]).await;
    app.stop().await;
    let page = async |app: &App| {
        let request = client().get(&app.vote).header("cookie", &jar);
        accepted(request).await.text().await.unwrap()
    };
    for (options, is_shown) in [("a=Cat,b=Dog", true), ("a=Cats,c=Cows", false)] {
        let flags = [
            "--poll-question",
            "Cats or Dogs?",
            "--poll-options",
            options,
        ];
        let app = App::start(&storage, &flags).await;
        let page = page(&app).await;
        assert_eq!(page.contains("aria-pressed=\"true\""), is_shown, "{page}");
        assert_eq!(page.contains("is in."), is_shown, "{page}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_public_https_a_browser_on_http_stays_one_voter() {
    let (app, _storage) = app(&["--public-https", "true"]).await;
    let http = ("x-forwarded-proto", "http");
    let answer = accepted(vote(&app.vote, "a").header(http.0, http.1)).await;
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(!set.contains("Secure"), "a browser would drop it: {set}");
    let jar = cookie(&answer);
    let again = vote(&app.vote, "b")
        .header(http.0, http.1)
        .header("cookie", &jar);
    accepted(again).await;
    until_votes(&app.result, &[0, 1]).await;
    // And one that goes on over HTTPS stays who it is.
    let https = vote(&app.vote, "a").header("x-forwarded-proto", "https");
    let answer = accepted(https.header("cookie", &jar)).await;
    let secure = cookie(&answer);
    assert!(secure.starts_with("__Host-voter_id_"), "{secure}");
    accepted(vote(&app.vote, "b").header("cookie", format!("{jar}; {secure}"))).await;
    until_votes(&app.result, &[0, 1]).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_set_only_by_votes_and_by_forms_with_a_token() {
    let (app, _storage) = app(&[]).await;
    let browser = |request: RequestBuilder| request.header("sec-fetch-site", "same-origin");
    let page = accepted(browser(client().get(&app.vote))).await;
    assert_eq!(cookies(&page), [""; 0], "no vote was cast yet");
    assert!(!page.text().await.unwrap().contains("name=\"token\""));
    let old_browser = accepted(client().get(&app.vote)).await;
    let jar = cookie(&old_browser);
    assert!(old_browser.text().await.unwrap().contains("name=\"token\""));
    let known = accepted(client().get(&app.vote).header("cookie", jar)).await;
    assert_eq!(cookies(&known), [""; 0], "it has one");

    let refused = [
        vote(&app.vote, "a").header("sec-fetch-site", "cross-site"),
        vote(&app.vote, "a").header("origin", "http://evil.example"),
        vote(&app.vote, "c"),
        client().post(&app.vote),
        client().post(format!("{}/api/votes", app.vote)).body("{}"),
    ];
    for request in refused {
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_client_error());
        assert_eq!(cookies(&answer), [""; 0], "{}", answer.status());
    }
    app.stop().await;
}

/// The queue may have it, so the vote that is sent again must be the same voter's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_first_vote_sets_the_voter_cookie() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let app = App::start(&storage, &["--enqueue-timeout", "2s"]).await;
    accepted(vote(&app.vote, "a")).await;
    proxy.make(Network::NoAnswers);
    let api = client().post(format!("{}/api/votes", app.vote));
    let api = api
        .header("content-type", "application/json")
        .body("{\"choice\":\"a\"}");
    for request in [vote(&app.vote, "a"), api] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(cookies(&answer).len(), 1);
    }
    proxy.make(Network::Good);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_that_store_no_cookies_get_a_notice() {
    let (app, _storage) = app(&[]).await;
    let not_kept = "does not keep our cookie";
    // A script's vote from a page that had one before.
    let again = client()
        .post(&app.vote)
        .form(&[("vote", "a"), ("has-cookie", "1")]);
    let page = accepted(again).await.text().await.unwrap();
    assert!(
        page.contains(not_kept) && page.contains("Your vote is in."),
        "{page}"
    );
    // Without a script the browser goes to the page, and comes without what it was just given.
    let first = vote(&app.vote, "b")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin");
    let answer = first.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let page = format!(
        "{}/{}",
        app.vote,
        answer.headers()["location"].to_str().unwrap()
    );
    let next = |site: &str| client().get(&page).header("sec-fetch-site", site);
    let said = accepted(next("same-origin")).await.text().await.unwrap();
    assert!(said.contains(not_kept), "{said}");
    let keeps = next("same-origin").header("cookie", cookie(&answer));
    let said = accepted(keeps).await.text().await.unwrap();
    assert!(
        said.contains("Your vote for <bdi>Dogs</bdi> is in."),
        "{said}"
    );
    // A person who opens a shared link has not voted.
    for site in ["none", "cross-site"] {
        let said = accepted(next(site)).await.text().await.unwrap();
        assert!(said.contains("Choose one."), "{said}");
    }
    until_votes(&app.result, &[1, 1]).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_redirected_after_a_vote_and_programs_are_not() {
    let (app, _storage) = app(&[]).await;
    let html = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (headers, status) in [
        (
            vec![
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-site", "same-origin"),
            ],
            303,
        ),
        (vec![("accept", html), ("origin", &*app.vote)], 303),
        (
            vec![("accept", html), ("upgrade-insecure-requests", "1")],
            303,
        ),
        (
            vec![
                ("sec-fetch-mode", "cors"),
                ("sec-fetch-site", "same-origin"),
            ],
            200,
        ),
        (vec![("accept", "*/*"), ("origin", &*app.vote)], 200),
        (vec![], 200),
    ] {
        let request = headers
            .iter()
            .fold(vote(&app.vote, "a"), |request, (name, value)| {
                request.header(*name, *value)
            });
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{headers:?}");
        assert!(answer.headers()["cache-control"] == "no-store");
    }
    app.stop().await;
}

/// Before there is a cookie, too: a script sends the same word with a vote whose answer did not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_vote_belongs_to_the_same_voter() {
    let (app, _storage) = app(&[]).await;
    let send = |choice: &str, attempt: &str| {
        client()
            .post(&app.vote)
            .form(&[("vote", choice), ("attempt", attempt)])
    };
    accepted(send("a", "one")).await;
    let answer = accepted(send("b", "one")).await;
    until_votes(&app.result, &[0, 1]).await;
    accepted(send("b", "two")).await;
    until_votes(&app.result, &[0, 2]).await;
    // A cookie goes before.
    accepted(send("a", "three").header("cookie", cookie(&answer))).await;
    until_votes(&app.result, &[1, 1]).await;
    app.stop().await;
}
