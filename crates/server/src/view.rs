//! Views: what API and pages show, as values made from what the engine hands out.
//!
//! Pure. A view leaves out and puts together; it never decides, and whatever is a sentence comes from `change::explain`.

use change::approval::Standing;
use change::document::Problem;
use change::explain;
use change::gate::Gate;
use change::proposal::{Claims, Proposal};
use change::rollout::{Plan, Strategy, Target, Weight};
use change::verification::Comparison;
use change::{Change, ChangeId, Digest, Event, Phase, Span, Timestamp};
use engine::Overview;
use engine::ports::{LookRow, Recorded};
use engine::project::ChangeRow;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::schema::documented;

/// A change with everything that is known of it now.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ChangeView {
    pub change: Change,
    /// The name of the phase, such as `rolling_out`.
    pub phase: String,
    /// What it is doing, in a sentence.
    pub status: String,
    /// The page for people.
    pub url: String,
    /// The gates in their order; none once it has ended.
    pub gates: Vec<Gate>,
    /// The approvals that it needs, and how far each is met.
    pub approvals: Vec<Standing>,
    /// The steps of the plan, and the watch after them.
    pub steps: Vec<StepView>,
}

/// A step and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct StepView {
    /// `step 1 of 3 (5%)`, or `the watch`.
    pub name: String,
    /// The share of traffic; absent for the watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// The least time before it can pass.
    pub bake: Span,
    /// The most time before doubt is decided.
    pub deadline: Span,
    pub comparison: Comparison,
    pub state: StepIs,
    /// How often it was begun.
    pub attempts: u32,
    #[schemars(with = "Option<String>")]
    pub began_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub applied_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub ended_at: Option<Timestamp>,
    /// Why somebody let it pass without a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepIs {
    /// Not its turn yet.
    Ahead,
    /// Its turn; not in effect yet.
    Next,
    /// The driver is at work.
    Begun,
    /// In effect, and being verified.
    Verified,
    Passed,
    /// Taken back by a rollback.
    Undone,
}

/// Rows of the change list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ChangeList {
    /// Newest first.
    pub changes: Vec<Row>,
    /// For `before` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ChangeId>,
}

/// One row of the change list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub id: ChangeId,
    pub title: String,
    pub phase: String,
    pub status: String,
    pub kind: String,
    pub environment: String,
    pub services: Vec<String>,
    pub owner: String,
    pub author: String,
    pub risk: Option<change::assessment::Risk>,
    #[schemars(with = "String")]
    pub proposed_at: Timestamp,
    #[schemars(with = "String")]
    pub updated_at: Timestamp,
    pub version: u64,
}

/// Entries of the log.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Log {
    pub entries: Vec<LogEntry>,
    /// For `from` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LogEntry {
    /// In the whole log, from 0.
    pub position: u64,
    pub stream: String,
    /// In its stream, from 1.
    pub version: u64,
    #[schemars(with = "String")]
    pub time: Timestamp,
    pub actor: change::Actor,
    pub change: Option<ChangeId>,
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, in a sentence.
    pub sentence: String,
    /// The content of the event.
    pub body: Value,
}

/// Looks at the telemetry.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Looks {
    pub looks: Vec<LookView>,
    /// For `after` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One look, and the verdict after it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LookView {
    /// Within the change, from 1.
    pub number: u64,
    /// From 0; one past the last is the watch.
    pub step: usize,
    pub attempt: u32,
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Events of both versions since the look before, by SLI.
    pub readings: Value,
    /// The answer, the progress towards harm and safety, and each SLI's effect.
    pub verdict: Value,
}

/// What a server says of a change file that is not proposed yet.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Checked {
    pub valid: bool,
    /// Everything that is wrong with it, in the order of the file.
    pub problems: Vec<Problem>,
    /// What approvals would be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect_digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_digest: Option<Digest>,
    /// The steps, with every default filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The resources that it would act on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
}

documented!(ChangeView, ChangeList, Log, Looks, Checked);

impl ChangeView {
    pub(crate) fn of(overview: &Overview, base_url: &str) -> Self {
        let Overview { change, gates, log } = overview;
        Self {
            phase: change.phase().name().to_owned(),
            status: explain::status(change),
            url: format!("{base_url}/changes/{}", change.id),
            gates: gates.clone(),
            approvals: approvals(change),
            steps: steps(change, log),
            change: change.clone(),
        }
    }
}

// Age is left out: votes that are too old are voided by an event.
fn approvals(change: &Change) -> Vec<Standing> {
    change.standing(Timestamp::MIN)
}

