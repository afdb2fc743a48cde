//! Words: values as people read them, the same on every page.

use change::assessment::Risk;
use change::verification::Answer;
use change::{Digest, Phase, Timestamp};
use maud::{Markup, html};

use super::svg;
use crate::view::PHASES;

/// A sentence whose `quoted` parts are set as code.
pub(crate) fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // With a backtick that has no partner, the rest is plain.
    let paired = if parts.len() % 2 == 1 { parts.len() } else { parts.len() - 2 };
    let quoted = |i: usize| i % 2 == 1 && i < paired;
    html! {
        @for (i, part) in parts.iter().enumerate() {
            @if quoted(i) { code { (part) } } @else { @if i > paired { "`" } (part) }
        }
    }
}

/// An instant: UTC in full, which the script makes relative.
pub(crate) fn time(at: Timestamp) -> Markup {
    let utc = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(at) title=(utc) { (utc) } }
}

/// The end of something: the script makes no "in 12 hours" of it, which reads badly after "until" and hides the time.
pub(crate) fn end(at: Timestamp) -> Markup {
    html! { span title=(at) { (at.strftime("%Y-%m-%d %H:%M UTC").to_string()) } }
}

/// A digest that can be told apart at a glance and copied whole.
pub(crate) fn digest(digest: Digest) -> Markup {
    html! { code.digest title=(digest) { (digest.short()) } }
}

/// A phase by its name, as a shape and a word.
pub(crate) fn phase(name: &str) -> Markup {
    let known = PHASES.into_iter().find(|p| p.name() == name);
    html! {
        span.phase.{ "is-" (known.map_or("waiting", tone)) } {
            (svg::mark(known.map_or(svg::Mark::Ring, mark)))
            span { (name.replace('_', " ")) }
        }
    }
}

/// How a phase feels: the name of its colour.
fn tone(phase: Phase) -> &'static str {
    match phase {
        Phase::Proposed | Phase::Approved | Phase::Scheduled => "calm",
        Phase::RollingOut { .. } | Phase::Watching => "moving",
        Phase::Assessed | Phase::Held { .. } | Phase::Paused { .. } => "waiting",
        Phase::RollingBack | Phase::RolledBack | Phase::RollbackFailed | Phase::Refused => "bad",
        Phase::Completed => "good",
        Phase::Withdrawn | Phase::Lapsed => "over",
    }
}

fn mark(phase: Phase) -> svg::Mark {
    use svg::Mark;
    match phase {
        Phase::Proposed | Phase::Approved | Phase::Scheduled => Mark::Ring,
        Phase::Assessed => Mark::Hand,
        Phase::RollingOut { .. } => Mark::Forward,
        Phase::Watching => Mark::Eye,
        Phase::Held { .. } => Mark::Gate,
        Phase::Paused { .. } => Mark::Pause,
        Phase::RollingBack | Phase::RolledBack => Mark::Back,
        Phase::RollbackFailed => Mark::Alarm,
        Phase::Completed => Mark::Check,
        Phase::Refused | Phase::Withdrawn | Phase::Lapsed => Mark::Cross,
    }
}

/// A verdict as a shape and a word.
pub(crate) fn answer(answer: Answer) -> Markup {
    let (tone, mark) = match answer {
        Answer::Pass => ("good", svg::Mark::Check),
        Answer::Fail => ("bad", svg::Mark::Cross),
        Answer::Insufficient => ("waiting", svg::Mark::Ring),
        Answer::Unreachable => ("bad", svg::Mark::Alarm),
    };
    html! { span.phase.{ "is-" (tone) } { (svg::mark(mark)) span { (answer) } } }
}

/// A risk as a word and one to four bars.
pub(crate) fn risk(risk: Option<Risk>) -> Markup {
    let Some(level) = risk else { return html! { span.muted { "not assessed" } } };
    let bars = match level {
        Risk::Low => 1,
        Risk::Medium => 2,
        Risk::High => 3,
        Risk::Critical => 4,
    };
    html! { span.risk.{ "risk-" (level) } { (svg::bars(bars)) span { (level) } } }
}

/// A share of events in percent, as finely as it needs.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0%".into(),
        p if p < 0.01 => "under 0.01%".into(),
        p if p < 1.0 => format!("{p:.2}%"),
        p if p < 10.0 => format!("{p:.1}%"),
        p => format!("{p:.0}%"),
    }
}

/// A ratio of two rates.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        r if r >= 100.0 => "over 100×".into(),
        r if r < 0.01 => "under 0.01×".into(),
        r => format!("{r:.2}×"),
    }
}

/// A count with thin spaces between thousands.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_quoted_is_set_as_code_and_always_escaped() {
        assert_eq!(prose("it is `a<b` now").into_string(), "it is <code>a&lt;b</code> now");
        assert_eq!(prose("`a` and `b").into_string(), "<code>a</code> and `b");
        assert_eq!(prose("plain").into_string(), "plain");
        assert_eq!(prose("").into_string(), "");
        assert_eq!(prose("a ` b").into_string(), "a ` b");
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup_and_none_is_lost(text in "[a-z<>&\"'` ]{0,40}") {
            let markup = prose(&text).into_string();
            let bare = markup.replace("<code>", "").replace("</code>", "");
            prop_assert!(!bare.contains('<') && !bare.contains('>'), "{}", markup);
            let plain = bare.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            prop_assert_eq!(plain.replace('`', ""), text.replace('`', ""));
        }
    }

    #[test]
    fn figures_are_as_fine_as_they_need_to_be() {
        let shares: Vec<String> = [0.0, 0.000_05, 0.004_2, 0.034, 0.5, 1.0].into_iter().map(percent).collect();
        assert_eq!(shares, ["0%", "under 0.01%", "0.42%", "3.4%", "50%", "100%"]);
        let ratios: Vec<String> = [1e300, 1.234, 0.5, 0.0].into_iter().map(times).collect();
        assert_eq!(ratios, ["over 100×", "1.23×", "0.50×", "under 0.01×"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }

    #[test]
    fn each_phase_has_a_shape_and_its_word() {
        for known in PHASES {
            let markup = phase(known.name()).into_string();
            assert!(markup.contains("<svg") && markup.contains(&known.to_string()), "{markup}");
        }
    }

    #[test]
    fn a_time_is_readable_without_a_script() {
        let at = crate::sample::start();
        assert_eq!(
            time(at).into_string(),
            r#"<time datetime="2026-09-01T09:00:00Z" title="2026-09-01 09:00:00 UTC">2026-09-01 09:00:00 UTC</time>"#
        );
    }
}
