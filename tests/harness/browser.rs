//! A real browser: the local Chromium, driven by its chromedriver.

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use serde_json::{Value, json};
use thirtyfour::{
    By, ChromiumLikeCapabilities, DesiredCapabilities, Key, WebDriver, WebElement,
    error::{WebDriverError, WebDriverErrorInner},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{eventually_every, find_program, folders, web_driver::WebDriverServer};

/// The interval of polls of a browser: each takes CPU time that the page could use.
const POLL_INTERVAL: Duration = Duration::from_millis(60);

/// Each browser takes a few hundred megabytes and as much CPU time as it can get.
const MAX_BROWSERS: usize = 2;
static PERMITS: Semaphore = Semaphore::const_new(MAX_BROWSERS);

/// A permit to run a browser other than [`Browser`].
pub async fn browser_permit() -> SemaphorePermit<'static> {
    PERMITS
        .acquire()
        .await
        .expect("the semaphore is never closed")
}

/// The settings of a user's browser.
#[derive(Clone, Copy, Debug)]
pub struct BrowserSettings {
    pub language: &'static str,
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    pub scripts: bool,
    pub cookies: bool,
}

/// A desktop browser in English.
pub const DESKTOP: BrowserSettings = BrowserSettings {
    language: "en-US",
    width: 1280,
    height: 900,
    dark: false,
    scripts: true,
    cookies: true,
};

/// An open browser.
pub struct Browser {
    pub driver: WebDriver,
    _permit: SemaphorePermit<'static>,
}

impl Browser {
    pub async fn open(settings: BrowserSettings) -> Result<Self, String> {
        let driver_url = chromedriver()?;
        let permit = browser_permit().await;
        let driver = WebDriver::new(driver_url, capabilities(settings))
            .await
            .map_err(|error| format!("the browser cannot be started: {error}"))?;
        let browser = Self {
            driver,
            _permit: permit,
        };
        let scheme = if settings.dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.cdp("Emulation.setEmulatedMedia", features).await;
        let metrics = json!({
            "width": settings.width, "height": settings.height, "deviceScaleFactor": 1, "mobile": settings.width < 600
        });
        browser
            .cdp("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        Ok(browser)
    }

    pub async fn cdp(&self, method: &str, parameters: Value) {
        self.driver
            .cdp()
            .send_raw(method, parameters)
            .await
            .expect("the browser executes it");
    }

    pub async fn goto(&self, url: &str) {
        self.driver.goto(url).await.expect("the page loads");
    }

    pub async fn find(&self, css: &str) -> WebElement {
        self.driver
            .find(By::Css(css))
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// The text of an element; empty if there is none.
    pub async fn text(&self, css: &str) -> String {
        let text = async || self.driver.find(By::Css(css)).await?.text().await;
        match text().await {
            Ok(text) => text,
            Err(error) if matches!(*error, WebDriverErrorInner::NoSuchElement(_)) => String::new(),
            // In parentheses, so that no test takes it for the text of the page.
            Err(error) => format!("({error})"),
        }
    }

    pub async fn click(&self, css: &str) {
        self.find(css)
            .await
            .click()
            .await
            .expect("it can be clicked");
    }

    pub async fn press(&self, key: Key) {
        self.driver
            .action_chain()
            .send_keys(key)
            .perform()
            .await
            .expect("a key can be pressed");
    }

    /// Runs a script in the page and returns its value.
    pub async fn evaluate(&self, script: &str) -> Value {
        self.try_evaluate(script).await.expect("the script runs")
    }

    async fn try_evaluate(&self, script: &str) -> Result<Value, WebDriverError> {
        let value = self.driver.execute(script, []).await?;
        Ok(value.json().clone())
    }

    /// Waits until the text of an element fulfils the condition.
    pub async fn wait_for_text(&self, css: &str, condition: impl Fn(&str) -> bool) -> String {
        eventually_every(
            POLL_INTERVAL,
            &format!("the text of {css}"),
            |text: &String| condition(text),
            async || self.text(css).await,
        )
        .await
    }

    /// Waits until a script returns this value. The page may be loading meanwhile.
    pub async fn wait_for_value(&self, script: &str, wanted: Value) {
        let what = format!("{script} = {wanted}");
        eventually_every(
            POLL_INTERVAL,
            &what,
            |value| *value == wanted,
            async || self.try_evaluate(script).await.unwrap_or_default(),
        )
        .await;
    }

    /// Saves a screenshot of the page in the target folder.
    pub async fn screenshot(&self, name: &str) {
        let folder = folders::target().join("screenshots");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        self.driver
            .screenshot(&folder.join(format!("{name}.png")))
            .await
            .expect("a picture can be taken");
    }

    pub async fn close(self) {
        self.driver.quit().await.expect("the browser ends");
    }
}

fn capabilities(settings: BrowserSettings) -> thirtyfour::ChromeCapabilities {
    let mut capabilities = DesiredCapabilities::chrome();
    let language = format!("--accept-lang={}", settings.language);
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        // Names that resolve to this machine. Their pages have no secure context, like those of any other host over HTTP.
        "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP *.test 127.0.0.1",
        "--disable-features=HttpsUpgrades,HttpsFirstBalancedMode",
        // A configured proxy would not know the local addresses.
        "--no-proxy-server",
        &language,
    ];
    for flag in flags {
        capabilities.add_arg(flag).expect("the flag is valid");
    }
    let mut preferences = json!({});
    for (is_allowed, what) in [
        (settings.scripts, "javascript"),
        (settings.cookies, "cookies"),
    ] {
        if !is_allowed {
            preferences[format!("profile.managed_default_content_settings.{what}")] = json!(2);
        }
    }
    capabilities
        .add_experimental_option("prefs", preferences)
        .expect("the preferences are valid");
    capabilities
}

/// The chromedriver that all tests share.
fn chromedriver() -> Result<&'static str, String> {
    static SHARED: OnceLock<Result<WebDriverServer, String>> = OnceLock::new();
    SHARED
        .get_or_init(start_chromedriver)
        .as_ref()
        .map(|server| server.url.as_str())
        .map_err(Clone::clone)
}

