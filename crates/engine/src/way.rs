//! Way: the course that a proposal is to take, put into it when it is made, and what that means for its assessment.
//!
//! Says whether the way is open to this change and this actor; the rules of each way are in [`change::course`]. Must never soften a denial.

use std::sync::Arc;

use change::assessment::Assessment;
use change::course::{Afterwards, Course, Emergency, Standard};
use change::facts::material::Material;
use change::governance::Governance;
use change::proposal::{Files, Proposal};
use change::secret::Finding;
use change::standard::Standing;
use change::{Actor, Change, Digest, Permission, Timestamp};
use serde::{Deserialize, Serialize};

use crate::handle::{Engine, Handle, ProposeError};
use crate::ports::StoreError;

/// How a change is proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    #[default]
    Regular,
    /// In the fast lane, for an incident.
    Emergency { incident: String, reason: String },
    /// It has been deployed already, without the product.
    Afterwards { deployed_at: Timestamp, reason: String },
    /// As an instance of a standard change.
    Standard(Standard),
}

/// A change as somebody drafted it: what is proposed, and by which way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The change file.
    pub text: String,
    /// The digests of the files that it names.
    pub files: Files,
    /// What it is made of, as its sources say.
    pub material: Material,
    /// What a scan for secrets found in its material, without the secrets; what nobody allows closes the gate.
    pub secrets: Vec<Finding>,
    pub way: Way,
}

impl Draft {
    /// What makes a request the same when it is repeated.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of_value(&(&self.text, &self.files, &self.material, &self.secrets, &self.way))
    }
}

impl Way {
    fn permission(&self) -> Permission {
        match self {
            Self::Emergency { .. } => Permission::Emergency,
            Self::Regular | Self::Afterwards { .. } | Self::Standard(_) => Permission::Propose,
        }
    }

    /// The proposal on its course.
    ///
    /// # Errors
    /// Why this way is not open to it, in a sentence.
    pub(crate) fn applied(
        &self,
        mut proposal: Proposal,
        governance: &Governance,
        now: Timestamp,
    ) -> Result<Proposal, String> {
        let rules = &governance.approvals.emergency;
        match self {
            Self::Regular => Ok(proposal),
            Self::Emergency { incident, reason } => {
                said("an emergency", "the incident that it ends", incident)?;
                said("an emergency", "a reason", reason)?;
                in_emergency(proposal, rules.declare(incident, reason, now), governance)
            }
            Self::Afterwards { deployed_at, reason } => {
                said("what went by", "a reason", reason)?;
                if *deployed_at > now {
                    return Err(format!("`{deployed_at}` is still to come: propose the change as it is"));
                }
                proposal.course = Course::Afterwards(Afterwards {
                    deployed_at: *deployed_at,
                    reason: reason.clone(),
                    approval_within: rules.approval_within,
                    review_within: rules.review_within,
                });
                Ok(proposal)
            }
            Self::Standard(standard) => {
                proposal.course = Course::Standard(standard.clone());
                Ok(proposal)
            }
        }
    }
}

fn said(of: &str, what: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err(format!("{of} needs {what}")) } else { Ok(()) }
}

/// The proposal in the fast lane, however it comes into it: its times are cut, which is another effect.
fn in_emergency(mut proposal: Proposal, emergency: Emergency, governance: &Governance) -> Result<Proposal, String> {
    let rules = &governance.approvals.emergency;
    let (found, most) = (proposal.services.len(), rules.services);
    if found > most {
        return Err(format!("an emergency changes at most {most} service{}, and this one {found}", plural(most)));
    }
    rules.shorten(&mut proposal.plan, &mut proposal.verify);
    proposal.course = Course::Emergency(emergency);
    proposal.effect_digest = proposal.compute_effect_digest();
    Ok(proposal)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What an amendment needs on what it makes of a change on this course: it must not carry the change to where its author could not have proposed it.
pub(crate) fn needed_to_amend(course: &Course) -> Permission {
    match course {
        Course::Emergency(_) => Permission::Emergency,
        Course::Regular | Course::Standard(_) | Course::Afterwards(_) => Permission::Propose,
    }
}

/// An amended proposal on the course of the change: the clock of an emergency goes on, its plan stays as short and its scope as small. What was made
/// from a template and is written by hand now is a regular change.
///
/// # Errors
/// Why it can't stay on this course, in a sentence.
pub(crate) fn on_the_same_course(
    proposal: Proposal,
    course: Course,
    governance: &Governance,
) -> Result<Proposal, String> {
    match course {
        Course::Emergency(emergency) => in_emergency(proposal, emergency, governance),
        Course::Regular | Course::Standard(_) | Course::Afterwards(_) => Ok(proposal),
    }
}

impl Handle {
    pub(crate) async fn allow_way(&self, actor: &Actor, proposal: &Proposal, way: &Way) -> Result<(), ProposeError> {
        let needed = way.permission();
        if self.engine.permissions(actor, proposal).contains(&needed) {
            return Ok(());
        }
        let rejection = change::Rejection::NotAllowed { actor: actor.clone(), permission: needed };
        self.engine.record_refusal_of(actor, "propose", &rejection).await;
        Err(ProposeError::NotAllowed { actor: actor.clone(), permission: needed })
    }
}

/// What the course of a change makes of an assessment by other rules, as it did of the one that was.
pub(crate) fn as_it_went(course: &Course, was: &Assessment, would: Assessment) -> Assessment {
    match course {
        Course::Emergency(emergency) => would.in_emergency(emergency),
        Course::Afterwards(_) => would.afterwards(),
        Course::Standard(standard) if was.pre_approved => would.pre_approved(standard),
        // A standard change that did not count then is no other than a regular one.
        Course::Regular | Course::Standard(_) => would,
    }
}

/// What a change's course makes of its assessment, as things are now.
pub(crate) enum CourseNow {
    Same,
    Emergency(Emergency),
    Afterwards,
    PreApproved {
        standard: Standard,
        warning: Option<String>,
    },
    /// The standard change does not count at present.
    Suspended {
        standard: String,
        why: String,
    },
}

impl CourseNow {
    pub(crate) fn applied(self, mut assessment: Assessment) -> Assessment {
        match self {
            Self::Same => assessment,
            Self::Emergency(emergency) => assessment.in_emergency(&emergency),
            Self::Afterwards => assessment.afterwards(),
            Self::PreApproved { standard, warning } => {
                let mut assessment = assessment.pre_approved(&standard);
                assessment
                    .warnings
                    .extend(warning.map(|said| format!("the standard change `{}`: {said}", standard.id)));
                assessment
            }
            Self::Suspended { standard, why } => {
                let said =
                    format!("the standard change `{standard}` does not count: {why}; it is approved like any other");
                assessment.warnings.push(said);
                assessment
            }
        }
    }
}

impl Engine {
    pub(crate) async fn course_now(self: &Arc<Self>, change: &Change) -> Result<CourseNow, StoreError> {
        Ok(match &change.proposal.course {
            Course::Regular => CourseNow::Same,
            Course::Emergency(emergency) => CourseNow::Emergency(emergency.clone()),
            Course::Afterwards(_) => CourseNow::Afterwards,
            Course::Standard(standard) => {
                let standard = standard.clone();
                match self.standing_now(change).await? {
                    Standing::CountsNot { why } => CourseNow::Suspended { standard: standard.id, why },
                    Standing::Counts { warning } => CourseNow::PreApproved { standard, warning },
                }
            }
        })
    }
}
