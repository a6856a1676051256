//! The same comes of an answer that is read in pieces as of one that is read as a whole.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::pve::Resource;
use crate::pve::resources::Taker;
use crate::pve::testing::any_json;
use crate::pve::wire::MOST_ENTRIES;

/// What was taken, entry by entry.
#[derive(Default)]
struct Words(Vec<String>);

impl Taker for Words {
    fn take(&mut self, entry: &Resource<'_>) {
        self.0.push(format!("{entry:?}"));
    }
}

fn answer<B>(body: B) -> Answer<B> {
    Answer::of("").replace(body).0
}

fn told<T>(result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn whole(body: &[u8]) -> Result<Vec<String>, String> {
    let mut kept = Body::new(body.len());
    kept.push(body);
    let mut words = Words::default();
    told(resources(&answer(kept), |entry| words.take(entry)))?;
    Ok(words.0)
}

/// `cuts` are the lengths of the chunks, over and over.
fn entries(body: &[u8], piece: usize, cuts: &[usize]) -> Entries<Words> {
    let mut entries = Entries::in_pieces(Words::default(), body.len(), piece);
    let (mut rest, mut cuts) = (body, cuts.iter().cycle());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at((*cuts.next().unwrap()).clamp(1, rest.len()));
        entries.push(chunk);
        rest = behind;
    }
    entries
}

fn in_pieces(body: &[u8], piece: usize, cuts: &[usize]) -> Result<Vec<String>, String> {
    Ok(told(answer(entries(body, piece, cuts)).finish())?.1.0)
}

