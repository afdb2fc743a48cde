//! Scrub: the last line of defence. What is written to the store and told to people passes here, and a secret in it becomes `[redacted: rule]`.
//!
//! Requests with a secret are refused long before; this is for what nobody sent as a request: outputs of commands, answers of telemetry, errors of
//! drivers. They are cleaned where they come in ([`Clean`]), so that everything that follows from them is clean and agrees with itself, and once more
//! where they go into the store. Which text is a secret is the port's to say ([`Scrub`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use change::proposal::Claims;
use change::rollout::{Desired, PartProblem, Plan, Target};
use change::roster::Watch;
use change::time::TimeZone;
use change::verification::synthetic::SyntheticCheck;
use change::verification::{CheckCommand, Sli};
use change::{ChangeId, Span, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ports::{
    Act, Answer, Ask, Cohorts, Driver, Eyes, Glance, Message, Outcome, Probed, Rosters, Scrub, Series, Spotted,
    StoreError, Voice,
};

/// A text without its secrets.
pub fn text<'a>(scrub: &dyn Scrub, text: &'a str) -> Cow<'a, str> {
    without(text, &scrub.spot(text))
}

/// The same where only formats that say what they are count: for text with marks of its own between its words, such as a page.
pub fn marked<'a>(scrub: &dyn Scrub, text: &'a str) -> Cow<'a, str> {
    let mut found = scrub.spot(text);
    found.retain(|spotted| spotted.is_certain);
    without(text, &found)
}

fn without<'a>(text: &'a str, found: &[Spotted]) -> Cow<'a, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut clean, mut from) = (String::with_capacity(text.len()), 0);
    for spotted in found {
        clean.push_str(&text[from..spotted.at.start]);
        clean.push_str(&format!("[redacted: {}]", spotted.rule));
        from = spotted.at.end;
    }
    clean.push_str(&text[from..]);
    Cow::Owned(clean)
}

fn own(scrub: &dyn Scrub, given: String) -> String {
    match text(scrub, &given) {
        Cow::Borrowed(_) => given,
        Cow::Owned(clean) => clean,
    }
}

/// Takes the secrets out of the strings and names of a value; says whether there were any.
pub fn value(scrub: &dyn Scrub, value: &mut Value) -> bool {
    value_under(scrub, "", value)
}

fn value_under(scrub: &dyn Scrub, name: &str, value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let found = scrub.spot_under(name, text);
            if !found.is_empty() {
                *text = without(text, &found).into_owned();
            }
            !found.is_empty()
        }
        Value::Array(items) => {
            let mut found = false;
            for item in items {
                found |= value_under(scrub, name, item);
            }
            found
        }
        Value::Object(fields) => {
            let mut found = false;
            for (name, field) in fields.iter_mut() {
                found |= value_under(scrub, name, field);
            }
            let dirty: Vec<String> = fields.keys().filter(|name| !scrub.spot(name).is_empty()).cloned().collect();
            for name in dirty {
                if let Some(field) = fields.remove(&name) {
                    fields.insert(own(scrub, name), field);
                }
                found = true;
            }
            found
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A value of the core without its secrets. A value without any keyword costs its JSON form and one pass.
///
/// # Errors
/// If a secret stands where only something else can, such as a digest: then nothing is written.
pub(crate) fn whole<T: Serialize + DeserializeOwned>(scrub: &dyn Scrub, given: T) -> Result<T, StoreError> {
    let json = serde_json::to_vec(&given).map_err(|error| refused(&error.to_string()))?;
    if !scrub.may_hold(&json) {
        return Ok(given);
    }
    let mut form: Value = serde_json::from_slice(&json).map_err(|error| refused(&error.to_string()))?;
    if !value(scrub, &mut form) {
        return Ok(given);
    }
    tracing::warn!("a secret was about to be written; it is left out");
    serde_json::from_value(form).map_err(|_| refused("it is no such thing any more without the secret in it"))
}

fn refused(why: &str) -> StoreError {
    StoreError::Failed(format!("what was to be written can't be freed of a secret: {why}"))
}

/// Refuses what is kept by its digest, and so can't be written otherwise.
pub(crate) fn kept(scrub: &dyn Scrub, bytes: &[u8]) -> Result<(), StoreError> {
    if !scrub.may_hold(bytes) {
        return Ok(());
    }
    let found = match serde_json::from_slice::<Value>(bytes) {
        Ok(mut form) => value(scrub, &mut form),
        Err(_) => !scrub.spot(&String::from_utf8_lossy(bytes)).is_empty(),
    };
    if found { Err(refused("it is kept by its digest")) } else { Ok(()) }
}

/// A port whose answers are cleaned.
pub(crate) struct Clean<T: ?Sized> {
    inner: Arc<T>,
    scrub: Arc<dyn Scrub>,
}

impl<T: ?Sized> Clean<T> {
    pub(crate) fn new(inner: Arc<T>, scrub: &Arc<dyn Scrub>) -> Self {
        Self { inner, scrub: scrub.clone() }
    }

    fn own(&self, text: String) -> String {
        own(&*self.scrub, text)
    }

    fn all(&self, texts: Vec<String>) -> Vec<String> {
        texts.into_iter().map(|text| self.own(text)).collect()
    }
}

impl Clean<dyn Driver> {
    fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Applied { mut actual } => {
                value(&*self.scrub, &mut actual);
                Outcome::Applied { actual }
            }
            Outcome::Pending { again } => Outcome::Pending { again },
            Outcome::Failed { failure, error } => Outcome::Failed { failure, error: self.own(error) },
        }
    }
}

