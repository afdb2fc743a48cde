//! Migrations: what do SQL statements do to a database that is in use?
//!
//! Read with the parser and the rules of a kept linter for PostgreSQL. Another dialect is read as far as it agrees; a statement that can't be read counts
//! as everything at once, and comments that switch the linter off are not heard. Keeps places and sorts of statements, never their text.
//!
//! What destroys data stays irreversible whatever lies beside it: a file that leads back restores a column and not what was in it.

use std::collections::BTreeSet;

use change::facts::material::{Hazard, Migrations, Origin, Statement, shortened};
use squawk_linter::{Linter, Rule};
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{AstNode, SourceFile};

use super::unread::{Unread, text};

/// A migration is rarely longer; what is, was dumped and not written.
const MOST_SQL_BYTES: usize = 1 << 20;
/// The parser descends one level for each token at most, and nothing in it stops it: with more tokens than this a file is not given to it, and with so
/// much stack no file that is overflows. The stack is an address range; only what is used of it is memory.
const MOST_TOKENS: usize = 60_000;
/// Brackets in brackets, and words of one statement that can stand before themselves.
const MOST_OPEN: usize = 64;
const MOST_PREFIXES: usize = 300;
const DESCENDING: [&str; 7] = ["not", "case", "union", "intersect", "except", "explain", "select"];
const STACK_BYTES: usize = 1 << 30;

/// Reads migrations. `beside` are the paths that lie in the same folders: a file that leads back is found among them.
///
/// # Errors
/// If a file is no text, or too large.
pub fn migrations(files: &[(String, Vec<u8>)], beside: &BTreeSet<String>) -> Result<Migrations, Unread> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("migrations".into()).stack_size(STACK_BYTES);
        let broke_off = || Unread::new("migrations", "the reader broke off").help("name fewer files, or split them");
        let reading = reader.spawn_scoped(scope, || read_all(files, beside)).map_err(|_| broke_off())?;
        reading.join().map_err(|_| broke_off())?
    })
}

fn read_all(files: &[(String, Vec<u8>)], beside: &BTreeSet<String>) -> Result<Migrations, Unread> {
    let mut all = Migrations::default();
    let ways: BTreeSet<String> = files.iter().map(|(name, _)| name).chain(beside).flat_map(|p| ways_back(p)).collect();
    // What only sounds like a way back, with nothing beside it from which it would lead, is what the change runs.
    for (name, bytes) in files.iter().filter(|(name, _)| !ways.contains(name)) {
        let sql = text(name, bytes)?;
        if sql.len() > MOST_SQL_BYTES {
            let what = format!("it has {} bytes; the most that is read of a migration is {MOST_SQL_BYTES}", sql.len());
            return Err(Unread::new(name, what).help("split it, or load data by another way than a migration"));
        }
        let (up, down) = if is_flyway(name) { (sql.to_owned(), None) } else { directions(sql) };
        let has_way_back =
            down.is_some_and(|down| has_statement(&down)) || ways_back(name).iter().any(|path| beside.contains(path));
        read(name, &up, has_way_back, &mut all);
        all.from.push(Origin::of_bytes("sql", name, bytes));
        all.files += 1;
    }
    Ok(all)
}

fn read(name: &str, sql: &str, has_way_back: bool, all: &mut Migrations) {
    // The linter can be switched off from within the file. Same length, so that places stay.
    let sql = sql.replace("squawk", "_quawk");
    if is_too_much(&sql) {
        return add(all, name, 1, "too long or too deep to be read", everything());
    }
    let parse = SourceFile::parse(&sql);
    let errors: Vec<usize> = parse.errors().iter().map(|e| usize::from(e.range().start())).collect();
    let mut linter = Linter::from(RULES.iter().map(|(rule, _)| *rule));
    let found: Vec<(usize, &[Hazard])> = linter
        .lint(&parse, &sql)
        .iter()
        .filter_map(|v| {
            let (_, hazards) = RULES.iter().find(|(rule, _)| *rule == v.code)?;
            Some((usize::from(v.text_range.start()), *hazards))
        })
        .collect();
    let nodes: Vec<SyntaxNode> =
        parse.tree().stmts().map(|s| s.syntax().clone()).filter(|n| kind(n) != "EMPTY_STMT").collect();
    let mut claimed = BTreeSet::new();
    for (i, node) in nodes.iter().enumerate() {
        let from = usize::from(node.text_range().start());
        let until = nodes.get(i + 1).map_or(usize::MAX, |next| usize::from(next.text_range().start()));
        let here = |at: &usize| (from..until).contains(at);
        let mut risks = hazards(node, has_way_back);
        risks.extend(found.iter().filter(|(at, _)| here(at)).flat_map(|(_, hazards)| hazards.iter().copied()));
        let broken: Vec<usize> = errors.iter().copied().filter(here).collect();
        if !broken.is_empty() {
            claimed.extend(broken);
            risks = everything();
        }
        add(all, name, line(&sql, first(node)), &what(node), risks);
    }
    // Text before the first statement, or a file of nothing that can be read.
    if let Some(at) = errors.iter().find(|at| !claimed.contains(*at)) {
        add(all, name, line(&sql, *at), "can't be read", everything());
    }
}

