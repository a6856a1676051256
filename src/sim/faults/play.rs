//! How each fault is played to the client.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

use super::super::source::Reply;
use super::super::wire;
use super::Fault;

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Flow {
    KeepAlive,
    Close,
    Reset,
    DieAtNext,
}

/// Gives `reply` the way the fault has it.
pub(in super::super) async fn play<S>(stream: &mut S, fault: Fault, reply: &Reply) -> io::Result<Flow>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let length = Some(reply.body.len() as u64);
    match fault {
        Fault::Reset => return Ok(Flow::Reset),
        Fault::Hang => return until_closed(stream).await,
        // The connection has waited for a late answer already, and knows which of n strikes.
        Fault::Status { .. } | Fault::Slow(_) | Fault::EveryNth { .. } => {
            send(stream, &wire::head(reply, false, length, false), &reply.body).await?;
        }
        Fault::Body(body) => {
            let head = wire::head(&Reply::json(200, "OK", ""), false, Some(body.len() as u64), false);
            send(stream, &head, &body).await?;
        }
        Fault::Answer(other) => {
            send(stream, &wire::head(&other, false, Some(other.body.len() as u64), false), &other.body).await?;
        }
        Fault::Truncate => {
            let half = &reply.body[..reply.body.len() / 2];
            send(stream, &wire::head(reply, false, length, false), half).await?;
        }
        Fault::Stall { after_bytes } => {
            let part = &reply.body[..after_bytes.min(reply.body.len())];
            send(stream, &wire::head(reply, true, length, false), part).await?;
            return until_closed(stream).await;
        }
        Fault::Drip { bytes_per_second } => {
            send(stream, &wire::head(reply, false, length, false), &[]).await?;
            drip(stream, &reply.body, bytes_per_second.max(1)).await?;
        }
        Fault::BigBody { bytes } => {
            send(stream, &wire::head(&Reply::json(200, "OK", ""), false, None, false), &[]).await?;
            blanks(stream, bytes).await?;
        }
        Fault::CloseKeepAlive => {
            send(stream, &wire::head(reply, true, length, false), &reply.body).await?;
            return Ok(Flow::DieAtNext);
        }
        Fault::Gzip => {
            let body = wire::gzip(&reply.body);
            send(stream, &wire::head(reply, false, Some(body.len() as u64), true), &body).await?;
        }
        Fault::BadGzip => {
            let mut body = wire::gzip(&reply.body);
            // The header and the first block's beginning are left whole, so that the decoder finds out late.
            body.iter_mut().skip(24).for_each(|byte| *byte = !*byte);
            send(stream, &wire::head(reply, false, Some(body.len() as u64), true), &body).await?;
        }
        Fault::Understate => {
            send(stream, &wire::head(reply, true, length.map(|length| length / 2), false), &reply.body).await?;
            return Ok(Flow::KeepAlive);
        }
        Fault::Surplus(bytes) => {
            let body = [&reply.body[..], &bytes[..]].concat();
            send(stream, &wire::head(reply, true, length, false), &body).await?;
            return Ok(Flow::KeepAlive);
        }
        Fault::EndlessHeaders => endless_headers(stream).await?,
    }
    Ok(Flow::Close)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, head: &str, body: &[u8]) -> io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Waits for the client to lose patience.
pub(in super::super) async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Flow> {
    let mut ignored = [0; 256];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Flow::Close)
}

/// Sixteen times a second, or byte by byte where that is too fast.
async fn drip<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8], bytes_per_second: u32) -> io::Result<()> {
    let portion = (bytes_per_second / 16).max(1);
    for part in body.chunks(portion as usize) {
        sleep(Duration::from_secs(1) * portion / bytes_per_second).await;
        stream.write_all(part).await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn endless_headers<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    send(stream, "HTTP/1.1 200 OK\r\n", &[]).await?;
    loop {
        sleep(Duration::from_millis(50)).await;
        send(stream, "X-More: to come\r\n", &[]).await?;
    }
}

async fn blanks<S: AsyncWrite + Unpin>(stream: &mut S, bytes: u64) -> io::Result<()> {
    const START: &[u8] = b"{\"data\":[]";
    const END: &[u8] = b"}";
    let chunk = [b' '; 16 * 1024];
    stream.write_all(START).await?;
    let mut left = bytes.saturating_sub((START.len() + END.len()) as u64);
    while left > 0 {
        let size = left.min(chunk.len() as u64);
        stream.write_all(&chunk[..size as usize]).await?;
        left -= size;
    }
    stream.write_all(END).await?;
    stream.flush().await
}
