//! Formats of the files in `state_dir`, which outlive the version that wrote them.

use std::path::Path;

/// What is said of a file that a newer version wrote, which is left as it is: what this version cannot read it would lose.
pub fn newer_format(file: &Path, found: u32, known: u32) -> String {
    let file = file.display();
    format!(
        "state_dir: expected {file} in format {known}, found format {found}, which a newer pve-sentinel wrote; nothing was \
         changed: start that version again, put back a copy of the folder from before the upgrade, or move this file away and \
         go without what it remembers"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_file_formats_and_what_to_do() {
        let said = newer_format(Path::new("/var/lib/x/events.journal"), 7, 1);
        for words in ["/var/lib/x/events.journal in format 1", "found format 7", "start that version again"] {
            assert!(said.contains(words), "{said}");
        }
    }
}
