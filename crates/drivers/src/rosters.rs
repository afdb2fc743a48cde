//! Rosters: asks the tools that keep them, at addresses that the operator configured and nobody else can name.
//!
//! One GET, bounded in time and size, never redirected. The answer is an iCalendar, or JSON of the form
//! `{"turns": [{"who": ["bob"], "start": "2026-12-01T09:00:00Z", "end": "2026-12-02T09:00:00Z"}]}`. An address often is a secret itself, so an error shows
//! only its host. What is read is said in [`icalendar`](crate::read::icalendar).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use change::roster::{MOST_WATCHES, Watch};
use change::time::TimeZone;
use engine::ports::Rosters;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::http::{self, Bounds, SettingsError, Token};
use crate::read::icalendar;

const BOUNDS: Bounds = Bounds { time: Duration::from_secs(10), bytes: 4 << 20 };

/// How a source answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RosterForm {
    ICalendar,
    Json,
}

/// Where a roster is.
#[derive(Clone, PartialEq, Eq)]
pub struct RosterSettings {
    pub url: String,
    pub form: RosterForm,
    pub token: Option<Token>,
}

impl std::fmt::Debug for RosterSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RosterSettings").field("form", &self.form).finish_non_exhaustive()
    }
}

/// The sources of rosters, by name.
pub struct RosterSources {
    sources: BTreeMap<String, (Url, RosterForm, Option<Token>)>,
    client: Client,
}

impl std::fmt::Debug for RosterSources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RosterSources").field("sources", &self.sources.keys()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answered {
    turns: Vec<Watch>,
}

impl RosterSources {
    /// # Errors
    /// If an address is none.
    pub fn new(settings: BTreeMap<String, RosterSettings>) -> Result<Self, SettingsError> {
        let one = |(name, source): (String, RosterSettings)| {
            let url = http::url(&format!("the roster `{name}`"), &source.url)?;
            Ok((name, (url, source.form, source.token)))
        };
        let sources: BTreeMap<_, _> = settings.into_iter().map(one).collect::<Result<_, SettingsError>>()?;
        let client = http::client(sources.values().map(|(url, ..)| url))?;
        Ok(Self { sources, client })
    }
}

#[async_trait]
impl Rosters for RosterSources {
    async fn turns(&self, source: &str, zone: &TimeZone) -> Result<Vec<Watch>, String> {
        let Some((url, form, token)) = self.sources.get(source) else {
            return Err(format!("there is no source `{source}` under `[rosters]` of clearway.toml"));
        };
        let said = |why: String| format!("`{source}` at `{}`: {why}", http::authority(url));
        let answer = http::send(self.client.get(url.clone()), token.as_ref(), BOUNDS).await.map_err(said)?;
        if !answer.is_success() {
            return Err(said(format!("answered {}", answer.status)));
        }
        match form {
            RosterForm::ICalendar => {
                let text = String::from_utf8(answer.body).map_err(|_| said("the answer is no text".into()))?;
                icalendar::watches(&text, zone).map_err(said)
            }
            RosterForm::Json => of_json(&answer.body).map_err(said),
        }
    }
}

fn of_json(body: &[u8]) -> Result<Vec<Watch>, String> {
    let Answered { turns } = serde_json::from_slice(body).map_err(|error| {
        format!("the answer is not of the form {{\"turns\": [{{\"who\": [\"bob\"], \"start\", \"end\"}}]}}: {error}")
    })?;
    if turns.len() > MOST_WATCHES {
        return Err(format!("it has more than {MOST_WATCHES} turns, the most that are read"));
    }
    match turns.iter().find(|turn| turn.end <= turn.start || turn.who.is_empty()) {
        Some(turn) => Err(format!("the turn of `{}` names nobody, or ends before it starts", turn.start)),
        None => Ok(turns),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;
    use crate::testing::serve;

    async fn asked(body: &'static str, status: StatusCode, form: RosterForm) -> Result<Vec<Watch>, String> {
        let url = serve(Router::new().route("/feed", get(move || async move { (status, body) }))).await;
        let settings = RosterSettings { url: format!("{url}/feed?secret=hunter2"), form, token: None };
        let sources = RosterSources::new([("pager".to_owned(), settings)].into()).expect("an address");
        sources.turns("pager", &TimeZone::UTC).await
    }

    const JSON: &str =
        r#"{"turns": [{"who": ["bob"], "start": "2026-12-01T09:00:00Z", "end": "2026-12-02T09:00:00Z"}]}"#;
    const CALENDAR: &str = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261201T090000Z\nDTEND:20261202T090000Z\nSUMMARY:bob\nEND:VEVENT\nEND:VCALENDAR\n";

    // A4
    #[tokio::test]
    async fn a_source_answers_with_turns_in_either_form() {
        let json = asked(JSON, StatusCode::OK, RosterForm::Json).await.expect("turns");
        let calendar = asked(CALENDAR, StatusCode::OK, RosterForm::ICalendar).await.expect("turns");
        assert_eq!((json.len(), &json), (1, &calendar));
        assert_eq!(json[0].who, ["bob"]);
    }

    // A4: what fails is a failure, never an empty roster, and says nothing of the address but its host.
    #[tokio::test]
    async fn what_can_not_be_read_is_a_failure_without_the_address() {
        let cases = [
            (JSON, StatusCode::FORBIDDEN, RosterForm::Json, "answered 403"),
            (JSON, StatusCode::OK, RosterForm::ICalendar, "this is no iCalendar"),
            ("{}", StatusCode::OK, RosterForm::Json, "is not of the form"),
            (
                r#"{"turns": [{"who": [], "start": "2026-12-01T09:00:00Z", "end": "2026-12-02T09:00:00Z"}]}"#,
                StatusCode::OK,
                RosterForm::Json,
                "names nobody",
            ),
        ];
        for (body, status, form, wanted) in cases {
            let why = asked(body, status, form).await.expect_err("a failure");
            assert!(why.contains(wanted) && why.contains("127.0.0.1") && !why.contains("hunter2"), "{why}");
        }
        let none = RosterSources::new(BTreeMap::new()).expect("nothing");
        let why = none.turns("pager", &TimeZone::UTC).await.expect_err("there is none");
        assert!(why.contains("no source `pager`"), "{why}");
    }
}
