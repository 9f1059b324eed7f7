//! Bars from the left, for plots with names: lengths to be compared, and wholes cut into shares.

use super::plot::{Axis, Reach, escape};
use std::fmt::Write as _;

/// Size of a bar chart, its column of names, and a row of it.
const BARS_WIDTH: f64 = 960.0;
const NAMES: f64 = 210.0;
const VALUES: f64 = 130.0;
const ROW: f64 = 24.0;
/// Room for half of the last percentage, right of the shares.
const SHARES_MARGIN: f64 = 20.0;
/// A part that is wider has its percentage written inside.
const ROOM_FOR_PERCENT: f64 = 30.0;

/// A row of a bar chart.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub class: String,
    pub name: String,
    pub value: Reach,
    /// Name and value of what it is compared with.
    pub peer: Option<(&'static str, f64)>,
    /// True where a gap stands before it.
    pub starts_group: bool,
}

/// Bars from the left, one below the other. Those that are longer than `longest` end at the edge, with an arrow: the others
/// would else not be told apart.
pub(super) fn bars(title: &str, bars: &[Bar], longest: f64) -> String {
    let most = bars
        .iter()
        .flat_map(|bar| [bar.value.2, bar.peer.map_or(0.0, |(_, peer)| peer)])
        .fold(0.0, f64::max)
        .min(longest);
    let axis = Axis::linear("", most);
    let groups = bars.iter().skip(1).filter(|bar| bar.starts_group).count() as f64;
    let height = bars.len() as f64 * ROW + groups * ROW / 2.0 + 26.0;
    let room = BARS_WIDTH - NAMES - VALUES;
    let at = |value: f64| NAMES + axis.share(value) * room;
    let mut svg = format!(
        "<svg class=\"plot wide\" viewBox=\"0 0 {BARS_WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escape(title)
    );
    for (tick, name) in &axis.ticks {
        let x = at(*tick);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} 0V{}\"/>", height - 22.0);
        let _ = writeln!(svg, "<text class=\"tick middle\" x=\"{x:.1}\" y=\"{}\">{name}</text>", height - 7.0);
    }
    let mut top = 2.0;
    for (number, bar) in bars.iter().enumerate() {
        if bar.starts_group && number > 0 {
            top += ROW / 2.0;
        }
        let (value, min, max) = bar.value;
        let end = at(value);
        let _ = write!(svg, "<g class=\"{}\"><title>{}: {}</title>", bar.class, escape(&bar.name), figure(value));
        let _ = write!(
            svg,
            "<text class=\"name end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            NAMES - 9.0,
            top + 14.0,
            escape(&bar.name)
        );
        let thickness = if bar.peer.is_some() { 9.0 } else { 14.0 };
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{thickness}\"/>",
            top + 2.0,
            (end - NAMES).max(0.5)
        );
        let middle = top + 2.0 + thickness / 2.0;
        let _ = write!(svg, "<path class=\"reach\" d=\"M{:.1} {middle:.1}H{:.1}\"/>", at(min), at(max));
        let arrow = if value > axis.max { "→ " } else { "" };
        let mut text = format!("{arrow}{}", figure(value));
        let mut last = at(max);
        if let Some((name, peer)) = bar.peer {
            let _ = write!(
                svg,
                "<rect class=\"peer\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"5\"/>",
                top + 13.5,
                (at(peer) - NAMES).max(0.5)
            );
            let _ = write!(text, " · {name} {}", figure(peer));
            last = last.max(at(peer));
        }
        let _ =
            writeln!(svg, "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{text}</text></g>", last + 8.0, top + 14.0);
        top += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}

/// A row that is cut into shares.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    pub name: String,
    /// Class and name of each part, and its share of the whole, 0 to 1; together at most 1.
    pub parts: Vec<(&'static str, &'static str, f64)>,
    /// True where a gap stands before it.
    pub starts_group: bool,
}

/// Shares from the left, one whole below the other.
pub(super) fn stacks(title: &str, rows: &[Stack]) -> String {
    let groups = rows.iter().skip(1).filter(|row| row.starts_group).count() as f64;
    let height = rows.len() as f64 * ROW + groups * ROW / 2.0 + 26.0;
    let room = BARS_WIDTH - NAMES - SHARES_MARGIN;
    let mut svg = format!(
        "<svg class=\"plot wide\" viewBox=\"0 0 {BARS_WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escape(title)
    );
    for quarter in 0..=4 {
        let x = NAMES + room * f64::from(quarter) / 4.0;
        let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} 0V{}\"/>", height - 22.0);
        let (y, percent) = (height - 7.0, quarter * 25);
        let _ = writeln!(svg, "<text class=\"tick middle\" x=\"{x:.1}\" y=\"{y}\">{percent}%</text>");
    }
    let mut top = 2.0;
    for (number, row) in rows.iter().enumerate() {
        if row.starts_group && number > 0 {
            top += ROW / 2.0;
        }
        stack(&mut svg, row, top, room);
        top += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}

fn stack(svg: &mut String, row: &Stack, top: f64, room: f64) {
    let (end, middle) = (NAMES - 9.0, top + 14.0);
    let _ = write!(svg, "<text class=\"name end\" x=\"{end}\" y=\"{middle:.1}\">{}</text>", escape(&row.name));
    let mut left = NAMES;
    for (class, name, share) in &row.parts {
        let (width, percent) = (share * room, share * 100.0);
        let _ = write!(svg, "<g class=\"{class}\"><title>{}: {percent:.1}%</title>", escape(name));
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\"/>",
            top + 2.0
        );
        if width > ROOM_FOR_PERCENT {
            let (x, y) = (left + width / 2.0, top + 14.0);
            let _ = write!(svg, "<text class=\"inside middle\" x=\"{x:.1}\" y=\"{y:.1}\">{percent:.0}%</text>");
        }
        svg.push_str("</g>\n");
        left += width;
    }
}

/// A value with about three digits.
pub(super) fn figure(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_whole_lie_side_by_side() {
        let parts = vec![("decode", "decode", 0.75), ("wait", "<wait>", 0.25)];
        let svg = stacks("", &[Stack { name: "a&b".into(), parts, starts_group: true }]);
        let room = BARS_WIDTH - NAMES - SHARES_MARGIN;
        for part in [
            format!("x=\"{NAMES:.1}\" y=\"4.0\" width=\"{:.1}\"", room * 0.75),
            format!("x=\"{:.1}\" y=\"4.0\" width=\"{:.1}\"", NAMES + room * 0.75, room * 0.25),
            "a&amp;b".to_owned(),
            "&lt;wait&gt;: 25.0%".to_owned(),
        ] {
            assert!(svg.contains(&part), "{part:?} is not in {svg}");
        }
    }

    #[test]
    fn a_bar_that_would_press_the_others_to_the_ground_is_cut() {
        let bar = |value| Bar {
            class: String::new(),
            name: String::new(),
            value: (value, value, value),
            peer: None,
            starts_group: false,
        };
        let svg = bars("", &[bar(1.0), bar(1000.0)], 5.0);
        let room = BARS_WIDTH - NAMES - VALUES;
        assert!(svg.contains(&format!("width=\"{:.1}\"", room / 5.0)) && svg.contains(&format!("width=\"{room:.1}\"")));
        assert!(svg.contains(">→ 1000<") && svg.contains(">1.000<"), "{svg}");
    }

    #[test]
    fn figures_have_three_digits_or_so() {
        assert_eq!([0.0421, 1.5, 42.12, 1234.5].map(figure), ["0.042", "1.500", "42.1", "1234"]);
    }
}
