//! `promtool check metrics`.

use super::services;
use crate::harness::{promtool::Promtool, scrape::Scrape, skip::or_skip, storage::Kind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_wrong_with_any_service() {
    let promtool = or_skip!(Promtool::find());
    let (_storage, services) = or_skip!(services(Kind::Embedded).await);
    for (name, service) in &services {
        let Scrape(metrics) = Scrape::of(&service.url).await;
        let said = promtool.check_metrics(&metrics);
        assert!(said.is_empty(), "{name}: {said}");
    }
}

#[test]
fn promtool_would_find_something() {
    let promtool = or_skip!(Promtool::find());
    let said = promtool.check_metrics("# HELP votes Votes.\n# TYPE votes counter\nvotes 1\n");
    assert!(said.contains("_total"), "{said}");
}
