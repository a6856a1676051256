//! What hosts told, as pages: a recorded answer of a Debian machine, and a hand-made one that has everything.

use std::sync::Arc;
use std::time::Duration;

use pve_sentinel::hosts::{self, Clock, Frame, Options, Told};
use pve_sentinel::metrics::{Family, Format, Labels, Page as Writer, Part};
use pve_sentinel::sim::World;

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
    tell(name.rsplit('.').next().expect("an ending"), &fixture(name))
}

fn tell(mode: &str, answer: &[u8]) -> Told {
    let frame = Frame::read(answer).expect("a frame");
    let asked = Duration::from_millis(1_763_999_999_900);
    let clock = Clock { asked, round_trip: Duration::from_millis(20) };
    match mode {
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

#[test]
fn simulated_nodes_answer_every_question_with_figures_that_move() {
    let world = World::new(7, 3, 20).begun_at(1_700_000_000);
    for mode in ["probe", "updates", "smart", "zpool"] {
        let page = |node, minutes| {
            let answer = world.shell(node, &format!("sh -s -- {mode}"), Duration::from_mins(minutes));
            let told = tell(mode, answer.as_bytes());
            assert_eq!(told.troubles, [], "{mode}");
            text(told.families, Format::Text004)
        };
        let first = Page::parse(&page(0, 1));
        let said = |page: &Page| page.samples.keys().cloned().collect::<Vec<_>>();
        for (node, minutes) in [(0, 100), (1, 1), (2, 5000)] {
            let page = page(node, minutes);
            assert!(
                Page::parse(&page).count >= first.count && said(&Page::parse(&page)) == said(&first),
                "{mode}\n{page}"
            );
        }
        assert_ne!(page(0, 1), page(0, 100), "{mode}");
    }
    assert_eq!(world.shell(0, "id", Duration::ZERO), world.probe(0, Duration::ZERO));
}
