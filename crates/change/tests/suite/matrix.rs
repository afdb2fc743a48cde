//! Every phase x every command: what is answered, in one table.
//!
//! A phase or a command that is new does not compile here before it has its column or its rows.

use std::fmt::Write as _;

use change::assessment::Assessment;
use change::lifecycle::{Command, Found, Phase, Rejection};
use change::rollout::{Failure, PauseReason};
use change::time::{Span, Timestamp, after};
use change::verification::Answer;
use change::{Actor, Change, ReleaseId, decide};
use expect_test::{expect, expect_file};
use serde_json::json;

use crate::world::{
    DAY, ID, Life, OTHER, allowed, denied, event_type, freeze, judge, listed, open, proposal, right_actor, sealed,
    softly_denied, start, user,
};

/// Phases by pattern, each with the states that stand for it.
macro_rules! columns {
    ($($pattern:pat => $($label:literal: $life:expr),+;)+) => {
        fn has_column(phase: Phase, label: &str) -> bool {
            match phase { $($pattern => [$($label),+].contains(&label),)+ }
        }
        fn columns() -> Vec<(&'static str, Life)> {
            vec![$($(($label, $life)),+),+]
        }
    };
}

/// Commands by pattern, each with the forms in which it is asked of a change at a time.
macro_rules! rows {
    ($($pattern:pat => $($label:literal: $make:expr),+;)+) => {
        fn has_row(command: &Command, label: &str) -> bool {
            match command { $($pattern => [$($label),+].contains(&label),)+ }
        }
        fn rows() -> Vec<Row> {
            vec![$($(Row { label: $label, make: $make }),+),+]
        }
    };
}

struct Row {
    label: &'static str,
    make: fn(&Change, Timestamp) -> (Command, Timestamp),
}

fn fresh() -> Life {
    Life::begin(ID, proposal("shop@sha256:aa"))
}

fn undoing() -> Life {
    fresh().watching().then(Command::Rollback { reason: "odd".into() })
}

fn undo_failed() -> Life {
    let give_up = Command::ReportUndoFailed { attempt: 1, failure: Failure::Final, error: "no route".into() };
    undoing().then(Command::BeginUndo).then(give_up)
}

fn undo_failed_once() -> Life {
    let once_more = Command::ReportUndoFailed { attempt: 1, failure: Failure::Retry, error: "no route".into() };
    undoing().then(Command::BeginUndo).then(once_more)
}

fn held(life: Life) -> Life {
    let mut life = life;
    let mut given = open(right_actor(&Command::Schedule, "bob"), life.now);
    given.frozen = vec![freeze(Timestamp::MAX)];
    life.ask(Command::BeginStep { observed: json!(null) }, &given).expect("a closed gate holds");
    life
}

fn paused(life: Life) -> Life {
    life.then(Command::Pause { reason: "look at it".into() })
}

fn failed(life: Life, failure: Failure) -> Life {
    life.then(Command::ReportFailed { step: 0, attempt: 1, failure, error: "connection refused".into() })
}

columns! {
    Phase::Proposed => "proposed": fresh();
    Phase::Assessed =>
        "assessed": fresh().assessed(),
        "softly denied": softly(),
        "one hand on the glass": touched(),
        "changes requested": fresh().approved().then(Command::RequestChanges { reason: "smaller".into() });
    Phase::Approved => "approved": fresh().approved();
    Phase::Scheduled => "scheduled": fresh().scheduled();
    Phase::Held { .. } =>
        "held": held(fresh().scheduled()),
        "vetoed": fresh().scheduled().then(Command::Veto { reason: reason(), until: minutes(start(), 60) }).then(Command::BeginStep { observed: json!(null) }),
        "held, mid-rollout": held(fresh().scheduled().step_begun().step_applied().judged(Answer::Pass));
    Phase::RollingOut { .. } =>
        "step begun": fresh().scheduled().step_begun(),
        "step retrying": failed(fresh().scheduled().step_begun(), Failure::Retry),
        "step applied": fresh().scheduled().step_begun().step_applied(),
        "step failing": failing(),
        "next step ready": fresh().scheduled().step_begun().step_applied().judged(Answer::Pass);
    Phase::Paused { .. } =>
        "paused, begun": paused(fresh().scheduled().step_begun()),
        "paused, applied": paused(fresh().scheduled().step_begun().step_applied()),
        "paused, unknown": failed(fresh().scheduled().step_begun(), Failure::Unknown),
        "paused, burning":
            fresh().scheduled().step_begun().step_applied().then(halt(PauseReason::Burn)),
        "paused, undoing": paused(undoing());
    Phase::Watching =>
        "watching": fresh().watching(),
        "passed, in a release": passed_in_release();
    Phase::RollingBack =>
        "to be undone": undoing(),
        "to be undone again": undo_failed_once(),
        "undo begun": undoing().then(Command::BeginUndo);
    Phase::RollbackFailed => "rollback failed": undo_failed();
    Phase::Completed => "completed": fresh().watching().judged(Answer::Pass);
    Phase::RolledBack =>
        "rolled back": undoing().then(Command::BeginUndo).then(Command::ReportUndone { observed: json!(null) });
    Phase::Refused => "refused": fresh().assessed().then(Command::Refuse { reason: "not now".into() });
    Phase::Withdrawn => "withdrawn": fresh().then(Command::Withdraw { reason: "a typo".into() });
    Phase::Lapsed => "lapsed": fresh().assessed().later(DAY.times(8)).then(Command::Lapse);
}

