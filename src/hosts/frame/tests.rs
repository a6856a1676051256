use proptest::prelude::*;

use super::super::testing::fixture;
use super::*;

const ANSWER: &str = "\n@pve-sentinel 1 begin probe\n\n@pve-sentinel 1 open a\n1\n2\n\n@pve-sentinel 1 close a\n\
                      \n@pve-sentinel 1 absent b no perl\n\n@pve-sentinel 1 open c\n3\n\n@pve-sentinel 1 close c\n\n@pve-sentinel 1 end probe\n";

fn gaps(frame: &Frame) -> Vec<(&str, &str)> {
    frame.gaps().collect()
}

#[test]
fn sections_are_told_apart() {
    let frame = Frame::read(ANSWER.as_bytes()).unwrap();
    assert!(frame.is_whole() && frame.answers("probe").is_ok());
    assert_eq!(frame.get("a"), Ok("1\n2\n\n"));
    assert_eq!(frame.get("b"), Err(Gap::Absent("no perl".into())));
    assert_eq!(frame.get("d"), Ok(""), "a whole answer that has no such section");
    assert_eq!(gaps(&frame), [("b", "no perl")]);
}

#[test]
fn noise_around_an_answer_is_none_of_it() {
    let expected = Frame::read(ANSWER.as_bytes()).unwrap();
    for (before, after) in [
        ("Welcome to pve1!\r\nLast login: never\n", "logout\n"),
        ("% setenv: Too many arguments.\n% ", ""),
        ("no line feed at the end", "@pve-sentinel 1 open a\n"),
        ("@pve-sentinel 1 begi", "\n@pve-sentinel 1 begin smart\n"),
        ("\u{fffd}\0\u{1b}[2J", "\0"),
        (repeated(), repeated()),
    ] {
        let frame = Frame::read(format!("{before}{ANSWER}{after}").as_bytes()).unwrap();
        for section in ["a", "b", "c", "d"] {
            assert_eq!(frame.get(section), expected.get(section), "{before:?}");
        }
        assert!(frame.is_whole());
    }
    // A terminal between.
    let frame = Frame::read(ANSWER.replace('\n', "\r\n").as_bytes()).unwrap();
    assert_eq!((frame.get("c"), frame.is_whole()), (Ok("3\r\n\r\n"), true));
}

/// A shell that repeats what it reads.
fn repeated() -> &'static str {
    include_str!("../../ssh/probe.sh")
}

#[test]
fn noise_between_two_sections_hides_neither() {
    let noisy = ANSWER.replace("\n@pve-sentinel 1 open c", "Broadcast message\n@pve-sentinel 1 open c");
    assert_eq!(Frame::read(noisy.as_bytes()).unwrap().get("c"), Ok("3\n\n"));
}

#[test]
fn a_section_that_is_opened_anew_was_cut_off() {
    let again = "\n@pve-sentinel 1 begin probe\n@pve-sentinel 1 open a\n1\n@pve-sentinel 1 open c\n2\n@pve-sentinel 1 close a\n\
                 3\n@pve-sentinel 1 close c\n@pve-sentinel 1 open d\n";
    let frame = Frame::read(again.as_bytes()).unwrap();
    assert_eq!((frame.get("a"), frame.get("c")), (Err(Gap::Cut), Ok("2\n@pve-sentinel 1 close a\n3\n")));
    assert_eq!(gaps(&frame).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "d"]);
    assert!(!frame.is_whole() && frame.get("e") == Err(Gap::Cut));
}

#[test]
fn a_cut_tells_nothing_that_the_whole_does_not() {
    for name in ["disks.smart", "pools.zpool", "debian.updates"] {
        let answer = fixture(name);
        let whole = Frame::read(&answer).unwrap();
        for length in 0..answer.len() {
            let Ok(cut) = Frame::read(&answer[..length]) else { continue };
            assert!(!cut.is_whole() || length == answer.len());
            for section in cut.names("") {
                match cut.get(section) {
                    Ok(text) => assert_eq!(Ok(text), whole.get(section), "{name}, {length} bytes: {section}"),
                    Err(gap) => assert_eq!(gap, Gap::Cut),
                }
            }
        }
    }
}

#[test]
fn what_is_no_answer_says_what_it_is() {
    for (answer, message) in [
        ("", "the probe told nothing: is there a sh?"),
        (
            "This account is\tcurrently not\navailable.\n",
            "expected the probe's answer, found \"This account is currently not available.\"",
        ),
        (
            "\n@pve-sentinel 2 begin probe\n",
            "the probe on the host speaks format 2, expected 1: install the one that pve-sentinel ssh-probe prints",
        ),
        ("@pve-sentinel 1 begin probe", "expected the probe's answer, found \"@pve-sentinel 1 begin probe\""),
    ] {
        assert_eq!(Frame::read(answer.as_bytes()).unwrap_err().to_string(), message);
    }
    let other = Frame::read(ANSWER.as_bytes()).unwrap().answers("smart").unwrap_err();
    assert!(other.to_string().starts_with("asked for smart, the host answered \"probe\": "), "{other}");
}

#[test]
fn ten_megabytes_of_noise_are_not_kept() {
    for noise in ["x", "noise\n", "@", "\n@pve-sentinel", "é\0"] {
        let noise = noise.repeat((10 << 20) / noise.len());
        let mut intake = Intake::default();
        let mut most = 0;
        for piece in noise.as_bytes().chunks(32 * 1024) {
            assert!(!intake.take(piece));
            most = most.max(intake.bytes.capacity() + intake.noise.capacity());
        }
        assert!(most < 256 * 1024, "{most}");
        assert!(intake.take(ANSWER.as_bytes()));
        assert_eq!(intake.frame().unwrap().get("a"), Ok("1\n2\n\n"));
    }
}

#[test]
fn an_answer_without_end_is_bounded() {
    let mut intake = Intake::default();
    assert!(!intake.take(b"\n@pve-sentinel 1 begin probe\n"));
    let enough = (0..10_000).any(|_| intake.take(&[b'x'; 1024]));
    assert!(enough && intake.bytes.len() == MOST_BYTES && intake.bytes.capacity() <= 2 * MOST_BYTES);
    // Nor is a number of sections.
    let many = format!("\n@pve-sentinel 1 begin smart\n{}", "@pve-sentinel 1 absent a b\n".repeat(5000));
    assert_eq!(Frame::read(many.as_bytes()).unwrap().sections.len(), MOST_SECTIONS);
}

proptest! {
    #[test]
    fn any_pieces_are_the_same_answer(cuts in prop::collection::vec(0..2000_usize, 0..8)) {
        let answer = format!("motd\n{ANSWER}bye\n");
        let mut intake = Intake::default();
        let mut rest = answer.as_bytes();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            intake.take(piece);
            rest = after;
        }
        intake.take(rest);
        let frame = intake.frame().unwrap();
        prop_assert_eq!(frame.get("c"), Ok("3\n\n"));
        prop_assert!(frame.is_whole());
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), pieces in prop::collection::vec(0..12_usize, 0..20)) {
        let _ = Frame::read(&bytes);
        let parts = ["\n", "@pve-sentinel ", "1 ", "2 ", "begin probe", "open a", "close a", "absent a", "end probe", "\r\n", "é", "x"];
        let text: String = pieces.iter().map(|at| parts[*at]).collect();
        if let Ok(frame) = Frame::read(text.as_bytes()) {
            prop_assert!(frame.gaps().count() <= pieces.len());
            let _ = frame.get("a");
        }
    }
}
