//! Gates: may the next step begin, and if not, what would open it?
//!
//! Asked in one fixed order, shown to everybody, and asked again at each step. A gate that can't know its answer is closed and says so.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval;
use crate::document::list;
use crate::lifecycle::{Change, Given};
use crate::time::Timestamp;

/// The gates, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GateName {
    Validity,
    Policy,
    Conflicts,
    Windows,
    Approvals,
    Readiness,
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validity => "validity",
            Self::Policy => "policy",
            Self::Conflicts => "conflicts",
            Self::Windows => "windows",
            Self::Approvals => "approvals",
            Self::Readiness => "readiness",
        })
    }
}

/// A gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    pub gate: GateName,
    #[serde(flatten)]
    pub state: GateState,
    /// What does not close it and should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Open, or closed with what would open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum GateState {
    Open,
    Closed {
        /// For programs, such as `approvals_missing`.
        code: String,
        /// For people.
        reason: String,
        /// When it opens by itself, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        opens_at: Option<Timestamp>,
        /// Who or what can open it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who_can: Option<String>,
    },
}

impl Gate {
    pub fn new(gate: GateName, state: GateState) -> Self {
        Self { gate, state, warnings: vec![] }
    }

    pub fn is_open(&self) -> bool {
        self.state == GateState::Open
    }

    /// The code of a closed gate.
    pub fn code(&self) -> Option<&str> {
        match &self.state {
            GateState::Open => None,
            GateState::Closed { code, .. } => Some(code),
        }
    }
}

fn closed(code: &str, reason: String, opens_at: Option<Timestamp>, who_can: Option<String>) -> GateState {
    GateState::Closed { code: code.to_owned(), reason, opens_at, who_can }
}

/// All gates of a change at this moment, in their fixed order.
pub fn ask(change: &Change, given: &Given) -> Vec<Gate> {
    let gates = [
        (GateName::Validity, validity(change)),
        (GateName::Policy, policy(change)),
        (GateName::Conflicts, conflicts(change, given)),
        (GateName::Windows, windows(change, given)),
        (GateName::Approvals, approvals(change, given)),
        (GateName::Readiness, readiness(change, given)),
    ];
    let warnings = |gate| if gate == GateName::Readiness { given.warnings.clone() } else { vec![] };
    gates.into_iter().map(|(gate, state)| Gate { gate, state, warnings: warnings(gate) }).collect()
}

/// The gates that are closed.
pub fn closed_ones(gates: Vec<Gate>) -> Vec<Gate> {
    gates.into_iter().filter(|g| !g.is_open()).collect()
}