/// A verdict of `fail` where the rollback is not automatic, resumed by a person: it rolls out on, and its verdict is still `fail`.
fn failing() -> Life {
    let mut proposal = proposal("shop@sha256:aa");
    proposal.rollback.automatic = false;
    let applied = Life::begin(ID, sealed(proposal)).scheduled().step_begun().step_applied();
    applied.judged(Answer::Fail).then(Command::Resume { found: None })
}

/// A member of a release that has passed before the others.
fn passed_in_release() -> Life {
    let mut life = fresh().watching();
    life.change.release = Some(ReleaseId::new(1));
    life.judged(Answer::Pass)
}

/// A soft rule stands, and a point of a checklist is open.
fn softly() -> Life {
    let life = fresh();
    let effect = life.effect();
    let assessment = Assessment { checklist: listed(effect).checklist, ..softly_denied(effect) };
    life.then(Command::Assess(Box::new(assessment)))
}

fn touched() -> Life {
    let life = fresh();
    let effect = life.effect();
    life.then(Command::Assess(Box::new(denied(effect)))).then(Command::BreakGlass { reason: "an outage".into() })
}

fn step_of(change: &Change) -> (usize, u32) {
    change.any_rollout().map_or((0, 1), |r| (r.step, r.attempt))
}

fn undo_of(change: &Change) -> u32 {
    change.any_rollout().and_then(|r| r.back.as_ref()).map_or(1, |b| b.attempt)
}

fn judged(change: &Change, now: Timestamp, answer: Answer) -> (Command, Timestamp) {
    let (step, attempt) = step_of(change);
    (judge(answer, step, attempt, now), now)
}

fn reported(change: &Change, now: Timestamp, failure: Failure) -> (Command, Timestamp) {
    let (step, attempt) = step_of(change);
    (Command::ReportFailed { step, attempt, failure, error: "connection refused".into() }, now)
}

fn halt(why: PauseReason) -> Command {
    Command::Halt { why, reason: reason(), by: ["HOLD-1".to_owned()].into() }
}

fn reason() -> String {
    "because".into()
}

fn minutes(now: Timestamp, minutes: u64) -> Timestamp {
    after(now, Span::secs(60 * minutes))
}

