//! The figure of a role: some charts side by side, as SVG and as PNG.

use std::error::Error;
use std::path::Path;

use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::prelude::{BLACK, Circle, Color, PathElement, Polygon, RGBColor, Rectangle, WHITE};
use plotters::style::IntoFont;

use crate::axis::Axis;
use crate::picture::{self, Area, FONT};
use tables::spread::Spread;

pub const PLAIN: RGBColor = RGBColor(213, 94, 0);
pub const BATCH_NORM: RGBColor = RGBColor(0, 114, 178);
/// Of a third series, where there is one.
pub const THIRD: RGBColor = RGBColor(0, 158, 115);

/// A line through medians, with the quartiles around it.
pub struct Series {
    pub name: String,
    pub colour: RGBColor,
    /// Where on the first axis, and what on the second.
    pub points: Vec<(f64, Spread)>,
}

pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Where the names of the series have room.
    pub legend: SeriesLabelPosition,
}

pub struct Figure {
    pub title: String,
    /// What the lines and the bands around them are.
    pub caption: String,
    /// Charts in a row.
    pub columns: usize,
    pub charts: Vec<Chart>,
}

const CHART_SIZE: (u32, u32) = (480, 360);
const HEADING: u32 = 66;

impl Figure {
    /// Writes `name.svg` and `name.png` into the folder.
    pub fn save(&self, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
        let rows = self.charts.len().div_ceil(self.columns);
        let width = CHART_SIZE.0 * u32::try_from(self.columns)?;
        let height = HEADING + CHART_SIZE.1 * u32::try_from(rows)?;
        picture::save(folder, name, (width, height), |root| {
            let body = root.titled(&self.title, (FONT, 20))?;
            let grey = BLACK.mix(0.7);
            let body = body.titled(&self.caption, (FONT, 13).into_font().color(&grey))?;
            let areas = body.split_evenly((rows, self.columns));
            for (chart, area) in self.charts.iter().zip(areas) {
                chart.draw(&area)?;
            }
            Ok(())
        })
    }
}

impl Chart {
    fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 15))
            .margin(10)
            .margin_right(18)
            .x_label_area_size(42)
            .y_label_area_size(62)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .axis_desc_style((FONT, 13))
            .label_style((FONT, 12))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .draw()?;
        for series in &self.series {
            let pale = series.colour.mix(0.2);
            for part in self.connected(series) {
                if let [(x, y)] = part {
                    let bar = vec![(*x, y.low), (*x, y.high)];
                    let thick = series.colour.mix(0.4).stroke_width(4);
                    chart.draw_series([PathElement::new(bar, thick)])?;
                }
                let below = part.iter().map(|(x, y)| (*x, y.low));
                let above = part.iter().rev().map(|(x, y)| (*x, y.high));
                let band: Vec<_> = below.chain(above).collect();
                chart.draw_series([Polygon::new(band, pale)])?;
            }
        }
        for series in &self.series {
            for part in self.connected(series) {
                let line: Vec<_> = part.iter().map(|(x, y)| (*x, y.median)).collect();
                let dots = (part.len() <= 16).then_some(&line).into_iter().flatten();
                let dots = dots.map(|&point| Circle::new(point, 3, series.colour.filled()));
                chart.draw_series(dots)?;
                chart.draw_series([PathElement::new(line, series.colour.stroke_width(2))])?;
            }
            let colour = series.colour;
            chart
                .draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())?
                .label(&series.name)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 2), (x + 16, y + 2)], colour.filled())
                });
        }
        chart
            .configure_series_labels()
            .position(self.legend.clone())
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font((FONT, 12))
            .margin(8)
            .draw()?;
        Ok(())
    }

    /// The points of a series that can be drawn, in pieces where some in between cannot.
    fn connected<'a>(&self, series: &'a Series) -> impl Iterator<Item = &'a [(f64, Spread)]> {
        series
            .points
            .split(|(x, y)| !self.x.shows(*x) || !self.y.shows(y.median))
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .into_iter()
    }
}