#[async_trait]
impl Driver for Clean<dyn Driver> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn schema(&self) -> Value {
        self.inner.schema()
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        let clean =
            |problems: Vec<(String, String)>| problems.into_iter().map(|(at, why)| (at, self.own(why))).collect();
        self.inner.claims(plan).map_err(clean)
    }

    fn cohorts(&self, target: &Target) -> Cohorts {
        self.inner.cohorts(target)
    }

    async fn ready(&self, target: &Target) -> Result<(), Vec<String>> {
        self.inner.ready(target).await.map_err(|problems| self.all(problems))
    }

    // What is seen before the first step is what an undo restores. It can't be kept with a secret in it, and restoring it without would break the target.
    async fn observe(&self, target: &Target) -> Result<Value, String> {
        let mut observed = self.inner.observe(target).await.map_err(|error| self.own(error))?;
        if value(&*self.scrub, &mut observed) {
            return Err("what is there now holds a secret and can't be kept for the way back; let `observe` print a digest of it".into());
        }
        Ok(observed)
    }

    async fn ensure(&self, act: &Act, desired: &Desired) -> Outcome {
        let outcome = self.inner.ensure(act, desired).await;
        self.outcome(outcome)
    }

    async fn undo(&self, act: &Act, target: &Target, before: &Value) -> Outcome {
        let outcome = self.inner.undo(act, target, before).await;
        self.outcome(outcome)
    }
}

impl Clean<dyn Eyes> {
    fn series_of(&self, found: Vec<Series>) -> Vec<Series> {
        found.into_iter().map(|series| Series { labels: self.labels(series.labels), ..series }).collect()
    }

    fn labels(&self, mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for (name, text) in &mut labels {
            let found = self.scrub.spot_under(name, text);
            if !found.is_empty() {
                *text = without(text, &found).into_owned();
            }
        }
        labels
    }

    fn answers(&self, found: Result<Vec<Answer>, String>) -> Result<Vec<Answer>, String> {
        let clean = |answer: Answer| Answer { series: self.series_of(answer.series), ..answer };
        found.map(|answers| answers.into_iter().map(clean).collect()).map_err(|error| self.own(error))
    }
}

#[async_trait]
impl Rosters for Clean<dyn Rosters> {
    async fn turns(&self, source: &str, zone: &TimeZone) -> Result<Vec<Watch>, String> {
        let mut turns = self.inner.turns(source, zone).await.map_err(|error| self.own(error))?;
        for name in turns.iter_mut().flat_map(|turn| &mut turn.who) {
            *name = self.own(std::mem::take(name));
        }
        Ok(turns)
    }
}

#[async_trait]
impl Eyes for Clean<dyn Eyes> {
    fn sources(&self) -> Vec<String> {
        self.inner.sources()
    }

    async fn read(&self, source: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        self.answers(self.inner.read(source, asks, glance).await)
    }

