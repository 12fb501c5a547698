//! Results as an SVG file for each mode: a panel for each metric, a bar for each
//! case and target, a whisker for the spread of the rounds.
//!
//! Text has the color of the page around it, and the other colors are readable on
//! light and on dark.

use std::{fmt::Write as _, fs, io, path::Path};

use crate::{report::Outcome, table::number};

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 20.0;
/// Where bars begin; labels are left of it.
const BARS_LEFT: f64 = 400.0;
/// Room for the number behind the longest bar.
const BARS_RIGHT: f64 = WIDTH - MARGIN - 70.0;
const BAR: f64 = 16.0;
const BAR_STEP: f64 = 22.0;
const TITLE: f64 = 30.0;
const AXIS: f64 = 34.0;
const N_TICKS: u32 = 4;

/// One for each target, in order.
const COLORS: [&str; 5] = ["#3b82c4", "#d9822b", "#3f9c6b", "#b0569b", "#8a8a8a"];

const STYLE: &str = "\
svg { color: #1c1e21; background: #fff; font: 12px system-ui, sans-serif }
@media (prefers-color-scheme: dark) { svg { color: #e4e6eb; background: #16181c } }
text { fill: currentColor } .title { font-weight: 600; font-size: 14px }
.line { stroke: currentColor; fill: none } .grid { stroke: currentColor; opacity: 0.2 }
.end { text-anchor: end } .middle { text-anchor: middle }
";

/// Writes `<mode>.svg` into a folder, which is made if need be.
///
/// # Errors
///
/// The folder cannot be made or written.
pub(crate) fn write(folder: &Path, outcomes: &[Outcome]) -> io::Result<()> {
    let Some(first) = outcomes.first() else {
        return Ok(());
    };
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.svg", first.mode));
    fs::write(path, render(first.mode, outcomes))
}

/// One bar.
struct Bar<'a> {
    label: String,
    color: &'a str,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
}

fn render(mode: &str, outcomes: &[Outcome]) -> String {
    let mut names = Vec::new();
    for metric in outcomes.iter().flat_map(|outcome| &outcome.metrics) {
        if !names.contains(&metric.name) {
            names.push(metric.name);
        }
    }
    let (mut body, mut top) = (String::new(), MARGIN);
    for name in names {
        let bars = bars(name, outcomes);
        top = panel(&mut body, top, &format!("{mode}: {name}"), &bars);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\">\n\
         <style>\n{STYLE}</style>\n{body}</svg>\n"
    )
}

fn bars(name: &str, outcomes: &[Outcome]) -> Vec<Bar<'static>> {
    let mut targets = Vec::new();
    let mut bars = Vec::new();
    for outcome in outcomes {
        if !targets.contains(&outcome.target) {
            targets.push(outcome.target.clone());
        }
        let place = targets.iter().position(|target| *target == outcome.target);
        let color = COLORS[place.unwrap_or_default() % COLORS.len()];
        for metric in outcome.metrics.iter().filter(|metric| metric.name == name) {
            bars.push(Bar {
                label: format!("{} {}", outcome.case(), outcome.target),
                color,
                unit: metric.unit,
                median: metric.summary.median,
                min: metric.summary.min,
                max: metric.summary.max,
            });
        }
    }
    bars
}

/// Draws a panel and returns where the next one begins.
fn panel(body: &mut String, top: f64, title: &str, bars: &[Bar<'_>]) -> f64 {
    let longest = bars.iter().map(|bar| bar.max).fold(0.0, f64::max);
    let end = round_up(longest);
    let x = |value: f64| BARS_LEFT + value.max(0.0) / end * (BARS_RIGHT - BARS_LEFT);
    let unit = bars.first().map_or("", |bar| bar.unit);
    let (n_bars, bars_top) = (bars.iter().fold(0.0, |n, _| n + 1.0), top + TITLE);
    let bottom = bars_top + n_bars * BAR_STEP;
    let text = escape(title);
    put(
        body,
        &format!(
            "<text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{text}</text>",
            top + 14.0
        ),
    );
    for tick in 0..=N_TICKS {
        let value = end * f64::from(tick) / f64::from(N_TICKS);
        let (at, label) = (x(value), bottom + 16.0);
        put(
            body,
            &format!("<path class=\"grid\" d=\"M{at:.1} {bars_top}V{bottom}\"/>"),
        );
        let value = number(value);
        put(
            body,
            &format!("<text class=\"middle\" x=\"{at:.1}\" y=\"{label}\">{value}</text>"),
        );
    }
    let (unit_x, unit_y) = (BARS_RIGHT + 66.0, bottom + 16.0);
    let unit = escape(unit);
    put(
        body,
        &format!("<text class=\"end\" x=\"{unit_x}\" y=\"{unit_y}\">{unit}</text>"),
    );
    let mut y = bars_top;
    for bar in bars {
        draw(body, y, bar, &x);
        y += BAR_STEP;
    }
    bottom + AXIS
}

fn draw(body: &mut String, y: f64, bar: &Bar<'_>, x: &impl Fn(f64) -> f64) {
    let (label_x, text_y, middle) = (BARS_LEFT - 8.0, y + 12.5, y + BAR / 2.0);
    let (label, color) = (escape(&bar.label), bar.color);
    put(
        body,
        &format!("<text class=\"end\" x=\"{label_x}\" y=\"{text_y}\">{label}</text>"),
    );
    let width = x(bar.median) - BARS_LEFT;
    put(
        body,
        &format!(
            "<rect x=\"{BARS_LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>"
        ),
    );
    let (low, high) = (x(bar.min), x(bar.max));
    put(
        body,
        &format!("<path class=\"line\" d=\"M{low:.1} {middle}H{high:.1}\"/>"),
    );
    let (value, value_x) = (number(bar.median), high + 6.0);
    put(
        body,
        &format!("<text x=\"{value_x:.1}\" y=\"{text_y}\">{value}</text>"),
    );
}

fn put(body: &mut String, element: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(body, "{element}");
}

/// Returns the end of an axis: 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0].into_iter().map(|step| step * power);
    steps
        .into_iter()
        .find(|end| *end >= value)
        .unwrap_or(10.0 * power)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [
            (0.0, 1.0),
            (0.3, 0.5),
            (1.0, 1.0),
            (37.0, 50.0),
            (501.0, 1000.0),
        ] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escape("a<b&c"), "a&lt;b&amp;c");
    }
}
