//! Commands about tokens: on the server's machine in its folder, elsewhere over the API.

use change::actor::{Limits, Purpose};
use change::document::{list, nearest};
use change::explain::limited;
use change::time::{after, to_millis};
use change::{Timestamp, actor::Scope};
use engine::ports::Clock as _;
use serde_json::{Value, json};
use server::NewToken;

use super::print;
use crate::args::{Args, CreateToken, Lasts, Token};
use crate::client::Client;
use crate::exit::{ERROR, Failure, NOT_FOUND, Outcome};
use crate::place::{Place, read_private};
use crate::show;
use crate::tokens::{Kept, Tokens};

pub(super) async fn run(args: &Args, token: &Token) -> Outcome {
    match token {
        Token::Create(asked) => create(args, asked).await,
        Token::List => list_all(args).await,
        Token::Revoke { id } => revoke(args, id).await,
        Token::Whoami => {
            let who = Client::find(args)?.get("/whoami").await?;
            print(args, &who, || who.get("user").and_then(Value::as_str).unwrap_or_default().to_owned());
            Ok(())
        }
    }
}

/// The folder of this machine's server, unless another server was named.
fn here(args: &Args) -> Outcome<Option<Place>> {
    if args.server.is_some() {
        return Ok(None);
    }
    let place = Place::find(args.dir.as_deref())?;
    Ok(place.tokens().exists().then_some(place))
}

fn now() -> Timestamp {
    to_millis(engine::clock::SystemClock.now())
}

async fn create(args: &Args, asked: &CreateToken) -> Outcome {
    let limits = Limits {
        may: (!asked.may.is_empty()).then(|| asked.may.iter().copied().collect()),
        on: Scope { services: asked.service.clone(), environments: asked.environment.clone() },
        purpose: if asked.feed { Purpose::Feed } else { Purpose::Anything },
    };
    let (secret, id) = match here(args)? {
        Some(place) => {
            if args.token_file.is_some() {
                eprintln!(
                    "on the server's own machine its folder is enough: `--token-file` is not used; name `--server` to ask with that token"
                );
            }
            demand_user(&place, &asked.user)?;
            let expires = match asked.expires {
                Lasts::For(span) => Some(after(now(), span)),
                Lasts::Always => None,
            };
            let (user, name) = (asked.user.clone(), asked.name.clone());
            let new = NewToken { user, name, limits, expires, made_by: String::new(), made_with: None };
            let made = Tokens::open(&place)?.create(new, now())?;
            (made.secret, made.token.id)
        }
        None if args.server.is_none() => {
            let place = Place::find(args.dir.as_deref())?;
            let message = format!("there is no server's folder at `{}`", place.dir.display());
            let help =
                "name it with `--dir`, start the server once (`clearway serve`), or name one with `--server URL`";
            return Err(Failure::new(ERROR, message).help(help));
        }
        None => {
            let expires = match asked.expires {
                Lasts::For(span) => span.to_string(),
                Lasts::Always => "never".to_owned(),
            };
            let body = json!({"user": asked.user, "name": asked.name, "may": limits.may, "on": limits.on, "for": limits.purpose, "expires": expires});
            let made = Client::find(args)?.post("/tokens", &body, None).await?;
            let text = |field: &str| made.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text("secret"), text("id"))
        }
    };
    print(args, &json!({"user": asked.user, "id": id, "token": secret}), || secret.clone());
    let use_it = if asked.feed {
        "It reads the calendar feed and nothing else: put it into the address of the subscription, as the page `/calendar` shows it."
    } else {
        "Keep it in a file with `chmod 600`, and name that with `--token-file`."
    };
    eprintln!("This is the token `{id}` of `{}`, shown once. {use_it}", asked.user);
    Ok(())
}

/// The user has to be one of the governance that was last in force.
fn demand_user(place: &Place, user: &str) -> Outcome {
    let users: Vec<String> = match place.users().exists() {
        true => serde_json::from_slice(&read_private(&place.users())?).unwrap_or_default(),
        false => {
            let message = format!("who there is, is not known in `{}` yet", place.dir.display());
            return Err(Failure::new(ERROR, message).help("start the server once: `clearway serve`"));
        }
    };
    if users.iter().any(|known| known == user) {
        return Ok(());
    }
    let near = nearest(user, users.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
    let help = match users.len() {
        0..=20 => format!("there are {}", list(users.iter().map(String::as_str))),
        _ => "add the user to access.yaml, and start the server with it".to_owned(),
    };
    Err(Failure::new(NOT_FOUND, format!("there is no user `{user}`"))
        .help(format!("{}{help}", near.unwrap_or_default())))
}

async fn list_all(args: &Args) -> Outcome {
    let found = match here(args)? {
        Some(place) => {
            let tokens = Tokens::open(&place)?;
            json!({"tokens": tokens.all().iter().map(Kept::view).collect::<Vec<_>>()})
        }
        None => Client::find(args)?.get("/tokens").await?,
    };
    print(args, &found, || table(&found));
    Ok(())
}

fn table(found: &Value) -> String {
    let tokens = found.get("tokens").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |token: &Value| {
        let text = |field: &str| token.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
        let limits = Limits {
            may: token.get("may").and_then(|may| serde_json::from_value(may.clone()).ok()),
            on: token.get("on").and_then(|on| serde_json::from_value(on.clone()).ok()).unwrap_or_default(),
            purpose: token.get("for").and_then(|word| serde_json::from_value(word.clone()).ok()).unwrap_or_default(),
        };
        let state = match token.get("revoked").and_then(Value::as_str) {
            Some(at) => format!("revoked {at}"),
            None => token
                .get("expires")
                .and_then(Value::as_str)
                .map_or_else(|| "never ends".to_owned(), |at| format!("ends {at}")),
        };
        vec![text("id"), text("user"), text("name"), limited(&limits), state, text("last_used")]
    };
    show::table(&["token", "user", "name", "leaves", "state", "last used"], tokens.iter().map(row).collect())
}

async fn revoke(args: &Args, id: &str) -> Outcome {
    // Whoever types the whole secret means the token that it belongs to.
    let id = server::public_id(id).unwrap_or(id);
    let revoked = match here(args)? {
        Some(place) => json!({"tokens": Tokens::open(&place)?.revoke(id, None, now())?}),
        None => Client::find(args)?.post(&format!("/tokens/{id}/revoke"), &json!({}), None).await?,
    };
    let ids: Vec<String> = revoked
        .get("tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|token| token.get("id").and_then(Value::as_str).map(str::to_owned))
        .collect();
    print(args, &revoked, || match ids.as_slice() {
        [] => format!("`{id}` was revoked before"),
        ids => format!("revoked: {}", ids.join(", ")),
    });
    Ok(())
}