fn add(all: &mut Migrations, name: &str, line: usize, what: &str, risks: BTreeSet<Hazard>) {
    all.statements += 1;
    let counters = [
        (Hazard::Locking, &mut all.locking),
        (Hazard::DataLoss, &mut all.data_loss),
        (Hazard::Irreversible, &mut all.irreversible),
        (Hazard::Slow, &mut all.slow),
        (Hazard::Unparsable, &mut all.unparsable),
    ];
    for (hazard, counter) in counters {
        *counter += u32::from(risks.contains(&hazard));
    }
    if !risks.is_empty() {
        all.risky.push(Statement { place: format!("{}:{line}", shortened(name)), what: what.to_owned(), risks });
    }
}

fn everything() -> BTreeSet<Hazard> {
    [Hazard::Locking, Hazard::DataLoss, Hazard::Irreversible, Hazard::Slow, Hazard::Unparsable].into()
}

/// What the rules of the linter find, as hazards.
const RULES: [(Rule, &[Hazard]); 17] = [
    (Rule::RequireConcurrentIndexCreation, &[Hazard::Locking, Hazard::Slow]),
    (Rule::RequireConcurrentIndexDeletion, &[Hazard::Locking]),
    (Rule::RequireConcurrentPartitionDetach, &[Hazard::Locking]),
    (Rule::RequireConcurrentReindex, &[Hazard::Locking, Hazard::Slow]),
    (Rule::PreferRepack, &[Hazard::Locking, Hazard::Slow]),
    (Rule::ConstraintMissingNotValid, &[Hazard::Locking, Hazard::Slow]),
    (Rule::AddingForeignKeyConstraint, &[Hazard::Locking, Hazard::Slow]),
    (Rule::DisallowedUniqueConstraint, &[Hazard::Locking, Hazard::Slow]),
    (Rule::AddingFieldWithDefault, &[Hazard::Locking, Hazard::Slow]),
    (Rule::AddingNotNullableField, &[Hazard::Locking, Hazard::Slow]),
    (Rule::AddingSerialPrimaryKeyField, &[Hazard::Locking, Hazard::Slow]),
    (Rule::ChangingColumnType, &[Hazard::Locking, Hazard::Slow, Hazard::DataLoss, Hazard::Irreversible]),
    (Rule::BanDropColumn, &[Hazard::DataLoss, Hazard::Irreversible]),
    (Rule::BanDropTable, &[Hazard::DataLoss, Hazard::Irreversible]),
    (Rule::BanDropDatabase, &[Hazard::DataLoss, Hazard::Irreversible]),
    (Rule::BanDropSchema, &[Hazard::DataLoss, Hazard::Irreversible]),
    (Rule::BanTruncateCascade, &[Hazard::DataLoss, Hazard::Irreversible]),
];

/// What destroys data, wherever it stands in a statement.
const DESTROYING: [&str; 10] = [
    "TRUNCATE",
    "DELETE",
    "DROP_TABLE",
    "DROP_COLUMN",
    "DROP_SCHEMA",
    "DROP_DATABASE",
    "DROP_SEQUENCE",
    "DROP_MATERIALIZED_VIEW",
    "DROP_OWNED",
    "MERGE",
];
/// What may do anything, because its effect stands elsewhere or in text.
const OPAQUE: [&str; 5] = ["DO", "CALL", "EXECUTE", "LOAD", "COPY"];
/// What is undone by its opposite, or needs no undoing.
const REVERSIBLE: [&str; 28] = [
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE_SAVEPOINT",
    "SET",
    "RESET",
    "SET_CONSTRAINTS",
    "SET_TRANSACTION",
    "SET_ROLE",
    "SHOW",
    "ANALYZE",
    "EXPLAIN",
    "COMMENT_ON",
    "GRANT",
    "REVOKE",
    "INSERT",
    "LOCK",
    "SELECT",
    "PREPARE",
    "DISCARD",
    "CHECKPOINT",
    "VACUUM",
    "CLUSTER",
    "REINDEX",
    "DROP_INDEX",
    "ALTER_INDEX",
    "REFRESH",
];
/// Actions of an `alter table` that are undone by their opposite.
const REVERSIBLE_ACTIONS: [&str; 18] = [
    "ADD_COLUMN",
    "ADD_CONSTRAINT",
    "VALIDATE_CONSTRAINT",
    "RENAME_COLUMN",
    "RENAME_CONSTRAINT",
    "TABLE_RENAME_TO",
    "ENABLE_RLS",
    "FORCE_RLS",
    "ENABLE_TRIGGER",
    "DISABLE_TRIGGER",
    "OWNER_TO",
    "SET_SCHEMA",
    "SET_TABLESPACE",
    "ATTACH_PARTITION",
    "DETACH_PARTITION",
    "SET_LOGGED",
    "SET_OPTIONS",
    "CLUSTER_ON",
];

