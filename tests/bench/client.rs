//! A plain HTTP client that reads pages to nowhere. It runs in the benchmark's own process, whose CPU nobody counts.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Nothing takes so long, not even the slowest peer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A kept connection older than this is made anew: the server may be about to close it.
const KEPT: Duration = Duration::from_secs(10);

/// One client, with its connection if that is kept.
pub(crate) struct Client {
    address: String,
    keep_alive: bool,
    kept: Option<(BufReader<TcpStream>, Instant)>,
}

impl Client {
    pub(crate) fn new(address: &str, keep_alive: bool) -> Self {
        Self { address: address.to_owned(), keep_alive, kept: None }
    }

    /// `GET target`, the body written to `sink` as it was sent, but for the chunks' frames; how long that took.
    pub(crate) fn get(&mut self, target: &str, gzip: bool, sink: &mut dyn Write) -> Outcome<Duration> {
        let encoding = if gzip { "gzip" } else { "identity" };
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nAccept: text/plain;version=0.0.4\r\nAccept-Encoding: {encoding}\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 120\r\nConnection: {connection}\r\n\r\n",
            self.address
        );
        let started = Instant::now();
        let mut stream = self.connection()?;
        stream.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut stream, sink)?;
        if self.keep_alive {
            self.kept = Some((stream, Instant::now()));
        }
        Ok(started.elapsed())
    }

    fn connection(&mut self) -> io::Result<BufReader<TcpStream>> {
        if let Some((stream, used)) = self.kept.take()
            && used.elapsed() < KEPT
        {
            return Ok(stream);
        }
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(BufReader::with_capacity(256 * 1024, stream))
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>, sink: &mut dyn Write) -> Outcome<()> {
    let status = line(stream)?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = Some(value.parse::<u64>()?),
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    match length {
        _ if chunked => read_chunks(stream, sink)?,
        Some(length) => copy(stream, length, sink)?,
        None => copy(stream, u64::MAX, sink)?,
    }
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("answered {status:?}").into());
    }
    Ok(())
}

fn read_chunks(stream: &mut BufReader<TcpStream>, sink: &mut dyn Write) -> Outcome<()> {
    loop {
        let size = u64::from_str_radix(&line(stream)?, 16)?;
        copy(stream, size, sink)?;
        line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn copy(stream: &mut BufReader<TcpStream>, length: u64, sink: &mut dyn Write) -> Outcome<()> {
    let mut left = length;
    while left > 0 {
        let bytes = stream.fill_buf()?;
        if bytes.is_empty() {
            return if length == u64::MAX { Ok(()) } else { Err("the answer broke off".into()) };
        }
        let usable = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        sink.write_all(&bytes[..usable])?;
        stream.consume(usable);
        left -= usable as u64;
    }
    Ok(())
}

fn line(stream: &mut BufReader<TcpStream>) -> Outcome<String> {
    let mut bytes = Vec::new();
    stream.take(64 * 1024).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err("the answer broke off".into());
    }
    Ok(String::from_utf8(bytes)?.trim_end().to_owned())
}
