//! `GET /metrics` of a star: a request of a few lines, and the numbers in it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Time for the whole page.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest page that is read.
const MAX_PAGE_BYTES: u64 = 1024 * 1024;

/// Counter of the addresses that a star has told legacy peers of.
pub(crate) const ANNOUNCEMENTS: &str = "starpoint_announcements_total";

/// Counter of the batches of presence that a star has sent.
pub(crate) const BATCHES: &str = "starpoint_presence_batches_total";

/// Where a star tells its metrics.
#[derive(Clone, Debug)]
pub(crate) struct MetricsPage {
    host: String,
    port: u16,
}

/// The numbers of one moment: name to value, series of one name added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(BTreeMap<String, f64>);

impl MetricsPage {
    pub(crate) fn new(host: String, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads the page.
    ///
    /// # Errors
    ///
    /// There is none, or not in time.
    pub(crate) async fn read(&self) -> anyhow::Result<Numbers> {
        timeout(DEADLINE, self.fetch())
            .await
            .context("no metrics in time")?
    }

    async fn fetch(&self) -> anyhow::Result<Numbers> {
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.host
        );
        tcp.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        tcp.take(MAX_PAGE_BYTES).read_to_string(&mut page).await?;
        anyhow::ensure!(page.starts_with("HTTP/1.1 200"), "there are no metrics");
        Ok(Numbers::parse(&page))
    }
}

impl Numbers {
    /// Reads the lines that are a name, perhaps labels, and a number; all others
    /// are of no interest.
    fn parse(page: &str) -> Self {
        let mut numbers = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = series.split('{').next().unwrap_or(series);
            if let Ok(value) = value.parse::<f64>() {
                *numbers.entry(name.to_owned()).or_default() += value;
            }
        }
        Self(numbers)
    }

    /// Returns by how much a counter has grown since `earlier`; `None` if the star
    /// does not count this.
    pub(crate) fn growth(&self, earlier: &Self, name: &str) -> Option<f64> {
        Some(self.0.get(name)? - earlier.0.get(name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_added_up() {
        let before = Numbers::parse("# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\nb 1\n");
        let after = Numbers::parse("HTTP/1.1 200 OK\r\na_total{x=\"1\"} 12\n");
        assert_eq!(after.growth(&before, "a_total"), Some(7.0));
        assert_eq!(after.growth(&before, "b"), None);
    }
}
