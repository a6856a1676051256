//! The steps, one after the other. Who interrupts them stops them between two: a token whose secret was on its way would
//! be of no use to anybody.

use std::pin::pin;

use futures_util::FutureExt;

use super::{Failure, Found};
use crate::app::Interrupts;
use crate::commands::complain;
use crate::setup::{self, Node};

/// Does all of them, or says how far it came.
pub(super) async fn carry_out(node: &Node, found: &Found) -> Result<(), Failure> {
    let mut interrupts = Interrupts::new().map_err(Failure::Runtime)?;
    let mut stopped = false;
    for (number, step) in (1..).zip(&found.plan.steps) {
        let ended = |how: &str| Failure::Runtime(format!("step {number} {how}"));
        let before = done_before(number);
        if stopped || interrupts.next().now_or_never().is_some() {
            return Err(ended(&format!("was not begun, {before}")));
        }
        let step = setup::carry_out(*step, node, &found.account, &found.file);
        match to_its_end(step, &mut interrupts, &mut stopped).await {
            Some(Ok(note)) => {
                complain(&format!("{number}. done"));
                note.iter().for_each(|note| complain(&setup::plain(note)));
            }
            Some(Err(error)) => return Err(ended(&format!("failed, {before}; {error}"))),
            None => return Err(ended(&format!("was cut off and may have been done, {before}"))),
        }
    }
    Ok(())
}

fn done_before(number: usize) -> String {
    match number {
        1 => "nothing was done".to_owned(),
        2 => "step 1 was done".to_owned(),
        _ => format!("steps 1 to {} were done", number - 1),
    }
}

/// What came of a step that goes on when it is interrupted, and is the last one then; none where that came twice.
async fn to_its_end<T>(step: impl Future<Output = T>, interrupts: &mut Interrupts, stopped: &mut bool) -> Option<T> {
    let mut step = pin!(step);
    tokio::select! {
        outcome = &mut step => return Some(outcome),
        () = interrupts.next() => {}
    }
    *stopped = true;
    complain(&"this step is finished first; once more cuts it off");
    tokio::select! {
        outcome = &mut step => Some(outcome),
        () = interrupts.next() => None,
    }
}