/// The local Chromium.
pub fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.iter().find_map(|name| find_program(name, &[]))
}

fn start_chromedriver() -> Result<WebDriverServer, String> {
    let missing = "install Chromium and its chromedriver (Debian: chromium chromium-driver)";
    if chromium().is_none() {
        return Err(format!("there is no browser; {missing}"));
    }
    let program = find_program("chromedriver", &[])
        .ok_or_else(|| format!("there is no chromedriver; {missing}"))?;
    WebDriverServer::start("chromedriver", vec![program.display().to_string()])
}

/// axe-core, which finds accessibility problems.
pub struct Axe(String);

impl Axe {
    pub fn find() -> Result<Self, String> {
        let file = folders::target().join("npm/node_modules/axe-core/axe.min.js");
        std::fs::read_to_string(&file).map(Self).map_err(|_| {
            "axe-core is missing; run `npm install --prefix target/npm axe-core`".to_owned()
        })
    }

    /// The violations of WCAG 2.2 AA and of best practices on the page.
    pub async fn violations(&self, browser: &Browser) -> Vec<String> {
        browser
            .driver
            .set_script_timeout(Duration::from_mins(1))
            .await
            .expect("it can be set");
        browser.evaluate(&self.0).await;
        let run = "
            const done = arguments[0];
            axe.run(document, { resultTypes: ['violations'] }).then(
                (results) => done(results.violations.flatMap((rule) =>
                    rule.nodes.map((node) => `${rule.id}: ${node.html}: ${node.failureSummary}`))),
                (error) => done([`axe cannot run: ${error}`]));";
        let violations = browser
            .driver
            .execute_async(run, [])
            .await
            .expect("axe runs");
        violations.convert().expect("violations are texts")
    }
}
