//! A scrape of a service's metrics.

use super::{eventually, viewer::get};

/// The response of `/metrics`.
pub struct Scrape(pub String);

impl Scrape {
    pub async fn of(url: &str) -> Self {
        let response = get(&format!("{url}/metrics")).await;
        Self(response.text().await.expect("metrics are text"))
    }

    /// The value of a series, named with its labels as in the response.
    pub fn value(&self, series: &str) -> f64 {
        let found = self.find(series);
        found.unwrap_or_else(|| panic!("there is no {series} in:\n{}", self.0))
    }

    pub fn find(&self, series: &str) -> Option<f64> {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().expect("it is a number"))
    }

    /// All series with their values.
    pub fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a line has a value");
            (series, value.parse().expect("it is a number"))
        })
    }
}

/// A predicate for exactly this value, for counters.
pub fn exactly(expected: f64) -> impl Fn(f64) -> bool {
    move |value| value.total_cmp(&expected).is_eq()
}

/// The current value of a series.
pub async fn value(url: &str, series: &str) -> f64 {
    Scrape::of(url).await.value(series)
}

/// Waits until the value of a series fulfils the condition.
pub async fn wait_for_value(url: &str, series: &str, condition: impl Fn(f64) -> bool) -> f64 {
    let find = async || Scrape::of(url).await.find(series);
    let found = eventually(series, |value| value.is_some_and(&condition), find).await;
    found.expect("it fulfils the condition")
}
