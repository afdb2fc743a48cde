//! Halts: what beside a change pauses its rollout, and when does it go on by itself?
//!
//! A hold that asks for it, and a budget that burns, pause what rolls out. Each does so once: who resumes has decided for as long as it lasts. Derived from
//! what is true and from what has paused the change already, so that neither a crash nor another replica makes a difference. Must never pause a rollback.
//! What a calendar does in mid-rollout, [`decision`](crate::decision) says.

use crate::budget;
use crate::catalog::Gating;
use crate::holds;
use crate::lifecycle::{Change, Command, Given};
use crate::rollout::{PauseReason, Rollout};

/// One thing that pauses a rollout.
pub(crate) struct Cause {
    /// Its name in the log, never that of another one.
    pub name: String,
    pub why: PauseReason,
    pub reason: String,
}

/// The pause that is due now, or the end of one.
pub fn due(change: &Change, given: &Given) -> Option<Command> {
    let rollout = change.rollout().filter(|rollout| rollout.back.is_none())?;
    match &rollout.pause {
        None => begins(change, rollout, given),
        Some(pause) if pause.why == PauseReason::Burn && budget::go_on(given) => {
            Some(Command::GoOn { why: PauseReason::Burn })
        }
        Some(_) => None,
    }
}

fn begins(change: &Change, rollout: &Rollout, given: &Given) -> Option<Command> {
    let is_enforced = given.gating != Gating::Observe;
    let burns = budget::halting(change, given).filter(|_| is_enforced);
    let causes: Vec<Cause> = holds::halting(change, given).chain(burns).collect();
    let new = causes.iter().find(|cause| !rollout.halted_by.contains(&cause.name))?;
    let (why, reason) = (new.why, new.reason.clone());
    Some(Command::Halt { why, reason, by: causes.into_iter().map(|cause| cause.name).collect() })
}
