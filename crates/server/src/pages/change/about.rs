//! About a change: what, why, who, how risky, who said yes, and what exactly is rolled out.

use change::approval::Standing;
use change::assessment::{Assessment, Denial, Item, Signing};
use change::lifecycle::Assessed;
use change::verification::OnDoubt;
use change::{Change, explain};
use maud::{Markup, html};

use crate::pages::frame::command;
use crate::pages::svg;
use crate::pages::words::{self, prose};
use crate::view::ChangeView;

pub(super) fn sections(view: &ChangeView) -> Markup {
    let change = &view.change;
    html! {
        (what(change))
        (risk(change))
        (approvals(change, &view.approvals))
        (debts(change))
        (plan(change))
        (commands(change))
    }
}

fn what(change: &Change) -> Markup {
    let proposal = &change.proposal;
    html! {
        section.card id="what" data-live aria-labelledby="what-h" {
            h2 id="what-h" { "What and why" }
            @match &proposal.description { Some(text) => p.description { (text) }, None => p.muted { "No description is given." } }
            @if let Some(course) = explain::course(&proposal.course) { p.warning { (svg::mark(svg::Mark::Alarm)) " " (prose(&course)) } }
            dl.facts {
                dt { "Author" } dd { (explain::actor(&change.author)) ", " (words::time(change.proposed_at)) }
                dt { "Owner" } dd { (proposal.owner) }
                dt { "Services" } dd { @for (i, service) in proposal.services.iter().enumerate() { @if i > 0 { ", " } (service) } }
                dt { "Environment" } dd { (proposal.environment) }
                dt { "Begins" } dd { (proposal.when) }
                @if !proposal.after.is_empty() {
                    dt { "After" } dd { @for (i, id) in proposal.after.iter().enumerate() { @if i > 0 { ", " } a href={ "/changes/" (id) } { (id) } } }
                }
                @if let Some(release) = change.release { dt { "Release" } dd { a href={ "/releases/" (release) } { (release) } } }
                @if let Some(effects) = &proposal.effects {
                    @if let Some(cost) = &effects.cost_per_month { dt { "Cost a month" } dd { (cost.amount) " " (cost.currency) } }
                    @if let Some(slo) = &effects.slo { dt { "Expected effect" } dd { (slo) } }
                }
                @if !proposal.secrets.is_empty() { dt { "Secret scan" } dd { @for finding in &proposal.secrets { div { (prose(&finding.to_string())) } } } }
                @if !proposal.links.is_empty() { dt { "Links" } dd { @for url in &proposal.links { (link(url)) } } }
            }
        }
    }
}

/// A link where it leads to the web, text where it might do something else.
fn link(url: &str) -> Markup {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    html! { div.link { @if is_web { a href=(url) rel="noopener noreferrer nofollow" { (url) } } @else { (url) } } }
}

fn risk(change: &Change) -> Markup {
    html! {
        section.card id="risk" data-live aria-labelledby="risk-h" {
            h2 id="risk-h" { "Risk" }
            @match &change.assessment {
                None => p.muted { "Policy has not answered yet." },
                Some(Assessed { assessment, at }) => {
                    p { (words::risk(Some(assessment.level))) " · " strong { (assessment.score) } " of 100 · " (words::time(*at)) }
                    @for denial in &assessment.denials { (one_denial(change, denial)) }
                    (checklist(change, assessment))
                    @for warning in &assessment.warnings { p.warning { (svg::mark(svg::Mark::Alarm)) " " (prose(warning)) } }
                    @if !assessment.factors.is_empty() {
                        table.factors {
                            caption.unseen { "What adds to the score" }
                            thead.unseen { tr { th scope="col" { "Points" } th scope="col" { "Factor" } } }
                            tbody { @for factor in &assessment.factors { tr { td { "+" (factor.points) } td { (prose(&factor.reason)) } } } }
                        }
                    }
                }
            }
        }
    }
}

/// A rule that says no, or said so before it was set aside.
fn one_denial(change: &Change, denial: &Denial) -> Markup {
    let effect = change.proposal.effect_digest;
    let aside = change.set_aside.iter().rfind(|s| s.effect == effect && s.code == denial.code);
    html! {
        @match aside {
            Some(aside) => p.warning {
                (svg::mark(svg::Mark::Alarm)) " " (prose(&denial.reason)) span.muted {
                    " · set aside by " (aside.by.iter().map(explain::actor).collect::<Vec<_>>().join(" and ")) ": " (prose(&aside.reason))
                }
            },
            None => p.denial {
                (svg::mark(svg::Mark::Cross)) " denied: " (prose(&denial.reason))
                span.muted { " · " (denial.level) " rule " code { (denial.code) } }
            },
        }
    }
}

/// The points of its checklists, each with what ticked it.
fn checklist(change: &Change, assessment: &Assessment) -> Markup {
    let effect = change.proposal.effect_digest;
    let by_hand =
        |item: &Item| change.ticked.iter().rfind(|t| t.effect == effect && t.list == item.list && t.code == item.code);
    html! {
        @if !assessment.checklist.is_empty() {
            h3 { "Checklist" }
            ul.approvals {
                @for item in &assessment.checklist {
                    li {
                        @match (&item.evidence, by_hand(item)) {
                            (Some(evidence), _) => { (svg::mark(svg::Mark::Check)) " " (prose(&item.title)) span.muted { ": " (prose(evidence)) } },
                            (None, Some(ticked)) => {
                                (svg::mark(svg::Mark::Check)) " " (prose(&item.title))
                                span.muted { ": " (explain::actor(&ticked.by)) ", " (prose(&ticked.note)) }
                            },
                            (None, None) => { (svg::mark(svg::Mark::Ring)) " " (prose(&item.title)) span.muted { " · " code { (item.list) "/" (item.code) } } },
                        }
                    }
                }
            }
        }
    }
}

