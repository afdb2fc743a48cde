//! Conformance: what every driver has to hold, whatever it drives.
//!
//! A suite over a [`World`] that shows the target from its own side, so that a driver is not believed but watched. It tests with weights only; what is
//! special to a kind of target is tested beside its driver.

use async_trait::async_trait;
use change::ChangeId;
use change::rollout::{Desired, Failure, Target, Weight};
use engine::ports::{Act, Driver, Outcome};
use serde_json::Value;

/// The target, seen from its own side.
#[async_trait]
pub trait World: Send + Sync {
    /// The share that the canary has.
    async fn weight(&self) -> Weight;
    /// How often the target was changed since it was made.
    async fn effects(&self) -> usize;
    /// What [`Driver::observe`] has to say while the canary has this share.
    fn observation(&self, weight: Weight) -> Value;
    /// Makes the target unreachable.
    async fn cut(&self);
    /// Makes it reachable again.
    async fn mend(&self);
}

/// Runs the suite on a target on which the canary has no traffic.
///
/// # Panics
/// At the first rule that does not hold, with the rule.
pub async fn run(driver: &dyn Driver, target: &Target, world: &dyn World) {
    let suite = Suite { driver, target, world };
    suite.it_is_ready().await;
    suite.twice_is_once().await;
    for steps in 0..=STEPS.len() {
        suite.an_undo_restores_after(steps).await;
    }
    suite.what_can_not_be_reached_stays_as_it_is().await;
}

const STEPS: [Weight; 3] = [Weight::percent(5), Weight::percent(25), Weight::FULL];
const NONE: Weight = Weight::percent(0);

struct Suite<'a> {
    driver: &'a dyn Driver,
    target: &'a Target,
    world: &'a dyn World,
}

fn act(change: u64, step: &str, attempt: u32) -> Act {
    Act { change: ChangeId::new(change), step: step.to_owned(), attempt, files: Default::default() }
}

impl Suite<'_> {
    async fn ensure(&self, act: &Act, weight: Weight) -> Outcome {
        self.driver.ensure(act, &Desired { target: self.target.clone(), weight }).await
    }

    async fn observe(&self) -> Value {
        self.driver.observe(self.target).await.expect("a target that is reachable can be observed")
    }

    async fn is_at(&self, weight: Weight, rule: &str) {
        assert_eq!(self.world.weight().await, weight, "{rule}");
        assert_eq!(self.observe().await, self.world.observation(weight), "an observation tells the truth: {rule}");
    }

    async fn it_is_ready(&self) {
        assert_eq!(self.driver.ready(self.target).await, Ok(()), "a sound target is ready");
        assert_eq!(self.world.effects().await, 0, "asking whether a target is ready does not change it");
        self.is_at(NONE, "the suite begins without traffic on the canary").await;
    }

    async fn twice_is_once(&self) {
        let (act, before, effects) = (act(1, "1", 1), self.observe().await, self.world.effects().await);
        for time in ["the first time", "a second time"] {
            applied(&self.ensure(&act, STEPS[0]).await, time);
            self.is_at(STEPS[0], time).await;
            assert_eq!(self.world.effects().await, effects + 1, "doing it twice has one effect: {time}");
        }
        self.take_back(1, &before).await;
    }

    async fn an_undo_restores_after(&self, steps: usize) {
        let change = 10 + u64::try_from(steps).unwrap_or_default();
        let before = self.observe().await;
        for (i, weight) in STEPS.into_iter().take(steps).enumerate() {
            applied(&self.ensure(&act(change, &(i + 1).to_string(), 1), weight).await, "each step is applied");
            self.is_at(weight, "each step is applied").await;
        }
        self.take_back(change, &before).await;
    }

    async fn take_back(&self, change: u64, before: &Value) {
        for attempt in [1, 1, 2] {
            applied(
                &self.driver.undo(&act(change, "undo", attempt), self.target, before).await,
                "an undo may be repeated",
            );
            self.is_at(NONE, "an undo restores what was there").await;
        }
    }

    async fn what_can_not_be_reached_stays_as_it_is(&self) {
        let (first, before, effects) = (act(20, "1", 1), self.observe().await, self.world.effects().await);
        self.world.cut().await;
        assert!(
            self.driver.ready(self.target).await.is_err_and(|problems| !problems.is_empty()),
            "a cut target is not ready"
        );
        assert!(self.driver.observe(self.target).await.is_err(), "a cut target can't be observed");
        is_retried(&self.ensure(&first, STEPS[0]).await, "a step");
        is_retried(&self.driver.undo(&act(20, "undo", 1), self.target, &before).await, "an undo");
        self.world.mend().await;
        self.is_at(NONE, "what could not be reached is as it was").await;
        assert_eq!(self.world.effects().await, effects, "what could not be reached is as it was");
        applied(&self.ensure(&first, STEPS[0]).await, "the same act may be tried again");
        self.is_at(STEPS[0], "the same act may be tried again").await;
        self.take_back(20, &before).await;
    }
}

fn applied(outcome: &Outcome, rule: &str) {
    assert!(matches!(outcome, Outcome::Applied { .. }), "{rule}: {outcome:?}");
}

fn is_retried(outcome: &Outcome, what: &str) {
    let retry = matches!(outcome, Outcome::Failed { failure: Failure::Retry, error } if !error.is_empty());
    assert!(retry, "{what} at a cut target is to be retried: {outcome:?}");
}
