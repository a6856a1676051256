//! `pve-sentinel man`: manual pages from the same description as the help, for those who make packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Cli, end};

#[derive(Args)]
pub(super) struct Options {
    /// The folder that the pages are written to.
    folder: PathBuf,
}

pub(super) fn run(options: &Options) -> ExitCode {
    end(write(&options.folder))
}

fn write(folder: &Path) -> Result<(), String> {
    for (name, page) in pages() {
        let path = folder.join(name);
        fs::write(&path, page).map_err(|error| format!("{}: not written: {error}", path.display()))?;
    }
    Ok(())
}

/// A page of the program and of each command, with the names of their files.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut found = Vec::new();
    add(&program, &mut found);
    found
}

fn add(command: &clap::Command, found: &mut Vec<(String, Vec<u8>)>) {
    let man = Man::new(command.clone()).manual("pve-sentinel");
    let mut page = Vec::new();
    // Memory takes all that is written.
    if man.render(&mut page).is_ok() {
        found.push((man.get_filename(), page));
    }
    command.get_subcommands().filter(|below| !below.is_hide_set()).for_each(|below| add(below, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_all_its_options() {
        fn compare(command: &clap::Command, name: &str, pages: &mut Vec<(String, String)>) {
            let at = pages.iter().position(|(file, _)| *file == format!("{name}.1")).expect(name);
            let (_, page) = pages.remove(at);
            let options = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for option in options.filter_map(clap::Arg::get_long) {
                let written = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(page.contains(&written), "{name}: --{option}");
            }
            for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
                compare(below, &format!("{name}-{}", below.get_name()), pages);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let mut pages: Vec<(String, String)> = files
            .map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap()))
            .collect();
        assert!(pages.len() > 15, "{}", pages.len());
        compare(&Cli::command(), "pve-sentinel", &mut pages);
        assert!(pages.is_empty(), "{pages:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write(Path::new("/nonexistent")).unwrap_err();
        assert!(error.starts_with("/nonexistent/pve-sentinel.1: not written: "), "{error}");
    }
}
