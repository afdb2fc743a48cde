//! Check commands: exit code 0 is good, everything else is bad with its reason.
//!
//! A command that could not be started has not answered; that is an error, not a bad answer.

use std::process::Stdio;
use std::time::Duration;

use change::verification::CheckCommand;
use engine::ports::Act;

use crate::process::{self, CommandSettings, NOT_ALLOWED, Order};

/// `None` if it succeeded, otherwise why it failed.
pub(crate) async fn check(
    settings: &CommandSettings,
    act: &Act,
    command: &CheckCommand,
) -> Result<Option<String>, String> {
    if !settings.allow {
        return Err(NOT_ALLOWED.into());
    }
    process::unchanged(settings, &command.run, &act.files).await?;
    let limit = Duration::from_millis(command.timeout.as_millis());
    let order = Order { line: &command.run, env: &process::act_env(act), limit, stdin: Stdio::null() };
    let finished = process::run(settings, order).await;
    let finished = finished
        .map_err(|error| format!("the command could not be started in `{}`: {error}", settings.dir.display()))?;
    Ok(if finished.is_success() { None } else { Some(finished.brief()) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use change::{ChangeId, Digest, Span};

    use super::*;

    async fn answer(settings: &CommandSettings, run: &str, timeout: Span) -> Result<Option<String>, String> {
        let files = BTreeMap::from([("./smoke.sh".to_owned(), Digest::of_bytes(b"approved"))]);
        let act = Act { change: ChangeId::new(7), step: "2".into(), attempt: 1, files };
        check(settings, &act, &CheckCommand { run: run.into(), timeout }).await
    }

    #[tokio::test]
    async fn a_command_answers_by_its_exit_code() {
        let settings = CommandSettings::allowed_in("/tmp");
        assert_eq!(answer(&settings, "exit 0", Span::secs(20)).await, Ok(None));
        assert_eq!(
            answer(&settings, "echo $CLEARWAY_KEY; exit 3", Span::secs(20)).await,
            Ok(Some("exit code 3: CHG-7/2/1".into()))
        );
        let slow = answer(&settings, "sleep 60", Span::millis(200)).await;
        assert_eq!(slow, Ok(Some("did not finish within 200ms".into())));
        assert_eq!(
            answer(&settings, "/nowhere/at/all 2>/dev/null", Span::secs(20)).await,
            Ok(Some("exit code 127".into()))
        );
    }

    #[tokio::test]
    async fn a_command_that_did_not_run_has_not_answered() {
        assert_eq!(answer(&CommandSettings::forbidden(), "exit 0", Span::secs(20)).await, Err(NOT_ALLOWED.into()));
        let nowhere = CommandSettings::allowed_in("/nowhere/at/all");
        let error = answer(&nowhere, "exit 0", Span::secs(20)).await.unwrap_err();
        assert!(error.starts_with("the command could not be started in `/nowhere/at/all`: No such file"), "{error}");
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("smoke.sh"), "another").expect("is written");
        let error = answer(&CommandSettings::allowed_in(dir.path()), "./smoke.sh", Span::secs(20)).await.unwrap_err();
        assert!(error.starts_with("`./smoke.sh` was changed since it was approved"), "{error}");
    }
}
