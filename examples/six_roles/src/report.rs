//! What a role has to say: tables, the bands its numbers should be in, whether the effect appeared, and its limits.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;

use figures::figure::Figure;
use serde_json::{Value, json};
use tables::markdown::Table;

/// A number and the band it should be in: that of an independent implementation of the same protocol.
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) band: (f64, f64),
    pub(crate) value: f64,
    /// Whether the effect itself is that this number is in its band.
    is_effect: bool,
}

impl Bar {
    /// A number that goes with the effect: a baseline that must be sound, or a limit.
    pub(crate) fn beside(name: &'static str, band: (f64, f64), value: f64) -> Self {
        Self {
            name,
            band,
            value,
            is_effect: false,
        }
    }

    /// A number that is the effect.
    pub(crate) fn effect(name: &'static str, band: (f64, f64), value: f64) -> Self {
        Self {
            is_effect: true,
            ..Self::beside(name, band, value)
        }
    }

    fn is_met(&self) -> bool {
        (self.band.0..=self.band.1).contains(&self.value)
    }
}

pub(crate) struct Report {
    pub(crate) role: u8,
    pub(crate) title: &'static str,
    pub(crate) protocol: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) bars: Vec<Bar>,
    /// How large the effect is.
    pub(crate) effect: String,
    /// What must be said beside the numbers.
    pub(crate) limits: Vec<String>,
    /// Every run.
    pub(crate) runs: Value,
    pub(crate) figure: Figure,
}

impl Report {
    /// Whether every number that is the effect is in its band.
    pub(crate) fn has_appeared(&self) -> bool {
        self.bars.iter().all(|bar| !bar.is_effect || bar.is_met())
    }

    /// One line: whether the effect appeared, and how large it is.
    pub(crate) fn verdict(&self) -> String {
        let appeared = if self.has_appeared() {
            "The effect appeared"
        } else {
            "The effect did NOT appear as calibrated"
        };
        format!("{appeared}: {}.", self.effect)
    }

    /// Writes `roleN.md`, `roleN.json`, `roleN.svg` and `roleN.png` into the folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let name = format!("role{}", self.role);
        let bars: Vec<_> = self.bars.iter().map(Bar::json).collect();
        let value = json!({
            "role": self.role,
            "title": self.title,
            "protocol": self.protocol,
            "appeared": self.has_appeared(),
            "effect": self.effect,
            "bars": bars,
            "limits": self.limits,
            "runs": self.runs,
        });
        fs::write(
            folder.join(&name).with_extension("json"),
            serde_json::to_string(&value)? + "\n",
        )?;
        fs::write(folder.join(&name).with_extension("md"), self.to_string())?;
        self.figure.save(folder, &name)
    }
}

/// As Markdown.
impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { role, title, .. } = self;
        writeln!(formatter, "## Role {role}: {title}\n\n{}\n", self.protocol)?;
        for table in &self.tables {
            writeln!(formatter, "{table}")?;
        }
        let (met, outside): (Vec<_>, Vec<_>) = self.bars.iter().partition(|bar| bar.is_met());
        let all = self.bars.len();
        writeln!(formatter, "**{}**\n", self.verdict())?;
        writeln!(
            formatter,
            "{} of {all} numbers are in their bands.",
            met.len()
        )?;
        for bar in outside {
            let (low, high) = bar.band;
            writeln!(
                formatter,
                "- outside: {} is {:.4}, and should be from {low} to {high}",
                bar.name, bar.value
            )?;
        }
        writeln!(formatter, "\nLimits:\n")?;
        for limit in &self.limits {
            writeln!(formatter, "- {limit}")?;
        }
        Ok(())
    }
}

impl Bar {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "band": self.band,
            "value": self.value,
            "met": self.is_met(),
        })
    }
}
