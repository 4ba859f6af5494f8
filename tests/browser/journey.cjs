// Votes twice and opens the result in one of the browsers of `.ci/checks/old-browsers` or of Debian, and prints its
// observations as JSON. `tests/browser/engines.rs` checks them.
"use strict";

const { folder, engine, program, scripts, vote, result, profile } = JSON.parse(process.argv[2]);
const TIMEOUT_MS = 30000;

const isFirefox = engine === "firefox";
const puppeteer = require(`${folder}/node_modules/puppeteer-${isFirefox ? "firefox" : "old"}`);

function launch() {
  if (isFirefox) {
    return puppeteer.launch({
      browser: "firefox",
      executablePath: program,
      headless: true,
      userDataDir: profile,
      extraPrefsFirefox: { "network.dns.forceResolve": "127.0.0.1", "dom.security.https_first": false },
    });
  }
  return puppeteer.launch({
    executablePath: program,
    headless: true,
    userDataDir: profile,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-zygote",
      "--no-proxy-server",
      "--host-resolver-rules=MAP *.example.org 127.0.0.1",
      "--disable-features=HttpsUpgrades,HttpsFirstBalancedMode",
    ],
  });
}

// Runs in the page, so it uses the syntax of the oldest browser.
function observe() {
  const text = (selector) => {
    const found = document.querySelector(selector);
    return found ? found.textContent.trim() : "";
  };
  const style = (selector) => {
    const found = document.querySelector(selector);
    return found ? getComputedStyle(found) : {};
  };
  const button = style("#b");
  const focused = document.activeElement ? getComputedStyle(document.activeElement) : {};
  return {
    notice: text("#the_notice"),
    pressed: Array.from(document.querySelectorAll("[aria-pressed=true]"), (found) => found.id),
    ground: style("body").backgroundColor,
    background: button.backgroundColor,
    border: [button.borderTopStyle, button.borderTopWidth, button.borderTopColor],
    focus: [focused.outlineStyle, focused.outlineWidth, focused.outlineColor],
    total: text("#total"),
    bars: Array.from(document.querySelectorAll(".bars rect"), (bar) => getComputedStyle(bar).fill),
    lines: Array.from(document.querySelectorAll("#timeline polyline"), (line) => getComputedStyle(line).stroke),
    kept: window.kept === true,
  };
}

async function main() {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    if (!isFirefox) await page.setJavaScriptEnabled(scripts);
    if (isFirefox && !scripts) {
      // With JavaScript disabled, Firefox could not evaluate the observations, so the requests for scripts are aborted.
      await page.setRequestInterception(true);
      page.on("request", (request) => (request.url().endsWith(".js") ? request.abort() : request.continue()));
    }
    const until = async (condition) => {
      const deadline = Date.now() + TIMEOUT_MS;
      for (;;) {
        // The page may be loading.
        const seen = await page.evaluate(observe).catch(() => undefined);
        if (seen && condition(seen)) return seen;
        if (Date.now() > deadline) throw new Error(`last seen: ${JSON.stringify(seen)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const report = { version: await browser.version() };
    await page.goto(vote);
    await page.evaluate(() => void (window.kept = true));
    report.first = await until(() => true);
    await page.keyboard.press("Tab");
    report.focused = await until(() => true);
    await page.click("#a");
    report.voted = await until((seen) => seen.pressed.join() === "a");
    await page.click("#b");
    report.changed = await until((seen) => seen.pressed.join() === "b");
    await page.goto(result);
    report.result = await until((seen) => seen.bars.length > 0 && seen.lines.length > 0);
    console.log(JSON.stringify(report));
  } finally {
    await browser.close();
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
