//! Pipeline: a target that a pipeline outside deploys to by itself.
//!
//! Says what is claimed and what telemetry calls both versions, and does nothing: the pipeline asks for the gates, begins, deploys, and reports how it
//! ended (docs/guide/with-your-pipeline.md). Must never touch a target: what this server has not done, it can't undo either.

use async_trait::async_trait;
use change::proposal::{Claims, Closure, Hands};
use change::rollout::{Desired, Failure, Plan, Target};
use engine::ports::{Act, Cohorts, Driver, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{OptionProblem, failed, read_options};

/// The driver `pipeline`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineDriver;

/// The options of the driver `pipeline`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PipelineOptions {
    /// The pipeline, as people know it.
    #[schemars(length(min = 1, max = 200), example = &"deploy-checkout")]
    name: String,
    /// What it deploys to: changes of the same resource wait for each other. As another driver names it, such as `router:edge/checkout`; a name
    /// without a colon is one of pipelines alone.
    #[schemars(length(min = 1, max = 200), example = &"checkout")]
    resource: String,
    /// Where people look at it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 500), example = &"https://ci.example/shop/checkout")]
    url: Option<String>,
    /// What `$cohort` stands for in queries of the new version.
    #[serde(default = "canary")]
    #[schemars(length(min = 1, max = 100))]
    canary: String,
    /// What `$cohort` stands for in queries of the old version.
    #[serde(default = "stable")]
    #[schemars(length(min = 1, max = 100))]
    stable: String,
}

fn canary() -> String {
    "canary".into()
}

fn stable() -> String {
    "stable".into()
}

impl PipelineOptions {
    fn resource(&self) -> String {
        if self.resource.contains(':') { self.resource.clone() } else { format!("pipeline:{}", self.resource) }
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.canary == self.stable {
            problems.push(("/canary".into(), format!("`{}` is both canary and stable", self.canary)));
        }
        for (pointer, text) in [("/name", &self.name), ("/resource", &self.resource)] {
            if text.trim() != text || text.chars().any(char::is_control) {
                problems.push((pointer.into(), "it begins or ends with a space, or has control characters".into()));
            }
        }
        if let Some(url) = self.url.as_ref().filter(|url| !is_web_address(url)) {
            problems.push(("/url".into(), format!("`{url}` is no address that begins with `https://` or `http://`")));
        }
        problems
    }
}

// People follow it from the page of the change: nothing but the web.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && !url.chars().any(|c| c.is_whitespace() || c.is_control())
}

const NOT_OURS: &str = "a pipeline performs the steps of this target itself: it begins them with `clearway begin` and reports with `clearway finish`";

#[async_trait]
impl Driver for PipelineDriver {
    fn name(&self) -> &'static str {
        "pipeline"
    }

    fn schema(&self) -> Value {
        schemars::schema_for!(PipelineOptions).to_value()
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<OptionProblem>> {
        let options: PipelineOptions = read_options(&plan.target)?;
        let problems = options.problems();
        if problems.is_empty() {
            Ok(Claims { resources: [options.resource()].into(), effect: Closure::Open, hands: Hands::Pipeline })
        } else {
            Err(problems)
        }
    }

    fn cohorts(&self, target: &Target) -> Cohorts {
        let label = |option, default: fn() -> String| target.text(option).map_or_else(default, str::to_owned);
        Cohorts { canary: label("canary", canary), stable: label("stable", stable) }
    }

    async fn ready(&self, _: &Target) -> Result<(), Vec<String>> {
        Ok(())
    }

    async fn observe(&self, _: &Target) -> Result<Value, String> {
        Ok(Value::Null)
    }

    async fn ensure(&self, _: &Act, _: &Desired) -> Outcome {
        failed(Failure::Final, NOT_OURS)
    }

    async fn undo(&self, _: &Act, _: &Target, _: &Value) -> Outcome {
        failed(Failure::Final, NOT_OURS)
    }
}

#[cfg(test)]
mod tests {
    use change::ChangeId;
    use change::rollout::{Strategy, Weight};
    use serde_json::json;

    use super::*;
    use crate::testing::target;

    fn claims(options: Value) -> Result<Claims, Vec<OptionProblem>> {
        let target = target(options);
        PipelineDriver.claims(&Plan { strategy: Strategy::AllAtOnce, target, steps: vec![] })
    }

    fn of(more: &Value) -> Value {
        let mut options = json!({"driver": "pipeline", "name": "deploy-checkout", "resource": "checkout"});
        let more = more.as_object().into_iter().flatten();
        more.for_each(|(name, value)| options[name] = value.clone());
        options
    }

    // X20
    #[test]
    fn a_pipeline_claims_its_resource_and_says_that_its_hands_are_its_own() {
        let claimed = claims(of(&json!({}))).expect("sound options");
        assert_eq!(claimed.resources, ["pipeline:checkout".to_owned()].into());
        assert_eq!((claimed.effect, claimed.hands), (Closure::Open, Hands::Pipeline));
        let shared = claims(of(&json!({"resource": "router:edge/checkout"}))).expect("sound options");
        assert_eq!(
            shared.resources,
            ["router:edge/checkout".to_owned()].into(),
            "the lane of another driver's changes"
        );
    }

    #[test]
    fn what_is_wrong_with_its_options_is_said_with_the_place() {
        let said = |more: &Value| -> Vec<String> {
            let problems = claims(of(more)).expect_err("something is wrong");
            problems.into_iter().map(|(pointer, problem)| format!("{pointer}: {problem}")).collect()
        };
        assert_eq!(said(&json!({"canary": "stable"})), ["/canary: `stable` is both canary and stable"]);
        let address = "/url: `javascript:alert(1)` is no address that begins with `https://` or `http://`";
        assert_eq!(said(&json!({"url": "javascript:alert(1)"})), [address]);
        assert_eq!(said(&json!({"name": " x"})), ["/name: it begins or ends with a space, or has control characters"]);
        let missing = claims(json!({"driver": "pipeline", "name": "x"})).expect_err("no resource");
        assert!(missing.iter().any(|(_, problem)| problem.contains("resource")), "{missing:?}");
        assert!(said(&json!({"apply": "./deploy.sh"}))[0].contains("apply"));
    }

    #[test]
    fn both_versions_are_called_as_the_options_say() {
        let both = |more: Value| PipelineDriver.cohorts(&target(of(&more)));
        assert_eq!(both(json!({})), Cohorts { canary: "canary".into(), stable: "stable".into() });
        let named = both(json!({"canary": "v2", "stable": "v1"}));
        assert_eq!(named, Cohorts { canary: "v2".into(), stable: "v1".into() });
    }

    // X20: what conformance asks of drivers that act is not asked here, because this one never acts; that it never does is.
    #[tokio::test]
    async fn it_is_ready_sees_nothing_and_never_acts() {
        let target = target(of(&json!({})));
        assert_eq!(PipelineDriver.ready(&target).await, Ok(()));
        assert_eq!(PipelineDriver.observe(&target).await, Ok(Value::Null));
        let act = Act { change: ChangeId::new(1), step: "1".into(), attempt: 1, files: Default::default() };
        let desired = Desired { target: target.clone(), weight: Weight::FULL };
        let refused = Outcome::Failed { failure: Failure::Final, error: NOT_OURS.into() };
        assert_eq!(PipelineDriver.ensure(&act, &desired).await, refused);
        assert_eq!(PipelineDriver.undo(&act, &target, &Value::Null).await, refused);
    }
}
