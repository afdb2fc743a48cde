//! Check: a command or request that passes or fails, taken at its word.
//!
//! A check is no sample, so it has no part in the e-values and none in the false-rollback budget. The rule is plain: three failures in a row,
//! with no pass between, fail the change; a step needs one result at least, and the newest must have passed. A look in which the check did not
//! run changes nothing. Failures in a row carry on over steps, as harm does; a pass must be earned anew in each. Next room:
//! [`judge`](crate::judge).

use serde::{Deserialize, Serialize};

use crate::look::{Counts, Gap, Gaps, Reading};

/// One failure may be the check's own (a lost connection); three in a row are the change's.
pub(crate) const FAILURES_TO_FAIL: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Check {
    in_a_row: u32,
    newest_in_step: Newest,
    pub(crate) runs_in_step: u64,
    pub(crate) failures_in_step: u64,
    unreachable: bool,
    schema: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Newest {
    #[default]
    NotRun,
    Passed,
    Failed,
}

/// Where a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckState {
    NotRun,
    Passed,
    Failing { in_a_row: u32 },
    Failed { in_a_row: u32 },
}

impl Check {
    pub(crate) fn begin_step(&mut self) {
        *self = Check { in_a_row: self.in_a_row, ..Check::default() };
    }

    pub(crate) fn look(&mut self, reading: Option<&Reading>) {
        if reading == Some(&Reading::NotDue) {
            return;
        }
        (self.unreachable, self.schema) = (false, false);
        match reading {
            Some(Reading::Seen { canary: Some(Counts::Check { passed: true }), .. }) => {
                self.runs_in_step += 1;
                (self.in_a_row, self.newest_in_step) = (0, Newest::Passed);
            }
            Some(Reading::Seen { canary: Some(Counts::Check { passed: false }), .. }) => {
                self.runs_in_step += 1;
                self.failures_in_step += 1;
                (self.in_a_row, self.newest_in_step) = (self.in_a_row.saturating_add(1), Newest::Failed);
            }
            Some(Reading::Seen { canary: Some(_), .. }) => self.schema = true,
            Some(Reading::Unreachable { .. }) => self.unreachable = true,
            Some(Reading::Seen { canary: None, .. } | Reading::NotDue) | None => (),
        }
    }

    pub(crate) fn state(&self) -> CheckState {
        match (self.in_a_row, self.newest_in_step) {
            (in_a_row, _) if in_a_row >= FAILURES_TO_FAIL => CheckState::Failed { in_a_row },
            (in_a_row, Newest::Failed) => CheckState::Failing { in_a_row },
            (_, Newest::Passed) => CheckState::Passed,
            (_, Newest::NotRun) => CheckState::NotRun,
        }
    }

    pub(crate) fn gaps(&self) -> Gaps {
        let unreachable = self.unreachable.then_some(Gap::Unreachable);
        Gaps::of(unreachable.into_iter().chain(self.schema.then_some(Gap::Schema)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(results: &[Option<bool>]) -> CheckState {
        let mut check = Check::default();
        for result in results {
            check.look(Some(&Reading::Seen { baseline: None, canary: result.map(|passed| Counts::Check { passed }) }));
        }
        check.state()
    }

    #[test]
    fn a_check_that_is_not_due_stays_what_it_was_and_unreachable_is_no_pass() {
        let mut check = Check::default();
        check.look(Some(&Reading::Seen { baseline: None, canary: Some(Counts::Check { passed: true }) }));
        check.look(Some(&Reading::Unreachable { why: "no such host".into() }));
        let before = check.clone();
        check.look(Some(&Reading::NotDue));
        assert_eq!(check, before);
        assert!(check.gaps().contains(Gap::Unreachable));
    }

    #[test]
    fn three_failures_in_a_row_fail_and_a_pass_between_starts_over() {
        let (ok, bad) = (Some(true), Some(false));
        assert_eq!(after(&[]), CheckState::NotRun);
        assert_eq!(after(&[None, None]), CheckState::NotRun);
        assert_eq!(after(&[bad, ok, None]), CheckState::Passed);
        assert_eq!(after(&[bad, None, bad]), CheckState::Failing { in_a_row: 2 });
        assert_eq!(after(&[bad, bad, ok, bad]), CheckState::Failing { in_a_row: 1 });
        assert_eq!(after(&[bad, None, bad, None, bad]), CheckState::Failed { in_a_row: 3 });
    }
}
