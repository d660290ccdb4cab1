//! A table, printed as Markdown.

use std::fmt::{self, Display, Formatter};

use comfy_table::presets::ASCII_MARKDOWN;

pub struct Table(comfy_table::Table);

impl Table {
    pub fn new<H: Into<String>>(header: impl IntoIterator<Item = H>) -> Self {
        let mut table = comfy_table::Table::new();
        table
            .load_preset(ASCII_MARKDOWN)
            .set_header(header.into_iter().map(H::into).collect::<Vec<_>>());
        Self(table)
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells.into_iter().collect::<Vec<_>>());
    }
}

/// Each line ends.
impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["pass", "µs"]);
        table.row(["forward".into(), "1.5".into()]);
        table.row(["inference, ReLU".into()]);
        let expected = "\
| pass            | µs  |
|-----------------|-----|
| forward         | 1.5 |
| inference, ReLU |     |
";
        assert_eq!(table.to_string(), expected);
    }
}
