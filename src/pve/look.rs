//! The certificate of an endpoint, for those who want to pin it.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate;
pub use super::certificate::Shown;
use super::tls::{self, Roots};
use super::transport::CONNECT_TIMEOUT;
use crate::config::{Endpoint, Tls};
use crate::names::lookup;

/// For the TLS handshake, after the connection.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The certificate that an endpoint shows, whoever it is. Nothing is sent but the handshake; who pins it compares it
/// first. Fails with the rest of a sentence.
pub async fn shown_certificate(endpoint: &Endpoint) -> Result<Shown, String> {
    let url = reqwest::Url::parse(&endpoint.url).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
    let config = tls::client_config(&Tls::Insecure, &Roots::default())?;
    let late = |_| "nothing answered in time".to_owned();
    let connecting = async { TcpStream::connect(&*lookup(&host, port).await?).await };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    let stream = connected.map_err(late)?.map_err(|error| error.to_string())?;
    let handshake = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(HANDSHAKE, handshake).await.map_err(late)?.map_err(|error| error.to_string())?;
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    shown.map(|der| certificate::shown(der)).ok_or_else(|| "no certificate was shown".to_owned())
}
