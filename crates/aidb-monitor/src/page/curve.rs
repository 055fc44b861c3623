//! A curve over time as an inline SVG that takes its colour from the page.

use std::fmt::Write as _;

use jiff::Timestamp;

/// The drawing's own units; the page stretches them.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 56.0;

/// Returns the course of values over time, oldest first; nothing with fewer than two. Where the clock was set back, the order
/// in which they were measured counts: time stands still until it has passed again.
#[expect(
    clippy::cast_precision_loss,
    reason = "a drawing has a few hundred points each way"
)]
pub fn svg(points: &[(Timestamp, u64)], label: &str) -> String {
    let (Some((first, _)), Some(most)) = (points.first(), points.iter().map(|p| p.1).max()) else {
        return String::new();
    };
    if points.len() < 2 {
        return String::new();
    }
    let least = points.iter().map(|p| p.1).min().unwrap_or(0);
    let mut latest = 0.0_f64;
    let times: Vec<f64> = points
        .iter()
        .map(|(at, _)| {
            latest = latest.max(at.duration_since(*first).as_secs_f64());
            latest
        })
        .collect();
    let span = if latest > 0.0 { latest } else { 1.0 };
    let height = |value: u64| {
        let range = (most - least) as f64;
        // A course without ups and downs lies in the middle.
        let part = if range > 0.0 {
            (value - least) as f64 / range
        } else {
            0.5
        };
        HEIGHT - 4.0 - part * (HEIGHT - 8.0)
    };
    let mut line = String::new();
    for (n, ((_, value), time)) in points.iter().zip(&times).enumerate() {
        let x = time / span * WIDTH;
        let command = if n == 0 { 'M' } else { 'L' };
        let _ = write!(line, "{command}{x:.1} {:.1}", height(*value));
    }
    let area = format!("{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z");
    let label = super::html::text(label);
    format!(
        "<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{label}\"><path class=\"area\" d=\"{area}\"/><path class=\"line\" d=\"{line}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_stays_within_its_frame_also_when_the_clock_was_set_back() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let points = [(at(0), 5), (at(100), u64::MAX), (at(50), 0), (at(200), 7)];
        let svg = svg(&points, "rows <of> chat");
        assert!(svg.contains("aria-label=\"rows &lt;of&gt; chat\""), "{svg}");
        assert!(
            svg.contains("d=\"M0.0 52.0L150.0 4.0L150.0 52.0L300.0 52.0\""),
            "{svg}"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn one_look_is_no_curve_and_a_steady_course_is_a_line_in_the_middle() {
        let at = |s| Timestamp::from_second(s).unwrap();
        assert_eq!(svg(&[(at(0), 5)], ""), "");
        assert!(svg(&[(at(0), 5), (at(0), 5)], "").contains("M0.0 28.0L0.0 28.0"));
    }
}
