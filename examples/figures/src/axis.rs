//! An axis of a chart: linear or logarithmic, with marks where the chart wants them.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// What is on an axis, in which unit, and what of it is shown.
#[derive(Clone, Debug)]
pub struct Axis {
    pub label: String,
    logarithmic: bool,
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Axis {
    /// From the first to the last of the marks.
    pub fn linear(label: &str, marks: &[f64]) -> Self {
        let ends = marks.first().copied().unwrap_or(0.0)..marks.last().copied().unwrap_or(1.0);
        Self {
            label: label.into(),
            logarithmic: false,
            range: ends,
            marks: marks.to_vec(),
        }
    }

    /// With marks at these values, and a little room beyond the outermost.
    pub fn logarithmic(label: &str, marks: &[f64]) -> Self {
        let mut axis = Self::linear(label, marks);
        axis.logarithmic = true;
        let room = (axis.range.end / axis.range.start).powf(0.04);
        axis.range = axis.range.start / room..axis.range.end * room;
        axis
    }

    /// With room for all these values, too.
    pub fn covering(mut self, values: &[f64]) -> Self {
        for &value in values {
            self.range.start = self.range.start.min(value * 0.95);
            self.range.end = self.range.end.max(value * 1.05);
        }
        self
    }

    /// Test accuracy from 0 to 1.
    pub fn accuracy() -> Self {
        Self::linear(
            "test accuracy (share of 597 images)",
            &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        )
    }

    /// Whether a value can be drawn.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite() && !(self.logarithmic && value <= 0.0)
    }

    /// 0 at the start of the axis, 1 at its end.
    fn position(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (start, end) = (scale(self.range.start), scale(self.range.end));
        ((scale(value) - start) / (end - start)).clamp(0.0, 1.0)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "pixels of a chart")]
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (f64::from(limit.1 - limit.0) * self.position(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        let size = value.abs();
        if size != 0.0 && !(1e-3..1e5).contains(&size) {
            return format!("{value:e}");
        }
        // No more digits than it takes: 0.056, 17.8, 320.
        let digits = if size < 0.1 { 3 } else { 2 };
        let text = format!("{value:.digits$}");
        text.trim_end_matches('0').trim_end_matches('.').into()
    }
}
