//! A drawing as one SVG file: callers on the left, what they call on the right.
//!
//! It needs nothing but itself: no script, no font, no address; it can be read in light and in dark, and by a screen reader. Size is bounded by what is
//! drawn: see [`MOST_DRAWN`](super::MOST_DRAWN).

use std::fmt::Write as _;

use change::catalog::Catalog;

use super::layers::{Layers, layers};
use super::{Part, caption};
use crate::xml::escaped;

const BOX_WIDTH: usize = 184;
const BOX_HEIGHT: usize = 38;
const COLUMN: usize = 250;
const ROW: usize = 52;
const MARGIN: usize = 24;
/// Where the drawing begins, below its words.
const TOP: usize = 76;
/// Characters of a name, and of what stands below it.
const NAME_CHARS: usize = 23;
const CAPTION_CHARS: usize = 29;

const STYLE: &str = "
.cwc{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;background:#f6f7f8}.cwc .ground{fill:#f6f7f8}
.cwc text{fill:#1c2126}.cwc .muted{fill:#59636e;font-size:11px}.cwc .head{font-size:18px;font-weight:700}.cwc .name{font-weight:600}
.cwc .card{fill:#fff;stroke:#8a949e;stroke-width:1}.cwc .t1{stroke-width:2.6}.cwc .t2{stroke-width:1.8}.cwc .gone{stroke-dasharray:3 3}
.cwc .focus{stroke:#1a5fb4;fill:#e8f0fb}.cwc path{fill:none;stroke:#77828d;stroke-width:1.2}.cwc path.back{stroke:#b1480b;stroke-dasharray:5 3}
.cwc marker path{fill:#77828d;stroke:none}
@media (prefers-color-scheme:dark){.cwc{background:#14171a}.cwc .ground{fill:#14171a}.cwc text{fill:#e4e7ea}.cwc .muted{fill:#9aa5b1}
.cwc .card{fill:#1b1f23;stroke:#6b7680}.cwc .focus{stroke:#7fb6ff;fill:#1d2b3d}.cwc path{stroke:#8b96a1}.cwc path.back{stroke:#ffa45c}
.cwc marker path{fill:#8b96a1}}
";

/// Draws a part of a catalog.
pub(crate) fn draw(catalog: &Catalog, part: &Part) -> String {
    let Layers { layers, backward } = layers(part.names.len(), &part.calls);
    let tallest = layers.iter().map(Vec::len).max().unwrap_or(0);
    let mut place = vec![(0, 0); part.names.len()];
    for (column, layer) in layers.iter().enumerate() {
        let down = (tallest - layer.len()) * ROW / 2;
        for (row, at) in layer.iter().enumerate() {
            place[*at] = (MARGIN + column * COLUMN, TOP + down + row * ROW);
        }
    }
    let mut out = String::new();
    for (from, to) in &part.calls {
        arrow(&mut out, place[*from], place[*to], backward.contains(&(*from, *to)));
    }
    for (at, name) in part.names.iter().enumerate() {
        card(&mut out, catalog, part, name, place[at]);
    }
    let width = (2 * MARGIN + layers.len().saturating_sub(1) * COLUMN + BOX_WIDTH).max(560);
    page(part, width, TOP + tallest * ROW + MARGIN / 2, &out)
}

fn page(part: &Part, width: usize, height: usize, drawing: &str) -> String {
    let title = part.focus.as_ref().map_or_else(|| "The catalog".to_owned(), |focus| format!("Around {focus}"));
    let title = escaped(&cut(&title, 48));
    let services =
        if part.names.len() == 1 { "1 service".to_owned() } else { format!("{} services", part.names.len()) };
    let left_out = part.left_out().map(|sentence| format!("; {sentence}")).unwrap_or_default();
    let words = escaped(&format!("{services}{left_out}."));
    let legend =
        "An arrow leads from a caller to what it calls; a dashed one closes a circle; a thick frame is tier 1.";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cwc\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"cwc-title cwc-desc\">\n\
         <title id=\"cwc-title\">{title}</title>\n<desc id=\"cwc-desc\">{words} {legend}</desc>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"cwc-head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n<text class=\"head\" x=\"{MARGIN}\" y=\"28\">{title}</text>\n\
         <text x=\"{MARGIN}\" y=\"46\">{words}</text>\n<text class=\"muted\" x=\"{MARGIN}\" y=\"62\">{legend}</text>\n{drawing}</svg>\n"
    )
}

fn arrow(out: &mut String, from: (usize, usize), to: (usize, usize), is_back: bool) {
    let (x1, y1, x2, y2) = (from.0 + BOX_WIDTH, from.1 + BOX_HEIGHT / 2, to.0, to.1 + BOX_HEIGHT / 2);
    let class = if is_back { " class=\"back\"" } else { "" };
    // The two inner points lie beyond both ends, so that an arrow back leaves on the right and comes in from the left.
    let reach = if x2 > x1 { (x2 - x1) / 2 } else { COLUMN / 3 };
    let (inner1, inner2) = (x1 + reach, x2 as i64 - reach as i64);
    let _ = writeln!(
        out,
        "<path{class} d=\"M{x1} {y1}C{inner1} {y1} {inner2} {y2} {x2} {y2}\" marker-end=\"url(#cwc-head)\"/>"
    );
}

fn card(out: &mut String, catalog: &Catalog, part: &Part, name: &str, (x, y): (usize, usize)) {
    let tier = catalog.service(name).map_or_else(|| "gone".to_owned(), |service| format!("t{}", service.tier));
    let focus = if part.focus.as_deref() == Some(name) { " focus" } else { "" };
    let below = caption(catalog, name);
    let (title, name) = (escaped(&format!("{name}: {below}")), escaped(&cut(name, NAME_CHARS)));
    let below = escaped(&cut(&below, CAPTION_CHARS));
    let (text_x, name_y, below_y) = (x + 10, y + 16, y + 31);
    let _ = writeln!(
        out,
        "<g><title>{title}</title><rect class=\"card {tier}{focus}\" x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/>\
         <text class=\"name\" x=\"{text_x}\" y=\"{name_y}\">{name}</text><text class=\"muted\" x=\"{text_x}\" y=\"{below_y}\">{below}</text></g>"
    );
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
