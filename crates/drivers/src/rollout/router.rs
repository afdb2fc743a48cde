//! Router: gives versions their share of the traffic at Clearway's own router, by its admin API.
//!
//! A weight is set by compare-and-set on the revision, under the key of the act, and counts as set only once it was read back. Versions other than
//! canary and stable keep what they have. Nothing is remembered here between two calls.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use change::document::{list, nearest};
use change::proposal::{Claims, Closure, Hands};
use change::rollout::{Desired, Failure, Plan, Target, Weight};
use engine::ports::{Act, Cohorts, Driver, Outcome};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{failed, known_options, read_options};
use crate::http::{self, Answer, Bounds, SettingsError, Token};

/// A router that this server may steer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSettings {
    /// The URL of its admin listener.
    pub admin: String,
    /// What it asks of those who set weights.
    pub token: Option<Token>,
}

/// The driver `router`.
#[derive(Debug)]
pub struct RouterDriver {
    routers: BTreeMap<String, Router>,
    client: Client,
}

#[derive(Debug)]
struct Router {
    admin: Url,
    token: Option<Token>,
}

/// The options of the driver `router`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouterOptions {
    /// The router, as clearway.toml names it; may be left out where there is only one.
    #[serde(default)]
    router: Option<String>,
    /// The backend at the router.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,100}$"), example = &"checkout")]
    backend: String,
    /// The version that is rolled out.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,100}$"), example = &"v2")]
    canary: String,
    /// The version that has the traffic now.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,100}$"), example = &"v1")]
    stable: String,
}

/// The router is on this machine or beside it: an answer that takes longer is none.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(2), bytes: 1 << 20 };

/// How often weights are put, when somebody else sets weights at the same moment or an answer is lost.
const MOST_PUTS: usize = 3;

type Weights = BTreeMap<String, u32>;

/// A backend as the router shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct State {
    revision: u64,
    last_key: Option<String>,
    versions: Vec<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Version {
    name: String,
    weight: u32,
}

/// What kept a request from its answer.
#[derive(Debug)]
enum Fault {
    /// Somebody has set weights since the state was read.
    Conflict(String),
    /// No answer, or one that may be another a moment later.
    Passing(String),
    /// Asking again would bring the same.
    Lasting(String),
}

impl Fault {
    fn outcome(self) -> Outcome {
        match self {
            Self::Conflict(error) | Self::Passing(error) => failed(Failure::Retry, error),
            Self::Lasting(error) => failed(Failure::Final, error),
        }
    }

    fn sentence(self) -> String {
        match self {
            Self::Conflict(error) | Self::Passing(error) | Self::Lasting(error) => error,
        }
    }
}

/// A backend of a router, with the versions that a change speaks of.
struct Place<'a> {
    name: &'a str,
    router: &'a Router,
    options: RouterOptions,
}

impl RouterDriver {
    /// # Errors
    /// If an address is none.
    pub fn new(routers: BTreeMap<String, RouterSettings>) -> Result<Self, SettingsError> {
        let mut known = BTreeMap::new();
        for (name, settings) in routers {
            let admin = http::url(&format!("the router `{name}`"), &settings.admin)?;
            known.insert(name, Router { admin, token: settings.token });
        }
        let client = http::client(known.values().map(|router| &router.admin))?;
        Ok(Self { routers: known, client })
    }

    /// The router that a target names, or the only one there is.
    fn find(&self, named: Option<&str>) -> Result<(&str, &Router), String> {
        let known = || list(self.routers.keys().map(String::as_str));
        let found = match named {
            Some(name) => self.routers.get_key_value(name).ok_or_else(|| {
                let near = nearest(name, self.routers.keys().map(String::as_str));
                let hint = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                format!("there is no router `{name}`; {hint}the routers in clearway.toml: {}", known())
            }),
            None if self.routers.len() > 1 => Err(format!("say which router is meant: {}", known())),
            None => self.routers.first_key_value().ok_or_else(|| "no router is named in clearway.toml".to_owned()),
        };
        found.map(|(name, router)| (name.as_str(), router))
    }

