//! What hosts told, as pages: a recorded answer of a Debian machine, and a hand-made one that has everything.

use std::sync::Arc;
use std::time::Duration;

use pve_sentinel::hosts::{self, Clock, Frame, Options, Told};
use pve_sentinel::metrics::{Family, Format, Labels, Page as Writer, Part};

use crate::support::{Page, check_golden, repository};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(repository().join("tests/fixtures/hosts").join(name)).expect("a fixture")
}

fn text(families: Vec<Family>, format: Format) -> String {
    let part = Arc::new(Part { labels: Labels::new(&[]), families });
    let chunks: Vec<_> = Writer::new(vec![part], None).chunks(format).collect();
    String::from_utf8(chunks.concat()).expect("text")
}

fn read(name: &str) -> Told {
    let frame = Frame::read(&fixture(name)).expect("a frame");
    let asked = Duration::from_millis(1_763_999_999_900);
    let clock = Clock { asked, round_trip: Duration::from_millis(20) };
    match name.rsplit('.').next().expect("an ending") {
        "smart" => hosts::smart(&frame),
        "zpool" => hosts::zpool(&frame),
        "updates" => hosts::updates(&frame),
        _ => hosts::probe(&frame, Some(clock), &Options::default()),
    }
    .expect("an answer to the question")
}

#[test]
fn every_answer_is_a_page() {
    for name in ["debian-vm.probe", "pve-node.probe", "disks.smart", "pools.zpool", "debian.updates"] {
        let told = read(name);
        check_golden(&format!("hosts/{name}.prom"), &text(told.families.clone(), Format::Text004));
        // Well-formed in both formats, no series twice, and as many of them.
        let [plain, open] =
            [Format::Text004, Format::OpenMetrics100].map(|format| Page::parse(&text(told.families.clone(), format)));
        assert!(plain.count > 0 && plain.count == open.count, "{name}: {} and {}", plain.count, open.count);
        assert!(plain.types.iter().all(|(family, kind)| (kind == "counter") == family.ends_with("_total")), "{name}");
    }
}

#[test]
fn nothing_is_wrong_with_the_recorded_machine() {
    assert_eq!(read("debian-vm.probe").troubles, []);
    assert_eq!(read("pve-node.probe").troubles, []);
    // One disk that smartctl cannot speak to, among four that it can.
    let troubles = read("disks.smart").troubles;
    assert_eq!(troubles.len(), 1);
    assert_eq!(troubles[0].1, "smartctl of sdd: /dev/sdd: Unknown USB bridge [0x1234:0x5678]");
}
