//! Commands: each reads its arguments, asks the server or the store, and prints. No rules here.

mod access;
mod approve;
mod audit;
mod budget;
mod calendar;
mod catalog;
mod changes;
mod figures;
mod files;
mod governance;
mod here;
mod holds;
mod import;
mod init;
mod judge;
mod material;
mod on_call;
mod outside;
mod people;
mod plan;
mod policy;
mod release;
mod replay;
mod schedule;
pub(crate) mod secrets;
mod standard;
mod token;

use clap::CommandFactory as _;

use crate::args::{Args, Command, JudgeCommand, JudgeOptions};
use crate::client::Client;
use crate::exit::{ERROR, Failure, Outcome};
use crate::visible::visible;
use crate::{demo, serve};

/// Runs one command.
pub(crate) fn run(args: Args) -> Outcome {
    match &args.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "clearway", &mut std::io::stdout());
            Ok(())
        }
        Command::Schema { kind } => files::schema(*kind),
        Command::Init(init) => init::run(&args, init),
        Command::Import(options) => import::run(&args, options),
        Command::Judge(options) if options.command.is_none() => judge::run(&args, options),
        Command::Policy(asked) if !policy::needs_server(asked) => policy::offline(&args, asked),
        Command::PolicyWorker => here::policy_worker(),
        Command::Serve(_) | Command::Demo(_) | Command::Router { .. } | Command::DemoShop(_) => {
            block_on(many_threads(), long_running(args))
        }
        _ => block_on(one_thread(), short(args)),
    }
}

async fn long_running(args: Args) -> Outcome {
    match &args.command {
        Command::Serve(serve) => serve::serve(&args, serve).await,
        Command::Demo(options) => demo::play(&args, options).await,
        Command::Router { config, announce } => here::router(config, announce.as_deref()).await,
        Command::DemoShop(shop) => here::shop(shop).await,
        _ => Ok(()),
    }
}

async fn short(args: Args) -> Outcome {
    match &args.command {
        Command::Check(check) => files::check(&args, check).await,
        Command::Plan(asked) => plan::run(&args, asked).await,
        Command::Secrets(asked) => secrets::run(&args, asked).await,
        Command::Judge(JudgeOptions { command: Some(JudgeCommand::Replay { change, policy }), .. }) => {
            replay::run(&args, *change, policy).await
        }
        Command::Policy(asked) => policy::online(&args, asked).await,
        Command::Governance(asked) => governance::run(&args, asked).await,
        Command::Audit(audit) => audit::run(&args, audit).await,
        Command::Calendar(asked) => calendar::run(&args, asked).await,
        Command::Schedule(asked) => schedule::run(&args, asked).await,
        Command::Batch(asked) => schedule::batch(&args, &Client::find(&args)?, asked).await,
        Command::Catalog(asked) => catalog::run(&args, asked).await,
        Command::Admin(admin) => here::admin(&args, admin).await,
        Command::Delegate(_) | Command::StopAll { .. } | Command::Debts { .. } => {
            people::run(&args, &Client::find(&args)?).await
        }
        Command::Budget { service } => budget::run(&args, &Client::find(&args)?, service.as_deref()).await,
        Command::OnCall { service, at } => on_call::run(&args, &Client::find(&args)?, service.as_deref(), *at).await,
        Command::Hold(_) | Command::Holds | Command::Veto(_) => holds::run(&args, &Client::find(&args)?).await,
        Command::Standard(asked) => standard::run(&args, &Client::find(&args)?, asked).await,
        Command::Release(asked) => release::run(&args, &Client::find(&args)?, asked).await,
        Command::Token(token) => token::run(&args, token).await,
        Command::Access(asked) => access::run(&args, asked).await,
        _ => changes::run(&args, &Client::find(&args)?).await,
    }
}

fn block_on(runtime: std::io::Result<tokio::runtime::Runtime>, work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = runtime.map_err(|e| Failure::new(ERROR, format!("the runtime can't be started: {e}")))?;
    runtime.block_on(work)
}

fn many_threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Prints text for people. A reader that has gone away (`| head`) is no error.
pub(crate) fn line(text: &str) {
    exactly(&visible(text));
}

/// Prints a text for programs as it is.
pub(crate) fn exactly(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says something beside the result.
pub(crate) fn aside(text: &str) {
    eprintln!("{}", visible(text));
}

/// Prints JSON, or text made of it.
pub(crate) fn print(args: &Args, value: &serde_json::Value, text: impl FnOnce() -> String) {
    if args.json {
        exactly(&serde_json::to_string_pretty(value).unwrap_or_default());
    } else {
        line(text().trim_end());
    }
}
