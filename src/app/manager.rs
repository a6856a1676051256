//! The service manager that started us, such as systemd: it is told what we are at, and that we still are.
//!
//! `sd_notify(3)` is one datagram of lines to a socket that the environment names.

use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::http;

/// How long it may take to take a message; the loop waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the service manager; without one, nobody.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear from us: twice in the time after which it takes us for dead.
    interval: Option<Duration>,
    state: Mutex<State>,
    /// Whether the last message did not arrive.
    deaf: AtomicBool,
}

/// What the status says.
#[derive(Debug, Default)]
struct State {
    subject: String,
    listening: String,
    refused: bool,
}

impl Manager {
    /// The one that the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`); `process` is our id. One that
    /// cannot be told anything is logged.
    pub fn named_by(environment: &dyn Fn(&str) -> Option<String>, process: u32) -> Self {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let socket = match socket(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, NOTIFY_SOCKET = name, "the service manager cannot be told anything");
                None
            }
        };
        let meant = environment("WATCHDOG_PID").is_none_or(|meant| meant.parse() == Ok(process));
        let within = environment("WATCHDOG_USEC").filter(|_| meant).and_then(|microseconds| microseconds.parse().ok());
        let half = |within: u64| Duration::from_micros(within).max(Duration::from_millis(2)) / 2;
        let interval = within.filter(|within| *within > 0).map(half);
        Self { socket, interval, ..Self::default() }
    }

    /// Says that we are ready as soon as every loop of `pulses` turns, and from then on as often as the watchdog wants to
    /// hear it that all of them turned once more: none of them is waited for any longer than that it must be. At `stop`,
    /// says so and ends.
    pub(super) async fn follow(&self, pulses: &[http::Pulse], stop: impl Future<Output = ()>) {
        let living = async {
            feel(pulses).await;
            self.ready();
            let Some(interval) = self.interval else { return std::future::pending().await };
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                feel(pulses).await;
                self.tell("WATCHDOG=1");
            }
        };
        tokio::select! {
            () = stop => {}
            () = living => {}
        }
        self.tell("STOPPING=1\nSTATUS=stopping: requests in flight are answered first");
    }

    /// From now on, the status speaks of this configuration.
    pub(super) fn knows(&self, config: &Config) {
        let several = |number: usize, one: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {one}s"),
        };
        let mut subject = several(config.clusters.len(), "cluster");
        if !config.hosts.is_empty() {
            subject = format!("{subject}, {}", several(config.hosts.len(), "host"));
        }
        self.state().subject = subject;
    }

    /// From now on, the status names these addresses.
    pub(super) fn listens(&self, listeners: &[TcpListener]) {
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
        self.state().listening = addresses.join(", ");
    }

    /// The configuration is being read again.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// That is over; whether it is in force.
    pub(super) fn reloaded(&self, in_force: bool) {
        self.state().refused = !in_force;
        self.ready();
    }

    fn ready(&self) {
        let status = self.state().to_string();
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        match socket.send_to_addr(message.as_bytes(), address) {
            Ok(_) => self.deaf.store(false, Ordering::Relaxed),
            Err(error) if !self.deaf.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, untold = message, "the service manager did not take a message");
            }
            Err(_) => {}
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}; listening on {}", self.subject, self.listening)?;
        if self.refused {
            formatter.write_str("; the last configuration was refused, see the log")?;
        }
        Ok(())
    }
}

async fn feel(pulses: &[http::Pulse]) {
    for pulse in pulses {
        pulse.felt().await;
    }
}

/// A socket to send from, and the one to send to: a path, or with `@` in front a name that no file has.
fn socket(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a path nor begins with @")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Manager {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Manager::named_by(&get, 7)
    }

    /// The end of a service manager, and who tells it.
    fn told(interval: &str) -> (UnixDatagram, Manager, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = of(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", interval)]);
        (socket, manager, folder)
    }

    fn messages(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let next = || socket.recv(&mut buffer).ok().map(|read| String::from_utf8_lossy(&buffer[..read]).into_owned());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn the_environment_says_who_and_how_often() {
        let interval = |variables: &[(&str, &str)]| {
            let manager = of(&[&[("NOTIFY_SOCKET", "/nowhere")][..], variables].concat());
            assert!(manager.socket.is_some());
            manager.interval
        };
        let half = Some(Duration::from_secs(15));
        assert_eq!(interval(&[("WATCHDOG_USEC", "30000000")]), half);
        assert_eq!(interval(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "7")]), half);
        for other in [
            &[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "8")][..],
            &[("WATCHDOG_USEC", "0")],
            &[("WATCHDOG_USEC", "-1")],
            &[("WATCHDOG_USEC", "99999999999999999999999")],
            &[("WATCHDOG_PID", "7")],
        ] {
            assert_eq!(interval(other), None, "{other:?}");
        }
        assert_eq!(interval(&[("WATCHDOG_USEC", "1")]), Some(Duration::from_millis(1)));
        assert!(interval(&[("WATCHDOG_USEC", &u64::MAX.to_string())]).is_some());
        let nobody = of(&[("WATCHDOG_USEC", "30000000")]);
        assert!(nobody.socket.is_none() && nobody.interval.is_none());
        let long = "/long".repeat(50);
        for name in ["relative", "vsock:2:1", "/nul\0", long.as_str()] {
            assert!(of(&[("NOTIFY_SOCKET", name)]).socket.is_none(), "{name}");
        }
    }

    #[test]
    fn nobody_there_fails_nothing() {
        of(&[("NOTIFY_SOCKET", "/nowhere/notify")]).ready();
        Manager::default().ready();
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_not_told_as_alive() {
        let (socket, manager, _folder) = told("2000000");
        let (mut first, pulse) = http::Heart::new();
        let (mut second, other) = http::Heart::new();
        let pulses = [pulse, other];
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let following = manager.follow(&pulses, async { drop(stopped.await) });
        let turning = async {
            let some_time = || tokio::time::sleep(Duration::from_millis(10_500));
            tokio::select! { () = some_time() => {}, () = first.turns() => {} }
            assert_eq!(messages(&socket), [""; 0], "one loop is not enough to be ready");
            tokio::select! { () = some_time() => {}, () = first.turns() => {}, () = second.turns() => {} }
            let heard = messages(&socket);
            assert!(heard[0].starts_with("READY=1\nSTATUS="), "{heard:?}");
            let pings = heard.iter().filter(|message| *message == "WATCHDOG=1").count();
            assert!((9..=11).contains(&pings) && pings + 1 == heard.len(), "{heard:?}");
            tokio::select! { () = some_time() => {}, () = second.turns() => {} }
            assert_eq!(messages(&socket), [""; 0], "the first one turns no more");
            tokio::select! { () = some_time() => {}, () = first.turns() => {}, () = second.turns() => {} }
            assert!(messages(&socket).len() >= 9, "it does again");
            stop.send(()).unwrap();
        };
        futures_util::future::join(following, turning).await;
        assert_eq!(messages(&socket), ["STOPPING=1\nSTATUS=stopping: requests in flight are answered first"]);
    }
}
