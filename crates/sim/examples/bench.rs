//! The benches: each prints its figure beside the limit or the peer, measured in the same run.
//!
//! `cargo xtask bench [NAMES]` runs them. A figure alone says more of the machine than of the product, so the two sides take turns over several rounds
//! and their ratio is what counts. Nothing is asserted here: a ratio that misses its aim is printed as missed. To add a bench: a file in `bench/`, and
//! its name in [`BENCHES`].

#[path = "bench/access.rs"]
mod access;
#[path = "bench/acknowledgement.rs"]
mod acknowledgement;
#[path = "bench/appends.rs"]
mod appends;
#[path = "bench/bare.rs"]
mod bare;
#[path = "bench/in_flight.rs"]
mod in_flight;
#[path = "bench/proxies.rs"]
mod proxies;
#[path = "bench/requests.rs"]
mod requests;
#[path = "bench/rounds.rs"]
mod rounds;
#[path = "bench/router.rs"]
mod router_bench;
#[path = "bench/secrets.rs"]
mod secrets;
#[path = "bench/table.rs"]
mod table;
#[path = "bench/waiting.rs"]
mod waiting;

use anyhow::{Result, bail};
use tokio::runtime::{Builder, Runtime};

use crate::table::Row;

/// A name and what it measures.
type Bench = (&'static str, fn() -> Result<Vec<Row>>);

/// In the order in which they run: the first measures the memory of a process that has done nothing else yet.
const BENCHES: [Bench; 7] = [
    ("in_flight", in_flight::run),
    ("waiting", waiting::run),
    ("appends", appends::run),
    ("acknowledgement", acknowledgement::run),
    ("router", router_bench::run),
    ("access", access::run),
    ("secrets", secrets::run),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(bare::PART) => return bare::play(&args[1..]),
        Some(proxies::UPSTREAM | proxies::ROUTER) => return proxies::play(&args[0], &args[1..]),
        _ => {}
    }
    let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = args.iter().find(|arg| !known.contains(&arg.as_str())) {
        bail!("there is no bench `{unknown}`; there are `{}`", known.join("`, `"));
    }
    table::print_head();
    for (name, run) in BENCHES {
        if args.is_empty() || args.iter().any(|arg| arg == name) {
            eprintln!("{name} ...");
            run()?.iter().for_each(table::print_row);
        }
    }
    Ok(())
}

/// A runtime as the server has it.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}