/// What only writes down an expression: nothing in it is called before somebody uses what it defines.
const DEFINING: [&str; 7] = [
    "CREATE_TABLE",
    "CREATE_VIEW",
    "CREATE_FUNCTION",
    "CREATE_PROCEDURE",
    "CREATE_TRIGGER",
    "CREATE_POLICY",
    "CREATE_DOMAIN",
];
/// Functions of PostgreSQL that change nothing: defaults, indexes and backfills are full of them.
const HARMLESS_CALLS: [&str; 48] = [
    "abs",
    "array_agg",
    "avg",
    "btrim",
    "ceil",
    "char_length",
    "clock_timestamp",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "date_trunc",
    "extract",
    "floor",
    "gen_random_uuid",
    "generate_series",
    "greatest",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "least",
    "left",
    "length",
    "lower",
    "max",
    "md5",
    "min",
    "nextval",
    "now",
    "nullif",
    "random",
    "replace",
    "right",
    "round",
    "row_number",
    "split_part",
    "statement_timestamp",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "to_char",
    "to_date",
    "to_timestamp",
    "to_tsvector",
    "trim",
    "unnest",
    "upper",
];

fn hazards(node: &SyntaxNode, has_way_back: bool) -> BTreeSet<Hazard> {
    let within: BTreeSet<String> = node.descendants().map(|n| kind(&n)).collect();
    let has = |names: &[&str]| names.iter().any(|name| within.contains(*name));
    let own = kind(node);
    if OPAQUE.contains(&own.as_str()) {
        let mut all = everything();
        all.remove(&Hazard::Unparsable);
        return all;
    }
    let mut found = BTreeSet::new();
    if has(&DESTROYING) {
        found.extend([Hazard::DataLoss, Hazard::Irreversible]);
    }
    if has(&["UPDATE", "DELETE", "MERGE", "CREATE_TABLE_AS", "REFRESH", "VALIDATE_CONSTRAINT"]) {
        found.insert(Hazard::Slow);
    }
    if has(&["LOCK", "TRUNCATE", "ALTER_COLUMN"]) {
        found.insert(Hazard::Locking);
    }
    let rewrites = own == "CLUSTER" || (own == "VACUUM" && node.text().to_string().to_lowercase().contains("full"));
    if rewrites {
        found.extend([Hazard::Locking, Hazard::Slow]);
    }
    if !has_way_back && !is_reversible(node, &own, &within) {
        found.insert(Hazard::Irreversible);
    }
    found
}

fn is_reversible(node: &SyntaxNode, own: &str, within: &BTreeSet<String>) -> bool {
    // A function that is called may do anything to the database, wherever in a statement it stands.
    if !DEFINING.contains(&own) && node.descendants().any(|n| kind(&n) == "CALL_EXPR" && !is_harmless_call(&n)) {
        return false;
    }
    let writes = within.contains("UPDATE") || within.contains("CONFLICT_DO_UPDATE_SET");
    match own {
        "ALTER_TABLE" => actions(node).iter().all(|action| REVERSIBLE_ACTIONS.contains(&action.as_str())),
        "SELECT" => !within.contains("INTO_CLAUSE"),
        // One that replaces another loses what was there before.
        create if create.starts_with("CREATE_") => !within.contains("OR_REPLACE"),
        other => REVERSIBLE.contains(&other) && !writes,
    }
}

/// Whether a call is one of a function of PostgreSQL that only computes. One with a schema before its name is somebody's own.
fn is_harmless_call(call: &SyntaxNode) -> bool {
    let text = call.text().to_string().to_lowercase();
    text.split_once('(').is_some_and(|(name, _)| HARMLESS_CALLS.contains(&name.trim()))
}

fn actions(node: &SyntaxNode) -> Vec<String> {
    let skipped = ["TABLE_RELATION_NAME", "RELATION_NAME", "IF_EXISTS", "PATH", "ALL_IN_TABLESPACE"];
    node.children().map(|n| kind(&n)).filter(|k| !skipped.contains(&k.as_str())).collect()
}