fn validity(change: &Change) -> GateState {
    let mut found = change.proposal.secrets.iter().filter(|finding| finding.allowed.is_none());
    if let Some(first) = found.next() {
        let more = match found.count() {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        let who = "the author: make the secret worthless by a new one, take it out of the material, and amend; or the owner of `secrets.yaml`, by allowing it";
        return closed("secret_found", format!("{first}{more}"), None, Some(who.into()));
    }
    if change.proposal.compute_effect_digest() == change.proposal.effect_digest {
        GateState::Open
    } else {
        let reason = "the proposal does not have the effect digest that it names".to_owned();
        closed("effect_mismatch", reason, None, Some("the author, by proposing it anew".into()))
    }
}

fn policy(change: &Change) -> GateState {
    let Some(assessed) = &change.assessment else {
        return closed(
            "not_assessed",
            "policy has not answered yet".into(),
            None,
            Some("nobody: it comes by itself".into()),
        );
    };
    if assessed.assessment.effect != change.proposal.effect_digest {
        return closed(
            "assessment_stale",
            "policy has assessed another effect than this one".into(),
            None,
            Some("nobody: it comes by itself".into()),
        );
    }
    if assessed.assessment.allows() {
        return GateState::Open;
    }
    let reasons: Vec<&str> = assessed.assessment.denials.iter().map(|d| d.reason.as_str()).collect();
    closed("policy_denies", reasons.join("; "), None, Some("the author, by amending the change".into()))
}

fn conflicts(change: &Change, given: &Given) -> GateState {
    if let Some(lane) = given.lanes.iter().find(|lane| lane.is_held_by_another(change.id)) {
        let holder = lane.holder.map(|h| h.to_string()).unwrap_or_default();
        let reason = format!("`{holder}` is changing `{}`", lane.resource);
        return closed("lane_taken", reason, None, Some(format!("nobody: it opens when `{holder}` is done")));
    }
    let known: Vec<&str> = given.lanes.iter().map(|lane| lane.resource.as_str()).collect();
    if let Some(resource) = change.proposal.claims.resources.iter().find(|r| !known.contains(&r.as_str())) {
        return closed("lane_unknown", format!("nobody can say who is changing `{resource}`"), None, None);
    }
    let waiting: Vec<String> =
        change.proposal.after.iter().filter(|id| !given.completed.contains(*id)).map(ToString::to_string).collect();
    if waiting.is_empty() {
        return GateState::Open;
    }
    let names = waiting.join(", ");
    closed(
        "after",
        format!("it comes after {names}"),
        None,
        Some(format!("nobody: it opens when {names} is completed")),
    )
}

fn windows(change: &Change, given: &Given) -> GateState {
    if let Some(not_before) = change.not_before().filter(|at| *at > given.now) {
        let reason = format!("it is scheduled for `{not_before}`");
        return closed("scheduled_later", reason, Some(not_before), Some("the author, by amending `when`".into()));
    }
    let Some(freeze) = given.frozen.first() else { return GateState::Open };
    let until = (freeze.until < Timestamp::MAX).then_some(freeze.until);
    let when = until.map_or_else(String::new, |at| format!(" until `{at}`"));
    let services = list(change.proposal.services.iter().map(String::as_str));
    let reason = format!("the freeze `{}` covers {services}{when}: {}", freeze.name, freeze.reason);
    closed("freeze", reason, until, Some(format!("the owner of the freeze, `{}`", freeze.owner)))
}

fn approvals(change: &Change, given: &Given) -> GateState {
    let effect = change.proposal.effect_digest;
    if let Some(rollout) = change.rollout() {
        // INVARIANT: votes are consumed by the first step; from then on age does not close the gate, another effect does.
        return if rollout.effect == effect {
            GateState::Open
        } else {
            closed("approvals_void", "what is rolled out is not what was approved".into(), None, None)
        };
    }
    let Some(assessed) = &change.assessment else {
        return closed(
            "approvals_unknown",
            "what is required is not known before policy has answered".into(),
            None,
            None,
        );
    };
    if approval::is_quorate(&assessed.assessment, &change.votes, effect, given.now) {
        return GateState::Open;
    }
    let standing = approval::standing(&assessed.assessment.requires, &change.votes, effect, given.now);
    let missing: Vec<String> = standing
        .iter()
        .filter(|s| s.missing() > 0)
        .map(|s| format!("{} of `{}`", s.missing(), s.requirement.by))
        .collect();
    let reason = if missing.is_empty() {
        "the votes have lapsed".to_owned()
    } else {
        format!("approvals are missing: {}", missing.join(", "))
    };
    let who: Vec<&str> = standing.iter().filter(|s| s.missing() > 0).map(|s| s.requirement.by.as_str()).collect();
    closed("approvals_missing", reason, None, Some(list(who)))
}

fn readiness(change: &Change, given: &Given) -> GateState {
    if change.rollout().is_some() {
        // Asked before the first step; ever since, the verdicts look at the same target and the same telemetry.
        return GateState::Open;
    }
    match &given.readiness {
        Readiness::Ready => GateState::Open,
        Readiness::NotReady { problems } => closed(
            "not_ready",
            problems.join("; "),
            None,
            Some("whoever runs the target and the telemetry: it is asked again by itself".into()),
        ),
        Readiness::Unknown { why } => closed(
            "readiness_unknown",
            why.clone(),
            None,
            Some("nobody: it is asked by itself before the first step".into()),
        ),
    }
}

/// Whether target, rollback and telemetry are ready, as the shell found them just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Readiness {
    Ready,
    NotReady {
        problems: Vec<String>,
    },
    /// Nobody has looked.
    Unknown {
        why: String,
    },
}
