//! The pages in other browsers: old Chromiums, Firefox and WebKit, with and without scripts.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use thirtyfour::{By, Capabilities, WebDriver};
use tokio::time::timeout;

use super::{embedded, proxies::PROXIES};
use crate::{
    harness::{
        app::App,
        browser::{browser_permit, chromium},
        eventually, find_program,
        skip::or_skip,
        viewer::{get_json, wait_for_votes},
        web_driver::WebDriverServer,
    },
    proxies::servers::{Configuration, HOST, Proxy, Software},
};

/// The oldest supported Chromium and later ones that lack a feature: 80 has no `submitter` of a form's event, 92 no
/// `AbortSignal.timeout`, 112 and 121 no `light-dark()`.
const CHROMIUMS: [&str; 5] = [
    "chromium-80",
    "chromium-92",
    "chromium-112",
    "chromium-121",
    "chromium",
];
const FIREFOX: &str = "firefox";

/// The folder in which `.ci/checks/old-browsers` installs the browsers.
fn folder() -> Result<PathBuf, String> {
    let home = std::env::var("HOME").map_err(|_| "HOME is not set".to_owned())?;
    let folder = PathBuf::from(home).join(".cache/voting-app/browsers");
    let missing = || {
        Err("other browsers are missing; run .ci/checks/old-browsers (needs Node.js)".to_owned())
    };
    if folder.join("chromium-80/chromium").is_file() && find_program("node", &[]).is_some() {
        Ok(folder)
    } else {
        missing()
    }
}

/// The program of a browser; current versions are those of the system.
fn program(engine: &str) -> Result<PathBuf, String> {
    let (found, package) = match engine {
        FIREFOX => {
            let names = ["firefox-esr", "firefox"];
            let found = names.iter().find_map(|name| find_program(name, &[]));
            (found, "firefox-esr")
        }
        "chromium" => (chromium(), "chromium"),
        old => return Ok(folder()?.join(old).join("chromium")),
    };
    found.ok_or_else(|| format!("there is no {engine} (Debian: {package})"))
}

