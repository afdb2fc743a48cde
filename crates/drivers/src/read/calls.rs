//! Calls: which service was seen to call which, as CSV or JSON.
//!
//! `client,server[,calls]` with a header, or a list of objects with these names. A row that can't be read ends the reading with its line: half of what
//! was seen would look like drift. Used by [`Catalog::dependency_drift`](change::catalog::Catalog::dependency_drift).

use change::catalog::Observed;
use change::document::{Place, Problem};

/// The largest file; a house of ten thousand services with thirty thousand calls takes two megabytes.
pub const MOST_BYTES: usize = 16 << 20;
const MOST_ROWS: usize = 200_000;
const LONGEST_NAME: usize = 256;

/// Reads observed calls.
///
/// # Errors
/// What is wrong with the first row that can't be read, and where.
pub fn observed(text: &str) -> Result<Vec<Observed>, Problem> {
    if text.len() > MOST_BYTES {
        return Err(problem(1, format!("it has {} bytes; the most that is read is {MOST_BYTES}", text.len())));
    }
    let rows = if text.trim_start().starts_with(['[', '{']) { of_json(text)? } else { of_csv(text)? };
    if rows.len() > MOST_ROWS {
        return Err(problem(1, format!("it has {} rows; the most that is read is {MOST_ROWS}", rows.len())));
    }
    for (line, row) in &rows {
        check(*line, row)?;
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn check(line: usize, row: &Observed) -> Result<(), Problem> {
    for (field, name) in [("client", &row.client), ("server", &row.server)] {
        if name.len() > LONGEST_NAME || name.contains(char::is_control) {
            return Err(problem(line, format!("`{field}` is no name of a service: it is too long, or not text")));
        }
    }
    match row.calls {
        Some(calls) if !(calls.is_finite() && calls >= 0.0) => {
            Err(problem(line, format!("`calls` is `{calls}`; write a count, or nothing")))
        }
        _ => Ok(()),
    }
}

fn of_json(text: &str) -> Result<Vec<(usize, Observed)>, Problem> {
    let rows: Vec<Observed> = serde_json::from_str(text).map_err(|error| {
        let message = format!("this is no list of calls: {error}");
        let help = "write `[{\"client\": \"web\", \"server\": \"cart\", \"calls\": 12}]`";
        Problem { help: Some(help.to_owned()), ..problem(error.line().max(1), message) }
    })?;
    Ok(rows.into_iter().enumerate().map(|(i, row)| (i + 1, row)).collect())
}

fn of_csv(text: &str) -> Result<Vec<(usize, Observed)>, Problem> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| problem(1, format!("this is no CSV: {e}")))?.clone();
    let column = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
    let (Some(client), Some(server)) = (column("client"), column("server")) else {
        let help = Some("the first line is `client,server` or `client,server,calls`".to_owned());
        return Err(Problem { help, ..problem(1, "the columns `client` and `server` are missing") });
    };
    let calls = column("calls");
    let mut rows = Vec::new();
    for record in reader.records().take(MOST_ROWS + 1) {
        let record = record.map_err(|e| {
            let line = e.position().map_or(1, csv::Position::line);
            problem(usize::try_from(line).unwrap_or(1), format!("this is no CSV: {e}"))
        })?;
        let line = record.position().map_or(1, |p| usize::try_from(p.line()).unwrap_or(1));
        let field = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let calls = match calls.and_then(|at| record.get(at)).filter(|text| !text.is_empty()) {
            Some(text) => Some(text.parse().map_err(|_| problem(line, "`calls` is no number"))?),
            None => None,
        };
        rows.push((line, Observed { client: field(client), server: field(server), calls }));
    }
    Ok(rows)
}

fn problem(line: usize, message: impl Into<String>) -> Problem {
    Problem { place: Place { line, column: 1 }, path: String::new(), message: message.into(), help: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(client: &str, server: &str, calls: Option<f64>) -> Observed {
        Observed { client: client.into(), server: server.into(), calls }
    }

    #[test]
    fn calls_are_read_from_csv_and_from_json() {
        let csv = observed("server, client,calls\n# a note\ncart, web ,12\nstock,cart,\n").expect("CSV");
        assert_eq!(csv, [call("web", "cart", Some(12.0)), call("cart", "stock", None)]);
        let json = observed(r#" [{"client": "web", "server": "cart"}]"#).expect("JSON");
        assert_eq!(json, [call("web", "cart", None)]);
        assert_eq!(observed("client,server\n"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_call_is_refused_with_its_line() {
        let refused = |text: &str| observed(text).expect_err("it is refused").to_string();
        assert!(refused("a,b\n1,2\n").starts_with("1:1: the columns `client` and `server` are missing\n  help: "));
        assert_eq!(refused("client,server,calls\na,b,1\na,b,x\n"), "3:1: `calls` is no number");
        assert_eq!(refused("client,server,calls\na,b,-1\n"), "2:1: `calls` is `-1`; write a count, or nothing");
        assert_eq!(refused("client,server,calls\na,b,NaN\n"), "2:1: `calls` is `NaN`; write a count, or nothing");
        assert!(refused("client,server\na\n").starts_with("2:1: this is no CSV"));
        assert!(refused("[{\"client\": 1}]").starts_with("1:1: this is no list of calls"));
        assert!(refused(&format!("client,server\n{},b\n", "a".repeat(300))).contains("`client` is no name"));
        assert!(refused(&format!("client,server\n{}", "a,b\n".repeat(200_001))).contains("the most that is read"));
    }
}
