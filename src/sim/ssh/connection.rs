//! One TCP connection. Between it and the library that speaks SSH lies a pipe, so that it can be reset or freeze.

use std::io;
use std::sync::Arc;

use russh::server::run_stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::handler::Handler;
use super::{Shared, SshFault, count};

/// How the pipe to the library behaves; the handler of the connection changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipe {
    Flowing,
    Frozen,
    Reset,
}

pub(super) async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    count(&shared.counters.connections);
    let mut all = shared.all.subscribe();
    all.mark_unchanged();
    tokio::select! {
        _ = all.changed() => {
            let reset = *all.borrow() == Pipe::Reset;
            let _ = if reset { stream.set_zero_linger() } else { until_closed(&mut stream).await };
        }
        _ = talk(&mut stream, &shared) => {}
    }
}

async fn talk(stream: &mut TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match shared.fault() {
        SshFault::HangAtGreeting => return until_closed(stream).await,
        SshFault::ResetAtGreeting => return stream.set_zero_linger(),
        SshFault::Greeting { bytes, stay } => {
            stream.write_all(&bytes).await?;
            return if stay { until_closed(stream).await } else { Ok(()) };
        }
        _ => {}
    }
    let (pipe, mut behaviour) = watch::channel(Pipe::Flowing);
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    let handler = Handler::new(Arc::clone(shared), pipe);
    let session = run_stream(Arc::clone(&shared.config), ours, handler);
    let flowing = async {
        let speaking = async {
            if let Ok(session) = session.await {
                let _ = session.await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            copied = copy_bidirectional(stream, &mut theirs) => copied.map(drop),
            () = speaking => Ok(()),
        }
    };
    tokio::select! {
        ended = flowing => return ended,
        _ = behaviour.wait_for(|pipe| *pipe != Pipe::Flowing) => {}
    }
    let frozen = *behaviour.borrow() == Pipe::Frozen;
    if frozen { until_closed(stream).await } else { stream.set_zero_linger() }
}

/// Waits for the client to lose patience.
async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 256];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
