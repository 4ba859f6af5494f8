//! What a service's metrics say at one moment.

use super::{eventually, viewer::get};

/// The answer to `/metrics`.
pub struct Scrape(pub String);

impl Scrape {
    pub async fn of(url: &str) -> Self {
        let answer = get(&format!("{url}/metrics")).await;
        Self(answer.text().await.expect("metrics are text"))
    }

    /// The value of a series, written with its labels as in the answer.
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

/// This very number, as counts are.
pub fn exactly(expected: f64) -> impl Fn(f64) -> bool {
    move |value| value.total_cmp(&expected).is_eq()
}

/// The value of a series now.
pub async fn value(url: &str, series: &str) -> f64 {
    Scrape::of(url).await.value(series)
}

/// Waits until the value of a series is good.
pub async fn until(url: &str, series: &str, good: impl Fn(f64) -> bool) -> f64 {
    let ask = async || Scrape::of(url).await.find(series);
    let found = eventually(series, |value| value.is_some_and(&good), ask).await;
    found.expect("it is good")
}
