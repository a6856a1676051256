//! `pve-sentinel serve`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, Log, listen_address, load, log};
use crate::app;

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
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    log::start(&options.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = loaded.config;
    if !options.listen_addresses.is_empty() {
        config.web.listen_addresses = options.listen_addresses;
    }
    super::run(async move {
        let app = app::App::new(&config)?;
        app.serve(app::bind(&config.web.listen_addresses)?, app::stop_signal()?).await;
        Ok(())
    })
}
