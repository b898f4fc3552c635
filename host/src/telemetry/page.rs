//! The page that Prometheus reads: made aside, and shared by those who ask at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::TextEncoder;
use tokio::sync::Mutex;

use super::families::Families;
use super::metrics::{Metrics, MetricsError};
use super::openmetrics;

/// In which format a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// Prometheus' own, 0.0.4.
    Text = 0,
    /// OpenMetrics, 1.0.0.
    OpenMetrics = 1,
}

impl PageFormat {
    /// What an Accept field asks for (RFC 9110 §12.5.1); the text format where it does not say that it takes the other,
    /// and of equal weights the newer one.
    pub fn wanted(accept: &str) -> Self {
        let (mut text, mut open) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0_f64, None);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match (key.trim(), value.trim().trim_matches('"')) {
                    ("q", value) => weight = value.parse().unwrap_or_default(),
                    ("version", value) => version = Some(value),
                    _ => {}
                }
            }
            match (&*name, version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => open = weight.max(open),
                ("text/plain", None | Some("0.0.4")) => text = weight.max(text),
                _ => {}
            }
        }
        match open > 0.0 && open >= text {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// For the response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The pages of a gateway's metrics.
pub struct Pages {
    metrics: Arc<Metrics>,
    max_age: Duration,
    last: Mutex<Option<Page>>,
}

/// The metrics at one moment.
struct Page {
    read: Instant,
    families: Arc<Families>,
    /// By format; made when it is first wanted.
    texts: [Option<Bytes>; 2],
}

impl Pages {
    /// A page serves those who ask within `max_age` after it was begun.
    pub fn new(metrics: Arc<Metrics>, max_age: Duration) -> Self {
        Self {
            metrics,
            max_age,
            last: Mutex::default(),
        }
    }

    /// The page in that format. One at a time is made, on a thread that serves nobody else.
    pub async fn page(&self, format: PageFormat) -> Result<Bytes, MetricsError> {
        let mut last = self.last.lock().await;
        let fresh = last.as_ref();
        let fresh = fresh.filter(|page| page.read.elapsed() < self.max_age);
        if let Some(text) = fresh.and_then(|page| page.texts[format as usize].clone()) {
            return Ok(text);
        }
        let (mut page, read) = match fresh {
            Some(page) => (None, Some(page.families.clone())),
            None => (Some(Instant::now()), None),
        };
        let metrics = self.metrics.clone();
        let made = tokio::task::spawn_blocking(move || {
            let families = read.unwrap_or_else(|| Arc::new(metrics.families()));
            let text = encode(&families, format)?;
            Ok((families, text))
        });
        let (families, text) = made
            .await
            .map_err(|error| MetricsError(error.to_string()))??;
        if let Some(read) = page.take() {
            *last = Some(Page {
                read,
                families,
                texts: [None, None],
            });
        }
        if let Some(page) = last.as_mut() {
            page.texts[format as usize] = Some(text.clone());
        }
        Ok(text)
    }
}

/// These metrics in that format.
pub(super) fn encode(families: &Families, format: PageFormat) -> Result<Bytes, MetricsError> {
    let text = match format {
        PageFormat::OpenMetrics => openmetrics::encode(&families.all),
        PageFormat::Text => TextEncoder::new()
            .encode_to_string(&families.all)
            .map_err(|error| MetricsError(error.to_string()))?,
    };
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_field_says_which_format() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1";
        for (accept, format) in [
            ("", PageFormat::Text),
            ("*/*", PageFormat::Text),
            ("text/html,*/*;q=0.8", PageFormat::Text),
            ("text/plain", PageFormat::Text),
            (prometheus_2, PageFormat::OpenMetrics),
            (prometheus_3, PageFormat::OpenMetrics),
            ("application/openmetrics-text", PageFormat::OpenMetrics),
            (
                "application/openmetrics-text; version=0.0.1",
                PageFormat::Text,
            ),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.3",
                PageFormat::Text,
            ),
            ("application/openmetrics-text;q=0", PageFormat::Text),
        ] {
            assert_eq!(PageFormat::wanted(accept), format, "{accept}");
        }
    }

    #[tokio::test]
    async fn who_asks_soon_after_gets_the_same_page() {
        let metrics = Arc::new(Metrics::start().unwrap());
        let shared = Pages::new(metrics.clone(), Duration::from_secs(3_600));
        let apart = Pages::new(metrics.clone(), Duration::ZERO);
        let text = |pages: Result<Bytes, _>| pages.map(|page| page.to_vec()).unwrap();
        let first = text(shared.page(PageFormat::Text).await);
        metrics.config.serves(4711);
        assert_eq!(text(shared.page(PageFormat::Text).await), first);
        let open = text(shared.page(PageFormat::OpenMetrics).await);
        let tells = |page: &[u8]| String::from_utf8_lossy(page).contains("4711");
        assert!(!tells(&first) && !tells(&open));
        assert!(tells(&text(apart.page(PageFormat::Text).await)));
        assert!(tells(&text(apart.page(PageFormat::OpenMetrics).await)));
    }
}
