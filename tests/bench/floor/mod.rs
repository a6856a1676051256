//! The floor: the least that can be done to turn an answer of the API into a page, without any of the exporter's code.
//!
//! One kept connection, one `GET /cluster/resources`, one parse into structs that borrow from it, the exporter's series
//! written once through one buffer to nowhere. No families, no HELP, no order, no deadline, no lost nodes, nothing
//! lenient, nothing remembered.

mod page;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::protocol::{FloorOrder, FloorReport, FloorTask, answer, next_order};
use page::CHUNK;

/// Works until stdin ends.
pub(crate) fn run() -> Outcome<()> {
    let order: FloorOrder = next_order()?.ok_or("no order")?;
    let mut floor = Floor {
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        client: client(&order)?,
        url: format!("{}/api2/json/cluster/resources", order.url),
        loaded: Vec::new(),
        buffer: Vec::with_capacity(CHUNK),
    };
    answer(&FloorReport::default())?;
    while let Some(task) = next_order()? {
        answer(&floor.work(task)?)?;
    }
    Ok(())
}

struct Floor {
    runtime: Runtime,
    client: reqwest::Client,
    url: String,
    loaded: Vec<u8>,
    buffer: Vec<u8>,
}

impl Floor {
    fn work(&mut self, task: FloorTask) -> Outcome<FloorReport> {
        let started = Instant::now();
        let (fetch, series) = match task {
            FloorTask::Scrape { gzip: false } => self.scrape(std::io::sink())?,
            FloorTask::Scrape { gzip: true } => self.scrape(gzip())?,
            FloorTask::Page(path) => self.scrape(std::fs::File::create(path)?)?,
            FloorTask::Load(path) => {
                self.loaded = std::fs::read(path)?;
                (Duration::ZERO, 0)
            }
            FloorTask::Compress => {
                let mut encoder = gzip();
                for chunk in self.loaded.chunks(CHUNK) {
                    encoder.write_all(chunk)?;
                }
                encoder.finish()?;
                (Duration::ZERO, 0)
            }
        };
        Ok(FloorReport { wall_us: micros(started.elapsed()), fetch_us: micros(fetch), series })
    }

    /// How long the API took, and how many series came of it.
    fn scrape(&mut self, sink: impl Write) -> Outcome<(Duration, u64)> {
        let started = Instant::now();
        let body = self.runtime.block_on(fetch(&self.client, &self.url))?;
        let fetch = started.elapsed();
        Ok((fetch, page::write(&body, &mut self.buffer, sink)?))
    }
}

async fn fetch(client: &reqwest::Client, url: &str) -> Outcome<String> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let announced = response.content_length().unwrap_or(0);
    let mut body = Vec::with_capacity(usize::try_from(announced)?);
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(body)?)
}

fn client(order: &FloorOrder) -> Outcome<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(order.ca_pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut token = HeaderValue::from_str(&format!("PVEAPIToken={}={}", order.token_id, order.secret))?;
    token.set_sensitive(true);
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .default_headers(HeaderMap::from_iter([(AUTHORIZATION, token)]))
        .tcp_nodelay(true)
        .build()?)
}

fn gzip() -> GzEncoder<std::io::Sink> {
    GzEncoder::new(std::io::sink(), Compression::fast())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
