//! Tests that span crates: the real engine on a real store, in a simulated world. One binary, so that it links once.

#[path = "suite/admission.rs"]
mod admission;
#[path = "suite/agenda.rs"]
mod agenda;
#[path = "suite/asked_again.rs"]
mod asked_again;
#[path = "suite/budgets.rs"]
mod budgets;
#[path = "suite/calendar.rs"]
mod calendar;
#[path = "suite/checks.rs"]
mod checks;
#[path = "suite/comparisons.rs"]
mod comparisons;
#[path = "suite/conflicts.rs"]
mod conflicts;
#[path = "suite/crashes.rs"]
mod crashes;
#[path = "suite/detours.rs"]
mod detours;
#[path = "suite/faults.rs"]
mod faults;
#[path = "suite/govern.rs"]
mod govern;
#[path = "suite/holds.rs"]
mod holds;
#[path = "suite/interleaved.rs"]
mod interleaved;
#[path = "suite/life.rs"]
mod life;
#[path = "suite/outside.rs"]
mod outside;
#[path = "suite/plans.rs"]
mod plans;
#[path = "suite/releases.rs"]
mod releases;
#[path = "suite/replicas.rs"]
mod replicas;
#[path = "suite/rosters.rs"]
mod rosters;
#[path = "suite/scan.rs"]
mod scan;
#[path = "suite/sequence.rs"]
mod sequence;
#[path = "suite/standards.rs"]
mod standards;
#[path = "suite/storms.rs"]
mod storms;
#[path = "suite/support.rs"]
mod support;
#[path = "suite/telemetry.rs"]
mod telemetry;
#[path = "suite/waiting.rs"]
mod waiting;
