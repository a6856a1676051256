//! From a file to a checked [`Config`], or to everything that is wrong with it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::check::{self, Context};
use super::fault::{Fault, Place, Report};
use super::{Config, KnownCollector, Shown, files, raw, reader, shown};

/// The largest configuration file that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// The environment, as an argument: gives the value of a variable that is set.
#[derive(Clone, Copy)]
pub struct Env<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Env<'a> {
    /// Wraps a lookup, such as `|name| std::env::var(name).ok()` in the one place that may read the environment.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(lookup)
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

/// A usable configuration, and what should be said about it at start.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Complete sentences, each with file, line and key path; no secrets.
    pub warnings: Vec<String>,
}

/// Why there is no configuration. Printed as one line, or one line per fault; never with a secret.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read at all.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        reason: io::Error,
    },
    /// The file was read, and these are wrong: all of them, in the order of the file.
    Faults(Vec<Fault>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                let (path, advice) = (path.display(), files::advice(reason));
                write!(f, "{path}: expected a configuration file, found that it cannot be read: {reason}; {advice}")
            }
            Self::Faults(faults) => {
                for (index, fault) in faults.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}{fault}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks a configuration file, with the files that it names.
///
/// `collectors` are those that `[collectors]` may name.
pub fn load(path: &Path, env: &Env<'_>, collectors: &[KnownCollector]) -> Result<Loaded, LoadError> {
    let content = read(path)?;
    let text = text(path, &content)?;
    check_text(text, Context::new(path, text, *env, content.open_mode), collectors)
}

/// Reads a configuration file as it may be shown, usable or not; none where it is not TOML.
pub fn show(path: &Path) -> Result<Option<Shown>, LoadError> {
    let content = read(path)?;
    Ok(shown::shown(text(path, &content)?, path))
}

/// Checks the text of a configuration; `path` is its name in messages, and its folder is where relative paths start.
///
/// Reads no file but those that the text names.
pub fn parse(text: &str, path: &Path, env: &Env<'_>, collectors: &[KnownCollector]) -> Result<Loaded, LoadError> {
    check_text(text, Context::new(path, text, *env, None), collectors)
}

fn read(path: &Path) -> Result<files::Content, LoadError> {
    files::read(path, LARGEST).map_err(|reason| LoadError::Unreadable { path: path.to_owned(), reason })
}

fn text<'a>(path: &Path, content: &'a files::Content) -> Result<&'a str, LoadError> {
    std::str::from_utf8(&content.bytes).map_err(|error| not_utf8(path, &content.bytes, error.valid_up_to()))
}

fn check_text(text: &str, mut context: Context<'_>, collectors: &[KnownCollector]) -> Result<Loaded, LoadError> {
    let document = reader::parse(text, &mut context.report);
    let config = document.and_then(|document| {
        let raw = raw::read(document.get_ref(), &mut context.report);
        check::config(&raw, collectors, &mut context)
    });
    let (faults, warnings) = context.report.finish();
    match config {
        Some(config) if faults.is_empty() => Ok(Loaded { config, warnings }),
        _ => Err(LoadError::Faults(faults)),
    }
}

fn not_utf8(path: &Path, bytes: &[u8], valid: usize) -> LoadError {
    let text = bytes.get(..valid).and_then(|start| std::str::from_utf8(start).ok()).unwrap_or_default();
    let mut report = Report::new(path, text);
    let column = report.column(valid);
    let place = Place { offset: Some(valid), key: String::new() };
    report.fault(&place, format!("expected UTF-8, found other bytes at column {column}; save the file as UTF-8"));
    LoadError::Faults(report.finish().0)
}
