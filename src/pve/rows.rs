//! Lists that may be empty, but not be made of something else.

use super::answer::Answer;
use super::error::Error;
use super::wire::List;

/// The entries with the declared shape; the others are passed over. Where there are only others, the answer is
/// malformed: `shape` says what was expected of an entry, such as `an id`.
pub(super) fn shaped<T>(
    answer: &Answer,
    list: List<T>,
    shape: &str,
    has_shape: impl Fn(&T) -> bool,
) -> Result<Vec<T>, Error> {
    let told = list.items.len() + list.skipped;
    let mut items = list.items;
    items.retain(has_shape);
    check(answer, told, items.len(), shape)?;
    Ok(items)
}

/// Fails if there were entries and none had the declared shape.
pub(super) fn check(answer: &Answer, told: usize, shaped: usize, shape: &str) -> Result<(), Error> {
    if told > 0 && shaped == 0 {
        return Err(answer.malformed(format!("none of its {told} entries has {shape}")));
    }
    Ok(())
}
