//! `pve-sentinel support-bundle`: one text file to send with a report of a fault, readable before it is sent.

mod parts;

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, USAGE, complain};
use crate::config::Hidden;
use crate::setup::plain;

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 100;
/// A hidden word shorter than this is one that stands everywhere.
const SHORTEST: usize = 4;

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Where to write it; nothing that is there is replaced.
    #[arg(long, value_name = "FILE", default_value = "pve-sentinel-support.txt")]
    out: PathBuf,
    /// The unit of systemd whose last log lines are taken.
    #[arg(long, value_name = "NAME", default_value = "pve-sentinel")]
    unit: String,
    /// Write it without asking.
    #[arg(long)]
    yes: bool,
}

/// One part of the file.
struct Part {
    name: &'static str,
    /// What is in it, in a few words.
    about: &'static str,
    text: String,
}

pub(super) fn run(options: &Options) -> ExitCode {
    // Before anybody is asked: whoever says yes is to get it.
    if options.out.symlink_metadata().is_ok() {
        let out = options.out.display();
        complain(&format!("{out} is there already, and is not replaced; remove it, or name another file with --out"));
        return ExitCode::from(USAGE);
    }
    let (mut parts, hidden) = parts::all(&options.file.config_file, &options.unit);
    for part in &mut parts {
        part.text = without(&part.text, &hidden);
    }
    show(&parts, &options.out);
    if !options.yes {
        if !io::stdin().is_terminal() {
            complain(&"nothing was written: expected --yes, or a terminal to type yes at, found neither");
            return ExitCode::from(USAGE);
        }
        complain(&"type yes to write it, anything else to leave it:");
        let mut line = String::new();
        let read = io::stdin().lock().take(LONGEST).read_line(&mut line);
        if read.is_err() || line.trim() != "yes" {
            return super::end(Err("nothing was written".to_owned()));
        }
    }
    super::end(write(&options.out, &document(&parts)))
}

/// The list, before anything is written.
fn show(parts: &[Part], out: &Path) {
    complain(&format!("{} will have, for whoever you send it to:", out.display()));
    for Part { name, about, text } in parts {
        complain(&format!("  {name:<14}{:>8} bytes  {about}", text.len()));
    }
    complain(
        &"names and addresses of your clusters, nodes, hosts, users and guests can be in it; secrets, commands and comments of \
          the configuration are not. Read it before you send it.",
    );
}

fn document(parts: &[Part]) -> String {
    let part = |Part { name, about, text }: &Part| format!("==== {name}: {about}\n\n{}\n\n", text.trim_end());
    parts.iter().map(part).collect()
}

/// A text in which none of the secrets stands, wherever it came from.
fn without(text: &str, hidden: &[Hidden]) -> String {
    let mut long: Vec<&Hidden> = hidden.iter().filter(|one| one.text.expose().len() >= SHORTEST).collect();
    // What is the beginning of another one must not leave its end.
    long.sort_by_key(|one| std::cmp::Reverse(one.text.expose().len()));
    long.into_iter().fold(text.to_owned(), |text, one| text.replace(one.text.expose(), &one.instead))
}

/// Writes a file that only its owner can read. Fails with a sentence for people.
fn write(out: &Path, text: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}; name another file with --out", out.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half of it would be taken for whole; another reason than the first would not help.
        let _ = std::fs::remove_file(out);
        return Err(failed(error));
    }
    complain(&format!("written to {}", plain(&out.display().to_string())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let hidden = ["hunter2", "hunter2-too", "abc", ""].map(|word| Hidden::from(Secret::new(word.to_owned())));
        assert_eq!(without("abc hunter2, hunter22, hunter2-too", &hidden), "abc <hidden>, <hidden>2, <hidden>");
        let cut = Hidden { text: Secret::new("http://am:80/T0".to_owned()), instead: "http://am:80/…".to_owned() };
        assert_eq!(
            without("to http://am:80/T0, not to http://am:80", &[cut]),
            "to http://am:80/…, not to http://am:80"
        );
    }

    #[test]
    fn nothing_is_replaced_and_nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.txt");
        write(&out, "text").unwrap();
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&out, "other").unwrap_err().contains("--out"));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "text");
    }
}
