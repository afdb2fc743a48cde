//! The table: one line a figure, with what it is held against.
//!
//! Columns have fixed widths, so that each bench can print when it is done. Says whether an aim is met and decides nothing by it.

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// A figure to know, not to hold.
    None,
}

/// A figure beside its limit or peer.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub name: String,
    pub figure: String,
    pub beside: String,
    /// The figure divided by what stands beside it, where both are of one kind.
    pub ratio: Option<f64>,
    pub aim: Aim,
}

pub(crate) fn print_head() {
    print_line("bench", "figure", "limit or peer", "ratio", "aim");
}

pub(crate) fn print_row(row: &Row) {
    let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    print_line(&row.name, &row.figure, &row.beside, &ratio, &aim(row));
}

fn aim(row: &Row) -> String {
    let (words, is_met) = match (row.aim, row.ratio) {
        (Aim::AtLeast(least), ratio) => (format!("at least {least}"), ratio.is_some_and(|ratio| ratio >= least)),
        (Aim::AtMost(most), ratio) => (format!("at most {most}"), ratio.is_some_and(|ratio| ratio <= most)),
        (Aim::None, _) => return "-".to_owned(),
    };
    if is_met { words } else { format!("{words}: missed") }
}

fn print_line(name: &str, figure: &str, beside: &str, ratio: &str, aim: &str) {
    println!("{name:<46} {figure:>12}   {beside:<44} {ratio:>6}   {aim}");
}
