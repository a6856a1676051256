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
    let loaded = match load(&options.file) {
        Ok(loaded) => on_addresses(loaded, &options.listen_addresses),
        Err(code) => return code,
    };
    log::start(&options.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let config = loaded.config;
    let source: app::Source = Box::new(move || {
        config::load(&options.file.config_file, &config::Env::new(&app::environment), &collectors::known())
            .map(|loaded| on_addresses(loaded, &options.listen_addresses))
            .map_err(|error| error.to_string())
    });
    super::run(async move {
        let app = app::App::reloadable(&config, source)?;
        let app = app.taking_orders_at(app::bind_control(&config.control.listen_addresses).await?);
        app.serve(app::bind(&config.web.listen_addresses)?, app::stop_signal()?).await
    })
}

/// What the command line says of addresses stands above the file.
fn on_addresses(mut loaded: Loaded, addresses: &[SocketAddr]) -> Loaded {
    if !addresses.is_empty() {
        loaded.config.web.listen_addresses = addresses.to_vec();
    }
    loaded
}
