//! Policies: what they decided, what others would have decided, and why they said what they said.
//!
//! Everything here is read from the log and from what is kept beside it: the input and the bundle of each assessment, by their digests. There is no second
//! store, and nothing is written. The assessing itself is in [`act`](crate::act); how two assessments are compared is in [`policy::compare`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use change::assessment::{Assessment, POLICY_ERROR};
use change::governance::Matrix;
use change::proposal::Proposal;
use change::{Change, ChangeId, Digest, Event, Timestamp};
use policy::Bundle;
use policy::compare::{Outline, Way, compare};
use policy::explain::Explained;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::handle::Handle;
use crate::ports::{Recorded, StoreError};
use crate::project;
use crate::way;

/// Entries that are read at once.
const PAGE: usize = 500;
/// The most entries that one page of decisions looks through: a log is mostly of other things.
const MOST_ENTRIES: usize = 20_000;
/// The most assessments that are replayed at once, the newest.
const MOST_REPLAYED: usize = 10_000;

/// One assessment, in the shape of OPA's decision logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The change and the position of the entry: the same whenever it is asked for.
    pub decision_id: String,
    pub path: String,
    /// The facts, as they are kept beside the log; null if they are no more.
    pub input: Value,
    pub result: Assessment,
    /// RFC 3339.
    pub timestamp: String,
    pub metrics: Value,
    /// The policies that answered, by the digest under which they are kept.
    pub bundles: Value,
    pub labels: Value,
    /// The position of the entry in the log.
    pub position: u64,
}

/// Some decisions, and where the next begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    pub decisions: Vec<Decision>,
    /// The position to go on from; nothing at the end of the log.
    pub next: Option<u64>,
}

/// What other policies would have decided about past changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReplay {
    /// The digest of the other bundle.
    pub policy: Digest,
    /// How many assessments were replayed.
    pub assessed: usize,
    /// How many would have come to the same.
    pub same: usize,
    /// How many could not be replayed, because what they were given is no more.
    pub unknown: usize,
    /// How many differ in which way; one may differ in several.
    pub ways: BTreeMap<Way, usize>,
    /// Those that differ, in the order of the log.
    pub differing: Vec<Differing>,
}

/// One assessment that would have come out otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Differing {
    pub change: ChangeId,
    pub title: String,
    /// The position of the assessment in the log.
    pub position: u64,
    /// RFC 3339.
    pub time: String,
    pub ways: BTreeSet<Way>,
    pub was: Outline,
    pub would: Outline,
}

/// An assessment with the rule behind each of its answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhyPolicy {
    pub change: ChangeId,
    pub assessment: Assessment,
    /// The bundle that answered then, and not the one of today.
    pub policy: Digest,
    pub rules: Vec<Explained>,
    pub input: Value,
}

