//! Results as a table for people.

use crate::report::{Metric, Outcome};

const HEADS: [&str; 6] = ["case", "target", "metric", "median", "spread", "x star"];

/// Renders a line for each metric of each result; what repeats is left blank.
pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    let mut last_case = String::new();
    for outcome in outcomes {
        for (i, metric) in outcome.metrics.iter().enumerate() {
            let case = outcome.case();
            let is_new = case != last_case;
            let target = if i == 0 { outcome.target.as_str() } else { "" };
            let shown = if is_new { case.as_str() } else { "" };
            rows.push(cells(shown, target, metric));
            last_case = case;
        }
    }
    let widths = std::array::from_fn::<_, 6, _>(|column| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Numbers are aligned at their ends.
            line += &if column < 3 {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn cells(case: &str, target: &str, metric: &Metric) -> [String; 6] {
    let Metric {
        name,
        unit,
        summary,
        ratio,
    } = metric;
    [
        case.to_owned(),
        target.to_owned(),
        format!("{name} [{unit}]"),
        number(summary.median),
        format!("{}..{}", number(summary.min), number(summary.max)),
        ratio.map(number).unwrap_or_default(),
    ]
}

/// Writes a number with three digits that count, more only before the point.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        0.0 => 0,
        size if size >= 0.0995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.0, 0.0123, 0.123, 1.234, 12.34, 123.4, 12345.6].map(number);
        assert_eq!(
            shown,
            ["0", "0.012", "0.12", "1.23", "12.3", "123", "12346"]
        );
    }
}
