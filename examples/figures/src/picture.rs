//! A drawing as a file: SVG, and PNG of the same.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend, WHITE};
use plotters::style::{FontStyle, register_font};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

pub const FONT: &str = "sans-serif";
/// Pixels of the PNG for each of the SVG.
const MAGNIFICATION: f32 = 1.5;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes what `draw` draws as `name.svg` and `name.png` into the folder.
pub fn save(
    folder: &Path,
    name: &str,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // So that text has its size on a machine without fonts.
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "plotters cannot read the font of the charts")?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    fs::write(folder.join(name).with_extension("svg"), &svg)?;
    fs::write(folder.join(name).with_extension("png"), png(&svg)?)?;
    Ok(())
}

fn png(svg: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut options = Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = Tree::from_str(svg, &options)?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(MAGNIFICATION)
        .ok_or("the figure is empty")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or("the figure is empty")?;
    let scale = Transform::from_scale(MAGNIFICATION, MAGNIFICATION);
    resvg::render(&tree, scale, &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}
