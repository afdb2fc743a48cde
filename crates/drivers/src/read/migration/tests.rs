//! Statements and what they risk, as a reader of facts sees them.

use expect_test::expect;

use super::*;

fn read(files: &[(&str, &str)]) -> Migrations {
    let files: Vec<_> = files.iter().map(|(n, t)| ((*n).to_owned(), t.as_bytes().to_vec())).collect();
    let beside = files.iter().map(|(n, _)| n.clone()).collect();
    migrations(&files, &beside).expect("text")
}

fn said(sql: &str) -> String {
    let found = read(&[("1.sql", sql)]);
    let lines = found.risky.list.iter().map(|s| format!("{} {}: {:?}", s.place, s.what, s.risks));
    format!("{} statements\n{}", found.statements, lines.collect::<Vec<_>>().join("\n"))
}

// X3, L3: each statement is classified; what nothing undoes is named with its place.
#[test]
fn each_statement_says_what_it_risks() {
    expect![[r#"
        24 statements
        1.sql:4 alter table: drop column: {DataLoss, Irreversible}
        1.sql:5 create index: {Locking, Slow}
        1.sql:7 drop table: {DataLoss, Irreversible}
        1.sql:8 truncate: {Locking, DataLoss, Irreversible}
        1.sql:9 delete: {DataLoss, Irreversible, Slow}
        1.sql:10 update: {Irreversible, Slow}
        1.sql:12 alter table: alter column: {Locking, DataLoss, Irreversible, Slow}
        1.sql:13 alter table: alter column: {Locking, Irreversible, Slow}
        1.sql:14 alter table: add constraint: {Locking, Slow}
        1.sql:16 create view: {Irreversible}
        1.sql:17 do: {Locking, DataLoss, Irreversible, Slow}
        1.sql:18 select: {Irreversible}
        1.sql:20 select: {DataLoss, Irreversible, Slow}
        1.sql:21 drop function: {Irreversible}
        1.sql:23 drop sequence: {DataLoss, Irreversible}
        1.sql:24 vacuum: {Locking, Slow}
        1.sql:25 lock: {Locking}"#]]
    .assert_eq(&said(
        "-- a comment\ncreate table a (id bigint primary key);\nalter table a add column b text;\nalter table a drop column b;\n\
         create index i on a (id);\ncreate index concurrently j on a (id);\ndrop table a;\ntruncate a;\ndelete from a;\n\
         update a set b = 1;\ninsert into a values (1);\nalter table a alter column b type int;\nalter table a alter column b set not null;\n\
         alter table a add constraint c foreign key (b) references d (id);\nalter table a rename to z;\ncreate or replace view v as select 1;\n\
         do $$ begin drop table x; end $$;\nselect drop_all();\nselect 1;\nwith x as (delete from a returning *) select * from x;\n\
         drop function f;\ngrant select on a to b;\ndrop sequence s;\nvacuum full a;\nlock table a;\n",
    ));
}

#[test]
fn a_statement_that_cannot_be_read_is_everything_at_once() {
    for sql in [
        "this is no SQL;",
        "alter table;",
        "\\i other.sql\ncreate table a (id int);",
        "CREATE TABLE `a` (`id` int) ENGINE=InnoDB;",
    ] {
        let found = read(&[("1.sql", sql)]);
        assert!(found.unparsable > 0 && found.data_loss > 0 && found.irreversible > 0, "{sql}: {found:?}");
    }
}

#[test]
fn a_comment_does_not_switch_the_rules_off() {
    let quiet = |comment: &str| read(&[("1.sql", &format!("{comment}\ncreate index i on a (id);"))]).locking;
    assert_eq!(quiet(""), 1);
    assert_eq!(quiet("-- squawk-ignore-file"), 1);
    assert_eq!(quiet("-- squawk-ignore require-concurrent-index-creation"), 1);
    assert_eq!(quiet("-- squawk-disable-assume-in-transaction"), 1);
}

// X3: a way back makes reversible what loses nothing, and nothing brings lost data back.
#[test]
fn a_way_back_makes_reversible_what_loses_nothing() {
    let update = "update a set b = 1;";
    let irreversible = |files: &[(&str, &str)]| read(files).irreversible;
    assert_eq!(irreversible(&[("m/1.sql", update)]), 1);
    assert_eq!(irreversible(&[("m/1.up.sql", update), ("m/1.down.sql", "update a set b = 0;")]), 0);
    assert_eq!(irreversible(&[("m/1/up.sql", update), ("m/1/down.sql", "select 1;")]), 0);
    assert_eq!(irreversible(&[("V1__x.sql", update), ("U1__x.sql", "select 1;")]), 0);
    assert_eq!(
        irreversible(&[("1.sql", &format!("-- migrate:up\n{update}\n-- migrate:down\nupdate a set b = 0;"))]),
        0
    );
    assert_eq!(
        irreversible(&[("1.sql", &format!("-- +goose Up\n{update}\n-- +goose Down\n"))]),
        1,
        "an empty way back is none"
    );
    assert_eq!(irreversible(&[("m/1.up.sql", "drop table a;"), ("m/1.down.sql", "create table a ();")]), 1);
}

#[test]
fn a_file_that_leads_back_is_not_what_the_change_runs() {
    let found = read(&[("1.up.sql", "create table a ();"), ("1.down.sql", "drop table a;")]);
    assert_eq!((found.files, found.statements, found.data_loss), (1, 1, 0));
}

// LC1: a name that sounds like a way back hides nothing, unless something lies beside it from which it leads back.
#[test]
fn a_file_that_only_sounds_like_a_way_back_is_run() {
    let drop = "drop table a;";
    for name in ["m/0042_scale_down.sql", "down.sql", "m/1.down.sql", "U7__x.sql", "m/1.undo.sql"] {
        let found = read(&[(name, drop)]);
        assert_eq!((found.files, found.data_loss, found.irreversible), (1, 1, 1), "{name}");
    }
    let beside = ["m/0042_scale.sql".to_owned()].into();
    let found = migrations(&[("m/0042_scale_down.sql".into(), drop.into())], &beside).expect("text");
    assert_eq!((found.files, found.data_loss), (0, 0), "it leads back from its neighbour");
}

// LC1: what a tool runs is read, whatever comments say.
#[test]
fn a_mark_of_the_way_back_counts_only_behind_one_of_the_way_forward() {
    let lost = |name: &str, sql: &str| read(&[(name, sql)]).data_loss;
    assert_eq!(lost("V7__x.sql", "-- migrate:down\ndrop table a;"), 1);
    assert_eq!(lost("V7__x.sql", "-- migrate:up\n-- migrate:down\ndrop table a;"), 1, "Flyway knows no marks");
    assert_eq!(lost("1.sql", "-- +migrate Down\nselect 1;\n-- +migrate Up\ndrop table a;"), 1, "the way back is first");
    assert_eq!(lost("1.sql", "-- +goose Up\n-- migrate:down\ndrop table a;"), 1, "a mark of another tool");
    assert_eq!(lost("1.sql", "-- migrate:up\n-- migrate:downtown\ndrop table a;"), 1, "another word");
    assert_eq!(
        lost("1.sql", "-- migrate:up\n  -- migrate:down\ndrop table a;"),
        1,
        "within a statement it is a comment"
    );
    assert_eq!(lost("1.sql", "-- migrate:up\n-- migrate:down\ndrop table a;"), 0);
    let again = "-- +migrate Up\nselect 1;\n-- +migrate Down\ndrop table a;\n-- +migrate Up\ndrop table b;\n";
    let found = read(&[("1.sql", again)]);
    assert_eq!(
        (found.data_loss, found.risky.list[0].place.as_str()),
        (1, "1.sql:6"),
        "what follows is run, in its place"
    );
}

// X3: what a function does is not seen, wherever it is called.
#[test]
fn a_function_that_is_called_leaves_no_way_back() {
    let irreversible = |sql: &str| read(&[("1.sql", sql)]).irreversible;
    for sql in [
        "insert into log select wipe();",
        "insert into log values (wipe());",
        "create table b as select wipe();",
        "explain analyze select wipe();",
        "select wipe() from a;",
        "select public.lower(b) from a;",
        "create index concurrently i on a (wipe(b));",
        "alter table a add column c int default wipe();",
        "create materialized view v as select wipe();",
    ] {
        assert_eq!(irreversible(sql), 1, "{sql}");
    }
    for sql in [
        "create table b (id uuid default gen_random_uuid(), name varchar(20), at timestamptz default own_clock());",
        "alter table a add column at timestamptz default now();",
        "create index concurrently i on a (lower(b));",
        "insert into a select count(*) from b;",
        "create view v as select own();",
    ] {
        assert_eq!(irreversible(sql), 0, "{sql}");
    }
}

#[test]
fn huge_and_hostile_files_are_refused_or_bounded() {
    let read = |bytes: Vec<u8>| migrations(&[("1.sql".into(), bytes)], &BTreeSet::new());
    assert!(read(vec![b' '; MOST_SQL_BYTES + 1]).is_err());
    assert!(read(vec![0xff]).is_err());
    // As deep as a file can nest in each way that the parser descends: none may end the program, and all are everything at once or read.
    for (open, close) in [
        ("(", ")"),
        ("not ", ""),
        ("+ ", ""),
        ("case when ", " then 1 end"),
        ("(select ", ")"),
        ("[", "]"),
        ("1 union select ", ""),
    ] {
        for depth in [60, 2_000, 200_000] {
            let sql = format!("select {}1{};", open.repeat(depth), close.repeat(depth));
            if sql.len() <= MOST_SQL_BYTES {
                let found = read(sql.into_bytes()).expect("text");
                assert!(depth == 60 || found.unparsable == 1, "{open} {depth}");
            }
        }
    }
    let many = read("drop table a;\n".repeat(5_000).into_bytes()).expect("text");
    assert_eq!((many.data_loss, many.risky.total, many.risky.list.len()), (5_000, 5_000, 3_000));
    let secret = read(b"update a set password = 'hunter2';".to_vec()).expect("text");
    assert!(!format!("{secret:?}").contains("hunter2"));
}