rows! {
    Command::Amend { .. } =>
        "Amend": |_, now| (Command::Amend { proposal: Box::new(proposal("shop@sha256:bb")), revision: None }, now),
        "Amend the title": |c, now| {
            let mut proposal = c.proposal.clone();
            proposal.title = "another title".into();
            (Command::Amend { proposal: Box::new(proposal), revision: None }, now)
        };
    Command::Withdraw { .. } => "Withdraw": |_, now| (Command::Withdraw { reason: reason() }, now);
    Command::Supersede => "Supersede": |_, now| (Command::Supersede, now);
    Command::Assess(_) =>
        "Assess, needs one": |c, now| (Command::Assess(Box::new(allowed(c.proposal.effect_digest, 1))), now),
        "Assess, needs nobody": |c, now| (Command::Assess(Box::new(allowed(c.proposal.effect_digest, 0))), now);
    Command::Approve { .. } =>
        "Approve": |c, now| (Command::Approve { effect: c.proposal.effect_digest, comment: None, signature: None }, now);
    Command::Refuse { .. } => "Refuse": |_, now| (Command::Refuse { reason: reason() }, now);
    Command::RequestChanges { .. } => "RequestChanges": |_, now| (Command::RequestChanges { reason: reason() }, now);
    Command::TakeBack { .. } => "TakeBack": |_, now| (Command::TakeBack { reason: reason() }, now);
    Command::Override { .. } =>
        "Override": |_, now| (Command::Override { code: "no_runbook".into(), reason: reason() }, now);
    Command::BreakGlass { .. } => "BreakGlass": |_, now| (Command::BreakGlass { reason: reason() }, now);
    Command::Tick { .. } => "Tick": |_, now| {
        (Command::Tick { list: "before".into(), code: "told".into(), note: reason() }, now)
    };
    Command::AskException { .. } => "AskException": |_, now| {
        (Command::AskException { freeze: "quarter-end".into(), until: after(now, DAY), reason: reason() }, now)
    };
    Command::GrantException { .. } => "GrantException": |_, now| {
        (Command::GrantException { freeze: "quarter-end".into(), until: after(now, DAY) }, now)
    };
    Command::RevokeException { .. } => "RevokeException": |_, now| {
        (Command::RevokeException { freeze: "quarter-end".into(), reason: reason() }, now)
    };
    Command::ApproveByAutomation => "ApproveByAutomation": |_, now| (Command::ApproveByAutomation, now);
    Command::RevokeVotes => "RevokeVotes": |_, now| (Command::RevokeVotes, now);
    Command::Call =>
        "Call": |_, now| (Command::Call, now),
        "Call, 2 days on": |_, now| (Command::Call, after(now, DAY.times(2)));
    Command::Nag =>
        "Nag": |_, now| (Command::Nag, now),
        "Nag, 8 days on": |_, now| (Command::Nag, after(now, DAY.times(8)));
    Command::LapseVotes =>
        "LapseVotes": |_, now| (Command::LapseVotes, now),
        "LapseVotes, 8 days on": |_, now| (Command::LapseVotes, after(now, DAY.times(8)));
    Command::Lapse =>
        "Lapse": |_, now| (Command::Lapse, now),
        "Lapse, 8 days on": |_, now| (Command::Lapse, after(now, DAY.times(8)));
    Command::Schedule => "Schedule": |_, now| (Command::Schedule, now);
    Command::Close => "Close": |_, now| (Command::Close, now);
    Command::BeginStep { .. } =>
        "BeginStep": |_, now| (Command::BeginStep { observed: json!(null) }, now),
        "BeginStep, a minute on": |_, now| (Command::BeginStep { observed: json!(null) }, minutes(now, 1)),
        "BeginStep, 8 days on": |_, now| (Command::BeginStep { observed: json!(null) }, after(now, DAY.times(8)));
    Command::ReportApplied { .. } => "ReportApplied": |c, now| {
        let (step, attempt) = step_of(c);
        (Command::ReportApplied { step, attempt, actual: json!(null) }, now)
    };
    Command::ReportFailed { .. } =>
        "ReportFailed, retry": |c, now| reported(c, now, Failure::Retry),
        "ReportFailed, final": |c, now| reported(c, now, Failure::Final),
        "ReportFailed, unknown": |c, now| reported(c, now, Failure::Unknown);
    Command::Judge { .. } =>
        "Judge, pass": |c, now| judged(c, now, Answer::Pass),
        "Judge, fail": |c, now| judged(c, now, Answer::Fail),
        "Judge, insufficient": |c, now| judged(c, now, Answer::Insufficient),
        "  after its deadline": |c, now| judged(c, minutes(now, 31), Answer::Insufficient),
        "Judge, unreachable": |c, now| judged(c, now, Answer::Unreachable),
        "  after the deadline": |c, now| judged(c, minutes(now, 31), Answer::Unreachable);
    Command::Pause { .. } => "Pause": |_, now| (Command::Pause { reason: reason() }, now);
    Command::Halt { .. } =>
        "Halt, a hold": |_, now| (halt(PauseReason::Hold), now),
        "Halt, a burn": |_, now| (halt(PauseReason::Burn), now);
    Command::GoOn { .. } => "GoOn": |_, now| (Command::GoOn { why: PauseReason::Burn }, now);
    Command::Veto { .. } => "Veto": |_, now| (Command::Veto { reason: reason(), until: minutes(now, 60) }, now);
    Command::LiftVeto { .. } => "LiftVeto": |_, now| (Command::LiftVeto { reason: reason() }, now);
    Command::Resume { .. } =>
        "Resume": |_, now| (Command::Resume { found: None }, now),
        "Resume, found applied": |_, now| (Command::Resume { found: Some(Found::Applied) }, now),
        "Resume, not applied": |_, now| (Command::Resume { found: Some(Found::NotApplied) }, now);
    Command::Promote { .. } => "Promote": |_, now| (Command::Promote { reason: reason() }, now);
    Command::Rollback { .. } => "Rollback": |_, now| (Command::Rollback { reason: reason() }, now);
    Command::BeginUndo =>
        "BeginUndo": |_, now| (Command::BeginUndo, now),
        "BeginUndo, a minute on": |_, now| (Command::BeginUndo, minutes(now, 1));
    Command::ReportUndone { .. } => "ReportUndone": |_, now| (Command::ReportUndone { observed: json!(null) }, now);
    Command::ReportUndoFailed { .. } =>
        "ReportUndoFailed, retry": |c, now| {
            (Command::ReportUndoFailed { attempt: undo_of(c), failure: Failure::Retry, error: "no route".into() }, now)
        },
        "ReportUndoFailed, final": |c, now| {
            (Command::ReportUndoFailed { attempt: undo_of(c), failure: Failure::Final, error: "no route".into() }, now)
        };
    Command::CompleteByHand { .. } => "CompleteByHand": |_, now| (Command::CompleteByHand { evidence: reason() }, now);
    Command::SupersedeWatch { .. } => "SupersedeWatch": |_, now| (Command::SupersedeWatch { by: OTHER }, now);
    Command::ReportPaged { .. } => "ReportPaged": |c, now| {
        let key = c.pages.keys().next().cloned().unwrap_or_else(|| "CHG-7/0/1/none".into());
        (Command::ReportPaged { key, channel: "pager".into(), to: [].into() }, now)
    };
    Command::Review { .. } => "Review": |_, now| (Command::Review { summary: reason() }, now);
    Command::Join { .. } => "Join": |_, now| (Command::Join { release: ReleaseId::new(2) }, now);
    Command::Complete => "Complete": |_, now| (Command::Complete, now);
}

