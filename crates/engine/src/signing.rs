//! Signing: does the signature of a vote hold, and is the key its voter's?
//!
//! Builds the statement anew from what the change is now, so that nothing is believed that came with the signature but its time. The answer goes to the
//! core, which refuses a vote whose signature does not hold: it never becomes an unsigned one.

use audit::sshsig;
use change::approval::Signed;
use change::approval::signers;
use change::approval::statement::{self, NAMESPACE, Statement};
use change::governance::Governance;
use change::{Change, Given, Timestamp};

/// The fingerprint of the voter's key that signed, or why the signature does not count.
pub(crate) fn verify(
    change: &Change,
    given: &Given,
    governance: &Governance,
    signed: &Signed,
) -> Result<String, String> {
    if signed.statement.len() > statement::MOST_BYTES {
        return Err(format!("the statement is longer than the {} bytes that are read", statement::MOST_BYTES));
    }
    let time = statement::time_of(&signed.statement).ok_or("the statement names no time")?;
    let ours = Statement::approval(change, &given.actor, &given.groups, time);
    if let Some(difference) = ours.difference(&signed.statement) {
        return Err(format!("the statement is not the one of this vote: {difference}"));
    }
    if change.spent.get(&given.actor).is_some_and(|spent| time <= *spent) {
        return Err("the statement has been used, or what it said was taken back since: sign a new one".to_owned());
    }
    if let Some(why) = statement::untimely(time, given.now) {
        return Err(format!("the statement is not of now: {why}"));
    }
    let key = sshsig::verify(&signed.armored, NAMESPACE, signed.statement.as_bytes()).map_err(|e| e.to_string())?;
    let user = given.actor.user().unwrap_or_default();
    match signers::refusal(&governance.access, &governance.signers, user, &key.to_string(), given.now) {
        Some(why) => Err(format!("{why} ({})", key.fingerprint())),
        None => Ok(key.fingerprint()),
    }
}

/// What a voter is asked to sign, and with which keys they can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSign {
    pub statement: Statement,
    /// Each as its kind and its base64.
    pub keys: Vec<String>,
}

pub(crate) fn to_sign(change: &Change, given: &Given, governance: &Governance) -> ToSign {
    // Whole seconds: people read it.
    let time = Timestamp::from_second(given.now.as_second()).unwrap_or(given.now);
    let user = given.actor.user().unwrap_or_default();
    ToSign {
        statement: Statement::approval(change, &given.actor, &given.groups, time),
        keys: signers::keys_of(&governance.access, &governance.signers, user, given.now),
    }
}