/// An answer with so many guests.
fn long(guests: usize) -> String {
    let mut text = r#"{"data":[{"type":"node","node":"a","status":"online"}"#.to_owned();
    for vmid in 0..guests {
        let _ = write!(text, r#",{{"type":"qemu","node":"a","vmid":{vmid},"name":"guest-{vmid}","cpu":0.25}}"#);
    }
    text + "]}"
}

/// Each body in the fewest and in the most chunks, and in between.
fn assert_same(body: &[u8]) {
    let expected = whole(body);
    for piece in [1, 7, 64, usize::MAX / 4] {
        for cuts in [&[1][..], &[usize::MAX], &[5, 1, 90]] {
            let found = in_pieces(body, piece, cuts);
            assert_eq!(found, expected, "{piece} {cuts:?} {}", String::from_utf8_lossy(body));
        }
    }
}

#[test]
fn odd_forms_come_to_the_same() {
    let node = r#"{"type":"node","node":"a"}"#;
    for body in [
        format!("{{\"data\":[{node}]}}"),
        format!(" \n{{ \"data\" :\t[ {node} , 7, -1, null, \"x\", [[{{}}]], true,\n{node} ] \r\n}} \n"),
        format!("{{\"success\":1,\"data\":[{node}],\"total\":1}}"),
        format!("{{\"data\":[{node}],\"total\":1,\"more\":[{{}}]}}"),
        format!("{{\"d\\u0061ta\":[{node}]}}"),
        "{\"data\":[{\"type\":\"node\",\"new\":1e999}]}".to_owned(),
        format!("{{\"data\":[{{\"type\":\"node\",\"cpu\":1{}e-400}}]}}", "0".repeat(400)),
        format!("{{\"data\":[{node},{{\"name\":\"}},{{é\\\"\\ud83d\\ude00\"}}]}}"),
    ] {
        assert!(whole(body.as_bytes()).is_ok() || body.contains("1e999"), "{body}");
        assert_same(body.as_bytes());
    }
}

#[test]
fn what_is_wrong_is_named_in_the_same_words() {
    let node = r#"{"type":"node","node":"a"}"#;
    for body in [
        "",
        " ",
        "{",
        "{\"data",
        "{\"data\":",
        "{\"data\":[",
        "{\"data\":[ ",
        "{\"data\":[]}",
        "{\"data\":[7]}",
        "{\"data\":null}",
        "{\"data\":{}}",
        "{}",
        "<html>",
        "{\u{c}\"data\":[]}",
        "[{\"data\":[]}]",
    ] {
        assert!(whole(body.as_bytes()).is_err(), "{body}");
        assert_same(body.as_bytes());
    }
    for behind in [
        "",
        ",",
        ", ",
        ",]",
        "]",
        "]]",
        "]}x",
        "],",
        "],\"data\":[]}",
        "],\"a\":[1,}",
        "],\n\"a\":\n[1,}",
        " 7]}",
        "\n\n x",
        ",{",
        ",{\"cpu\"",
        ",{\"cpu\":[1,}]}",
        ",\n{\"cpu\":1,\n\"mem\":tru}",
        ",12",
        ",12x]}",
        ",01]}",
        ",{\"a\":1 \"b\"}]}",
        ",[1,}]}",
        ",[[],{\"a\":]}]}",
        ",{\"type\":\"qemu\",\"type\":\"lxc\"}]}",
        ",{\"name\":\"\\ud83d\"}]}",
        ",{\"new\":\"\\q\"}]}",
        ",{\"name\":\"\n\"}]}",
        ",NaN]}",
        ",{\"cpu\":NaN}]}",
        "}",
        ",{\"cpu\":1e999}]}",
    ] {
        let body = format!("{{\"data\":[\n{node},{node}{behind}");
        assert!(whole(body.as_bytes()).is_err(), "{body}");
        assert_same(body.as_bytes());
    }
}

#[test]
fn lists_end_somewhere() {
    let long = |entries| format!("{{\"data\":[{}{{\"type\":\"node\"}}]}}", "7,".repeat(entries - 1));
    for entries in [MOST_ENTRIES, MOST_ENTRIES + 1, MOST_ENTRIES + 2] {
        let body = long(entries);
        let found = [whole(body.as_bytes()), in_pieces(body.as_bytes(), PIECE, &[16 * 1024])];
        for found in found {
            match entries {
                ..=MOST_ENTRIES => assert_eq!(found.map(|taken| taken.len()), Ok(1)),
                _ => assert!(found.is_err_and(|error| error.contains("more than 100000 entries at")), "{entries}"),
            }
        }
    }
}

#[test]
fn what_was_read_is_not_kept() {
    let body = long(20_000);
    let mut entries = Entries::new(Words::default(), body.len());
    for chunk in body.as_bytes().chunks(16 * 1024) {
        entries.push(chunk);
        assert!(entries.pending.capacity() <= 2 * PIECE, "{}", entries.pending.capacity());
    }
    assert!(entries.listing.told().0 + 1000 > 20_000, "most is read before the end");
    let taken = told(answer(entries).finish()).unwrap().1.0;
    assert!(taken == whole(body.as_bytes()).unwrap());
}

#[test]
fn an_entry_without_end_is_not_begun_anew_with_each_piece() {
    let deep = format!("{{\"data\":[{{\"type\":\"node\"}},{{\"new\":{}", "[".repeat(4 << 20));
    let wide = format!("{{\"data\":[{{\"type\":\"node\"}},{{\"name\":\"{}", "x".repeat(4 << 20));
    for body in [deep, wide] {
        let found = in_pieces(body.as_bytes(), PIECE, &[4096]);
        assert_eq!(found, whole(body.as_bytes()));
    }
}

#[test]
fn wrong_bytes_cost_their_character_only() {
    for bytes in
        [&b"\xff"[..], b"\xe2\x82", b"\xe2\x82\xac", b"\xf0\x9f", b"\xe2\x28\xa1", b"\xc3\xa9\xc3", b"\xf0\x90\x8d"]
    {
        let body =
            [&b"{\"data\":[{\"type\":\"node\",\"name\":\""[..], bytes, b"\"},{\"name\":\"", bytes, b"b\"}]}"].concat();
        assert!(whole(&body).is_ok());
        assert_same(&body);
        assert_same(&[&body[..], bytes].concat());
        assert_same(&body[..body.len() - 5]);
    }
}

/// A recording, or JSON of any shape, with a byte changed and the end cut off, or not.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/pve-9.2-cluster/GET_cluster__resources.json"))
            .unwrap();
    let recorded = recorded["body"].to_string();
    let list = prop::collection::vec(any_json(), 0..6);
    let base = prop_oneof![
        Just(recorded),
        list.prop_map(|list| serde_json::json!({ "data": list }).to_string()),
        any_json().prop_map(|data| serde_json::json!({ "data": data }).to_string()),
        any_json().prop_map(|json| json.to_string()),
        ".{0,60}",
    ];
    let change = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    let syntax = prop::option::of((any::<prop::sample::Index>(), prop::sample::select(b"{}[],:\"\\ \n0e-".to_vec())));
    let cut = prop::option::weighted(0.3, any::<prop::sample::Index>());
    (base, change, syntax, cut).prop_map(|(text, change, syntax, cut)| {
        let mut bytes = text.into_bytes();
        for (place, byte) in change.into_iter().chain(syntax).filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_body_comes_to_the_same_in_any_pieces(
        body in any_body(),
        piece in 1_usize..600,
        cuts in prop::collection::vec(1_usize..300, 1..8),
    ) {
        prop_assert_eq!(in_pieces(&body, piece, &cuts), whole(&body));
    }
}
