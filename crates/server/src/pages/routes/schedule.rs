//! The route of the schedule's page: gathers what it shows.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::{services, zone};
use crate::Shared;
use crate::api::calendar as calendar_api;
use crate::api::schedule::{self as schedule_api, ScheduleParams};
use crate::extract::Query;
use crate::identity::Caller;
use crate::pages::frame::Page;
use crate::pages::schedule::SchedulePage;
use crate::pages::visitor::Visitor;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
pub(super) struct ScheduleQuery {
    days: Option<String>,
    service: Option<String>,
    team: Option<String>,
    environment: Option<String>,
    /// The zone of its days and times; the server's if absent.
    tz: Option<String>,
    fragment: Option<u8>,
}

pub(super) async fn show(
    State(server): State<Shared>,
    visitor: Visitor,
    Query(query): Query<ScheduleQuery>,
) -> Response {
    let fragment = query.fragment == Some(1);
    visitor.show(page(&server, &visitor.0.caller, query).await, fragment, "/schedule")
}

async fn page(server: &Shared, caller: &Caller, query: ScheduleQuery) -> Result<Page, Problem> {
    let given = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let zone = zone(server, query.tz.as_deref())?;
    let days = match given(query.days) {
        Some(text) => text.parse().map_err(|_| Problem::malformed(format!("`{text}` is not a number of days")))?,
        None => 7,
    };
    let (service, team, environment) = (given(query.service), given(query.team), given(query.environment));
    let params = ScheduleParams {
        days: Some(days),
        service: service.clone(),
        team: team.clone(),
        environment: environment.clone(),
        at: None,
    };
    let page = SchedulePage {
        view: schedule_api::view(server, caller, &params).await?,
        backlog: calendar_api::backlogs(server, caller, service.clone(), team.clone()).await?,
        zone,
        days,
        service: service.unwrap_or_default(),
        team: team.unwrap_or_default(),
        environment: environment.unwrap_or_default(),
        services: services(server, caller),
    };
    Ok(page.page())
}
