//! A drawing as DOT, the language of Graphviz (graphviz.org/doc/info/lang.html), for whoever wants to draw it another way.

use std::fmt::Write as _;

use change::catalog::Catalog;

use super::{Part, caption};

/// Writes a part of a catalog; an arrow leads from the caller to what it calls.
pub(crate) fn draw(catalog: &Catalog, part: &Part) -> String {
    let mut out = "digraph catalog {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n".to_owned();
    if let Some(left_out) = part.left_out() {
        let _ = writeln!(out, "  label={};", quoted(&left_out));
    }
    for name in &part.names {
        let bold = if part.focus.as_ref() == Some(name) { ", penwidth=3" } else { "" };
        let label = format!("{}\\n{}", escaped(name), escaped(&caption(catalog, name)));
        let _ = writeln!(out, "  {} [label=\"{label}\"{bold}];", quoted(name));
    }
    for (from, to) in &part.calls {
        let _ = writeln!(out, "  {} -> {};", quoted(&part.names[*from]), quoted(&part.names[*to]));
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// The inside of a quoted text: a backslash begins an escape in labels, and control characters have no place in one.
fn escaped(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}
