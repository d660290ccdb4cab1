//! What batch norm is for: a network of many layers trains from the weights that it is given by default.

use batchnorm::Result;
use indicatif::ProgressBar;
use tables::markdown::Table;
use textplots::{Chart, Plot, Shape};

use crate::training::{Outcome, Run, Split, Weights, train_all};

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) depth: usize,
    pub(crate) steps: usize,
    pub(crate) rates: &'static [f32],
}

pub(crate) const PROTOCOL: Protocol = Protocol {
    depth: 20,
    steps: 400,
    rates: &[0.03, 0.1, 0.3],
};

/// A run without batch norm and one with it, each at the rate that suited it best.
pub(crate) struct Comparison {
    without: Outcome,
    with: Outcome,
}

impl Protocol {
    pub(crate) fn total_steps(self) -> usize {
        2 * self.rates.len() * self.steps
    }

    pub(crate) fn measure(self, split: &Split, progress: &ProgressBar) -> Result<Comparison> {
        Ok(Comparison {
            without: self.best(false, split, progress)?,
            with: self.best(true, split, progress)?,
        })
    }

    fn best(self, normalize: bool, split: &Split, progress: &ProgressBar) -> Result<Outcome> {
        let runs: Vec<_> = self
            .rates
            .iter()
            .map(|&rate| Run {
                depth: self.depth,
                weights: Weights::Default,
                normalize,
                rate,
                steps: self.steps,
                seed: 1,
            })
            .collect();
        let outcomes = train_all(&runs, split, progress)?.into_iter();
        let best = outcomes.max_by(|a, b| a.accuracy().total_cmp(&b.accuracy()));
        Ok(best.expect("there are rates"))
    }
}

impl Comparison {
    /// Test accuracies at the end, without batch norm and with it.
    pub(crate) fn accuracies(&self) -> [f64; 2] {
        [&self.without, &self.with].map(Outcome::accuracy)
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(["", "test accuracy", "best learning rate"]);
        for (name, outcome) in [
            ("without batch norm", &self.without),
            ("with batch norm", &self.with),
        ] {
            table.row([
                name.into(),
                format!("{:.1} %", 100.0 * outcome.accuracy()),
                outcome.run.rate.to_string(),
            ]);
        }
        table
    }

    /// Test accuracy over steps: the upper line is with batch norm, the lower one without.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a chart of characters has no more digits"
    )]
    pub(crate) fn chart(&self) -> String {
        let steps = self.with.run.steps as f32;
        let mut chart = Chart::new_with_y_range(100, 40, 0.0, steps, 0.0, 100.0);
        let [without, with] = [&self.without, &self.with].map(|outcome| {
            let points = outcome.accuracies.iter();
            let points = points.map(|(step, accuracy)| (*step as f32, 100.0 * *accuracy as f32));
            points.collect::<Vec<_>>()
        });
        let (without, with) = (Shape::Lines(&without), Shape::Lines(&with));
        let chart = chart.lineplot(&without).lineplot(&with);
        chart.axis();
        chart.figures();
        chart.to_string()
    }
}

#[cfg(test)]
mod tests {
    use digits_data::digits::Digits;

    use super::*;

    /// What the program claims, on a network that trains in a moment.
    #[test]
    fn deep_networks_train_with_batch_norm_and_not_without() {
        let protocol = Protocol {
            depth: 10,
            steps: 80,
            rates: &[0.1],
        };
        let split = Split::new(&Digits::load().unwrap());
        let compared = protocol.measure(&split, &ProgressBar::hidden()).unwrap();
        let [without, with] = compared.accuracies();
        // Ten classes: a guess is right one time in ten.
        assert!(without < 0.25, "{without} without batch norm");
        assert!(with > 0.75, "{with} with batch norm");
        let table = compared.table().to_string();
        assert!(table.contains(&format!("{:.1} %", 100.0 * with)), "{table}");
        assert!(compared.chart().contains("100.0"), "{}", compared.chart());
    }
}
