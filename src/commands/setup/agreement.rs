//! `--yes` or a typed yes.

use std::io::{self, BufRead, IsTerminal, Read};

use super::Failure;
use super::login::Target;
use crate::commands::complain;

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 100;

/// Asks whether to do what was shown. Fails unless the answer is yes, or was given before.
pub(super) async fn agree(yes: bool, target: &Target) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let message = "nothing was done: expected --yes, or a terminal to type yes at, found neither";
        return Err(Failure::Usage(message.to_owned()));
    }
    complain(&format!("type yes to do this on {}, anything else to leave everything as it is:", target.address));
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().take(LONGEST).read_line(&mut line).map(|_| line)
    });
    match read.await {
        Ok(Ok(line)) if line.trim() == "yes" => Ok(()),
        _ => Err(Failure::Runtime("nothing was done".to_owned())),
    }
}
