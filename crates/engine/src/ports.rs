//! The ports: what the loop needs from the outside world.
//!
//! A store that appends atomically, drivers that make a step true, eyes that read telemetry, a voice that tells people, and a clock. Each has one
//! conformance suite that every implementation runs. The types here speak of streams, targets and series, never of SQL or HTTP.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use change::lifecycle::Urgency;
use change::proposal::Claims;
use change::query::{self, Filling, Language};
use change::rollout::{Desired, Failure, PartProblem, Plan, Target};
use change::roster::Watch;
use change::time::TimeZone;
use change::verification::Sli;
use change::verification::synthetic::SyntheticCheck;
use change::{ChangeId, Digest, Event, Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::project::ChangeRow;

// ------------------------------------------------------------------------------------------------------------------------------------------- store

/// Where the log, its projections and what is kept beside it live.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Appends everything of a batch or nothing, durably. When this returns, the events are in the log's tree and their inclusion can be proved.
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError>;
    /// The events of a stream after a version (0 for all), in order.
    async fn read(&self, stream: &str, after: u64) -> Result<Vec<Recorded>, StoreError>;
    /// Events of all streams from a position, in order, at most `limit`.
    async fn read_all(&self, from: u64, limit: usize) -> Result<Vec<Recorded>, StoreError>;
    /// The rows of the change list, newest first.
    async fn list(&self, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError>;
    async fn row(&self, change: ChangeId) -> Result<Option<ChangeRow>, StoreError>;
    /// The highest change number that is taken, 0 if none.
    async fn last_number(&self) -> Result<u64, StoreError>;
    /// The looks of a change from a number on, in order.
    async fn looks(&self, change: ChangeId, from: u64) -> Result<Vec<LookRow>, StoreError>;
    /// Something kept beside the log by its digest.
    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;
    async fn idempotency(&self, actor: &str, key: &str) -> Result<Option<IdempotencyKey>, StoreError>;
    /// Takes or renews a lease: the right of one holder to act under a name until `until` on the boot-time clock. `None` if another holds it at `now`.
    async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: BootMillis,
        until: BootMillis,
    ) -> Result<Option<Lease>, StoreError>;
    /// One file of the log in the tlog-tiles layout: `checkpoint`, `tile/...`; `None` where there is none.
    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// The inclusion proof of an entry in the newest checkpoint, as a `.tlog-proof` file.
    async fn proof(&self, position: u64) -> Result<Option<String>, StoreError>;
    /// The verifier key of the log's checkpoints.
    fn verifier_key(&self) -> String;
    /// Drops every projection and folds the log anew with [`crate::project`]; returns the number of changes.
    async fn rebuild(&self) -> Result<u64, StoreError>;
}

/// What is appended at once.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub writes: Vec<StreamWrite>,
    /// The rows of the changes as they are after the events.
    pub rows: Vec<ChangeRow>,
    pub looks: Vec<LookRow>,
    pub blobs: Vec<(Digest, Vec<u8>)>,
    pub idempotency: Option<IdempotencyKey>,
}

/// Events for one stream; without any, a condition: the batch is appended only if the stream has not moved.
#[derive(Clone, Debug)]
pub struct StreamWrite {
    pub stream: String,
    /// The number of events that the stream has now; another number is a conflict.
    pub expected: u64,
    pub events: Vec<NewEvent>,
}

/// An event that is not in the log yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Event,
    pub actor: change::Actor,
    pub change: Option<ChangeId>,
    pub time: Timestamp,
}

/// Where appended events stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// In the order of the batch.
    pub positions: Vec<u64>,
    /// The size of the log that includes them.
    pub size: u64,
}

/// An event as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub position: u64,
    pub stream: String,
    /// From 1 in its stream.
    pub version: u64,
    pub time: Timestamp,
    pub actor: change::Actor,
    pub change: Option<ChangeId>,
    pub event: Event,
}

/// Which rows of the change list are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Names of phases; all if empty.
    pub phases: Vec<String>,
    pub service: Option<String>,
    /// Only changes with a smaller number: for paging.
    pub before: Option<ChangeId>,
    pub limit: usize,
}

/// One look: what was read and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookRow {
    pub change: ChangeId,
    /// From 1 within the change.
    pub number: u64,
    pub step: usize,
    pub attempt: u32,
    pub at: Timestamp,
    /// The readings, as the judge gets them.
    pub readings: Value,
    /// The counters as they stood, to subtract from in the next look; a store keeps them with the newest look only, and null with the others.
    pub counters: Value,
    /// A summary of the verdict after this look.
    pub verdict: Value,
}