/// The steps of a change and the watch, each with what its log says of it.
pub(crate) fn steps(change: &Change, log: &[Recorded]) -> Vec<StepView> {
    let Proposal { plan, verify, .. } = &change.proposal;
    let new = |i: usize, weight, bake, deadline, comparison| StepView {
        name: change.step_name(i),
        weight,
        bake,
        deadline,
        comparison,
        state: StepIs::Ahead,
        attempts: 0,
        began_at: None,
        applied_at: None,
        ended_at: None,
        overridden: None,
    };
    let planned = plan.steps.iter().enumerate();
    let mut steps: Vec<StepView> =
        planned.map(|(i, s)| new(i, Some(s.weight), s.bake, s.deadline, s.comparison)).collect();
    steps.push(new(plan.steps.len(), None, verify.watch, verify.watch.times(6), Comparison::Objective));
    for recorded in log {
        tell(&mut steps, &recorded.event, recorded.time);
    }
    if let Some(rollout) = change.any_rollout().filter(|r| r.back.is_none()) {
        let waits = matches!(change.phase(), Phase::RollingOut { .. } | Phase::Held { .. } | Phase::Paused { .. });
        if let Some(step) = steps.get_mut(rollout.step).filter(|s| waits && s.state == StepIs::Ahead) {
            step.state = StepIs::Next;
        }
    }
    steps
}

fn tell(steps: &mut [StepView], event: &Event, at: Timestamp) {
    let last = steps.len() - 1;
    let mut on = |i: usize, change: &mut dyn FnMut(&mut StepView)| steps.get_mut(i).into_iter().for_each(change);
    match event {
        Event::StepBegun { step, attempt, .. } => on(*step, &mut |s| {
            (s.state, s.attempts) = (StepIs::Begun, *attempt);
            s.began_at.get_or_insert(at);
        }),
        Event::StepFailed { step, .. } => on(*step, &mut |s| s.state = StepIs::Next),
        Event::StepApplied { step, .. } => on(*step, &mut |s| {
            s.state = StepIs::Verified;
            s.applied_at.get_or_insert(at);
        }),
        Event::Overridden { step, reason, .. } => on(*step, &mut |s| s.overridden = Some(reason.clone())),
        Event::Advanced { step } => {
            on(*step, &mut |s| (s.state, s.ended_at) = (StepIs::Passed, Some(at)));
            if step + 1 == last {
                on(last, &mut |s| (s.state, s.began_at, s.applied_at) = (StepIs::Verified, Some(at), Some(at)));
            }
        }
        Event::RolledBack { .. } | Event::CompletedByHand { .. } => {
            let touched = steps.iter_mut().filter(|s| s.began_at.is_some());
            touched.for_each(|s| s.state = StepIs::Undone);
        }
        _ => {}
    }
}

impl ChangeList {
    /// A page of rows that were asked for with one more than `limit`.
    pub(crate) fn page(mut rows: Vec<ChangeRow>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| row.id);
        Self { changes: rows.into_iter().map(Row::of).collect(), next }
    }
}