fn approvals(change: &Change, standings: &[Standing]) -> Markup {
    html! {
        section.card id="approvals" data-live aria-labelledby="approvals-h" {
            h2 id="approvals-h" { "Approvals" }
            @if change.assessment.is_none() { p.muted { "Whose approval it needs is known once policy has answered." } }
            @else if standings.is_empty() { p.muted { "No approval by a person is needed." } }
            @else { ul.approvals { @for standing in standings { (requirement(standing)) } } }
            @for requested in &change.requested {
                p.warning { (svg::mark(svg::Mark::Alarm)) " " (explain::actor(&requested.by)) " asks for changes: " (prose(&requested.reason)) }
            }
            @if !change.votes.is_empty() {
                h3 { "Votes" }
                ul.votes {
                    @for vote in &change.votes {
                        li {
                            (svg::mark(svg::Mark::Check)) " " strong { (explain::actor(&vote.voter)) } " for " (words::digest(vote.effect))
                            span.muted { " " (words::time(vote.at)) }
                            @if let Some(signature) = &vote.signature { div.signature { "signed with " code { (signature.key) } } }
                            @if let Some(comment) = &vote.comment { div.comment { (prose(comment)) } }
                        }
                    }
                }
            }
        }
    }
}

fn requirement(standing: &Standing) -> Markup {
    let (missing, by) = (standing.missing(), &standing.requirement.by);
    let names: Vec<String> = standing.met_by.iter().map(explain::actor).collect();
    html! {
        li {
            (svg::mark(if missing == 0 { svg::Mark::Check } else { svg::Mark::Ring })) " "
            (standing.requirement.count) " of " code { (by) }
            @for other in standing.asked.iter().skip(1) { " or " code { (other) } }
            @if standing.requirement.signature == Signing::Required { ", signed" }
            @if missing > 0 { strong { ", " (missing) " missing" } }
            @if !names.is_empty() { span.muted { ": " (names.join(", ")) } }
        }
    }
}

/// What the change still owes, and whom it told.
fn debts(change: &Change) -> Markup {
    html! {
        section id="debts" data-live {
            @if !change.debts.is_empty() || !change.pages.is_empty() {
                div.card {
                    h2 { "Owed" }
                    @for (debt, owed) in &change.debts {
                        @match &owed.paid {
                            Some(summary) => p { (svg::mark(svg::Mark::Check)) " " (debt) ": " (prose(summary)) },
                            None => p { (svg::mark(svg::Mark::Alarm)) " " (debt) ", due " (words::time(owed.due)) ": " (prose(&owed.reason)) },
                        }
                    }
                    @for page in change.pages.values() {
                        p {
                            @match page.sent_at {
                                Some(at) => { (svg::mark(svg::Mark::Check)) " people were told " (words::time(at)) ": " },
                                None => { (svg::mark(svg::Mark::Alarm)) " people are being told: " },
                            }
                            (prose(&page.reason))
                        }
                    }
                }
            }
        }
    }
}

fn plan(change: &Change) -> Markup {
    let proposal = &change.proposal;
    let target = serde_json::to_string_pretty(&proposal.plan.target.options).unwrap_or_default();
    html! {
        section.card id="plan" data-live aria-labelledby="plan-h" {
            h2 id="plan-h" { "Exactly what" }
            dl.facts {
                dt { "Effect" } dd { (words::digest(proposal.effect_digest)) }
                dt { "Revision" } dd { (change.revision) ", " (words::digest(proposal.revision_digest)) }
                @if let Some(commit) = &proposal.commit { dt { "Commit" } dd { code { (commit) } } }
                @if let Some(artifact) = &proposal.artifact { dt { "Artifact" } dd { code { (artifact) } } }
                dt { "Driver" } dd { code { (proposal.plan.target.driver) } }
                dt { "Acts on" } dd { @for resource in &proposal.claims.resources { div { code { (resource) } } } }
                dt { "Rollback" } dd {
                    @if proposal.rollback.automatic { "by itself when the verdict is " code { "fail" } } @else { "by a person" }
                    @if let Some(runbook) = &proposal.rollback.runbook { "; runbook " code { (runbook) } }
                }
                dt { "In doubt" } dd {
                    "insufficient: " (doubt(proposal.verify.on_insufficient)) ", unreachable: " (doubt(proposal.verify.on_unreachable))
                }
            }
            details.table id="plan-target" { summary { "Options of the driver" } pre { code { (target) } } }
            @if !proposal.files.is_empty() {
                details.table id="plan-files" {
                    summary { "Files" }
                    dl.facts { @for (path, digest) in &proposal.files { dt { code { (path) } } dd { (words::digest(*digest)) } } }
                }
            }
        }
    }
}

fn doubt(choice: OnDoubt) -> &'static str {
    match choice {
        OnDoubt::Hold => "hold",
        OnDoubt::Page => "page",
        OnDoubt::Rollback => "roll back",
    }
}

fn commands(change: &Change) -> Markup {
    html! {
        section.card aria-labelledby="commands-h" {
            h2 id="commands-h" { "On the command line" }
            @for verb in ["show", "why", "watch"] { (command(&format!("clearway {verb} {}", change.id))) }
        }
    }
}