    async fn read_at(&self, source: &str, asks: &[Ask], glance: &Glance) -> Result<Vec<Answer>, String> {
        self.answers(self.inner.read_at(source, asks, glance).await)
    }

    async fn series(&self, source: &str, matcher: &Ask, glance: &Glance, most: usize) -> Result<Vec<Series>, String> {
        let found = self.inner.series(source, matcher, glance, most).await;
        found.map(|series| self.series_of(series)).map_err(|error| self.own(error))
    }

    async fn over(&self, source: &str, asks: &[Ask], window: Span, now: Timestamp) -> Result<Vec<Answer>, String> {
        self.answers(self.inner.over(source, asks, window, now).await)
    }

    fn query_problems(&self, sli: &Sli) -> Vec<PartProblem> {
        self.inner.query_problems(sli)
    }

    fn may_run_commands(&self) -> bool {
        self.inner.may_run_commands()
    }

    async fn check(&self, act: &Act, command: &CheckCommand) -> Result<Option<String>, String> {
        let said = self.inner.check(act, command).await;
        said.map(|why| why.map(|why| self.own(why))).map_err(|error| self.own(error))
    }

    async fn probe(&self, act: &Act, check: &SyntheticCheck, cohort: &str, limit: Span) -> Probed {
        match self.inner.probe(act, check, cohort, limit).await {
            Probed::Passed => Probed::Passed,
            Probed::Failed { why } => Probed::Failed { why: self.own(why) },
            Probed::NotRun { why } => Probed::NotRun { why: self.own(why) },
        }
    }
}

#[async_trait]
impl Voice for Clean<dyn Voice> {
    async fn tell(&self, change: ChangeId, message: &Message<'_>) -> Result<String, String> {
        let (title, reason) = (text(&*self.scrub, message.title), text(&*self.scrub, message.reason));
        let told = self.inner.tell(change, &Message { title: &title, reason: &reason, ..*message }).await;
        told.map(|channel| self.own(channel)).map_err(|error| self.own(error))
    }

    async fn alarm(&self, title: &str, reason: &str) -> Result<String, String> {
        let (title, reason) = (text(&*self.scrub, title), text(&*self.scrub, reason));
        let told = self.inner.alarm(&title, &reason).await;
        told.map(|channel| self.own(channel)).map_err(|error| self.own(error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Takes every `s3cret` for one.
    struct Word;

    impl Scrub for Word {
        fn may_hold(&self, bytes: &[u8]) -> bool {
            bytes.windows(6).any(|word| word == b"s3cret")
        }

        fn spot(&self, text: &str) -> Vec<Spotted> {
            let found = text.match_indices("s3cret");
            found
                .map(|(at, word)| Spotted {
                    rule: "word",
                    at: at..at + word.len(),
                    excerpt: "…".into(),
                    is_certain: true,
                })
                .collect()
        }

        fn spot_under(&self, name: &str, text: &str) -> Vec<Spotted> {
            let whole = Spotted { rule: "named", at: 0..text.len(), excerpt: "…".into(), is_certain: false };
            if name == "password" { vec![whole] } else { self.spot(text) }
        }
    }

    // F7
    #[test]
    fn every_string_and_name_of_a_value_is_cleaned_and_nothing_else_is_touched() {
        let mut given = json!({
            "a": ["x s3cret y", 7, null, {"s3crets": true}],
            "password": "anything",
            "fine": "as it was",
        });
        assert!(value(&Word, &mut given));
        let wanted = json!({
            "a": ["x [redacted: word] y", 7, null, {"[redacted: word]s": true}],
            "password": "[redacted: named]",
            "fine": "as it was",
        });
        assert_eq!(given, wanted);
        assert!(!value(&Word, &mut json!({"fine": ["as", "it was"]})));
    }

    #[test]
    fn what_can_not_be_without_its_secret_is_not_written() {
        assert_eq!(whole(&Word, "s3cret".to_owned()).ok().as_deref(), Some("[redacted: word]"));
        let name = std::net::IpAddr::from([127, 0, 0, 1]);
        assert_eq!(whole(&Word, name).ok(), Some(name));
        assert!(kept(&Word, b"plain").is_ok());
        assert!(kept(&Word, br#"{"a": "s3cret"}"#).is_err());
        assert!(kept(&Word, b"no JSON, and a s3cret").is_err());
    }
}
