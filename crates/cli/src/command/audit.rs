//! Audit: verifying and exporting the log, with nothing but the files and a key.

use std::path::{Path, PathBuf};

use audit::verify::{Earlier, LogSource, Progress, Report, Trust};
use audit::{Checkpoint, VerifierKey};
use serde_json::json;

use super::print;
use crate::args::{Args, Audit, Verify};
use crate::client::Client;
use crate::exit::{ERROR, Failure, NOT_VERIFIED, Outcome};
use crate::place::Place;

pub(super) async fn run(args: &Args, audit: &Audit) -> Outcome {
    match audit {
        Audit::Verify(verify) => self::verify(args, verify).await,
        Audit::Export { store, out } => export(args, store.as_deref(), out),
        Audit::Proof { position } => {
            let proof = Client::find(args)?.text(&format!("/api/v1/log/{position}/proof")).await?;
            print(args, &json!({"position": position, "proof": proof}), || proof.clone());
            Ok(())
        }
        Audit::Key => {
            let place = Place::find(args.dir.as_deref())?;
            let key = key_of_store(&place.dir)?;
            print(args, &json!({"key": key}), || key.clone());
            Ok(())
        }
    }
}

/// The folder of plain files that an export is.
struct Folder(PathBuf);

impl LogSource for Folder {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        match std::fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("`{path}` can't be read: {e}")),
        }
    }
}

/// A log that a server serves.
struct Served<'a> {
    client: &'a Client,
    runtime: tokio::runtime::Handle,
}

impl LogSource for Served<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.runtime.block_on(self.client.bytes(&format!("/{path}"))).map_err(|failure| failure.message)
    }
}

async fn verify(args: &Args, options: &Verify) -> Outcome {
    if let Some(url) = &options.url {
        let key = options.key.clone().ok_or_else(|| {
            Failure::new(ERROR, "a log from elsewhere is verified with a key that you trust")
                .help("give it with `--key`; a key that comes from the same place proves nothing")
        })?;
        let client = match &args.token_file {
            Some(_) => Client::find(&Args { server: Some(url.clone()), ..copy_of(args) })?,
            None => Client::new(url, None)?,
        };
        let (anchor, runtime) = (Anchor::new(&key, options.since.as_deref())?, tokio::runtime::Handle::current());
        let checked = tokio::task::spawn_blocking(move || check(&Served { client: &client, runtime }, &anchor));
        let report = checked.await.map_err(|e| Failure::new(ERROR, e.to_string()))??;
        return tell(args, &report, "the key that you gave", Tables::NotThere);
    }
    if let Some(folder) = &options.export {
        let beside = || std::fs::read_to_string(folder.join("vkey")).map(|k| k.trim().to_owned());
        let (key, whose) = match &options.key {
            Some(key) => (key.clone(), "the key that you gave"),
            None => (
                beside()
                    .map_err(|e| Failure::new(ERROR, format!("there is no verifier key beside the export: {e}")))?,
                "the key beside the export",
            ),
        };
        let anchor = Anchor::new(&key, options.since.as_deref())?;
        return tell(args, &check(&Folder(folder.clone()), &anchor)?, whose, Tables::NotThere);
    }
    let dir = store_dir(args, options.store.as_deref())?;
    let (key, whose) = match &options.key {
        Some(key) => (key.clone(), "the key that you gave"),
        None => (key_of_store(&dir)?, "the key in the store"),
    };
    let log = store::SqliteLog::open_read_only(&dir).map_err(|e| Failure::new(NOT_VERIFIED, e.to_string()))?;
    let anchor = Anchor::new(&key, options.since.as_deref())?;
    // State is the fold of the log: a table that says otherwise was edited.
    let checked = log.verify(&anchor.trust(), &mut |_: Progress| {});
    let report = checked.map_err(|e| {
        let help = "the log is right where it verifies: make the tables anew with `clearway admin rebuild`, and find out who edited them";
        Failure::new(NOT_VERIFIED, e.to_string()).help(help)
    })?;
    tell(args, &report, whose, Tables::AreTheFold)
}

fn copy_of(args: &Args) -> Args {
    Args {
        json: args.json,
        server: args.server.clone(),
        token_file: args.token_file.clone(),
        dir: args.dir.clone(),
        command: crate::args::Command::Drivers,
    }
}

fn store_dir(args: &Args, given: Option<&Path>) -> Outcome<PathBuf> {
    match given {
        Some(dir) => Ok(dir.to_owned()),
        None => Ok(Place::find(args.dir.as_deref())?.dir),
    }
}

/// Whose key, and what it continues: what a log is checked against.
struct Anchor {
    origin: String,
    keys: [VerifierKey; 1],
    earlier: Option<Earlier>,
}

