//! `pve-sentinel completions`: from the same description as the help.

use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot;

use super::{Cli, deliver, end};

#[derive(Args)]
pub(super) struct Options {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(options: &Options) -> ExitCode {
    end(deliver(&text(options.shell)))
}

fn text(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut written = Vec::new();
    aot::generate(shell, &mut Cli::command(), "pve-sentinel", &mut written);
    // clap_complete 4.6 names the commands of a program with a hyphen in its name in two ways, of which bash finds one.
    String::from_utf8_lossy(&written).replace("pve__subcmd__sentinel", "pve__sentinel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_in_each() {
        fn words(command: &clap::Command, found: &mut Vec<String>) {
            found.push(command.get_name().to_owned());
            found.extend(command.get_arguments().filter_map(clap::Arg::get_long).map(str::to_owned));
            command.get_subcommands().for_each(|below| words(below, found));
        }
        let mut all = Vec::new();
        words(&Cli::command(), &mut all);
        assert!(all.len() > 60, "{all:?}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = text(shell);
            let missing: Vec<&String> = all.iter().filter(|word| !text.contains(word.as_str())).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }
}
