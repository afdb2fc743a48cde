//! Access: who may what, and why. Reads the table in force; decides nothing.

use axum::extract::State;
use change::actor::{Because, Explanation, Finding, Limits, Question, Subject, TABLE, UserKind, row};
use change::document::{list, nearest};
use change::{Change, ChangeId, Permission, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::api::changes::load;
use crate::extract::Query;
use crate::identity::Caller;
use crate::offers::{Act, Offers};
use crate::problem::Problem;
use crate::schema::documented;

/// Who may what.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AccessView {
    pub users: Vec<UserView>,
    /// What nobody can have meant.
    pub findings: Vec<Finding>,
}

/// One user and what they may.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct UserView {
    pub id: String,
    pub name: Option<String>,
    pub kind: UserKind,
    /// Whether they are here: neither deactivated nor past their end.
    pub active: bool,
    pub groups: std::collections::BTreeSet<String>,
    pub may: Vec<Allows>,
}

/// What a role allows, and where.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Allows {
    pub role: String,
    pub permissions: std::collections::BTreeSet<Permission>,
    /// `everywhere`, or the services and environments by name.
    pub place: String,
}

/// Yes or no, and why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ExplanationView {
    #[serde(flatten)]
    pub explanation: Explanation,
}

documented!(AccessView, ExplanationView);

/// What is asked.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParams {
    /// Whom it is about; you, if absent. About others it is for auditors and whoever governs.
    pub user: Option<String>,
    /// A word of the table, such as `approve`.
    pub action: String,
    /// `CHG-7`; somewhere, if absent.
    pub change: Option<String>,
}

/// Says whether somebody may do something, and why.
#[utoipa::path(get, path = "/access/explain", operation_id = "explainAccess", tag = "access", params(ExplainParams),
    responses((status = 200, description = "Yes or no, with the grants, scopes and rules that it comes from.", body = ExplanationView)))]
pub(crate) async fn explain(
    State(server): State<Shared>,
    caller: Caller,
    Query(params): Query<ExplainParams>,
) -> Result<axum::Json<ExplanationView>, Problem> {
    let row = row(&params.action).ok_or_else(|| unknown_action(&params.action))?;
    let user = params.user.unwrap_or_else(|| caller.user.clone());
    if user != caller.user {
        may_list(&server, &caller, &format!("ask what `{user}` may do")).await?;
    }
    let id = params.change.as_deref().map(str::parse::<ChangeId>).transpose().map_err(Problem::malformed)?;
    let change = match id {
        Some(id) => Some(load(&server, &caller, id).await?),
        None => None,
    };
    let none = Limits::default();
    let limits = if user == caller.user { &caller.limits } else { &none };
    let in_force = server.handle.in_force();
    let subject = change
        .as_ref()
        .map(|change| Subject { services: &change.proposal.services, environment: &change.proposal.environment });
    let explanation = in_force.governance.access.explain(&Question { user: &user, row, subject, limits });
    let explanation = match (&change, Act::of(row.action)) {
        (Some(change), Some(act)) => with_the_core(&server, explanation, change, act).await?,
        _ => explanation,
    };
    Ok(axum::Json(ExplanationView { explanation }))
}

fn unknown_action(action: &str) -> Problem {
    let near = nearest(action, TABLE.iter().map(|row| row.action));
    let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let help = format!("{near}there are {}", list(TABLE.iter().map(|row| row.action)));
    Problem::malformed(format!("there is no action `{action}`")).help(help)
}

/// Adds what only the core knows of this change: its author, the groups that are asked, its phase.
async fn with_the_core(
    server: &Shared,
    explanation: Explanation,
    change: &Change,
    act: Act,
) -> Result<Explanation, Problem> {
    if !explanation.allowed {
        // Its author may amend and withdraw whatever their role.
        let is_author = change.author.user() == Some(explanation.user.as_str());
        return Ok(match act {
            Act::Withdraw if is_author => said_by_the_author(explanation),
            _ => explanation,
        });
    }
    let given = server.handle.given(change, &change::Actor::User(explanation.user.clone())).await?;
    Ok(match Offers::rejection(act, change, &given) {
        None => explanation,
        Some(
            who @ (Rejection::OwnChange { .. }
            | Rejection::NotEntitled { .. }
            | Rejection::AlreadyVoted { .. }
            | Rejection::Excluded { .. }
            | Rejection::NotAllowed { .. }
            | Rejection::NotForPeople),
        ) => explanation.but(who.to_string()),
        Some(now) => explanation.and(format!("but not now: {now}")),
    })
}

fn said_by_the_author(mut explanation: Explanation) -> Explanation {
    explanation.allowed = true;
    explanation.because.push(Because::new(true, "its author always may"));
    explanation
}

async fn may_list(server: &Shared, caller: &Caller, what: &str) -> Result<(), Problem> {
    if [Permission::Audit, Permission::Govern].into_iter().any(|p| caller.may_everywhere(server, p)) {
        return Ok(());
    }
    let detail = format!("`user:{}` may not {what}", caller.user);
    server.handle.refused(&caller.actor(), None, "list-access", "not_allowed", &detail).await;
    Err(Problem::not_allowed(detail).help("ask for a role with `audit` or `govern`, everywhere, in access.yaml"))
}

/// Lists who may what, with what nobody can have meant.
#[utoipa::path(get, path = "/access", operation_id = "listAccess", tag = "access",
    responses((status = 200, description = "Users, their groups and permissions, and findings.", body = AccessView)))]
pub(crate) async fn all(State(server): State<Shared>, caller: Caller) -> Result<axum::Json<AccessView>, Problem> {
    may_list(&server, &caller, "see who may what").await?;
    let in_force = server.handle.in_force();
    let (access, catalog) = (&in_force.governance.access, &in_force.governance.catalog);
    let allows = |grant: &change::actor::Grant| Allows {
        role: grant.role.clone(),
        permissions: access.roles.iter().filter(|r| r.id == grant.role).flat_map(|r| r.may.clone()).collect(),
        place: match grant.until {
            Some(end) => format!("{} until {end}", grant.on.in_words()),
            None => grant.on.in_words(),
        },
    };
    let view = |user: &change::actor::User| UserView {
        id: user.id.clone(),
        name: user.name.clone(),
        kind: user.kind,
        active: access.is_active(&user.id),
        groups: access.groups_of(&user.id),
        may: user.roles.iter().map(allows).collect(),
    };
    let users = access.users.iter().map(view).collect();
    Ok(axum::Json(AccessView { users, findings: access.findings(catalog) }))
}
