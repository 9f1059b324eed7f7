//! Plots as SVG that stands in a page: sizes in the plot's own units, colours and fonts by class, from the page's style.

use std::fmt::Write as _;

/// Size of a line plot, and the room around its frame for labels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 42.0;

/// What an axis shows.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub label: &'static str,
    pub min: f64,
    pub max: f64,
    /// Where a tick is, on the axis, and what it says.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number at or above `max`, with about five ticks.
    pub(super) fn linear(label: &'static str, max: f64) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_step(max / 5.0);
        let num_steps = (max / step - 1e-9).ceil().max(1.0);
        let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let ticks = (0..=num_steps as u32).map(|tick| f64::from(tick) * step);
        Self { label, min: 0.0, max: num_steps * step, ticks: ticks.map(|at| (at, format!("{at:.digits$}"))).collect() }
    }

    /// One place for each name, at 0, 1, 2, ...
    pub(super) fn names(label: &'static str, names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<(f64, String)> = names.into_iter().enumerate().map(|(at, name)| (at as f64, name)).collect();
        Self { label, min: -0.3, max: ticks.len() as f64 - 0.7, ticks }
    }

    /// Microseconds by their decimal logarithm, from the power of ten at or below `min` to that at or above `max`.
    pub(super) fn micros(label: &'static str, min: f64, max: f64) -> Self {
        let (min, max) = (min.max(0.01).log10().floor(), max.max(0.01).log10().ceil());
        let max = if max > min { max } else { min + 1.0 };
        let ticks = (min as i32..=max as i32).map(|power| {
            let name = match power {
                ..=-1 => format!("{:.0} ns", 10_f64.powi(power + 3)),
                0..=2 => format!("{:.0} µs", 10_f64.powi(power)),
                3..=5 => format!("{:.0} ms", 10_f64.powi(power - 3)),
                _ => format!("{:.0} s", 10_f64.powi(power - 6)),
            };
            (f64::from(power), name)
        });
        Self { label, min, max, ticks: ticks.collect() }
    }

    /// Shares by how many nines they have, so that the slowest reads are seen: 0, 90%, 99%, 99.9%.
    pub(super) fn nines(label: &'static str) -> Self {
        let ticks = [(0.0, "0"), (nines(0.5), "50%"), (1.0, "90%"), (2.0, "99%"), (3.0, "99.9%")];
        Self { label, min: 0.0, max: 3.1, ticks: ticks.map(|(at, name)| (at, name.to_owned())).to_vec() }
    }

    /// How far along the axis a value is, 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }
}

/// Where a share of reads stands on [`Axis::nines`].
pub(super) fn nines(share: f64) -> f64 {
    -(1.0 - share.min(0.9999)).log10()
}

/// 1, 2 or 5 times a power of ten, at or above `value`.
fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= value * 0.999).unwrap_or(power)
}

/// A value, its least and its greatest.
pub(super) type Reach = (f64, f64, f64);

/// A line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Classes that give it colour and dashes.
    pub class: String,
    /// What a pointer that rests on it is told.
    pub title: String,
    /// Places on the axes, from left to right, with what is known of the spread.
    pub points: Vec<(f64, Reach)>,
    /// Whether each point is marked.
    pub marked: bool,
}

impl Line {
    /// A line through points without spread.
    pub(super) fn plain(class: String, title: String, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().map(|(x, y)| (x, (y, y, y))).collect();
        Self { class, title, points, marked: false }
    }
}

/// Lines over two axes.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

impl Plot {
    /// The plot.
    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(&self.title)
        );
        let _ = writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"17\">{}</text>", escape(&self.title));
        self.axes(&mut svg);
        for line in &self.lines {
            self.line(&mut svg, line);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let x = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT);
        (x, HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM))
    }

    fn axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (tick, name) in &self.y.ticks {
            let (_, y) = self.at(self.x.min, *tick);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ = writeln!(svg, "<text class=\"tick end\" x=\"{}\" y=\"{:.1}\">{name}</text>", LEFT - 7.0, y + 4.0);
        }
        for (tick, name) in &self.x.ticks {
            let (x, _) = self.at(*tick, self.y.min);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>");
            let _ = writeln!(
                svg,
                "<text class=\"tick middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                bottom + 16.0,
                escape(name)
            );
        }
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
        let _ = writeln!(
            svg,
            "<text class=\"label end\" x=\"{right}\" y=\"{:.1}\">{}</text>\
             <text class=\"label end\" x=\"{right}\" y=\"17\">{}</text>",
            HEIGHT - 7.0,
            self.x.label,
            self.y.label
        );
    }

    fn line(&self, svg: &mut String, line: &Line) {
        let _ = write!(svg, "<g class=\"{}\"><title>{}</title>", line.class, escape(&line.title));
        let mut path = String::new();
        for (x, (y, _, _)) in &line.points {
            let (x, y) = self.at(*x, *y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        }
        let _ = write!(svg, "<path class=\"line\" d=\"{path}\"/>");
        if line.marked {
            for (x, (y, min, max)) in &line.points {
                let ((x, y), (_, low), (_, high)) = (self.at(*x, *y), self.at(*x, *min), self.at(*x, *max));
                let _ = write!(svg, "<path class=\"reach\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
                let _ = write!(svg, "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"/>");
            }
        }
        svg.push_str("</g>\n");
    }
}

/// Text as HTML and its attributes need it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_that_nothing_exceeds() {
        for (max, end) in [(6.3, 8.0), (0.093, 0.1), (1.0, 1.0), (40.0, 40.0), (0.0, 1.0)] {
            let axis = Axis::linear("", max);
            assert!(axis.max >= max && (axis.max - end).abs() < 1e-9, "{max}: {}", axis.max);
            assert!((3..=7).contains(&axis.ticks.len()), "{axis:?}");
        }
        let micros = Axis::micros("", 130.0, 13_000.0);
        let names: Vec<&str> = micros.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["100 µs", "1 ms", "10 ms", "100 ms"]);
    }

    #[test]
    fn what_a_path_is_called_cannot_end_an_element() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
        let plot = Plot {
            title: "</svg><script>".into(),
            x: Axis::names("", ["1".to_owned()]),
            y: Axis::linear("", 1.0),
            lines: vec![Line::plain(String::new(), "<b>".into(), [(0.0, 1.0)])],
        };
        assert!(!plot.svg().contains("<script") && !plot.svg().contains("<b>"));
    }

    #[test]
    fn points_lie_in_the_frame() {
        let plot = Plot {
            title: String::new(),
            x: Axis::names("", ["1".to_owned(), "8".to_owned()]),
            y: Axis::linear("", 2.0),
            lines: Vec::new(),
        };
        assert_eq!(plot.at(plot.x.min, 0.0), (LEFT, HEIGHT - BOTTOM));
        assert_eq!(plot.at(plot.x.max, plot.y.max), (WIDTH - RIGHT, TOP));
        assert_eq!(plot.at(99.0, 99.0), (WIDTH - RIGHT, TOP));
    }
}