/// Why something could not be said about policies.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    #[error("`{0}` has not been assessed yet")]
    NotAssessed(ChangeId),
    /// Kept by early versions without it, or erased.
    #[error("{0} is not kept beside the log any more")]
    Gone(String),
    #[error("{0}")]
    Policy(String),
    /// A replay asks the processor of a whole server; others have to wait.
    #[error("a replay is under way already")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handle {
    /// The decisions from a position on, in order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn decisions(&self, from: u64, most: usize) -> Result<Decisions, StoreError> {
        let (mut decisions, mut next, mut looked) = (Vec::new(), from, 0);
        while looked < MOST_ENTRIES {
            let entries = self.log(next, PAGE).await?;
            let at_end = entries.len() < PAGE;
            for entry in &entries {
                next = entry.position + 1;
                looked += 1;
                decisions.extend(self.decision(entry).await?);
                if decisions.len() == most {
                    return Ok(Decisions { decisions, next: Some(next) });
                }
            }
            if at_end {
                return Ok(Decisions { decisions, next: None });
            }
        }
        Ok(Decisions { decisions, next: Some(next) })
    }

    async fn decision(&self, entry: &Recorded) -> Result<Option<Decision>, StoreError> {
        let (Event::Assessed(result), Some(change)) = (&entry.event, entry.change) else { return Ok(None) };
        let kept = self.blob(result.input).await?;
        let bytes = kept.as_ref().map_or(0, Vec::len);
        Ok(Some(Decision {
            decision_id: format!("{change}/{}", entry.position),
            path: "clearway/assess".into(),
            input: kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default(),
            result: (**result).clone(),
            timestamp: entry.time.to_string(),
            metrics: json!({"counter_input_bytes": bytes}),
            bundles: json!({"clearway": {"revision": result.policy}}),
            labels: json!({"change": change, "effect": result.effect, "input": result.input}),
            position: entry.position,
        }))
    }

    /// Assesses past changes again, by other rules and approvals, from the inputs of those days. The approvals in force count where none are given.
    ///
    /// # Errors
    /// If the policies can't be compiled, or the store fails.
    pub async fn replay_policy(
        &self,
        modules: &BTreeMap<String, String>,
        approvals: Option<Matrix>,
        since: Timestamp,
    ) -> Result<PolicyReplay, PoliciesError> {
        let _one = self.engine.replaying.try_acquire().map_err(|_| PoliciesError::Busy)?;
        let modules = modules.clone();
        let compiling = tokio::task::spawn_blocking(move || Bundle::compile(&modules)).await;
        let compiled = compiling.map_err(|_| PoliciesError::Policy("the policies broke off".into()))?;
        let bundle = compiled.map_err(|e| PoliciesError::Policy(e.to_string()))?;
        let in_force = self.in_force();
        let bundle = match &in_force.launch {
            Some(launch) => bundle.in_child(launch),
            None => bundle,
        };
        let matrix = approvals.unwrap_or_else(|| in_force.governance.approvals.clone());
        let mut replay = PolicyReplay {
            policy: bundle.digest(),
            assessed: 0,
            same: 0,
            unknown: 0,
            ways: BTreeMap::new(),
            differing: vec![],
        };
        for past in self.assessed_since(since).await? {
            replay.assessed += 1;
            let Some(bytes) = self.blob(past.assessment.input).await? else {
                replay.unknown += 1;
                continue;
            };
            let (bundle, matrix) = (bundle.clone(), matrix.clone());
            let proposal = past.proposal.clone();
            let asking = tokio::task::spawn_blocking(move || {
                bundle.assess_input(&String::from_utf8_lossy(&bytes), &matrix, &proposal)
            });
            let would = asking.await.map_err(|_| PoliciesError::Policy("the policies broke off".into()))?;
            let would = way::as_it_went(&past.proposal.course, &past.assessment, would);
            let would = would.asking_each_of(&in_force.governance.catalog.owners(&past.proposal.services));
            replay.add(past, &would);
        }
        Ok(replay)
    }

    /// The assessments of a time, with what was proposed then.
    async fn assessed_since(&self, since: Timestamp) -> Result<VecDeque<Past>, StoreError> {
        let (mut reading, mut next) = (Reading::new(since, MOST_REPLAYED), 0);
        loop {
            let entries = self.log(next, PAGE).await?;
            for entry in &entries {
                next = entry.position + 1;
                reading.add(entry);
            }
            if entries.len() < PAGE {
                return Ok(reading.found);
            }
        }
    }

    /// Why the newest assessment of a change came out as it did: by the bundle and the facts of its day.
    ///
    /// # Errors
    /// See [`PoliciesError`].
    pub async fn explain_policy(&self, change: &Change) -> Result<WhyPolicy, PoliciesError> {
        let assessed = change.assessment.as_ref().ok_or(PoliciesError::NotAssessed(change.id))?;
        let assessment = assessed.assessment.clone();
        if assessment.denials.iter().any(|denial| denial.code == POLICY_ERROR) {
            // No rule gave this answer, and what broke the policies once would break them again.
            let input = self.blob(assessment.input).await?.unwrap_or_default();
            let input = serde_json::from_slice(&input).unwrap_or_default();
            return Ok(WhyPolicy { change: change.id, policy: assessment.policy, rules: vec![], assessment, input });
        }
        let _one = self.engine.explaining.acquire().await.map_err(|_| PoliciesError::Busy)?;
        let input = self.blob(assessment.input).await?.ok_or_else(|| PoliciesError::Gone("its input".into()))?;
        let bundle = match self.in_force().bundle.clone() {
            in_force if in_force.digest() == assessment.policy => in_force,
            _ => self.kept_bundle(assessment.policy).await?,
        };
        let text = String::from_utf8_lossy(&input).into_owned();
        let explaining = tokio::task::spawn_blocking(move || bundle.explain(&text)).await;
        let rules = explaining.map_err(|_| PoliciesError::Policy("the policies broke off".into()))?;
        Ok(WhyPolicy {
            change: change.id,
            policy: assessment.policy,
            rules: rules.map_err(PoliciesError::Policy)?,
            assessment,
            input: serde_json::from_slice(&input).unwrap_or_default(),
        })
    }

    /// A bundle of any day, from the store.
    ///
    /// # Errors
    /// If it is not kept, or can't be compiled any more.
    pub async fn kept_bundle(&self, digest: Digest) -> Result<Bundle, PoliciesError> {
        let bytes = self.blob(digest).await?;
        let bytes = bytes.ok_or_else(|| PoliciesError::Gone(format!("the bundle {}", digest.short())))?;
        let bundle = Bundle::of_kept(&bytes).map_err(|e| PoliciesError::Policy(e.to_string()))?;
        Ok(match &self.in_force().launch {
            Some(launch) => bundle.in_child(launch),
            None => bundle,
        })
    }
}

/// The log as it is read for a replay. Holds the changes that are under way and the newest assessments, never all that there were.
struct Reading {
    since: Timestamp,
    most: usize,
    under_way: BTreeMap<ChangeId, Change>,
    found: VecDeque<Past>,
}

impl Reading {
    fn new(since: Timestamp, most: usize) -> Self {
        Self { since, most, under_way: BTreeMap::new(), found: VecDeque::new() }
    }

    fn add(&mut self, entry: &Recorded) {
        let Some(id) = ChangeId::of_stream(&entry.stream) else { return };
        let Some(change) = project::fold(self.under_way.remove(&id), entry) else { return };
        if let (Event::Assessed(assessment), true) = (&entry.event, entry.time >= self.since) {
            self.found.push_back(Past {
                change: id,
                position: entry.position,
                time: entry.time,
                proposal: change.proposal.clone(),
                assessment: (**assessment).clone(),
            });
        }
        if self.found.len() > self.most {
            self.found.pop_front();
        }
        // What has ended is assessed no more.
        if !change.phase().is_terminal() {
            self.under_way.insert(id, change);
        }
    }
}

struct Past {
    change: ChangeId,
    position: u64,
    time: Timestamp,
    proposal: Proposal,
    assessment: Assessment,
}

impl PolicyReplay {
    fn add(&mut self, past: Past, would: &Assessment) {
        let (was, would) = (Outline::of(&past.assessment), Outline::of(would));
        let ways = compare(&was, &would);
        if ways.is_empty() {
            self.same += 1;
            return;
        }
        for way in &ways {
            *self.ways.entry(*way).or_default() += 1;
        }
        let Past { change, position, proposal, .. } = past;
        let time = past.time.to_string();
        self.differing.push(Differing { change, title: proposal.title, position, time, ways, was, would });
    }
}
