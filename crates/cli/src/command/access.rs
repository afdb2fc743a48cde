//! Commands about who may what, and why: at a server, or in a governance folder.

use std::path::Path;

use serde_json::{Value, json};

use super::print;
use crate::args::{Access, Args};
use crate::client::Client;
use crate::exit::{Failure, INVALID, Outcome, REFUSED};
use crate::serve::read_governance;
use crate::show;

pub(super) async fn run(args: &Args, asked: &Access) -> Outcome {
    match asked {
        Access::Explain { user, action, change } => {
            let change = change.map(|id| format!("&change={id}")).unwrap_or_default();
            let (user, action) = (super::changes::encode(user), super::changes::encode(action));
            let path = format!("/access/explain?user={user}&action={action}{change}");
            explain(args, &Client::find(args)?.get(&path).await?)
        }
        Access::List { folder } => {
            let view = view(args, folder.as_deref()).await?;
            print(args, &view, || users(&view));
            Ok(())
        }
        Access::Check { folder, strict } => {
            let view = view(args, folder.as_deref()).await?;
            let findings = view.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
            print(args, &json!({"findings": findings}), || match findings.as_slice() {
                [] => "nothing to look at".into(),
                found => found.iter().map(line).collect::<Vec<_>>().join("\n"),
            });
            if *strict && !findings.is_empty() { Err(Failure::new(INVALID, "")) } else { Ok(()) }
        }
        Access::Actions => {
            let table = change::actor::TABLE;
            let rows: Vec<Value> = table
                .iter()
                .map(|row| json!({"action": row.action, "needs": row.needs, "reach": format!("{:?}", row.reach), "says": row.says, "also": row.also}))
                .collect();
            print(args, &json!({"actions": rows}), change::actor::table_in_markdown);
            Ok(())
        }
    }
}

fn line(one: &Value) -> String {
    let text = |field: &str| one.get(field).and_then(Value::as_str);
    let place = text("place").map(|place| format!("{place}: ")).unwrap_or_default();
    format!("{place}{}", text("sentence").unwrap_or_default())
}

fn explain(args: &Args, answer: &Value) -> Outcome {
    let allowed = answer.get("allowed").and_then(Value::as_bool).unwrap_or(false);
    let because = answer.get("because").and_then(Value::as_array).cloned().unwrap_or_default();
    print(args, answer, || {
        let mark = |one: &Value| if one.get("holds").and_then(Value::as_bool) == Some(true) { "+" } else { "-" };
        let lines = because.iter().map(|one| format!("  {} {}", mark(one), line(one)));
        let first = if allowed { "yes" } else { "no" }.to_owned();
        std::iter::once(first).chain(lines).collect::<Vec<_>>().join("\n")
    });
    if allowed { Ok(()) } else { Err(Failure::new(REFUSED, "")) }
}

/// Users and findings: of a folder, or as the server has them.
async fn view(args: &Args, dir: Option<&Path>) -> Outcome<Value> {
    let Some(dir) = dir else { return Client::find(args)?.get("/access").await };
    let governance = read_governance(dir)?;
    let access = &governance.access;
    let allows = |grant: &change::actor::Grant| {
        let permissions: Vec<_> = access.roles.iter().filter(|r| r.id == grant.role).flat_map(|r| &r.may).collect();
        json!({"role": grant.role, "permissions": permissions, "place": grant.on.in_words()})
    };
    let user = |user: &change::actor::User| {
        let may: Vec<Value> = user.roles.iter().map(allows).collect();
        json!({"id": user.id, "name": user.name, "kind": user.kind, "active": access.is_active(&user.id),
               "groups": access.groups_of(&user.id), "may": may})
    };
    let users: Vec<Value> = access.users.iter().map(user).collect();
    Ok(json!({"users": users, "findings": access.findings(&governance.catalog)}))
}

fn users(view: &Value) -> String {
    let words = |value: Option<&Value>| {
        let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        list.collect::<Vec<_>>().join(", ")
    };
    let mut rows = Vec::new();
    for user in view.get("users").and_then(Value::as_array).into_iter().flatten() {
        let id = user.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let groups = words(user.get("groups"));
        if user.get("active").and_then(Value::as_bool) != Some(true) {
            rows.push(vec![id, "has left".into(), String::new(), groups]);
            continue;
        }
        let may = user.get("may").and_then(Value::as_array).cloned().unwrap_or_default();
        if may.is_empty() {
            rows.push(vec![id.clone(), "nothing".into(), String::new(), groups.clone()]);
        }
        for one in may {
            let place = one.get("place").and_then(Value::as_str).unwrap_or_default().to_owned();
            rows.push(vec![id.clone(), words(one.get("permissions")), place, groups.clone()]);
        }
    }
    show::table(&["user", "may", "where", "groups"], rows)
}
