//! What an SSH server says first, and how one leaves it (RFC 4253 §4.2, §6, §11.1).

use tokio::io::AsyncRead;

use super::lines::{Lines, text};
use super::why::{Why, shown};

/// The banner and all lines before it, in bytes.
const MOST: u64 = 8 * 1024;

/// The banner with its end, in bytes.
const LONGEST_BANNER: usize = 255;

/// Reads up to the banner.
///
/// # Errors
/// [`Why::Answer`] where none comes, or one of a version that nobody speaks any more.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), Why> {
    let mut lines = Lines::new(stream, MOST);
    loop {
        let line = lines.next().await?;
        if line.starts_with(b"SSH-") {
            return judge(line);
        }
    }
}

fn judge(line: &[u8]) -> Result<(), Why> {
    if line.len() > LONGEST_BANNER {
        return Err(Why::Answer(format!(
            "expected an SSH banner of at most {LONGEST_BANNER} bytes, found a longer one"
        )));
    }
    // 1.99 is how a server says that it speaks 2.0 and older versions too.
    if line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-") {
        return Ok(());
    }
    Err(Why::Answer(format!("expected an SSH banner of version 2.0, found {}", shown(text(line)))))
}

/// Our own banner and an orderly goodbye, so that the server's log tells a check from a broken connection.
pub(super) fn farewell() -> Vec<u8> {
    const BANNER: &[u8] = b"SSH-2.0-pve-sentinel\r\n";
    const DISCONNECT: u8 = 1;
    const BY_APPLICATION: u32 = 11;
    const DESCRIPTION: &[u8] = b"check";
    /// Before keys are agreed on, packets are multiples of this.
    const BLOCK: usize = 8;
    const LEAST_PADDING: usize = 4;

    let mut payload = vec![DISCONNECT];
    payload.extend_from_slice(&BY_APPLICATION.to_be_bytes());
    payload.extend_from_slice(&[0, 0, 0, 5]);
    payload.extend_from_slice(DESCRIPTION);
    payload.extend_from_slice(&[0, 0, 0, 0]);
    let filled = (4 + 1 + payload.len() + LEAST_PADDING).next_multiple_of(BLOCK);
    let padding = filled - 4 - 1 - payload.len();
    let mut words = BANNER.to_vec();
    words.extend_from_slice(&u32::try_from(filled - 4).unwrap_or_default().to_be_bytes());
    words.push(u8::try_from(padding).unwrap_or_default());
    words.extend_from_slice(&payload);
    words.resize(words.len() + padding, 0);
    words
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_pieces, said};
    use super::*;
    use proptest::prelude::*;

    async fn read_all(mut bytes: &[u8]) -> Result<(), Why> {
        read(&mut bytes).await
    }

    #[tokio::test]
    async fn a_banner_is_found_behind_other_lines() {
        let notice = "x".repeat(4000) + "\r\n";
        for text in [
            "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            "SSH-2.0-dropbear\n",
            "SSH-1.99-Cisco-1.25\r\n",
            "Be welcome\r\nNot SSH-2.0-\r\n\r\nSSH-2.0-x\r\n\0\0\0rest",
            &format!("{notice}{notice}SSH-2.0-x\n"),
            &format!("SSH-2.0-{}\r\n", "x".repeat(255 - 10)),
        ] {
            assert_eq!(read_all(text.as_bytes()).await, Ok(()), "{text}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_no_banner() {
        for (text, words) in [
            (String::new(), "found nothing more"),
            ("SSH-2.0-cut".into(), "found \"SSH-2.0-cut\""),
            ("SSH-1.5-old\r\n".into(), "version 2.0, found \"SSH-1.5-old\""),
            ("SSH-\x1b[31m\n".into(), "version 2.0, found \"SSH-\\x1b[31m\""),
            ("220 mail ESMTP\r\n".into(), "found nothing more"),
            (format!("SSH-2.0-{}\r\n", "x".repeat(256 - 10)), "found a longer one"),
            ("x\n".repeat(4096) + "SSH-2.0-x\n", "within 8192 bytes"),
            ("x".repeat(9000), "within 8192 bytes"),
        ] {
            let why = read_all(text.as_bytes()).await.unwrap_err();
            assert!(why.to_string().contains(words), "{why}");
        }
    }

    #[test]
    fn the_farewell_is_one_well_formed_packet() {
        let words = farewell();
        let at = words.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (banner, packet) = words.split_at(at);
        assert!(judge(banner).is_ok());
        assert_eq!(packet.len() % 8, 0);
        assert_eq!(packet[..4], u32::try_from(packet.len() - 4).unwrap().to_be_bytes());
        let padding = usize::from(packet[4]);
        assert!(padding >= 4);
        assert_eq!(packet[5..packet.len() - padding], *b"\x01\0\0\0\x0b\0\0\0\x05check\0\0\0\0");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_change_nothing(
            bytes in prop::collection::vec(
                prop_oneof![any::<u8>().prop_map(|byte| vec![byte]), said(&["SSH-2.0-", "SSH-", "\r\n", "\n", "1.99-"])],
                0..40,
            ).prop_map(|pieces| pieces.concat()),
            size in 1..20_usize,
        ) {
            let whole = in_pieces(&bytes, 64 * 1024, async |stream| read(stream).await);
            prop_assert_eq!(&in_pieces(&bytes, size, async |stream| read(stream).await), &whole);
            let has_banner = String::from_utf8_lossy(&bytes).split_inclusive('\n').any(|line| line.starts_with("SSH-"));
            prop_assert!(has_banner || whole.is_err());
        }
    }
}