/// Event types, one a line; the code of a rejection, or `-` for the commonest one, `wrong_phase`; `.` where it is true already.
fn answer(change: &Change, row: &Row, actor: impl Fn(&Command) -> Actor) -> Vec<String> {
    let (command, now) = (row.make)(change, start());
    assert!(has_row(&command, row.label), "`{}` does not make the command that it names", row.label);
    let given = open(actor(&command), now);
    match decide(change, command, &given) {
        Ok(events) if events.is_empty() => vec![".".into()],
        Ok(events) => events.iter().map(event_type).collect(),
        Err(Rejection::WrongPhase { .. }) => vec!["-".into()],
        Err(rejection) => vec![rejection.code().to_owned()],
    }
}

/// The longest cell.
const WIDTH: usize = "nothing_to_roll_back".len();

fn table(columns: &[(&str, Life)]) -> String {
    let width = |label: &str| label.len().max(WIDTH);
    let mut out = format!("{:<24}", "");
    columns.iter().for_each(|(label, _)| write!(out, "| {label:<w$} ", w = width(label)).expect("a string grows"));
    let mut out = format!("{}\n", out.trim_end());
    out.push_str(&"-".repeat(out.len() - 1));
    out.push('\n');
    for row in rows() {
        let cells: Vec<Vec<String>> =
            columns.iter().map(|(_, life)| answer(&life.change, &row, |c| right_actor(c, "cyd"))).collect();
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or(1) {
            let mut text = format!("{:<24}", if line == 0 { row.label } else { "" });
            for ((label, _), cell) in columns.iter().zip(&cells) {
                let cell = cell.get(line).map_or("", String::as_str);
                write!(text, "| {cell:<w$} ", w = width(label)).expect("a string grows");
            }
            writeln!(out, "{}", text.trim_end()).expect("a string grows");
        }
    }
    out
}

// LC3 LC4 LC5 LC6 LC7
#[test]
fn every_command_has_one_answer_in_every_phase() {
    let columns = columns();
    for (label, life) in &columns {
        let phase = life.change.phase();
        assert!(has_column(phase, label), "the column `{label}` is {phase}");
    }
    let tables: Vec<String> = columns.chunks(5).map(table).collect();
    let legend = "Each cell: the events that follow, `.` where it is true already, `-` where the phase is wrong (`wrong_phase`), or\n\
                  the code of another rejection. People's commands are asked by somebody with every permission, the others by\n\
                  the right part of Clearway.\n\n";
    expect_file!["matrix.txt"].assert_eq(&format!("{legend}{}", tables.join("\n")));
}

