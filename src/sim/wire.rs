//! HTTP/1.1 as pveproxy speaks it, written by hand: requests in, heads out.

use std::io;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::source::Reply;

/// Heads and bodies beyond this are refused: nobody sends an API that much.
const LONGEST_REQUEST: usize = 64 * 1024;

/// What we need of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) authorization: Option<String>,
    pub(super) cookie: Option<String>,
    pub(super) csrf: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) accepts_gzip: bool,
    /// It asks for the connection to be closed.
    pub(super) close: bool,
    pub(super) body: Vec<u8>,
    length: usize,
}

/// Reads one request, its body too. `buffer` keeps what came too early. `None`: the client closed the connection.
pub(super) async fn read_request<S>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<Option<Request>>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some((mut request, head)) = parse(buffer)? {
            let whole = head.saturating_add(request.length);
            if whole > LONGEST_REQUEST {
                return Err(io::Error::other("request too long"));
            }
            if buffer.len() >= whole {
                request.body = buffer.drain(..whole).skip(head).collect();
                return Ok(Some(request));
            }
        }
        if buffer.len() > LONGEST_REQUEST {
            return Err(io::Error::other("request too long"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The request at the start of the bytes and the length of its head, if it has come whole.
fn parse(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let length = match header("content-length") {
        Some(length) => length.trim().parse().map_err(io::Error::other)?,
        None => 0,
    };
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        cookie: header("cookie"),
        csrf: header("csrfpreventiontoken"),
        content_type: header("content-type"),
        accepts_gzip: header("accept-encoding").is_some_and(|value| value.contains("gzip")),
        close: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        body: Vec::new(),
        length,
    };
    Ok(Some((request, head)))
}

/// The head of an answer, up to its empty line. `length: None` means: the body lasts until the connection ends.
pub(super) fn head(reply: &Reply, keep: bool, length: Option<u64>, gzip: bool) -> String {
    let mut text = format!("HTTP/1.1 {} {}\r\nCache-Control: max-age=0\r\n", reply.status, reply.reason);
    if reply.protected {
        // Passed on from pvedaemon, which always closes; pveproxy then adds its own.
        text.push_str("Connection: close\r\n");
    }
    if keep || !reply.protected {
        text.push_str(if keep { "Connection: Keep-Alive\r\n" } else { "Connection: close\r\n" });
    }
    if let Some(date) = &reply.date {
        text.push_str(&format!("Date: {date}\r\n"));
    }
    text.push_str("Pragma: no-cache\r\nServer: pve-api-daemon/3.0\r\n");
    if gzip {
        text.push_str("Content-Encoding: gzip\r\n");
    }
    // The 401 of the authentication layer and the 595 of the proxy have neither body nor type, nor a length.
    if let Some(content_type) = &reply.content_type {
        if let Some(length) = length {
            text.push_str(&format!("Content-Length: {length}\r\n"));
        }
        text.push_str(&format!("Content-Type: {content_type}\r\n"));
    }
    text.push_str("\r\n");
    text
}

/// The body compressed, as pveproxy does for bodies of more than 1024 bytes.
pub(super) fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    (body.len() > 1024).then(|| gzip(body))
}

/// The body compressed.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(64 + body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing into memory cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = parse(&[b"GET / HTTP/1.1\r\n".as_slice(), &bytes].concat());
        }
    }

    #[tokio::test]
    async fn requests_follow_each_other_with_their_bodies() {
        let bytes = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nAuthorization: x\r\n\r\n{}\
            GET /b?c=1 HTTP/1.1\r\nConnection: Close\r\naccept-encoding: br, gzip\r\n\r\n";
        let mut stream = bytes.as_slice();
        let mut buffer = Vec::new();
        let first = read_request(&mut stream, &mut buffer).await.unwrap().unwrap();
        assert_eq!((first.method.as_str(), first.target.as_str(), first.close), ("POST", "/a", false));
        assert_eq!((first.authorization.as_deref(), first.body.as_slice()), (Some("x"), b"{}".as_slice()));
        let second = read_request(&mut stream, &mut buffer).await.unwrap().unwrap();
        assert_eq!((second.method.as_str(), second.target.as_str(), second.close), ("GET", "/b?c=1", true));
        assert!(second.accepts_gzip && second.authorization.is_none());
        assert_eq!(read_request(&mut stream, &mut buffer).await.unwrap(), None);
    }

    #[tokio::test]
    async fn requests_without_end_are_refused() {
        let endless = [b"GET /".as_slice(), &vec![b'a'; 2 * LONGEST_REQUEST]].concat();
        assert!(read_request(&mut endless.as_slice(), &mut Vec::new()).await.is_err());
        let huge = b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n";
        assert!(read_request(&mut huge.as_slice(), &mut Vec::new()).await.is_err());
    }
}