/// The name of a node's kind, such as `DROP_COLUMN`.
fn kind(node: &SyntaxNode) -> String {
    format!("{:?}", node.kind())
}

/// `alter table: drop column`.
fn what(node: &SyntaxNode) -> String {
    let plain = |kind: &str| kind.to_lowercase().replace('_', " ");
    let own = plain(&kind(node));
    match actions(node) {
        actions if own == "alter table" && !actions.is_empty() => {
            shortened(&format!("{own}: {}", actions.iter().map(|a| plain(a)).collect::<Vec<_>>().join(", ")))
        }
        _ => own,
    }
}

/// Where a statement really begins, behind the comments before it.
fn first(node: &SyntaxNode) -> usize {
    let trivia = |kind: String| kind == "WHITESPACE" || kind == "COMMENT";
    let token =
        node.descendants_with_tokens().filter_map(|e| e.into_token()).find(|t| !trivia(format!("{:?}", t.kind())));
    token.map_or_else(|| usize::from(node.text_range().start()), |t| usize::from(t.text_range().start()))
}

fn line(sql: &str, at: usize) -> usize {
    sql.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

/// How goose, dbmate and sql-migrate mark the two directions in one file.
const MARKERS: [[&str; 2]; 3] =
    [["-- +goose Up", "-- +goose Down"], ["-- migrate:up", "-- migrate:down"], ["-- +migrate Up", "-- +migrate Down"]];

/// The two parts of a file that holds both directions. A tool is known by its way forward: without one before it, a mark of the way back is a comment,
/// and what stands below it is run. The way forward keeps its places: what leads back is blank in it.
fn directions(sql: &str) -> (String, Option<String>) {
    let (mut up, mut down) = (String::with_capacity(sql.len()), None::<String>);
    let (mut tool, mut leads_back) = (None, false);
    for line in sql.split_inclusive('\n') {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let is = |marker: &str| {
            let rest = words.strip_prefix(marker).filter(|_| line.starts_with("--"));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if let Some(found) = MARKERS.iter().position(|[up, _]| is(up)).filter(|found| tool.is_none_or(|t| t == *found))
        {
            (tool, leads_back) = (Some(found), false);
        } else if tool.is_some_and(|tool: usize| MARKERS.get(tool).is_some_and(|[_, down]| is(down))) {
            leads_back = true;
        }
        if leads_back {
            down.get_or_insert_default().push_str(line);
            up.extend(line.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
        } else {
            up.push_str(line);
        }
    }
    (up, down)
}

/// Flyway knows no marks within a file; by its names its files are known.
fn is_flyway(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let versioned = name.strip_prefix('V').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (versioned || name.starts_with('R')) && name.contains("__")
}

/// Whether a file is longer or nested deeper than people write: the parser would take hours for it, or all of the stack.
fn is_too_much(sql: &str) -> bool {
    let (mut at, mut open, mut prefixes) = (0, 0_usize, 0_usize);
    for (i, token) in squawk_lexer::tokenize(sql).enumerate() {
        let text = sql.get(at..at + token.len as usize).unwrap_or_default();
        at += token.len as usize;
        match text {
            "(" | "[" => open += 1,
            ")" | "]" => open = open.saturating_sub(1),
            ";" => prefixes = 0,
            "+" | "-" | "~" | "!" | "@" => prefixes += 1,
            word if DESCENDING.iter().any(|known| known.eq_ignore_ascii_case(word)) => prefixes += 1,
            _ => {}
        }
        if i >= MOST_TOKENS || open > MOST_OPEN || prefixes > MOST_PREFIXES {
            return true;
        }
    }
    false
}

fn has_statement(sql: &str) -> bool {
    if is_too_much(sql) {
        return false;
    }
    let parse = SourceFile::parse(sql);
    parse.errors().is_empty() && parse.tree().stmts().any(|s| kind(s.syntax()) != "EMPTY_STMT")
}

/// The paths at which a file that leads back would lie.
fn ways_back(path: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let stem = name.strip_suffix(".sql").unwrap_or(name);
    let bare = stem.strip_suffix(".up").or_else(|| stem.strip_suffix("_up")).unwrap_or(stem);
    let mut names = vec![format!("{bare}.down.sql"), format!("{bare}_down.sql"), format!("{bare}.undo.sql")];
    if name == "up.sql" {
        names = vec!["down.sql".into()];
    }
    if let Some(version) = name.strip_prefix('V') {
        names.push(format!("U{version}"));
    }
    let join = |name: String| if folder.is_empty() { name } else { format!("{folder}/{name}") };
    names.into_iter().map(join).collect()
}

#[cfg(test)]
mod tests;
