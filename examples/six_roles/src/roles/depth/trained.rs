//! Networks of every depth, trained.

use candle_core::Result;
use serde_json::{Value, json};

use super::{Family, RELU_DEFAULT, RELU_HE, TANH_DEFAULT, TANH_XAVIER};
use crate::context::Context;
use crate::network::Network;
use crate::residual::ResidualNetwork;
use crate::sweep::{Arms, compare, powers_of_ten};
use crate::training::Schedule;

pub(super) const STEPS: usize = 300;

/// Both arms of networks of one depth.
pub(super) struct AtDepth {
    pub(super) network: String,
    pub(super) depth: usize,
    pub(super) arms: Arms,
}

/// Trained networks of every family and depth.
pub(super) struct Trained {
    pub(super) table: Vec<(Family, AtDepth)>,
    /// Networks of 50 layers and residual networks, in the full protocol only.
    pub(super) beyond: Vec<AtDepth>,
}

impl Trained {
    pub(super) fn new(context: &Context) -> Result<Self> {
        let seeds = context.seeds(5, 3);
        let rates = context.choose(powers_of_ten(-4..=0, 2), powers_of_ten(-3..=-1, 2));
        let families = context.choose(
            vec![RELU_DEFAULT, RELU_HE, TANH_DEFAULT, TANH_XAVIER],
            vec![RELU_DEFAULT, RELU_HE],
        );
        let depths = context.choose(vec![2, 5, 10, 20, 30], vec![2, 5, 10, 20]);
        let pairs = |&family: &Family| depths.iter().map(move |&depth| (family, depth));
        let pairs: Vec<_> = families.iter().flat_map(pairs).collect();
        let build = |(family, depth): (Family, usize), normalize, seed| {
            Network::new(
                &family.architecture(depth, normalize),
                seed,
                &context.device,
            )
        };
        let schedule = |rate, seed| Schedule::new(STEPS, rate, seed).tested_at_the_end();
        let arms = compare(
            context,
            "role 4: depth",
            &pairs,
            (&rates, &seeds),
            build,
            schedule,
        )?;
        let at_depth = |((family, depth), arms): ((Family, usize), Arms)| {
            let network = family.name();
            (
                family,
                AtDepth {
                    network,
                    depth,
                    arms,
                },
            )
        };
        let table = pairs.into_iter().zip(arms).map(at_depth).collect();
        let beyond = if context.quick {
            Vec::new()
        } else {
            Self::beyond(context, &rates)?
        };
        Ok(Self { table, beyond })
    }

    fn beyond(context: &Context, rates: &[f64]) -> Result<Vec<AtDepth>> {
        let mut beyond = Vec::new();
        let build = |depth, normalize, seed| {
            Network::new(
                &RELU_HE.architecture(depth, normalize),
                seed,
                &context.device,
            )
        };
        let schedule = |rate, seed| Schedule::new(5 * STEPS, rate, seed).tested_at_the_end();
        let seeds = context.seeds(3, 3);
        for arms in compare(
            context,
            "role 4: 50 layers",
            &[50],
            (rates, &seeds),
            build,
            schedule,
        )? {
            let network = "ReLU He, 1500 steps".to_string();
            beyond.push(AtDepth {
                network,
                depth: 50,
                arms,
            });
        }
        let build =
            |depth, normalize, seed| ResidualNetwork::new(depth, normalize, seed, &context.device);
        let schedule = |rate, seed| Schedule::new(STEPS, rate, seed).tested_at_the_end();
        let rates = powers_of_ten(-8..=0, 2);
        let (depths, seeds) = ([10, 50], context.seeds(5, 3));
        let arms = compare(
            context,
            "role 4: residual networks",
            &depths,
            (&rates, &seeds),
            build,
            schedule,
        )?;
        for (depth, arms) in depths.into_iter().zip(arms) {
            let network = "residual ReLU He".to_string();
            beyond.push(AtDepth {
                network,
                depth,
                arms,
            });
        }
        Ok(beyond)
    }

    pub(super) fn of(&self, family: Family) -> impl Iterator<Item = &AtDepth> {
        let table = self.table.iter();
        table
            .filter(move |(at, _)| *at == family)
            .map(|(_, at_depth)| at_depth)
    }

    /// The tuned accuracies of plain and BN; nothing at a depth that was not trained.
    pub(super) fn tuned(&self, family: Family, depth: usize) -> Option<[f64; 2]> {
        let found = self.of(family).find(|at| at.depth == depth)?;
        Some(found.arms.both().map(|runs| runs.tuned_accuracy().median))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &AtDepth> {
        self.table
            .iter()
            .map(|(_, at_depth)| at_depth)
            .chain(&self.beyond)
    }
}

impl AtDepth {
    pub(super) fn json(&self) -> Value {
        json!({ "network": self.network, "depth": self.depth, "runs": self.arms.json() })
    }
}