/// A key by which a client repeats a request safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub actor: String,
    pub key: String,
    /// The digest of the request: the same key with another request is an error.
    pub request: Digest,
    pub change: ChangeId,
}

/// The right to act, with a number that grows with each new holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub fence: u64,
    pub until: BootMillis,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the stream `{stream}` has {found} events, not {expected}")]
    Conflict { stream: String, expected: u64, found: u64 },
    #[error("the idempotency key `{0}` was used before")]
    KeyUsed(String),
    #[error("{0}")]
    TooLarge(String),
    /// The log can't be written any more; a restart checks it and goes on.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    #[error("the store failed: {0}")]
    Failed(String),
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

// ----------------------------------------------------------------------------------------------------------------------------------------- drivers

/// The hands: makes a step true at one kind of target. Chooses nothing.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// The JSON Schema of the options below `plan.target`.
    fn schema(&self) -> Value;
    /// The lanes that a plan needs, or what is wrong with its options: a pointer below `plan.target` and a sentence.
    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>>;
    /// What `$cohort` stands for in queries.
    fn cohorts(&self, target: &Target) -> Cohorts;
    /// What is missing before a rollout and its rollback can work.
    async fn ready(&self, target: &Target) -> Result<(), Vec<String>>;
    /// What is there now.
    async fn observe(&self, target: &Target) -> Result<Value, String>;
    /// Makes `desired` true. Doing it twice for the same [`Act::key`] is the same as doing it once.
    async fn ensure(&self, act: &Act, desired: &Desired) -> Outcome;
    /// Restores what [`Driver::observe`] saw before the first step, and reads it back.
    async fn undo(&self, act: &Act, target: &Target, before: &Value) -> Outcome;
}

/// The label values of the two versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cohorts {
    pub canary: String,
    pub stable: String,
}

/// What is being done, for whom: the idempotency key of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub change: ChangeId,
    /// `1` for the first step; `undo` for a rollback.
    pub step: String,
    pub attempt: u32,
    /// The digests of the files that the plan names.
    pub files: BTreeMap<String, Digest>,
}

impl Act {
    /// `CHG-7/2/1`: change, step from 1, attempt.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.change, self.step, self.attempt)
    }
}

/// How an act ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is true now, as read back.
    Applied {
        actual: Value,
    },
    /// It is on its way; ask again after this time.
    Pending {
        again: Span,
    },
    Failed {
        failure: Failure,
        error: String,
    },
}

// -------------------------------------------------------------------------------------------------------------------------------- eyes, voice, clock

/// The eyes: reads telemetry.
#[async_trait]
pub trait Eyes: Send + Sync + 'static {
    /// The names of the sources that there are.
    fn sources(&self) -> Vec<String>;
    /// Reads series of one source: for each query those that it finds now. An empty answer is an answer; an error means that the source failed.
    async fn read(&self, source: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String>;
    /// The same as it was at an earlier time, [`Glance::now`]. An error too where the source keeps no history.
    async fn read_at(&self, source: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        let _ = (asks, glance);
        Err(format!("the source `{source}` keeps no history"))
    }
    /// Every series of one source that a matcher means, such as `{$labels}`, in the order of their labels and at most so many.
    async fn series(&self, source: &str, matcher: &Ask, glance: &Glance, most: usize) -> Result<Vec<Series>, String> {
        let _ = (matcher, glance, most);
        Err(format!("the source `{source}` can't list its series"))
    }
    /// What happened in the last so-long up to now, whole: increments of counters and of buckets. An error too where the source can't say.
    async fn over(&self, source: &str, asks: &[Ask], window: Span, now: Timestamp) -> Result<Vec<Answer>, String> {
        let _ = (asks, window, now);
        Err(format!("the source `{source}` keeps no history"))
    }
    /// What a source says against the queries of an SLI when its file is checked.
    fn query_problems(&self, sli: &Sli) -> Vec<PartProblem> {
        sli.undivided()
    }
    /// Whether commands may be run.
    fn may_run_commands(&self) -> bool;
    /// Runs a check command for a change; `Ok(None)` if it succeeded, `Ok(Some(why))` if it failed, an error if it could not be run.
    async fn check(&self, act: &Act, command: &change::verification::CheckCommand) -> Result<Option<String>, String>;
    /// Tries a synthetic check once against the version that `cohort` names, within `limit`. Eyes that can't run any say so.
    async fn probe(&self, _act: &Act, check: &SyntheticCheck, _cohort: &str, _limit: Span) -> Probed {
        Probed::NotRun { why: format!("this server runs no synthetic checks, such as `{}`", check.name) }
    }
}

