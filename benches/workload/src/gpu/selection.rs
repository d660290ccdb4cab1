//! Only some rows of a set, by what they have.

use std::fmt;
use std::str::FromStr;

use crate::gpu::wanted::{Rows, Wanted};
use crate::table;

/// Some of the rows: those that have what is given.
///
/// Settings with semicolons between them, as passes have commas: `dims=32x64x56x56;layout=channels last;type=f16;pass=forward`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    dims: Option<String>,
    layout: Option<String>,
    dtype: Option<String>,
    pass: Option<String>,
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut only = Self::default();
        for setting in text.split(';').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| format!("{setting:?} is no name, '=' and value"))?;
            let field = match name {
                "dims" => &mut only.dims,
                "layout" => &mut only.layout,
                "type" => &mut only.dtype,
                "pass" => &mut only.pass,
                _ => {
                    return Err(format!(
                        "dims, layout, type or pass can be told, got {name:?}"
                    ));
                }
            };
            *field = Some(value.to_owned());
        }
        Ok(only)
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = [
            ("dims", &self.dims),
            ("layout", &self.layout),
            ("type", &self.dtype),
            ("pass", &self.pass),
        ];
        let told = settings.into_iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!("{name}={value}"))
        });
        f.write_str(&told.collect::<Vec<_>>().join(";"))
    }
}

impl Only {
    fn takes(&self, row: &Wanted, pass: &str) -> bool {
        let is =
            |told: &Option<String>, found: &str| told.as_ref().is_none_or(|told| told == found);
        is(&self.dims, &table::name(&row.shape))
            && is(&self.layout, table::layout(&row.shape))
            && is(&self.dtype, &row.dtype.to_string())
            && is(&self.pass, pass)
    }
}

/// Those of a set that one of the selections takes; all if there is none.
///
/// # Errors
/// With the selection that takes no row.
pub fn select(rows: Rows, only: &[Only]) -> Result<Vec<Wanted>, String> {
    let all = rows.wanted();
    for one in only {
        let found = all
            .iter()
            .any(|row| row.works.iter().any(|(_, pass)| one.takes(row, pass)));
        if !found {
            return Err(format!("no row of {rows:?} has {one}"));
        }
    }
    let taken = all.into_iter().map(|mut row| {
        let whole = row.clone();
        row.works
            .retain(|(_, pass)| only.is_empty() || only.iter().any(|one| one.takes(&whole, pass)));
        row
    });
    Ok(taken.filter(|row| !row.works.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use batchnorm::{DType, Layout};

    use super::*;

    fn rows(rows: Rows, only: &[&str]) -> Result<usize, String> {
        let only: Vec<Only> = only.iter().map(|text| text.parse().unwrap()).collect();
        Ok(select(rows, &only)?.iter().map(|row| row.works.len()).sum())
    }

    #[test]
    fn twelve_are_twelve() {
        assert_eq!(rows(Rows::Twelve, &[]), Ok(12));
        let all = Rows::Twelve.wanted();
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for dtype in [DType::F32, DType::F16] {
                let has = |row: &Wanted| row.shape.layout() == layout && row.dtype == dtype;
                assert!(all.iter().any(has), "{layout:?} {dtype}");
            }
        }
    }

    #[test]
    fn rows_are_selected_by_each_of_their_words() {
        assert_eq!(rows(Rows::Twelve, &["pass=backward"]), Ok(6));
        assert_eq!(
            rows(Rows::Twelve, &["type=f16;layout=channels first"]),
            Ok(4)
        );
        assert_eq!(rows(Rows::Table, &["dims=65536x64"]), Ok(3 * 6));
        let two = ["dims=65536x64;type=f32", "dims=65536x64;pass=inference"];
        assert_eq!(rows(Rows::Table, &two), Ok(6 + 2));
    }

    #[test]
    fn what_no_row_has_is_an_error() {
        assert!(
            rows(Rows::Twelve, &["type=f64"])
                .unwrap_err()
                .contains("type=f64")
        );
        for text in ["type", "kind=f32"] {
            assert!(text.parse::<Only>().is_err(), "{text}");
        }
    }
}