impl Row {
    fn of(row: ChangeRow) -> Self {
        Self {
            id: row.id,
            title: row.title,
            phase: row.phase,
            status: row.status,
            kind: row.kind,
            environment: row.environment,
            services: row.services,
            owner: row.owner,
            author: row.author,
            risk: row.risk,
            proposed_at: row.proposed_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl LogEntry {
    /// An entry in the words of the plan that it is about.
    pub(crate) fn of(recorded: &Recorded, plan: &Plan) -> Self {
        // INVARIANT: an event has only strings as keys and finite numbers, so it always has a JSON form.
        let mut event = serde_json::to_value(&recorded.event).expect("an event has a JSON form");
        Self {
            position: recorded.position,
            stream: recorded.stream.clone(),
            version: recorded.version,
            time: recorded.time,
            actor: recorded.actor.clone(),
            change: recorded.change,
            kind: event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
            sentence: explain::event(&recorded.event, plan),
            body: event.get_mut("body").map(Value::take).unwrap_or_default(),
        }
    }
}

/// A plan without a step: for events that are about no change.
pub(crate) fn no_plan() -> Plan {
    let target = Target { driver: String::new(), options: serde_json::Map::new() };
    Plan { strategy: Strategy::AllAtOnce, target, steps: vec![] }
}

impl LookView {
    pub(crate) fn of(row: LookRow) -> Self {
        let LookRow { number, step, attempt, at, readings, verdict, .. } = row;
        Self { number, step, attempt, at, readings, verdict }
    }
}

impl Checked {
    pub(crate) fn of(result: Result<Proposal, Vec<Problem>>) -> Self {
        match result {
            Ok(proposal) => Self {
                valid: true,
                problems: vec![],
                effect_digest: Some(proposal.effect_digest),
                revision_digest: Some(proposal.revision_digest),
                plan: Some(proposal.plan),
                claims: Some(proposal.claims),
            },
            Err(problems) => {
                Self { valid: false, problems, effect_digest: None, revision_digest: None, plan: None, claims: None }
            }
        }
    }
}

/// Phases that readers look for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Moves by itself.
    Active,
    /// Waits for somebody or something.
    Waiting,
    Ended,
}

impl Group {
    pub(crate) const ALL: [Self; 3] = [Self::Active, Self::Waiting, Self::Ended];

    pub(crate) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Proposed
            | Phase::Approved
            | Phase::Scheduled
            | Phase::RollingOut { .. }
            | Phase::Watching
            | Phase::RollingBack => Self::Active,
            Phase::Assessed | Phase::Held { .. } | Phase::Paused { .. } | Phase::RollbackFailed => Self::Waiting,
            Phase::Completed | Phase::RolledBack | Phase::Refused | Phase::Withdrawn | Phase::Lapsed => Self::Ended,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }

    /// The names of its phases.
    pub(crate) fn phases(self) -> Vec<String> {
        PHASES.into_iter().filter(|p| Self::of(*p) == self).map(|p| p.name().to_owned()).collect()
    }
}

/// Each phase once.
pub(crate) const PHASES: [Phase; 15] = [
    Phase::Proposed,
    Phase::Assessed,
    Phase::Approved,
    Phase::Scheduled,
    Phase::RollingOut { step: 0 },
    Phase::Watching,
    Phase::Completed,
    Phase::Held { step: None },
    Phase::Paused { step: 0 },
    Phase::RollingBack,
    Phase::RolledBack,
    Phase::RollbackFailed,
    Phase::Refused,
    Phase::Withdrawn,
    Phase::Lapsed,
];

/// The names of phases that a list of phases and groups means, such as `active,refused`.
///
/// # Errors
/// A sentence that names the word that is neither.
pub(crate) fn phases(text: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        if let Some(group) = Group::ALL.into_iter().find(|g| g.name() == word) {
            names.extend(group.phases());
        } else if PHASES.iter().any(|p| p.name() == word) {
            names.push(word.to_owned());
        } else {
            let known = PHASES.iter().map(|p| p.name()).chain(Group::ALL.map(Group::name));
            return Err(format!("`{word}` is no phase; there are {}", change::document::list(known)));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_phase_is_in_one_group_and_can_be_asked_for_by_name() {
        let mut all: Vec<String> = Group::ALL.into_iter().flat_map(Group::phases).collect();
        all.sort();
        let mut names: Vec<String> = PHASES.iter().map(|p| p.name().to_owned()).collect();
        names.sort();
        assert_eq!(all, names);
        assert_eq!(phases("refused, watching").as_deref(), Ok(&["refused".to_owned(), "watching".to_owned()][..]));
        assert_eq!(phases("ended").map(|p| p.len()), Ok(5));
        assert_eq!(phases(""), Ok(vec![]));
        assert!(phases("watchin").is_err_and(|e| e.contains("`watchin` is no phase") && e.contains("`waiting`")));
    }

    fn states(log: &[Recorded]) -> Vec<StepIs> {
        let change = sample::change_of(log);
        steps(&change, log).into_iter().map(|s| s.state).collect()
    }

    #[test]
    fn steps_follow_the_log() {
        use StepIs::{Ahead, Begun, Passed, Undone, Verified};
        let log = sample::log();
        let up_to = |kind: &str| {
            let at = log.iter().position(|r| LogEntry::of(r, &no_plan()).kind == kind).expect("the log has it");
            states(&log[..=at])
        };
        assert_eq!(states(&log[..1]), [Ahead, Ahead, Ahead, Ahead]);
        assert_eq!(up_to("StepBegun"), [Begun, Ahead, Ahead, Ahead]);
        assert_eq!(up_to("StepApplied"), [Verified, Ahead, Ahead, Ahead]);
        assert_eq!(up_to("Advanced"), [Passed, StepIs::Next, Ahead, Ahead]);
        assert_eq!(states(&sample::rolled_back()), [Undone, Undone, Ahead, Ahead]);
        assert_eq!(states(&sample::completed()), [Passed, Passed, Passed, Passed]);
    }

    #[test]
    fn the_last_step_opens_the_watch() {
        let log = sample::watching();
        let steps = steps(&sample::change_of(&log), &log);
        assert_eq!(steps[3].state, StepIs::Verified);
        assert_eq!(steps[3].name, "the watch");
        assert_eq!(steps[3].weight, None);
    }

    #[test]
    fn a_page_of_rows_names_the_next_only_where_there_is_one() {
        let rows: Vec<ChangeRow> = (0..3).map(|_| ChangeRow::of(&sample::change_of(&sample::log()))).collect();
        assert_eq!(ChangeList::page(rows.clone(), 3).next, None);
        assert_eq!(ChangeList::page(rows.clone(), 2).next, Some(ChangeId::new(7)));
        assert_eq!(ChangeList::page(rows, 2).changes.len(), 2);
    }

    #[test]
    fn an_entry_of_the_log_says_what_happened_in_the_words_of_its_plan() {
        let log = sample::log();
        let change = sample::change_of(&log);
        let begun = log.iter().find(|r| matches!(r.event, Event::StepBegun { .. })).expect("a step began");
        let entry = LogEntry::of(begun, &change.proposal.plan);
        assert_eq!((entry.kind.as_str(), entry.sentence.as_str()), ("StepBegun", "step 1 of 3 (5%) began"));
        assert_eq!(entry.body["attempt"], 1);
    }
}
