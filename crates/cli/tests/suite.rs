//! Tests of the program as a process: what a user types and what becomes of it. One binary, so that it links once.

#[path = "suite/access.rs"]
mod access;
#[path = "suite/advanced.rs"]
mod advanced;
#[path = "suite/audit.rs"]
mod audit;
#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/beside.rs"]
mod beside;
#[path = "suite/by_hand.rs"]
mod by_hand;
#[path = "suite/calendar.rs"]
mod calendar;
#[path = "suite/catalog.rs"]
mod catalog;
#[path = "suite/conflicts.rs"]
mod conflicts;
#[path = "suite/demo.rs"]
mod demo;
#[path = "suite/errors.rs"]
mod errors;
#[path = "suite/examples.rs"]
mod examples;
#[path = "suite/exec.rs"]
mod exec;
#[path = "suite/from_git.rs"]
mod from_git;
#[path = "suite/govern.rs"]
mod govern;
#[path = "suite/house.rs"]
mod house;
#[path = "suite/import.rs"]
mod import;
#[path = "suite/judge.rs"]
mod judge;
#[path = "suite/killed.rs"]
mod killed;
#[path = "suite/lanes.rs"]
mod lanes;
#[path = "suite/on_call.rs"]
mod on_call;
#[path = "suite/pages.rs"]
mod pages;
#[path = "suite/plan.rs"]
mod plan;
#[path = "suite/policies.rs"]
mod policies;
#[path = "suite/prometheus.rs"]
mod prometheus;
#[path = "suite/releases.rs"]
mod releases;
#[path = "suite/secrets.rs"]
mod secrets;
#[path = "suite/signed.rs"]
mod signed;
#[path = "suite/standards.rs"]
mod standards;
#[path = "suite/waiting.rs"]
mod waiting;
