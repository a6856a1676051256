//! One request, and of the answer the status line and the headers.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::lines::{Lines, text};
use super::why::{self, Why, shown};

/// Status lines and headers together, in bytes.
const MOST: u64 = 16 * 1024;

/// Asks for `/` and reads the status, from 100 to 999; `host` is the value of the header Host. GET, because there are
/// devices that do not know HEAD.
///
/// # Errors
/// [`Why::Answer`] where no whole head of an HTTP/1 answer comes.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, host: &str) -> Result<u16, Why> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pve-sentinel/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| why::of(&error, Why::Answer))?;
    stream.flush().await.map_err(|error| why::of(&error, Why::Answer))?;
    head(stream).await
}

/// The headers are read to their end though nothing is taken from them: a server that breaks off in them is not well.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<u16, Why> {
    let mut lines = Lines::new(stream, MOST);
    loop {
        let line = lines.next().await?;
        let status = status(line)
            .ok_or_else(|| Why::Answer(format!("expected an HTTP/1 status line, found {}", shown(text(line)))))?;
        while !text(lines.next().await?).is_empty() {}
        // These announce that the answer follows.
        if !matches!(status, 100 | 102..=199) {
            return Ok(status);
        }
    }
}

/// The number of a status line: `HTTP/1.1 204 No Content`, with or without the words.
fn status(line: &[u8]) -> Option<u16> {
    let mut words = text(line).strip_prefix(b"HTTP/")?.split(|byte| *byte == b' ');
    let [b'1', b'.', b'0'..=b'9'] = words.next()? else { return None };
    let &[first @ b'1'..=b'9', second @ b'0'..=b'9', third @ b'0'..=b'9'] = words.next()? else { return None };
    let digit = |byte: u8| u16::from(byte - b'0');
    Some(digit(first) * 100 + digit(second) * 10 + digit(third))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_pieces, said};
    use super::*;
    use proptest::prelude::*;

    async fn read(mut bytes: &[u8]) -> Result<u16, Why> {
        head(&mut bytes).await
    }

    #[test]
    fn only_status_lines_have_a_status() {
        for (line, found) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 404\n", Some(404)),
            ("HTTP/1.1 503 ", Some(503)),
            ("HTTP/1.1 999 ü", Some(999)),
            ("HTTP/1.1 099 x", None),
            ("HTTP/1.1 2000 x", None),
            ("HTTP/1.1 20 x", None),
            ("HTTP/1.1 +20 x", None),
            ("HTTP/1.1  200 x", None),
            ("HTTP/2.0 200 x", None),
            ("HTTP/1.1", None),
            ("HTTP/ 200", None),
            ("ICY 200 OK", None),
            ("http/1.1 200 OK", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()), found, "{line:?}");
        }
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 401 No\r\nA: b\r\n\r\nx";
        assert_eq!(read(text.as_bytes()).await, Ok(401));
        assert_eq!(read(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await, Ok(101));
        assert_eq!(read(b"HTTP/1.0 200 bare line feeds\nA: b\n\nbody").await, Ok(200));
    }

    #[tokio::test]
    async fn what_is_cut_or_never_ends_is_no_answer() {
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(3000));
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        for (text, words) in [
            ("", "found nothing more"),
            ("HTTP/1.1 200", "found \"HTTP/1.1 200\""),
            ("HTTP/1.1 200 OK\r\nServer: x\r\n", "found nothing more"),
            ("HTTP/1.1 200 OK\r\nServer", "found \"Server\""),
            ("SSH-2.0-x\r\n", "expected an HTTP/1 status line, found \"SSH-2.0-x\""),
            (&endless, "within 16384 bytes"),
            (&interim, "within 16384 bytes"),
        ] {
            let why = read(text.as_bytes()).await.unwrap_err();
            assert!(why.to_string().contains(words), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_change_nothing(
            bytes in prop::collection::vec(
                prop_oneof![
                    any::<u8>().prop_map(|byte| vec![byte]),
                    said(&["HTTP/1.1 ", "HTTP/1.", "100 ", "200", "\r\n", "\n", "\r\n\r\n", "A: b"]),
                ],
                0..40,
            ).prop_map(|pieces| pieces.concat()),
            size in 1..20_usize,
        ) {
            let whole = in_pieces(&bytes, 64 * 1024, async |stream| head(stream).await);
            prop_assert_eq!(&in_pieces(&bytes, size, async |stream| head(stream).await), &whole);
            if let Ok(status) = whole {
                prop_assert!((100..=999).contains(&status));
                prop_assert!(bytes.starts_with(b"HTTP/1."));
            }
        }

        #[test]
        fn every_status_is_read_back(
            status in prop_oneof![Just(101_u16), 200..=999_u16],
            words in "[^\r\n]{0,30}",
            headers in prop::collection::vec("[A-Za-z-]{1,20}: [^\r\n]{0,40}", 0..10),
            end in prop::sample::select(vec!["\r\n", "\n"]),
            size in 1..50_usize,
        ) {
            let mut bytes = format!("HTTP/1.1 {status} {words}{end}");
            for header in headers {
                bytes.push_str(&header);
                bytes.push_str(end);
            }
            bytes.push_str(end);
            prop_assert_eq!(in_pieces(bytes.as_bytes(), size, async |stream| head(stream).await), Ok(status));
        }
    }
}
