//! Commands that do their work on this machine: router, shop, upkeep of a store.

use std::path::Path;

use serde_json::json;

use super::print;
use crate::args::{Admin, Args, DemoShop};
use crate::desk::Recovery;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::place::{Place, write_private};
use crate::serve::{open_store, shutdown};

pub(super) async fn router(config: &Path, announce: Option<&Path>) -> Outcome {
    let text = std::fs::read_to_string(config)
        .map_err(|e| Failure::new(ERROR, format!("`{}` can't be read: {e}", config.display())))?;
    let config: router::Config =
        toml::from_str(&text).map_err(|e| Failure::new(INVALID, format!("{}: {e}", config.display())))?;
    let router = router::bind(config).await.map_err(|e| Failure::new(ERROR, e.to_string()))?;
    let addresses = router.addresses();
    eprintln!("routing on {}, admin on {}", addresses.listen, addresses.admin);
    if let Some(file) = announce {
        announce_to(file, &json!({"listen": addresses.listen, "admin": addresses.admin}))?;
    }
    router.run(told_to_stop(announce.is_some())).await;
    Ok(())
}

pub(super) async fn shop(shop: &DemoShop) -> Outcome {
    let preset: sim::shop::Preset = shop.behaviour.parse().map_err(|e| Failure::new(INVALID, format!("{e}")))?;
    let config =
        sim::shop::ShopConfig { listen: shop.listen, version: shop.version.clone(), behaviour: preset.into(), seed: 7 };
    let running = sim::shop::bind(config).await?;
    announce_to(&shop.announce, &json!({"listen": running.address()}))?;
    running.run(told_to_stop(true)).await;
    Ok(())
}

/// The most memory that policies may take, with the program itself and the stack that is set aside: address space.
const POLICY_BYTES: u64 = 1 << 30;
/// The most seconds of a processor for one answer.
const POLICY_SECONDS: u64 = 4;

/// Evaluates policies for a server. It limits itself before it reads the first one.
pub(super) fn policy_worker() -> Outcome {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |resource, most| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|e| Failure::new(ERROR, format!("the process for the policies can't be limited: {e}")))
    };
    limit(Resource::As, POLICY_BYTES)?;
    limit(Resource::Core, 0)?;
    let before_each = || {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec;
        let until = u64::try_from(used).unwrap_or(0) + POLICY_SECONDS;
        // The server waits no longer either; this ends the process where the server is gone.
        let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(until), maximum: None });
    };
    policy::child::serve(std::io::stdin(), std::io::stdout(), &before_each).map_err(Failure::from)
}

/// Ends on a signal, and, for a process that another one started for itself, when that one has ended: its end of our standard input is closed then.
async fn told_to_stop(owned: bool) {
    let orphaned = async {
        let mut nothing = [0; 64];
        let mut input = tokio::io::stdin();
        while matches!(tokio::io::AsyncReadExt::read(&mut input, &mut nothing).await, Ok(n) if n > 0) {}
    };
    tokio::select! {
        () = shutdown() => {}
        () = orphaned, if owned => {}
    }
}

/// Tells whoever started this process where it listens: under another name first, so that half a file is never read.
fn announce_to(file: &Path, addresses: &serde_json::Value) -> Outcome {
    let beside = file.with_extension("new");
    std::fs::write(&beside, addresses.to_string())?;
    std::fs::rename(&beside, file)?;
    Ok(())
}

pub(super) async fn admin(args: &Args, admin: &Admin) -> Outcome {
    let place = Place::find(args.dir.as_deref())?;
    match admin {
        Admin::Rebuild => {
            let store = open_store(&place)?;
            let changes =
                engine::ports::Store::rebuild(&store).await.map_err(|e| Failure::new(ERROR, e.to_string()))?;
            print(args, &json!({"changes": changes}), || {
                format!("the tables of {changes} changes were made anew from the log")
            });
            Ok(())
        }
        Admin::Recover { user, lasts, reason } => recover(args, &place, user, *lasts, reason).await,
    }
}

/// Leaves a request where only who has the rights of the store's files can; the server logs it before it has effect.
async fn recover(args: &Args, place: &Place, user: &str, lasts: change::Span, reason: &str) -> Outcome {
    if !place.key().exists() {
        let message = format!("there is no server's folder at `{}`", place.dir.display());
        return Err(Failure::new(ERROR, message).help("name it with `--dir`"));
    }
    if !is_user_id(user) {
        return Err(Failure::new(INVALID, format!("`{user}` is not the id of a user")));
    }
    if lasts == change::Span::ZERO || lasts > engine::recovery::LONGEST {
        let message = format!("an administrator is recovered for up to {}, not for {lasts}", engine::recovery::LONGEST);
        return Err(Failure::new(INVALID, message));
    }
    if reason.trim().is_empty() {
        return Err(Failure::new(INVALID, "a reason is needed").help("add `--reason \"...\"`"));
    }
    let request = Recovery { user: user.to_owned(), lasts, reason: reason.to_owned() };
    write_private(&place.recovery(), &serde_json::to_vec(&request).unwrap_or_default())?;
    let taken_up = place.running().is_some() && is_taken(place).await;
    print(args, &json!({"user": user, "lasts": lasts, "taken_up": taken_up}), || {
        if taken_up {
            format!("`{user}` may govern for {lasts} from now on; make a token with `clearway token create {user}`")
        } else {
            format!("`{user}` may govern for {lasts} from the moment that the server starts")
        }
    });
    Ok(())
}

/// Whether a text has the form of an id in access.yaml.
pub(super) fn is_user_id(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| is_letter(*b))
        && bytes.len() <= 64
        && bytes.iter().all(|b| is_letter(*b) || b"._-".contains(b))
}

/// Waits until a running server has taken up a request.
async fn is_taken(place: &Place) -> bool {
    for _ in 0..100 {
        if !place.recovery().exists() && !place.recovery().with_extension("taken").exists() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    false
}
