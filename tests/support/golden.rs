//! Goldens: files with the expected text, rewritten when `UPDATE_GOLDEN=1` is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Tests run at the same time, and several of them write a part of it.
static README: Mutex<()> = Mutex::new(());

/// The top of the checkout.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `text` with `tests/golden/{name}`, or writes it.
pub fn check_golden(name: &str, text: &str) {
    check_file(&format!("tests/golden/{name}"), text);
}

/// Compares `text` with a file of the repository that is made from the code, or writes it.
#[expect(clippy::disallowed_methods, reason = "the one variable that rewrites goldens")]
pub fn check_file(name: &str, text: &str) {
    let path = repository().join(name);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of the golden");
        fs::write(&path, text).expect("the golden");
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    if expected != text {
        panic!("{}", difference(&path, &expected, text));
    }
}

/// Compares `text` with what stands in README.md between `<!-- name -->` and `<!-- end of name -->`, or writes it there.
pub fn check_section(name: &str, text: &str) {
    let _one_at_a_time = README.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let found = fs::read_to_string(repository().join("README.md")).expect("README.md");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = found.split_once(&begin).unwrap_or_else(|| panic!("README.md lacks {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md lacks {end}"));
    check_file("README.md", &format!("{before}{begin}{text}{end}{after}"));
}

fn difference(path: &Path, expected: &str, found: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| {
        a.lines()
            .filter(|line| !b.lines().any(|other| other == *line))
            .take(20)
            .map(|line| format!("{sign}{line}\n"))
            .collect::<String>()
    };
    format!(
        "{} differs (UPDATE_GOLDEN=1 rewrites it):\n{}{}",
        path.display(),
        only(expected, found, "-"),
        only(found, expected, "+")
    )
}
