//! The table in `infra/monitoring/metrics.md` matches the metrics of the running services and the alerts that use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use super::services;
use crate::harness::{folders::root, scrape::Scrape, skip::or_skip, storage::Backend};

const FILE: &str = "infra/monitoring/metrics.md";
const RULES: &str = "infra/monitoring/prometheus/rules";
/// If this variable is set, the test writes the table instead of comparing it.
const UPDATE: &str = "UPDATE_METRICS_TABLE";
/// Separates the text written by hand, above, from the generated table, below.
const MARK: &str = "<!-- generated -->\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_matches_the_exported_metrics() {
    let (_storage, services) = or_skip!(services(Backend::Embedded).await);
    let mut metrics = BTreeMap::<String, Metric>::new();
    for (name, service) in &services {
        let scrape = Scrape::of(&service.url).await;
        for (metric, found) in parse_metrics(&scrape.0) {
            let known = metrics.entry(metric).or_insert(found);
            known.services.push(name);
        }
    }
    let path = root().join(FILE);
    let file = fs::read_to_string(&path).expect("the file of the table");
    let (written_by_hand, table) = file.split_once(MARK).expect("the mark");
    let now = table_of(&metrics, &rules());
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, [written_by_hand, MARK, &now].concat()).expect("the file is writable");
    } else {
        assert_eq!(
            table, now,
            "{FILE} does not match the metrics of the services; run this test with {UPDATE}=1"
        );
    }
}

#[derive(Default)]
struct Metric {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
    services: Vec<&'static str>,
}

/// The metrics in a scrape, by name.
fn parse_metrics(scrape: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::<String, Metric>::new();
    for line in scrape.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(name_and_rest) {
            help.clone_into(&mut metrics.entry(name.into()).or_default().help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(name_and_rest) {
            kind.clone_into(&mut metrics.entry(name.into()).or_default().kind);
        } else if let Some((series, labels)) = line.split_once('{') {
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""));
            let labels = labels.map(|(label, _)| label.to_owned());
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|part| series.strip_suffix(part))
                .find(|name| metrics.contains_key(*name))
                .unwrap_or(series);
            let metric = metrics.get_mut(name).expect("HELP precedes the series");
            metric.labels.extend(labels.filter(|label| label != "le"));
        }
    }
    metrics
}

fn name_and_rest(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ')
}

fn table_of(metrics: &BTreeMap<String, Metric>, rules: &[Rule]) -> String {
    let mut table =
        "\n| metric | type | labels | meaning | services | alerts |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (name, metric) in metrics {
        let Metric {
            help, kind, labels, ..
        } = metric;
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let services = match &metric.services[..] {
            [_, _, _] => "all".to_owned(),
            some => some.join(", "),
        };
        let alerts: Vec<_> = alerts_on(name, rules).into_iter().collect();
        let [labels, alerts] = [labels, alerts].map(|list| match &list[..] {
            [] => "–".to_owned(),
            some => some.join(", "),
        });
        let help = help.replace('|', "\\|");
        writeln!(
            table,
            "| `{name}` | {kind} | {labels} | {help} | {services} | {alerts} |"
        )
        .expect("writing to a String cannot fail");
    }
    table
}

/// A Prometheus rule: its name and its text.
struct Rule {
    is_alert: bool,
    name: String,
    text: String,
}

/// All rules of the rule files, in order. Each begins with its name.
fn rules() -> Vec<Rule> {
    let mut rules = Vec::<Rule>::new();
    for file in files_under(&root().join(RULES)) {
        let text = fs::read_to_string(&file).expect("the rules are readable");
        for line in text.lines() {
            let entry = line.trim_start().trim_start_matches("- ");
            let named = |kind| {
                entry
                    .strip_prefix(kind)
                    .map(|name: &str| name.trim().to_owned())
            };
            let (alert, record) = (named("alert:"), named("record:"));
            let is_alert = alert.is_some();
            if let Some(name) = alert.or(record) {
                rules.push(Rule {
                    is_alert,
                    name,
                    text: String::new(),
                });
            } else if let Some(rule) = rules.last_mut() {
                rule.text.push_str(line);
                rule.text.push('\n');
            }
        }
    }
    rules
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yml" || extension == "yaml")
    });
    files.sort();
    files
}

/// The alerts that use a metric, directly or through recording rules.
fn alerts_on<'a>(metric: &str, rules: &'a [Rule]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::<&'a str>::new();
    let mut names = vec![metric.to_owned()];
    while let Some(name) = names.pop() {
        for rule in rules.iter().filter(|rule| mentions(&rule.text, &name)) {
            if rule.is_alert {
                found.insert(rule.name.clone());
            } else if seen.insert(&rule.name) {
                names.push(rule.name.clone());
            }
        }
    }
    found
}

/// Returns true if the text contains the name as a whole word, or a series of the histogram with this name.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let histogram = ["_bucket", "_sum", "_count"];
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(|letter| !is_part(letter)))
        .any(|word| {
            word == name
                || histogram
                    .iter()
                    .any(|part| word.strip_suffix(part) == Some(name))
        })
}
