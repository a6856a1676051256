//! `pve-sentinel serve`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, Log, listen_address, load, log};
use crate::config::{self, Loaded};
use crate::{app, collectors};

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Where to listen, such as 127.0.0.1:9221 or [::]:9221, instead of what the configuration says; may be given
    /// several times.
    #[arg(long = "web.listen-address", value_name = "ADDR", value_parser = listen_address)]
    listen_addresses: Vec<SocketAddr>,
    #[command(flatten)]
    log: Log,
}

pub(super) fn run(options: Options) -> ExitCode {
    let sockets = match app::handed_over() {
        Ok(sockets) => sockets,
        Err(error) => return super::end(Err(error)),
    };
    let held = sockets.addresses();
    let addresses = if held.is_empty() { options.listen_addresses } else { held.clone() };
    let loaded = match load(&options.file) {
        Ok(loaded) => on_addresses(loaded, &addresses),
        Err(code) => return code,
    };
    log::start(&options.log);
    if !held.is_empty() {
        tracing::info!(
            "listening on sockets of the service manager, whatever listen_addresses and the command line say"
        );
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let config = loaded.config;
    let source: app::Source = Box::new(move || {
        config::load(&options.file.config_file, &config::Env::new(&app::environment), &collectors::known())
            .map(|loaded| on_addresses(loaded, &addresses))
            .map_err(|error| error.to_string())
    });
    super::run(async move {
        let manager = app::Manager::named_by(&app::environment, std::process::id());
        let app = app::App::reloadable(&config, source, manager)?;
        let app = app.taking_orders_at(app::bind_control(&config.control.listen_addresses).await?);
        let listeners = if held.is_empty() { app::bind(&config.web.listen_addresses)? } else { sockets.listen()? };
        app.serve(listeners, app::stop_signal()?).await
    })
}

/// What the command line says of addresses stands above the file.
fn on_addresses(mut loaded: Loaded, addresses: &[SocketAddr]) -> Loaded {
    if !addresses.is_empty() {
        loaded.config.web.listen_addresses = addresses.to_vec();
    }
    loaded
}
