//! Files to begin with: small, commented, and valid as they are.

use std::path::Path;
use std::process::Command as Process;

use serde_json::json;

use super::here::is_user_id;
use super::print;
use crate::args::{Args, Init};
use crate::exit::{ERROR, Failure, INVALID, Outcome};

const ACCESS: &str = include_str!("../../init/access.yaml");
const APPROVALS: &str = include_str!("../../init/approvals.yaml");
const CALENDAR: &str = include_str!("../../init/calendar.yaml");
const SERVICE: &str = include_str!("../../init/services/example.yaml");

pub(super) fn run(args: &Args, init: &Init) -> Outcome {
    match init {
        Init::Governance { folder, admin } => governance(args, folder, admin.as_deref()),
    }
}

fn governance(args: &Args, dir: &Path, admin: Option<&str>) -> Outcome {
    let admin = match admin {
        Some(id) if !is_user_id(id) => {
            let message = format!("`{id}` is not the id of a user");
            return Err(Failure::new(INVALID, message).help("small letters, digits, `.`, `_` and `-`, such as `ada`"));
        }
        Some(id) => id.to_owned(),
        None => present_user(),
    };
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be written: {e}", dir.display()));
    if dir.exists() && std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
        let message = format!("`{}` is not empty: nothing was written", dir.display());
        return Err(Failure::new(ERROR, message).help("name a folder that is empty or not there"));
    }
    std::fs::create_dir_all(dir.join("services")).map_err(failed)?;
    std::fs::create_dir_all(dir.join("policy")).map_err(failed)?;
    let email = git_email().map_or_else(|| "[]".to_owned(), |email| json!([email]).to_string());
    let fill = |text: &str| text.replace("ADMIN_EMAILS", &email).replace("ADMIN", &admin);
    let files = [
        ("access.yaml", ACCESS),
        ("approvals.yaml", APPROVALS),
        ("calendar.yaml", CALENDAR),
        ("services/example.yaml", SERVICE),
    ];
    for (name, text) in files {
        std::fs::write(dir.join(name), fill(text)).map_err(failed)?;
    }
    // What is handed out has to work: the same reader as at the server's start.
    crate::serve::read_governance(dir)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    print(args, &json!({"dir": dir, "administrator": admin, "files": names}), || {
        let dir = dir.display();
        format!(
            "wrote {} to {dir}, with `{admin}` as administrator\nlook at them, then: clearway check {dir} && clearway serve --governance {dir}",
            names.join(", ")
        )
    });
    Ok(())
}

/// The name of whoever runs this, in the form of an id.
fn present_user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default().to_lowercase();
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let plain = plain.trim_start_matches(['.', '_', '-']);
    if is_user_id(plain) { plain.to_owned() } else { crate::serve::ADMIN.to_owned() }
}

/// The address that commits are made with here, if there is one.
fn git_email() -> Option<String> {
    let output =
        Process::new("git").args(["config", "user.email"]).stderr(std::process::Stdio::null()).output().ok()?;
    let email = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && email.contains('@') && email.len() <= 200).then_some(email)
}
