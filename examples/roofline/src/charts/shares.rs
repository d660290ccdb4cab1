//! The share of the limit: a dot for each pass at each shape, with a bar from quartile to quartile.

use std::error::Error;
use std::path::Path;

use figures::axis::Axis;
use figures::picture::{self, Area, FONT};
use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Text};
use plotters::style::{BLACK, Color, IntoFont, RGBColor, WHITE};
use workload::shapes;

use super::names::Names;
use super::{COLOURS, passes};
use crate::report::{FIRST, LAST, groups, place};
use crate::row::Row;

const WIDTH: u32 = 1040;
const HEADING: u32 = 66;
/// Above and below the shapes: the title, the marks and the label.
const FRAME: u32 = 90;
/// A line of the legend, and how many passes it has room for.
const LEGEND: (u32, usize) = (22, 5);
/// A pass at a shape.
const DOT: u32 = 7;

pub(crate) fn save(
    title: &str,
    machine: &str,
    rows: &[&Row],
    folder: &Path,
    name: &str,
) -> Result<(), Box<dyn Error>> {
    let passes = passes(rows);
    let shapes = groups(rows.iter().copied(), |row| shapes::name(&row.dims));
    let names = Names(shapes.into_iter().map(|(name, _)| name).collect());
    let lines = u32::try_from(passes.len().div_ceil(LEGEND.1))?;
    let dots = u32::try_from(names.0.len() * (passes.len() + 2))?;
    let height = HEADING + lines * LEGEND.0 + FRAME + DOT * dots;
    picture::save(folder, name, (WIDTH, height), |root| {
        let body = root.titled(title, (FONT, 20))?;
        let grey = BLACK.mix(0.7);
        let body = body.titled(machine, (FONT, 12).into_font().color(&grey))?;
        let (legend, charts) = body.split_vertically(lines * LEGEND.0);
        draw_legend(&legend, &passes)?;
        let mut layouts = vec![FIRST, LAST];
        layouts.retain(|layout| rows.iter().any(|row| place(row) == *layout));
        let areas = charts.split_evenly((1, layouts.len()));
        for (area, layout) in areas.iter().zip(layouts) {
            draw(area, layout, rows, &passes, &names)?;
        }
        Ok(())
    })
}

fn colour(pass: usize) -> RGBColor {
    COLOURS[pass % COLOURS.len()]
}

/// Passes beyond the last colour begin again with rings.
fn is_filled(pass: usize) -> bool {
    pass < COLOURS.len()
}

fn draw_legend(area: &Area<'_>, passes: &[&str]) -> Result<(), Box<dyn Error>> {
    let step = i32::try_from(WIDTH)? / i32::try_from(LEGEND.1)?;
    for (index, pass) in passes.iter().enumerate() {
        let x = 16 + step * i32::try_from(index % LEGEND.1)?;
        let y = 10 + i32::try_from(LEGEND.0)? * i32::try_from(index / LEGEND.1)?;
        let mut style = colour(index).stroke_width(1);
        style.filled = is_filled(index);
        area.draw(&Circle::new((x, y), 4, style))?;
        area.draw(&Text::new((*pass).to_owned(), (x + 10, y - 6), (FONT, 12)))?;
    }
    Ok(())
}

fn draw(
    area: &Area<'_>,
    layout: &str,
    rows: &[&Row],
    passes: &[&str],
    names: &Names,
) -> Result<(), Box<dyn Error>> {
    let highest = rows.iter().map(|row| row.share.high).fold(1.0, f64::max);
    let mut marks = vec![0.0];
    while let Some(&last) = marks.last()
        && last < highest
    {
        marks.push(0.2 * marks.len() as f64);
    }
    let x = Axis::linear("share of the limit: streaming the same bytes", &marks);
    let mut chart = ChartBuilder::on(area)
        .caption(layout, (FONT, 15))
        .margin(10)
        .margin_right(18)
        .x_label_area_size(42)
        .y_label_area_size(100)
        .build_cartesian_2d(x.clone(), names.clone())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.1))
        .axis_desc_style((FONT, 13))
        .label_style((FONT, 12))
        .x_desc(&x.label)
        .draw()?;
    let limit = vec![(1.0, names.0.len() as f64), (1.0, 0.0)];
    chart.draw_series([PathElement::new(limit, BLACK.mix(0.6))])?;
    for row in rows.iter().filter(|row| place(row) == layout) {
        let (Some(pass), Some(shape)) = (
            passes.iter().position(|pass| *pass == row.pass),
            names
                .0
                .iter()
                .position(|name| *name == shapes::name(&row.dims)),
        ) else {
            continue;
        };
        let y = shape as f64 + (pass as f64 + 1.5) / (passes.len() as f64 + 2.0);
        let mut style = colour(pass).stroke_width(1);
        let bar = vec![(row.share.low, y), (row.share.high, y)];
        chart.draw_series([PathElement::new(bar, style)])?;
        style.filled = is_filled(pass);
        chart.draw_series([Circle::new((row.share.median, y), 3, style)])?;
    }
    Ok(())
}