/// Runs the script of the journey in this browser and returns its observations.
async fn journey(engine: &str, scripts: bool, vote: &str, result: &str) -> Result<Value, String> {
    let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
    let task = json!({
        "folder": folder()?, "engine": engine, "program": program(engine)?, "scripts": scripts,
        "vote": vote, "result": result, "profile": profile.path(),
    });
    let _turn = browser_permit().await;
    let output = tokio::process::Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/browser/journey.cjs"))
        .arg(task.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("node cannot be run: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let failed = || String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(serde_json::from_str(&stdout)
        .unwrap_or_else(|_| panic!("{engine}, scripts {scripts}: {}", failed())))
}

/// Votes twice as one voter through a proxy, with and without scripts, and checks the pages and the tally.
async fn check_journey(engine: &str, proxy: (Software, Configuration)) -> Result<(), String> {
    for scripts in [true, false] {
        let storage = embedded().await;
        let app = App::start(&storage, &[]).await;
        wait_for_votes(&app.result, &[0, 0]).await;
        // A vote of another voter, so that the chart has lines.
        crate::harness::voter::Voter::new(&app.vote)
            .must_vote_for("a")
            .await;
        wait_for_timeline(&app).await;
        let (software, configuration) = proxy;
        let proxy = Proxy::start(software, configuration, &app.vote, &app.result)?;
        let vote = format!("http://{HOST}:{}/", proxy.port);
        let seen = journey(engine, scripts, &vote, &format!("{}/", app.result)).await?;
        let what = format!("{engine}, {software} {configuration:?}, scripts {scripts}: {seen}");
        for (step, expected) in [
            ("voted", "Your vote for Cats is in."),
            ("changed", "Your vote for Dogs is in."),
        ] {
            let notice = seen[step]["notice"].as_str().unwrap_or_default();
            assert!(notice.starts_with(expected), "{step}: {what}");
        }
        wait_for_votes(&app.result, &[1, 1]).await;
        // In Chromium 80 the script cannot detect which button was clicked, so it submits the form.
        let without_page_load = scripts && engine != "chromium-80";
        assert_eq!(seen["changed"]["kept"], without_page_load, "{what}");
        check_styles(&seen, &what);
        app.stop().await;
    }
    Ok(())
}

async fn wait_for_timeline(app: &App) {
    let timeline = format!("{}/api/timeline", app.result);
    eventually(
        "a timeline",
        |steps| *steps > Some(0),
        async || {
            let (_, timeline) = get_json(&timeline).await;
            timeline["steps"].as_array().map(Vec::len)
        },
    )
    .await;
}

fn check_styles(seen: &Value, what: &str) {
    let first = &seen["first"];
    let nothing = ["rgba(0, 0, 0, 0)", "transparent"].map(Value::from);
    assert!(!nothing.contains(&first["ground"]), "ground: {what}");
    assert!(!nothing.contains(&first["background"]), "button: {what}");
    assert_eq!(first["border"][0], "solid", "border: {what}");
    assert_ne!(first["border"][1], "0px", "border: {what}");
    assert_ne!(first["border"][2], first["background"], "border: {what}");
    let focus = &seen["focused"]["focus"];
    assert_eq!(focus[0], "solid", "focus: {what}");
    assert_ne!(focus[1], "0px", "focus: {what}");
    for drawn in ["bars", "lines"] {
        let colours = seen["result"][drawn].as_array().expect("they are listed");
        assert_eq!(colours.len(), 2, "{drawn}: {what}");
        assert_ne!(colours[0], colours[1], "{drawn}: {what}");
        assert!(!colours.contains(&"none".into()), "{drawn}: {what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_and_new_chromiums_vote_and_render_correctly() {
    or_skip!(folder());
    for (engine, proxy) in CHROMIUMS.into_iter().zip(PROXIES) {
        or_skip!(check_journey(engine, proxy).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firefox_votes_and_renders_correctly() {
    or_skip!(folder());
    or_skip!(program(FIREFOX));
    or_skip!(check_journey(FIREFOX, PROXIES[0]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; the tests above use each browser with one of the proxies; run it with --ignored"]
async fn every_browser_votes_through_every_proxy() {
    for engine in CHROMIUMS.into_iter().chain([FIREFOX]) {
        for proxy in PROXIES {
            or_skip!(check_journey(engine, proxy).await);
            let (software, configuration) = proxy;
            eprintln!(
                "{engine}, {software} {configuration:?}: with and without script, counted once"
            );
        }
    }
}

/// Timeout of starting WebKit's browser, which takes less than a second on an idle machine.
const SESSION_TIMEOUT: Duration = Duration::from_secs(40);
/// Number of attempts to start it. Its driver, which is not under test, once did not respond within two minutes.
const SESSION_ATTEMPTS: usize = 3;

/// WebKit's `MiniBrowser`, driven by its WebDriver.
struct WebKit {
    driver: WebDriver,
    _server: WebDriverServer,
}

impl WebKit {
    async fn open(scripts: bool) -> Result<Self, String> {
        let missing = "WebKit is missing (Debian: webkit2gtk-driver xvfb xauth)";
        let program = |name: &str| find_program(name, &[]).ok_or(missing.to_owned());
        let (driver, xvfb) = (program("WebKitWebDriver")?, program("xvfb-run")?);
        let library = PathBuf::from("/usr/lib").join(format!(
            "{}-linux-gnu/webkit2gtk-4.1",
            std::env::consts::ARCH
        ));
        let browser = find_program("MiniBrowser", &[library]).ok_or(missing)?;
        let command = vec![
            xvfb.display().to_string(),
            "--auto-servernum".to_owned(),
            driver.display().to_string(),
        ];
        let mut arguments = vec!["--automation".to_owned()];
        if !scripts {
            arguments.push("--enable-javascript=false".to_owned());
        }
        let options = json!({"webkitgtk:browserOptions": {"binary": browser, "args": arguments}});
        let options = options.as_object().expect("it is an object").clone();
        let mut failures = String::new();
        for _ in 0..SESSION_ATTEMPTS {
            let server = WebDriverServer::start("webkit", command.clone())?;
            let session = WebDriver::new(&server.url, Capabilities::from(options.clone()));
            let failure = match timeout(SESSION_TIMEOUT, session).await {
                Ok(Ok(driver)) => {
                    return Ok(Self {
                        driver,
                        _server: server,
                    });
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no session within {SESSION_TIMEOUT:?}"),
            };
            failures = format!("{failures}\n{failure}; {}", server.log());
        }
        Err(format!("the browser cannot be started: {failures}"))
    }

    /// The text of an element, or the error in parentheses.
    async fn text(&self, css: &str) -> String {
        let text = async || self.driver.find(By::Css(css)).await?.text().await;
        text().await.unwrap_or_else(|error| format!("({error})"))
    }

    /// Runs a script of the driver, which works also with the page's scripts disabled, and returns its value.
    async fn evaluate(&self, script: &str) -> Value {
        let value = self.driver.execute(script, []).await;
        value.expect("the script runs").json().clone()
    }

    async fn vote_for(&self, key: &str, expected: &str) {
        let button = self.driver.find(By::Css(format!("#{key}"))).await;
        button
            .expect("it exists")
            .click()
            .await
            .expect("it can be clicked");
        eventually(
            "the notice",
            |text: &String| text.starts_with(expected),
            async || self.text("#the_notice").await,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webkit_votes_and_shows_the_result() {
    for scripts in [true, false] {
        let storage = embedded().await;
        let _turn = browser_permit().await;
        let webkit = or_skip!(WebKit::open(scripts).await);
        let app = App::start(&storage, &[]).await;
        wait_for_votes(&app.result, &[0, 0]).await;
        webkit.driver.goto(&app.vote).await.expect("the page loads");
        webkit.evaluate("window.same = true").await;
        webkit.vote_for("a", "Your vote for Cats is in.").await;
        webkit.vote_for("b", "Your vote for Dogs is in.").await;
        let same = webkit.evaluate("return window.same === true").await;
        assert_eq!(
            same,
            json!(scripts),
            "only without scripts the page is loaded again"
        );
        wait_for_votes(&app.result, &[0, 1]).await;
        webkit
            .driver
            .goto(&app.result)
            .await
            .expect("the page loads");
        assert_eq!(webkit.text("#total").await, "1 vote");
        webkit.driver.quit().await.expect("the browser ends");
        app.stop().await;
    }
}
