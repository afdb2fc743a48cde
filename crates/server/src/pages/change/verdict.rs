//! The verdict of the step under way: what the evidence says, in words, figures and two drawings for each indicator.

use change::Change;
use change::verification::{Finding, Sample};
use maud::{Markup, html};

use crate::evidence::{self, Point, SliStanding, Standing, progress, share};
use crate::pages::svg::{self, Chart, Line};
use crate::pages::words::{self, count, percent, prose, times};
use crate::view::LookView;

/// How many rows the table beside a chart has at most.
const MOST_ROWS: usize = 30;

pub(super) fn section(change: &Change, looks: &[LookView]) -> Markup {
    let Some(standing) = Standing::of(change, looks) else {
        return html! { section id="verdict" data-live {} };
    };
    let step = change.any_rollout().map_or_else(String::new, |r| change.step_name(r.step));
    html! {
        section.card id="verdict" data-live aria-labelledby="verdict-h" {
            h2 id="verdict-h" { "Verdict of " (step) }
            p.standing {
                @match standing.answer { Some(answer) => (words::answer(answer)), None => { span.phase.is-waiting { (svg::mark(svg::Mark::Ring)) span { "no look yet" } } } }
                @if let Some((why, at)) = &standing.why { span.sentence { (prose(why)) " " span.muted { "as of " (words::time(*at)) } } }
            }
            (meters(&standing))
            @for (i, sli) in standing.slis.iter().enumerate() { (one(i, sli)) }
            @if !standing.findings.is_empty() { (found(&standing.findings)) }
            @if !looks.is_empty() { (course(looks)) }
        }
    }
}

/// What moves with the new version beside the indicators.
fn found(findings: &[Finding]) -> Markup {
    html! {
        div.findings {
            h3 { "Other series that move with the new version" }
            table.figures {
                caption.unseen { "Findings of the scan of all series, the strongest first" }
                thead { tr { th scope="col" { "Series" } th scope="col" { "New over stable" } th scope="col" { "Since look" } } }
                tbody {
                    @for finding in findings {
                        tr { th scope="row" { code { (finding.name) } } td { (times(finding.effect)) } td { (finding.since_look) } }
                    }
                }
            }
            p.muted { "Every series that both versions expose is compared; about one finding in twenty may be chance. Findings never roll back by themselves." }
        }
    }
}

fn meters(standing: &Standing) -> Markup {
    let (harm, safety) = (percent(standing.harm), percent(standing.safety));
    html! {
        dl.meters {
            div {
                dt { "Evidence of harm" }
                dd { (svg::meter("harm", standing.harm, &format!("{harm} of what fails the step"))) span.figure { (harm) } }
            }
            div {
                dt { "Evidence of safety" }
                dd { (svg::meter("safety", standing.safety, &format!("{safety} of what lets it pass"))) span.figure { (safety) } }
            }
        }
        p.muted { "At 100% of harm the step fails; at 100% of safety, with its bake over, it passes. " (standing.looks) " looks so far." }
    }
}

fn one(i: usize, sli: &SliStanding) -> Markup {
    let points = &sli.points;
    html! {
        div.sli.implicated[sli.implicated] {
            h3 { (sli.name) @if sli.implicated { " " span.phase.is-bad { (svg::mark(svg::Mark::Alarm)) span { "implicated" } } } }
            div.sides {
                table.figures {
                    caption.unseen { "Events of " (sli.name) " in this step" }
                    thead { tr { th scope="col" { "Version" } th scope="col" { "Events" } th scope="col" { (sli.bad) } th scope="col" { "Share" } } }
                    tbody { (cohort("canary", "new", sli.canary)) (cohort("baseline", "stable", sli.baseline)) }
                }
                div.drawing {
                    @if points.len() > 1 { (sparkline(i, sli)) } @else { p.muted { "A chart comes with the second look." } }
                }
            }
            @if !sli.is_check { (effect(i, sli)) }
            @if let Some(why) = &sli.why { p.why { (prose(why)) } }
            @if points.len() > 1 { (figures(sli)) }
        }
    }
}

fn cohort(class: &str, name: &str, sample: Option<Sample>) -> Markup {
    html! {
        tr {
            th scope="row" { span.{ "key " (class) } aria-hidden="true" {} (name) }
            @match sample {
                Some(s) => { td { (count(s.total)) } td { (count(s.bad)) } td { (share(Some(s)).map_or_else(|| "–".into(), percent)) } }
                None => { td.muted colspan="3" { "nothing counted" } }
            }
        }
    }
}