impl Anchor {
    fn new(key: &str, since: Option<&Path>) -> Outcome<Self> {
        let key: VerifierKey =
            key.trim().parse().map_err(|e| Failure::new(ERROR, format!("`{key}` is not a verifier key: {e}")))?;
        let origin = key.name().to_owned();
        let keys = [key];
        let earlier = since.map(|file| earlier(file, &keys, &origin)).transpose()?;
        Ok(Self { origin, keys, earlier })
    }

    fn trust(&self) -> Trust<'_> {
        Trust { origin: &self.origin, keys: &self.keys, earlier: self.earlier }
    }
}

fn check(source: &dyn LogSource, anchor: &Anchor) -> Outcome<Report> {
    audit::verify::verify(source, &anchor.trust(), &mut |_: Progress| {})
        .map_err(|e| Failure::new(NOT_VERIFIED, e.to_string()))
}

fn earlier(file: &Path, keys: &[VerifierKey], origin: &str) -> Outcome<Earlier> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::new(ERROR, format!("`{}` can't be read: {e}", file.display())))?;
    let checkpoint = Checkpoint::open(&text, keys, origin)
        .map_err(|e| Failure::new(NOT_VERIFIED, format!("`{}`: {e}", file.display())))?;
    Ok(Earlier { size: checkpoint.size, root: checkpoint.root })
}

/// What was found of the tables beside a log.
#[derive(Clone, Copy, PartialEq)]
enum Tables {
    NotThere,
    AreTheFold,
}

fn tell(args: &Args, report: &Report, whose_key: &str, tables: Tables) -> Outcome {
    let json = json!({
        "verified": true,
        "origin": report.origin,
        "entries": report.size,
        "root": report.root.to_string(),
        "streams": report.streams,
        "tiles": report.tiles,
        "tables": if tables == Tables::AreTheFold { "are what the log says" } else { "not there" },
        "key": whose_key,
    });
    print(args, &json, || {
        let tables = if tables == Tables::AreTheFold { "\n  the tables are what the log says" } else { "" };
        format!(
            "the log `{}` verifies\n  {} entries in {} streams, {} tiles, every hash recomputed\n  root {}\n  signed by {whose_key}{tables}",
            report.origin, report.size, report.streams, report.tiles, report.root
        )
    });
    Ok(())
}

/// The verifier key of a store.
fn key_of_store(dir: &Path) -> Outcome<String> {
    let place = Place { dir: dir.to_owned() };
    if !place.key().exists() {
        return Err(Failure::new(ERROR, format!("there is no store in `{}`", dir.display()))
            .help("name its folder with `--store DIR`"));
    }
    crate::serve::signing_key(&place).map(|key| key.verifier().to_string())
}

fn export(args: &Args, store: Option<&Path>, out: &Path) -> Outcome {
    let dir = store_dir(args, store)?;
    let log = store::SqliteLog::open_read_only(&dir).map_err(|e| Failure::new(ERROR, e.to_string()))?;
    let read = |path: &str| log.read(path).map_err(|e| Failure::new(ERROR, e));
    let key = key_of_store(&dir)?;
    let note = read("checkpoint")?.ok_or_else(|| Failure::new(ERROR, "the store has no checkpoint yet"))?;
    let verifier: VerifierKey = key.parse().map_err(|e| Failure::new(ERROR, format!("{e}")))?;
    let text = String::from_utf8_lossy(&note).into_owned();
    let origin = verifier.name().to_owned();
    let checkpoint = Checkpoint::open(&text, &[verifier], &origin).map_err(|e| Failure::new(ERROR, e.to_string()))?;
    let mut written = 0_u64;
    for path in audit::tile::paths_for_size(checkpoint.size) {
        let file = out.join(&path);
        if file.exists() {
            continue;
        }
        let bytes = read(&path)?.ok_or_else(|| Failure::new(ERROR, format!("the store lacks `{path}`")))?;
        write(&file, &bytes)?;
        written += 1;
    }
    write(&out.join("vkey"), format!("{key}\n").as_bytes())?;
    // The checkpoint comes last: what it promises is there.
    write(&out.join("checkpoint"), &note)?;
    let json = json!({"entries": checkpoint.size, "files_written": written, "out": out});
    print(args, &json, || format!("{} entries exported to {} ({written} new files)", checkpoint.size, out.display()));
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> Outcome {
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be written: {e}", file.display()));
    std::fs::create_dir_all(file.parent().unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    let beside = file.with_extension("new");
    std::fs::write(&beside, bytes).map_err(failed)?;
    std::fs::rename(&beside, file).map_err(failed)
}