fn answers_to(actor: impl Fn(&Command) -> Actor, may: bool) -> String {
    let columns = columns();
    let mut out = String::new();
    for row in rows() {
        let codes: std::collections::BTreeSet<&str> = columns
            .iter()
            .map(|(_, life)| {
                let (command, now) = (row.make)(&life.change, start());
                let mut given = open(actor(&command), now);
                if !may {
                    given.may.clear();
                }
                match decide(&life.change, command, &given) {
                    Ok(_) => "accepted",
                    Err(rejection) => rejection.code(),
                }
            })
            .collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        writeln!(out, "{:<24} {}", row.label, codes.join(", ")).expect("a string grows");
    }
    out
}

#[test]
fn what_clearway_does_by_itself_is_not_for_people_however_much_they_may() {
    let answers = answers_to(|_| user("cyd"), true);
    let for_people: Vec<&str> = answers.lines().filter(|line| !line.ends_with(" not_for_people")).collect();
    expect![[r#"
        Amend                    accepted, wrong_phase
        Amend the title          accepted, wrong_phase
        Withdraw                 accepted, wrong_phase
        Approve                  accepted, not_entitled, wrong_phase
        Refuse                   accepted, wrong_phase
        RequestChanges           accepted, wrong_phase
        TakeBack                 wrong_phase
        Override                 accepted, hard_rule, no_such_denial, wrong_phase
        BreakGlass               accepted, no_such_denial, wrong_phase
        Tick                     accepted, no_such_point, wrong_phase
        AskException             accepted, wrong_phase
        GrantException           no_such_exception, wrong_phase
        RevokeException          no_such_exception, wrong_phase
        Pause                    accepted, wrong_phase
        Veto                     accepted, wrong_phase
        LiftVeto                 accepted, wrong_phase
        Resume                   accepted, outcome_needed, wrong_phase
        Resume, found applied    accepted, wrong_phase
        Resume, not applied      accepted, wrong_phase
        Promote                  accepted, verdict_is_fail, wrong_phase
        Rollback                 accepted, nothing_to_roll_back, wrong_phase
        CompleteByHand           accepted, wrong_phase
        Review                   accepted, wrong_phase
        Join                     accepted, wrong_phase"#]]
    .assert_eq(&for_people.join("\n"));
}

#[test]
fn somebody_without_permissions_is_refused_everything_in_every_phase() {
    let answers = answers_to(|command| right_actor(command, "cyd"), false);
    let people: Vec<&str> = answers.lines().filter(|line| !line.contains("accepted")).collect();
    expect![[r#"
        Withdraw                 not_allowed
        Approve                  not_allowed
        Refuse                   not_allowed
        RequestChanges           not_allowed
        TakeBack                 wrong_phase
        Override                 not_allowed
        BreakGlass               not_allowed
        Tick                     not_allowed
        AskException             not_allowed
        GrantException           not_allowed
        RevokeException          not_allowed
        ApproveByAutomation      wrong_phase
        Pause                    not_allowed
        Veto                     not_allowed
        LiftVeto                 not_allowed
        Resume                   not_allowed
        Resume, found applied    not_allowed
        Resume, not applied      not_allowed
        Promote                  not_allowed
        Rollback                 not_allowed
        CompleteByHand           not_allowed
        Review                   not_allowed
        Join                     not_allowed
        Complete                 wrong_phase"#]]
    .assert_eq(&people.join("\n"));
}

#[test]
fn the_author_may_amend_and_withdraw_without_a_role_and_nothing_else() {
    let answers = answers_to(|_| user("ada"), false);
    let own: Vec<&str> = answers.lines().filter(|line| !line.ends_with(" not_for_people")).collect();
    expect![[r#"
        Amend                    accepted, wrong_phase
        Amend the title          accepted, wrong_phase
        Withdraw                 accepted, wrong_phase
        Approve                  not_allowed
        Refuse                   not_allowed
        RequestChanges           not_allowed
        TakeBack                 wrong_phase
        Override                 not_allowed
        BreakGlass               not_allowed
        Tick                     not_allowed
        AskException             not_allowed
        GrantException           not_allowed
        RevokeException          not_allowed
        Pause                    not_allowed
        Veto                     not_allowed
        LiftVeto                 not_allowed
        Resume                   not_allowed
        Resume, found applied    not_allowed
        Resume, not applied      not_allowed
        Promote                  not_allowed
        Rollback                 not_allowed
        CompleteByHand           not_allowed
        Review                   not_allowed
        Join                     accepted, wrong_phase"#]]
    .assert_eq(&own.join("\n"));
}