fn effect(i: usize, sli: &SliStanding) -> Markup {
    let Some(effect) = sli.effect else {
        return html! { p.muted { "No effect can be told yet." } };
    };
    let range = sli.interval.map_or_else(String::new, |[low, high]| format!(" ({} to {})", times(low), times(high)));
    let said = format!("{}{range} the rate of bad events of what it is compared with", times(effect));
    html! {
        div.effect {
            p { strong { (times(effect)) } (range) span.muted { " the rate of bad events of what it is compared with" } }
            div.scale { span.muted { "¼×" } (svg::interval(&format!("effect-{i}"), effect, sli.interval, &said)) span.muted { "4×" } }
        }
    }
}

fn sparkline(i: usize, sli: &SliStanding) -> Markup {
    let line = |class, of: fn(&Point) -> Option<Sample>| Line {
        class,
        values: sli.points.iter().map(|p| share(of(p))).collect(),
    };
    let lines = vec![line("baseline", |p| p.baseline), line("canary", |p| p.canary)];
    let most = lines.iter().flat_map(|l| &l.values).flatten().copied().fold(0.0, f64::max);
    let chart = Chart {
        id: format!("sli-{i}"),
        title: format!("{}: share of events that are {}", sli.name, sli.bad),
        description: format!(
            "New version against stable version over {} points, from 0% to {}.",
            sli.points.len(),
            percent(most)
        ),
        lines,
        top: most,
        borders: borders(sli.points.iter().map(|p| p.step)),
    };
    html! { (chart.draw()) p.muted.range { span { "0% to " (percent(most)) } } }
}

fn borders(steps: impl Iterator<Item = usize>) -> Vec<usize> {
    let steps: Vec<usize> = steps.collect();
    (1..steps.len()).filter(|i| steps[*i] != steps[i - 1]).collect()
}

fn figures(sli: &SliStanding) -> Markup {
    let cell = |sample: Option<Sample>| share(sample).map_or_else(|| "–".into(), percent);
    html! {
        details.table id={ "figures-" (sli.name) } {
            summary { "Figures of the chart" }
            table {
                caption.unseen { (sli.name) ": share of events that are " (sli.bad) ", newest first" }
                thead { tr { th scope="col" { "Until" } th scope="col" { "Step" } th scope="col" { "New" } th scope="col" { "Stable" } } }
                tbody {
                    @for point in sli.points.iter().rev().take(MOST_ROWS) {
                        tr { td { (words::time(point.at)) } td { (point.step + 1) } td { (cell(point.canary)) } td { (cell(point.baseline)) } }
                    }
                }
            }
        }
    }
}

/// How harm and safety went, over all steps.
fn course(looks: &[LookView]) -> Markup {
    let course = progress(looks);
    let line = |class, of: fn(&evidence::Progress) -> f64| Line {
        class,
        values: course.iter().map(|p| Some(of(p))).collect(),
    };
    let last = course.last().map_or((0.0, 0.0), |p| (p.harm, p.safety));
    let chart = Chart {
        id: "course".into(),
        title: "Evidence over all looks".into(),
        description: format!(
            "Harm ends at {}, safety at {}; safety begins anew with each step.",
            percent(last.0),
            percent(last.1)
        ),
        lines: vec![line("safety", |p| p.safety), line("harm", |p| p.harm)],
        top: 1.0,
        borders: borders(course.iter().map(|p| p.step)),
    };
    html! {
        div.sli {
            h3 { "Evidence over all looks" }
            (chart.draw())
            p.muted.range {
                span { span.key.harm aria-hidden="true" {} "harm" } span { span.key.safety aria-hidden="true" {} "safety" } span { "0% to 100%" }
            }
            details.table id="figures-course" {
                summary { "Figures of the chart" }
                table {
                    caption.unseen { "Evidence of harm and safety, newest first" }
                    thead { tr { th scope="col" { "Until" } th scope="col" { "Step" } th scope="col" { "Harm" } th scope="col" { "Safety" } } }
                    tbody {
                        @for point in course.iter().rev().take(MOST_ROWS) {
                            tr { td { (words::time(point.at)) } td { (point.step + 1) } td { (percent(point.harm)) } td { (percent(point.safety)) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn figures_stand_in_words_beside_each_drawing() {
        let text = section(&sample::change_of(&sample::log()), &sample::looks(60)).into_string();
        for wanted in [
            "aria-label=\"80% of what fails the step\"",
            "checkout-latency: share of events that are slower than 300ms",
            "1.80×</strong> (1.08× to 3.24×)",
            "<td>2\u{202f}400</td>",
            "40 looks so far",
            "Harm ends at 80%, safety at 20%",
            "Figures of the chart",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert_eq!(
            text.matches("class=\"border\"").count(),
            3,
            "one border between two steps, in each of three charts"
        );
    }

    #[test]
    fn before_the_first_look_nothing_is_made_up() {
        let log = sample::log();
        let applied = log.iter().position(|r| matches!(r.event, change::Event::StepApplied { .. })).expect("applied");
        let text = section(&sample::change_of(&log[..=applied]), &[]).into_string();
        for wanted in ["no look yet", "nothing counted", "No effect can be told yet", "0 looks so far"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}
