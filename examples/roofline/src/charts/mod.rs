//! The figures as charts, one for each device and data type: the share of the limit at each shape, or how time grows with
//! size.

mod growth;
mod names;
mod shares;

use std::error::Error;
use std::path::Path;

use plotters::prelude::RGBColor;

use crate::report::groups;
use crate::row::Row;

/// Colours that everybody can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Writes them into the folder, as SVG and PNG.
pub(crate) fn save(
    rows: &[Row],
    sizes: bool,
    machine: &str,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    for ((device, dtype), rows) in groups(rows, |row| (row.device.clone(), row.dtype.clone())) {
        let title = format!("Batch normalization in {dtype}, {device}");
        let kind = if sizes { "sizes" } else { "shares" };
        let name = format!("{kind}_{dtype}_{}", word(&device));
        if sizes {
            growth::figure(title, machine, &rows).save(folder, &name)?;
        } else {
            shares::save(&title, machine, &rows, folder, &name)?;
        }
    }
    Ok(())
}

/// A device as a part of a file's name: "cpu (avx2, 2 threads)" is "cpu_avx2_2_threads".
fn word(device: &str) -> String {
    let words = device.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_")
}

/// The passes of some rows, each once, in their order.
fn passes(rows: &[&Row]) -> Vec<&'static str> {
    let passes = groups(rows.iter().copied(), |row| row.pass);
    passes.into_iter().map(|(pass, _)| pass).collect()
}