    fn place(&self, target: &Target) -> Result<Place<'_>, String> {
        let options: RouterOptions = known_options(target)?;
        let (name, router) = self.find(options.router.as_deref())?;
        Ok(Place { name, router, options })
    }

    async fn read(&self, place: &Place<'_>) -> Result<State, Fault> {
        let page = http::below(&place.router.admin, &["backends", &place.options.backend]);
        let answer = http::send(self.client.get(page), None, BOUNDS).await;
        place.state(answer)
    }

    async fn put(
        &self,
        place: &Place<'_>,
        weights: &Weights,
        revision: u64,
        key: Option<&str>,
    ) -> Result<State, Fault> {
        let page = http::below(&place.router.admin, &["backends", &place.options.backend, "weights"]);
        let mut wish = json!({"weights": weights, "if_revision": revision});
        if let Some(key) = key {
            wish["key"] = json!(key);
        }
        let request = self.client.put(page).json(&wish);
        place.state(http::send(request, place.router.token.as_ref(), BOUNDS).await)
    }

    /// Makes these weights true, and returns the state in which they were read back.
    ///
    /// Weights that are right already are put all the same, under the new key: the new revision shuts out an earlier request that is still on its way.
    async fn make_true(&self, place: &Place<'_>, wanted: &Weights, key: &str) -> Result<State, Fault> {
        let mut last_fault = None;
        for puts in 0..=MOST_PUTS {
            let state = self.read(place).await?;
            place.check_versions(&state)?;
            if state.last_key.as_deref() == Some(key) && state.has(wanted) {
                return Ok(state);
            }
            if puts == MOST_PUTS {
                break;
            }
            match self.put(place, &state.with(wanted), state.revision, Some(key)).await {
                Err(Fault::Lasting(error)) => return Err(Fault::Lasting(error)),
                // Whether it went through is read, never guessed.
                Err(Fault::Conflict(error) | Fault::Passing(error)) => last_fault = Some(error),
                Ok(_) => last_fault = None,
            }
        }
        let overwritten = || format!("{} does not keep the weights: somebody else sets them too", place.shown());
        Err(Fault::Passing(last_fault.unwrap_or_else(overwritten)))
    }

    async fn settle(&self, place: &Place<'_>, wanted: &Weights, act: &Act) -> Outcome {
        match self.make_true(place, wanted, &act.key()).await {
            Ok(state) => Outcome::Applied { actual: json!({"revision": state.revision, "weights": state.weights()}) },
            Err(fault) => fault.outcome(),
        }
    }

    /// Asks for what is in force already. It changes nothing, and shows whether the router would take weights from us.
    async fn rehearse(&self, place: &Place<'_>, state: &State) -> Result<(), Fault> {
        match self.put(place, &state.weights(), state.revision, state.last_key.as_deref()).await {
            // Somebody was faster: the router minds the revision, not us.
            Ok(_) | Err(Fault::Conflict(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

#[async_trait]
impl Driver for RouterDriver {
    fn name(&self) -> &'static str {
        "router"
    }

    fn schema(&self) -> Value {
        schemars::schema_for!(RouterOptions).to_value()
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        let options: RouterOptions = read_options(&plan.target)?;
        let mut problems = Vec::new();
        if options.canary == options.stable {
            problems.push(("/canary".into(), format!("`{}` is both canary and stable", options.canary)));
        }
        let router = self.find(options.router.as_deref()).map_err(|error| problems.push(("/router".into(), error)));
        match router {
            Ok((name, _)) if problems.is_empty() => {
                let resource = format!("router:{name}/{}", options.backend);
                Ok(Claims { resources: [resource].into(), effect: Closure::Closed, hands: Hands::Driver })
            }
            _ => Err(problems),
        }
    }

    fn cohorts(&self, target: &Target) -> Cohorts {
        let version = |option| target.text(option).unwrap_or_default().to_owned();
        Cohorts { canary: version("canary"), stable: version("stable") }
    }

    async fn ready(&self, target: &Target) -> Result<(), Vec<String>> {
        let place = self.place(target).map_err(|error| vec![error])?;
        let state = self.read(&place).await.map_err(|fault| vec![fault.sentence()])?;
        place.check_versions(&state).map_err(|fault| vec![fault.sentence()])?;
        let mut problems = place.problems_before(&state);
        problems.extend(self.rehearse(&place, &state).await.err().map(Fault::sentence));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    async fn observe(&self, target: &Target) -> Result<Value, String> {
        let place = self.place(target)?;
        let state = self.read(&place).await.map_err(Fault::sentence)?;
        Ok(json!({"weights": state.weights()}))
    }

    async fn ensure(&self, act: &Act, desired: &Desired) -> Outcome {
        let place = match self.place(&desired.target) {
            Ok(place) => place,
            Err(error) => return failed(Failure::Final, error),
        };
        let canary = u32::from(desired.weight.basis_points());
        let stable = u32::from(Weight::FULL.basis_points()) - canary;
        let wanted = [(place.options.canary.clone(), canary), (place.options.stable.clone(), stable)];
        self.settle(&place, &wanted.into(), act).await
    }

    async fn undo(&self, act: &Act, target: &Target, before: &Value) -> Outcome {
        let found = self.place(target).and_then(|place| place.weights_of(before).map(|wanted| (place, wanted)));
        match found {
            Ok((place, wanted)) => self.settle(&place, &wanted, act).await,
            Err(error) => failed(Failure::Final, error),
        }
    }
}

impl Place<'_> {
    fn shown(&self) -> String {
        format!("the backend `{}` at the router `{}`", self.options.backend, self.name)
    }

    fn state(&self, answer: Result<Answer, String>) -> Result<State, Fault> {
        let at = format!("the router `{}` ({})", self.name, http::authority(&self.router.admin));
        let answer = answer.map_err(|error| Fault::Passing(format!("{at} can't be reached: {error}")))?;
        if answer.is_success() {
            let state = serde_json::from_slice(&answer.body);
            return state.map_err(|error| Fault::Lasting(format!("{at} does not answer as a router does: {error}")));
        }
        let text = format!("{at} answered {}: {}", answer.status, error_text(&answer.body));
        Err(match answer.status {
            409 => Fault::Conflict(text),
            _ if answer.is_passing_trouble() => Fault::Passing(text),
            _ => Fault::Lasting(text),
        })
    }

    fn check_versions(&self, state: &State) -> Result<(), Fault> {
        let known: Vec<&str> = state.versions.iter().map(|version| version.name.as_str()).collect();
        let missing: Vec<&str> = self.own().into_iter().filter(|version| !known.contains(version)).collect();
        let Some(version) = missing.first() else { return Ok(()) };
        Err(Fault::Lasting(format!("{} has no version `{version}`; it has {}", self.shown(), list(known))))
    }

    fn own(&self) -> [&str; 2] {
        [&self.options.canary, &self.options.stable]
    }

    /// What stands in the way of a rollout that begins from this state.
    fn problems_before(&self, state: &State) -> Vec<String> {
        let mut problems = Vec::new();
        for Version { name, weight } in &state.versions {
            let share = percent(*weight);
            let problem = match () {
                () if *name == self.options.stable && *weight == 0 => {
                    format!(
                        "the stable version `{name}` gets no traffic: there is nothing to compare with and to go back to"
                    )
                }
                () if *name == self.options.canary && *weight > 0 => {
                    format!("the canary `{name}` gets {share} already; set it to 0% before it is rolled out")
                }
                () if !self.own().contains(&name.as_str()) && *weight > 0 => {
                    format!("the version `{name}`, which is not part of this change, gets {share}; set it to 0%")
                }
                () => continue,
            };
            problems.push(format!("{}: {problem}", self.shown()));
        }
        problems
    }

    /// The weights that a rollback restores.
    fn weights_of(&self, before: &Value) -> Result<Weights, String> {
        let weight = |version: &str| before.get("weights")?.get(version)?.as_u64().and_then(|w| u32::try_from(w).ok());
        let find = |version: &str| {
            let found = weight(version).map(|weight| (version.to_owned(), weight));
            found.ok_or_else(|| {
                format!("nobody saw what weight `{version}` had before the rollout: set it by hand at {}", self.shown())
            })
        };
        self.own().into_iter().map(find).collect()
    }
}

impl State {
    fn weights(&self) -> Weights {
        self.versions.iter().map(|version| (version.name.clone(), version.weight)).collect()
    }

    fn has(&self, wanted: &Weights) -> bool {
        let weights = self.weights();
        wanted.iter().all(|(version, weight)| weights.get(version) == Some(weight))
    }

    /// A weight for each version, as the router asks for: the wanted ones, and those that the others have.
    fn with(&self, wanted: &Weights) -> Weights {
        self.weights().into_iter().chain(wanted.clone()).collect()
    }
}

fn percent(basis_points: u32) -> String {
    format!("{}%", f64::from(basis_points) / 100.0)
}

/// The router's own words, from `{"error": ...}`.
fn error_text(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let text = parsed.as_ref().and_then(|value| value.get("error")?.as_str());
    text.unwrap_or("no reason given").chars().filter(|c| !c.is_control()).take(500).collect()
}

#[cfg(test)]
mod tests;
