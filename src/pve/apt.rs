//! `GET /nodes/{node}/apt/update` (needs `Sys.Modify` on the node, though it only reads) and `GET
//! /nodes/{node}/apt/repositories` (needs `Sys.Audit`): packages that wait, and where they come from.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Object, Text};

/// A package that could be upgraded, as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Update<'a> {
    /// Its name.
    #[serde(borrow, rename = "Package")]
    pub package: Text<'a>,
    /// `Debian`, `Proxmox` or whoever else made it; Debian's security archive is `Debian` too.
    #[serde(borrow, rename = "Origin")]
    pub origin: Text<'a>,
}

/// What PVE makes of apt's list of repositories.
#[derive(Debug, Default, PartialEq)]
pub struct Repositories<'a> {
    /// Files that cannot be understood.
    pub errors: usize,
    /// What PVE warns of, such as a repository of another release; hints are not counted.
    pub warnings: usize,
    /// The handles of PVE's own repositories that are enabled, such as `enterprise` or `no-subscription`.
    pub enabled: Vec<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    errors: Option<List<Anything>>,
    #[serde(borrow)]
    infos: Option<List<Info<'a>>>,
    #[serde(borrow, rename = "standard-repos")]
    standard: Option<List<Standard<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Anything {}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Standard<'a> {
    #[serde(borrow)]
    handle: Text<'a>,
    /// Absent where it is not configured at all.
    status: Flag,
}

/// The packages; none where all is up to date. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn updates(answer: &Answer) -> Result<Vec<Update<'_>>, Error> {
    let list: List<Update<'_>> = answer.data()?;
    shaped(answer, list, "a Package", |update| update.package.filled().is_some())
}

/// The repositories. An answer that lists neither errors nor PVE's own repositories is malformed.
pub fn repositories(answer: &Answer) -> Result<Repositories<'_>, Error> {
    let Object(row): Object<Row<'_>> = answer.data()?;
    if row.errors.is_none() && row.standard.is_none() {
        return Err(answer.malformed("it has neither errors nor standard-repos; expected both lists".to_owned()));
    }
    let infos = row.infos.map(|list| list.items).unwrap_or_default();
    let standard = row.standard.map(|list| list.items).unwrap_or_default();
    let is_enabled =
        |repository: &Standard<'_>| repository.status.0 == Some(true) && repository.handle.filled().is_some();
    Ok(Repositories {
        errors: row.errors.map_or(0, |list| list.items.len()),
        warnings: infos.iter().filter(|info| info.kind.filled() == Some("warning")).count(),
        enabled: standard.into_iter().filter(is_enabled).map(|repository| repository.handle).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_repositories_are_such() {
        for body in [r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":[]}"#, r#"{"data":{"files":[]}}"#] {
            assert!(repositories(&Answer::of(body)).is_err(), "{body}");
        }
        let answer = Answer::of(
            r#"{"data":{"errors":[{"path":"/etc/apt/sources.list","error":"malformed"},7],"infos":[{"kind":"warning"},{"kind":"origin"},{}],
                "standard-repos":[{"handle":"enterprise","status":1},{"handle":"test","status":0},{"handle":"no-subscription"},{"status":1}]}}"#,
        );
        let told = repositories(&answer).expect("repositories");
        assert_eq!((told.errors, told.warnings), (1, 1));
        assert_eq!(told.enabled.iter().filter_map(Text::filled).collect::<Vec<_>>(), ["enterprise"]);
    }
}
