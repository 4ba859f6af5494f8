//! Build, process and runtime metrics of every service.

use super::services;
use crate::harness::{
    scrape::{Scrape, wait_for_value},
    skip::or_skip,
    storage::Backend,
    viewer::get,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_exports_build_process_and_runtime_metrics() {
    let (_storage, services) = or_skip!(services(Backend::Embedded).await);
    for (name, service) in &services {
        let before = Scrape::of(&service.url).await;
        let built = before
            .series()
            .find(|(series, _)| series.starts_with("build_info{"));
        let (labels, _) = built.expect("the metric build_info");
        for label in [
            format!("service=\"{name}\""),
            format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
            "revision=\"".into(),
        ] {
            assert!(labels.contains(&label), "{labels}");
        }
        for gauge in [
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_threads",
            "process_start_time_seconds",
            "tokio_runtime_workers",
            "tokio_runtime_alive_tasks",
        ] {
            assert!(before.value(gauge) > 0.0, "{name}: {gauge}");
        }
        before.value("tokio_runtime_queued_tasks");
        for _ in 0..100 {
            get(&format!("{}/health", service.url)).await;
        }
        for counter in [
            "tokio_runtime_busy_seconds_total",
            "tokio_runtime_parks_total",
        ] {
            let earlier = before.value(counter);
            wait_for_value(&service.url, counter, |now| now > earlier).await;
        }
        let cpu = "process_cpu_seconds_total";
        assert!(Scrape::of(&service.url).await.value(cpu) >= before.value(cpu));
    }
}
