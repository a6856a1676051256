//! What a host said, fit for a terminal.

/// The most that is shown of one text, in characters: a line for `known_hosts` with the longest of keys fits in.
const MOST: usize = 2000;

/// One line without anything that a terminal would obey, or that would make a line read otherwise than it is.
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for (index, c) in text.trim().chars().enumerate() {
        if index == MOST {
            shown.push('…');
            break;
        }
        shown.push(if is_plain(c) { c } else { '\u{fffd}' });
    }
    shown
}

/// Whether a terminal shows a character as what it is, and does nothing else for it.
pub fn is_plain(c: char) -> bool {
    // Besides controls: what has no width, what turns the direction of text, other ends of lines, and tags.
    let turns = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(plain(" é pve1 — 9.2\n"), "é pve1 — 9.2");
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(plain(&"x".repeat(5000)).chars().count(), MOST + 1);
    }

    proptest! {
        #[test]
        fn one_bounded_line(text: String) {
            let shown = plain(&text);
            prop_assert!(shown.chars().all(is_plain) && shown.chars().count() <= MOST + 1);
        }
    }
}
