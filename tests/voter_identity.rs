//! Identification of voters: one voter has one vote, and requests do not replace the cookie of a voter.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};

use crate::harness::{
    app::App,
    proxy::{Proxy, Toxic},
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::wait_for_votes,
};

const FORM: &str = "application/x-www-form-urlencoded";

/// A client that stores no cookies and follows no redirects.
fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_mins(1))
        .redirect(Policy::none())
        .build()
        .expect("a client can be built")
}

async fn app(flags: &[&str]) -> (App, Storage) {
    let storage = Storage::new(Backend::Embedded)
        .await
        .expect("files can be created");
    (App::start(&storage, flags).await, storage)
}

/// A vote as `curl -d vote=KEY` sends it.
fn vote(url: &str, choice: &str) -> RequestBuilder {
    client()
        .post(url)
        .header("content-type", FORM)
        .body(format!("vote={choice}"))
}

/// Sends a request, which must succeed.
async fn accepted(request: RequestBuilder) -> Response {
    let response = request.send().await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    response
}

/// The cookies that the response sets, each as `name=value`.
fn cookies(response: &Response) -> Vec<String> {
    let set = response.headers().get_all("set-cookie").iter();
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

/// The only cookie that the response sets.
fn cookie(response: &Response) -> String {
    let mut cookies = cookies(response);
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
        wait_for_votes(&app.result, &[0, 1]).await;
        accepted(vote(&app.vote, "a").header("cookie", &*header)).await;
        wait_for_votes(&app.result, &[1, 0]).await;
    }
    let other = vote(&app.vote, "b")
        .header("cookie", "x=y")
        .header("cookie", &pair);
    accepted(other).await;
    wait_for_votes(&app.result, &[0, 1]).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_polls_on_one_host_use_separate_cookies() {
    let ((poll_a, _storage_a), (poll_b, _storage_b)) = (app(&[]).await, app(&[]).await);
    let mut cookie_header = cookie(&accepted(vote(&poll_a.vote, "a")).await);
    let from_b = accepted(vote(&poll_b.vote, "a").header("cookie", &cookie_header)).await;
    cookie_header = format!("{cookie_header}; {}", cookie(&from_b));
    for app in [&poll_a, &poll_b] {
        accepted(vote(&app.vote, "b").header("cookie", &cookie_header)).await;
        wait_for_votes(&app.result, &[0, 1]).await;
    }
    poll_a.stop().await;
    poll_b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_choice_of_another_poll_is_not_shown() {
    let (app, storage) = app(&[]).await;
    let cookie_header = cookie(&accepted(vote(&app.vote, "a")).await);
    wait_for_votes(&app.result, &[1, 0]).await;
    app.stop().await;
    let page = async |app: &App| {
        let request = client().get(&app.vote).header("cookie", &cookie_header);
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
    let response = accepted(vote(&app.vote, "a").header(http.0, http.1)).await;
    let set = response.headers()["set-cookie"].to_str().unwrap();
    assert!(!set.contains("Secure"), "a browser would drop it: {set}");
    let cookie_header = cookie(&response);
    let again = vote(&app.vote, "b")
        .header(http.0, http.1)
        .header("cookie", &cookie_header);
    accepted(again).await;
    wait_for_votes(&app.result, &[0, 1]).await;
    // A browser that continues over HTTPS stays the same voter.
    let https = vote(&app.vote, "a").header("x-forwarded-proto", "https");
    let response = accepted(https.header("cookie", &cookie_header)).await;
    let secure = cookie(&response);
    assert!(secure.starts_with("__Host-voter_id_"), "{secure}");
    accepted(vote(&app.vote, "b").header("cookie", format!("{cookie_header}; {secure}"))).await;
    wait_for_votes(&app.result, &[0, 1]).await;
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
    let cookie_header = cookie(&old_browser);
    assert!(old_browser.text().await.unwrap().contains("name=\"token\""));
    let known = accepted(client().get(&app.vote).header("cookie", cookie_header)).await;
    assert_eq!(cookies(&known), [""; 0], "the browser has a cookie");

    let rejected = [
        vote(&app.vote, "a").header("sec-fetch-site", "cross-site"),
        vote(&app.vote, "a").header("origin", "http://evil.example"),
        vote(&app.vote, "c"),
        client().post(&app.vote),
        client().post(format!("{}/api/votes", app.vote)).body("{}"),
    ];
    for request in rejected {
        let response = request.send().await.unwrap();
        assert!(response.status().is_client_error());
        assert_eq!(cookies(&response), [""; 0], "{}", response.status());
    }
    app.stop().await;
}

/// The queue may have the ballot, so a repeated vote must belong to the same voter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_first_vote_sets_the_voter_cookie() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let app = App::start(&storage, &["--enqueue-timeout", "2s"]).await;
    accepted(vote(&app.vote, "a")).await;
    proxy.set_toxic(Toxic::TimeoutDownstream);
    let api = client().post(format!("{}/api/votes", app.vote));
    let api = api
        .header("content-type", "application/json")
        .body("{\"choice\":\"a\"}");
    for request in [vote(&app.vote, "a"), api] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(cookies(&response).len(), 1);
    }
    proxy.set_toxic(Toxic::None);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_that_store_no_cookies_get_a_notice() {
    let (app, _storage) = app(&[]).await;
    let notice = "does not keep our cookie";
    // A vote by script from a page that had a cookie before.
    let again = client()
        .post(&app.vote)
        .form(&[("vote", "a"), ("has-cookie", "1")]);
    let page = accepted(again).await.text().await.unwrap();
    assert!(
        page.contains(notice) && page.contains("Your vote is in."),
        "{page}"
    );
    // Without a script the browser follows the redirect, without the cookie that it just received.
    let first = vote(&app.vote, "b")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin");
    let response = first.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let page = format!(
        "{}/{}",
        app.vote,
        response.headers()["location"].to_str().unwrap()
    );
    let next = |site: &str| client().get(&page).header("sec-fetch-site", site);
    let page = accepted(next("same-origin")).await.text().await.unwrap();
    assert!(page.contains(notice), "{page}");
    let with_cookie = next("same-origin").header("cookie", cookie(&response));
    let page = accepted(with_cookie).await.text().await.unwrap();
    assert!(
        page.contains("Your vote for <bdi>Dogs</bdi> is in."),
        "{page}"
    );
    // A visitor who opens a shared link has not voted.
    for site in ["none", "cross-site"] {
        let page = accepted(next(site)).await.text().await.unwrap();
        assert!(page.contains("Choose one."), "{page}");
    }
    wait_for_votes(&app.result, &[1, 1]).await;
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
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        assert!(response.headers()["cache-control"] == "no-store");
    }
    app.stop().await;
}

/// Even without a cookie: a script repeats a vote without a response with the same attempt id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_vote_belongs_to_the_same_voter() {
    let (app, _storage) = app(&[]).await;
    let send = |choice: &str, attempt: &str| {
        client()
            .post(&app.vote)
            .form(&[("vote", choice), ("attempt", attempt)])
    };
    accepted(send("a", "one")).await;
    let response = accepted(send("b", "one")).await;
    wait_for_votes(&app.result, &[0, 1]).await;
    accepted(send("b", "two")).await;
    wait_for_votes(&app.result, &[0, 2]).await;
    // A cookie takes precedence over the attempt id.
    accepted(send("a", "three").header("cookie", cookie(&response))).await;
    wait_for_votes(&app.result, &[1, 1]).await;
    app.stop().await;
}
