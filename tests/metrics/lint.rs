//! `promtool check metrics`.

use super::services;
use crate::harness::{promtool::Promtool, scrape::Scrape, skip::or_skip, storage::Backend};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_accepts_the_metrics_of_every_service() {
    let promtool = or_skip!(Promtool::find());
    let (_storage, services) = or_skip!(services(Backend::Embedded).await);
    for (name, service) in &services {
        let Scrape(metrics) = Scrape::of(&service.url).await;
        let problems = promtool.check_metrics(&metrics);
        assert!(problems.is_empty(), "{name}: {problems}");
    }
}

#[test]
fn promtool_rejects_an_invalid_metric() {
    let promtool = or_skip!(Promtool::find());
    let problems = promtool.check_metrics("# HELP votes Votes.\n# TYPE votes counter\nvotes 1\n");
    assert!(problems.contains("_total"), "{problems}");
}
