//! What batch norm is for: larger learning rates.

use batchnorm::Result;
use indicatif::ProgressBar;
use tables::markdown::Table;

use crate::training::{Outcome, Run, Split, Weights, train_all};

/// A rate is stable if the network is so accurate in the end.
pub(crate) const STABLE: f64 = 0.85;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) depth: usize,
    pub(crate) steps: usize,
    pub(crate) rates: &'static [f32],
}

pub(crate) const PROTOCOL: Protocol = Protocol {
    depth: 10,
    steps: 300,
    rates: &[0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
};

/// Test accuracies at the end, at each rate.
pub(crate) struct Comparison {
    rates: &'static [f32],
    without: Vec<f64>,
    with: Vec<f64>,
}

impl Protocol {
    pub(crate) fn total_steps(self) -> usize {
        2 * self.rates.len() * self.steps
    }

    pub(crate) fn measure(self, split: &Split, progress: &ProgressBar) -> Result<Comparison> {
        let accuracies = |normalize| {
            let runs: Vec<_> = self
                .rates
                .iter()
                .map(|&rate| Run {
                    depth: self.depth,
                    weights: Weights::He,
                    normalize,
                    rate,
                    steps: self.steps,
                    seed: 1,
                })
                .collect();
            let outcomes = train_all(&runs, split, progress)?;
            Ok(outcomes.iter().map(Outcome::accuracy).collect())
        };
        Ok(Comparison {
            rates: self.rates,
            without: accuracies(false)?,
            with: accuracies(true)?,
        })
    }
}

impl Comparison {
    /// The largest stable rate without batch norm and with it; `None` where none is stable.
    pub(crate) fn largest_stable(&self) -> [Option<f32>; 2] {
        [&self.without, &self.with].map(|accuracies| {
            let rates = self.rates.iter().zip(accuracies);
            let stable = rates.filter(|(_, accuracy)| **accuracy >= STABLE);
            stable.map(|(rate, _)| *rate).max_by(f32::total_cmp)
        })
    }

    pub(crate) fn table(&self) -> Table {
        let rates = self.rates.iter().map(f32::to_string);
        let mut table = Table::new(["learning rate".to_owned()].into_iter().chain(rates));
        for (name, accuracies) in [
            ("without batch norm", &self.without),
            ("with batch norm", &self.with),
        ] {
            let cells = accuracies
                .iter()
                .map(|accuracy| format!("{:.1} %", 100.0 * accuracy));
            table.row([name.to_owned()].into_iter().chain(cells));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use digits_data::digits::Digits;

    use super::*;

    /// What the program claims, on a network that trains in a moment.
    #[test]
    fn larger_rates_are_stable_with_batch_norm() {
        let protocol = Protocol {
            depth: 5,
            steps: 160,
            rates: &[0.1, 2.0],
        };
        let split = Split::new(&Digits::load().unwrap());
        let compared = protocol.measure(&split, &ProgressBar::hidden()).unwrap();
        assert_eq!(compared.largest_stable(), [Some(0.1), Some(2.0)]);
    }

    #[test]
    fn no_rate_may_be_stable() {
        let compared = Comparison {
            rates: &[0.1, 1.0],
            without: vec![0.1, 0.2],
            with: vec![0.9, 0.86],
        };
        assert_eq!(compared.largest_stable(), [None, Some(1.0)]);
    }
}