/// What became of one try of a synthetic check. The reasons are words of our own: no secret, and of what was answered at most a scrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    Passed,
    Failed {
        why: String,
    },
    /// It could not be run at all: what it asks may be well or not.
    NotRun {
        why: String,
    },
}

/// Which version is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Canary,
    Baseline,
}

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A count of events.
    Count,
    /// A value that goes up and down.
    Value,
    /// The buckets of a histogram: series with the label `le`, cumulative.
    Buckets,
}

/// One query of an SLI for one version, as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    pub query: String,
    pub part: Part,
    pub side: Side,
    pub cohorts: Cohorts,
}

impl Ask {
    /// The version that is read.
    pub fn cohort(&self) -> &str {
        match self.side {
            Side::Canary => &self.cohorts.canary,
            Side::Baseline => &self.cohorts.stable,
        }
    }

    /// A text with its names filled in for this version.
    ///
    /// # Errors
    /// A sentence, where a value can't be written in the place of its name.
    pub fn fill(&self, text: &str, labels: &str, window: Span, language: Language) -> Result<String, String> {
        let (canary, baseline) = (self.cohorts.canary.as_str(), self.cohorts.stable.as_str());
        query::fill(text, &Filling { cohort: self.cohort(), canary, baseline, window, labels }, language)
    }
}

/// When it is read, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    pub now: Timestamp,
    /// The time between two looks.
    pub every: Span,
}

/// What a source answers to one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The query as it was asked, for people, and to know the answer of the next look by.
    pub asked: String,
    pub meaning: Meaning,
    pub series: Vec<Series>,
}

/// What the values of an answer to a count or of buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Running totals: the increment is the difference to the look before.
    Total,
    /// What happened in the last so-long, whole.
    Window(Span),
}

/// One series and its newest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// When the value was taken, where the source says; the time of the look otherwise.
    pub at: Option<Timestamp>,
}

/// The rosters that other tools keep.
#[async_trait]
pub trait Rosters: Send + Sync + 'static {
    /// The turns of a source, as clearway.toml names it; local times are of this zone.
    async fn turns(&self, source: &str, zone: &TimeZone) -> Result<Vec<Watch>, String>;
}

/// No source at all.
#[derive(Clone, Copy, Debug)]
pub struct NoRosters;

#[async_trait]
impl Rosters for NoRosters {
    async fn turns(&self, source: &str, _: &TimeZone) -> Result<Vec<Watch>, String> {
        Err(format!("there is no source `{source}` under `[rosters]` of clearway.toml"))
    }
}

/// The voice: tells people.
#[async_trait]
pub trait Voice: Send + Sync + 'static {
    /// Tells people; returns the channel by which they were told.
    async fn tell(&self, change: ChangeId, message: &Message<'_>) -> Result<String, String>;
    /// Pages about the server itself.
    async fn alarm(&self, _title: &str, _reason: &str) -> Result<String, String> {
        Err("this channel tells of changes only".into())
    }
}

/// What people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The title of the change.
    pub title: &'a str,
    pub reason: &'a str,
    /// The users and groups it is for; whoever is on duty if empty.
    pub to: &'a BTreeSet<String>,
    pub urgency: Urgency,
}

/// Keeps secrets out of what is written and told.
pub trait Scrub: Send + Sync + 'static {
    /// Whether text with these bytes can hold a secret at all, however it is quoted or escaped. Quick, and never wrong when it says no.
    fn may_hold(&self, bytes: &[u8]) -> bool;
    /// The secrets of a text, in order and apart.
    fn spot(&self, text: &str) -> Vec<Spotted>;
    /// The same of a value that stands under a name, which may promise one.
    fn spot_under(&self, name: &str, text: &str) -> Vec<Spotted>;
}

/// Where a secret is, without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spotted {
    /// The rule that found it.
    pub rule: &'static str,
    /// The bytes of the text.
    pub at: std::ops::Range<usize>,
    /// Its first characters where all of its kind have them; never enough to use it.
    pub excerpt: String,
    /// Whether its own format says so, and not only the name that it stands under.
    pub is_certain: bool,
}

/// Milliseconds since the machine was started, sleep included: the clock of leases, which no one sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BootMillis(pub u64);

/// The clock.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    fn boot(&self) -> BootMillis;
}
