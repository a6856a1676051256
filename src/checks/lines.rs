//! Lines of an answer, bounded.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Take};

use super::why::{self, Why};

/// Reads line by line; the bytes of all lines together are bounded.
pub(super) struct Lines<'s, S> {
    reader: BufReader<Take<&'s mut S>>,
    line: Vec<u8>,
    most: u64,
}

impl<'s, S: AsyncRead + Unpin> Lines<'s, S> {
    /// Lines of `stream`, `most` bytes in all.
    pub(super) fn new(stream: &'s mut S, most: u64) -> Self {
        Self { reader: BufReader::new(stream.take(most)), line: Vec::new(), most }
    }

    /// The next line with its end, LF or CR LF.
    ///
    /// # Errors
    /// [`Why::Answer`] where no whole line comes any more.
    pub(super) async fn next(&mut self) -> Result<&[u8], Why> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line).await;
        read.map_err(|error| why::of(&error, Why::Answer))?;
        if self.line.ends_with(b"\n") {
            return Ok(&self.line);
        }
        if self.reader.get_ref().limit() == 0 {
            return Err(Why::Answer(format!("expected its end within {} bytes, found none", self.most)));
        }
        let found = if self.line.is_empty() { "nothing more".to_owned() } else { why::shown(&self.line) };
        Err(Why::Answer(format!("the other side closed the connection where a line was expected, found {found}")))
    }
}

/// A line without its end.
pub(super) fn text(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_line_is_taken_off() {
        for (line, without) in
            [("a\r\n", "a"), ("a\n", "a"), ("a", "a"), ("a\r", "a"), ("\r\n", ""), ("\r\r\n", "\r"), ("", "")]
        {
            assert_eq!(text(line.as_bytes()), without.as_bytes(), "{line:?}");
        }
    }

    #[tokio::test]
    async fn the_bytes_are_bounded_and_the_end_is_told() {
        let mut stream: &[u8] = b"one\ntwo\r\nthree";
        let mut lines = Lines::new(&mut stream, 100);
        assert_eq!(lines.next().await, Ok(&b"one\n"[..]));
        assert_eq!(lines.next().await, Ok(&b"two\r\n"[..]));
        let why = lines.next().await.unwrap_err().to_string();
        assert!(why.ends_with("closed the connection where a line was expected, found \"three\""), "{why}");
        let mut stream: &[u8] = b"one\ntwo\n";
        let mut lines = Lines::new(&mut stream, 7);
        assert_eq!(lines.next().await, Ok(&b"one\n"[..]));
        assert_eq!(lines.next().await.unwrap_err().to_string(), "answer: expected its end within 7 bytes, found none");
    }
}
