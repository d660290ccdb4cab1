//! How the gradient changes on its way from the last layer to the first, before any training.

use candle_core::{Module, Result, Tensor, Var};
use candle_nn::loss;
use serde_json::{Value, json};
use tables::spread::Spread;

use super::Family;
use crate::context::Context;
use crate::data::Samples;
use crate::network::Network;
use crate::normalization::{Normalize, Pass};
use crate::training::Schedule;

pub(super) const DEPTHS: [usize; 5] = [5, 10, 20, 30, 50];

/// |dL/dz| of the first layer over that of the last, z the inputs of the activations; one arm of one family.
pub(super) struct Arm {
    pub(super) family: Family,
    pub(super) normalize: Normalize,
    /// At each of [`DEPTHS`], over the seeds.
    pub(super) ratios: Vec<Spread>,
}

pub(super) struct Gradients(pub(super) Vec<Arm>);

impl Gradients {
    /// Of both arms of each family.
    pub(super) fn measure(context: &Context, families: &[Family]) -> Result<Self> {
        let seeds = context.seeds(10, 10);
        let batch = context.split.training.range(0, Schedule::BATCH)?;
        let both = |&family: &Family| [Normalize::No, Normalize::Batch].map(|arm| (family, arm));
        let arms: Vec<_> = families.iter().flat_map(both).collect();
        let mut jobs = Vec::new();
        for (family, arm) in &arms {
            for depth in DEPTHS {
                let architecture = family.architecture(depth, *arm);
                jobs.extend(seeds.iter().map(|&seed| (architecture, seed)));
            }
        }
        let ratios = context
            .runner
            .all("role 4: gradients", &jobs, |(architecture, seed)| {
                ratio(&Network::new(architecture, *seed, &context.device)?, &batch)
            })?;
        let mut spreads = ratios
            .chunks(seeds.len())
            .map(|ratios| Spread::of(ratios.iter().copied()));
        let arm = |(family, normalize)| Arm {
            family,
            normalize,
            ratios: spreads.by_ref().take(DEPTHS.len()).collect(),
        };
        Ok(Self(arms.into_iter().map(arm).collect()))
    }

    pub(super) fn json(&self) -> Value {
        self.0.iter().map(Arm::json).collect()
    }

    /// The median ratio; NaN where it was not measured.
    pub(super) fn at(&self, family: Family, normalize: Normalize, depth: usize) -> f64 {
        let arm = self
            .0
            .iter()
            .find(|arm| arm.family == family && arm.normalize == normalize);
        let place = DEPTHS.iter().position(|&at| at == depth);
        arm.zip(place)
            .map_or(f64::NAN, |(arm, place)| arm.ratios[place].median)
    }

    /// The factor from one layer to the one before it, between networks of these depths.
    pub(super) fn per_layer(
        &self,
        family: Family,
        normalize: Normalize,
        depths: [usize; 2],
    ) -> f64 {
        let [shallow, deep] = depths.map(|depth| self.at(family, normalize, depth));
        (deep / shallow).powf(1.0 / (depths[1] - depths[0]) as f64)
    }
}

impl Arm {
    pub(super) fn name(&self) -> String {
        let normalized = if self.normalize == Normalize::No {
            "plain"
        } else {
            "BN"
        };
        format!("{}, {normalized}", self.family.name())
    }

    fn json(&self) -> Value {
        json!({ "arm": self.name(), "depths": DEPTHS, "ratios": self.ratios })
    }
}

fn ratio(network: &Network, batch: &Samples) -> Result<f64> {
    let mut x = batch.images.clone();
    let mut offsets = Vec::new();
    for layer in &network.hidden {
        let z = layer.activation_input(&x, Pass::Probe)?;
        // candle keeps gradients of variables only: that of a zero added to z is that of z.
        let offset = Var::from_tensor(&z.zeros_like()?)?;
        x = layer.activation.apply(&(z + offset.as_tensor())?)?;
        offsets.push(offset);
    }
    let logits = network.output.linear.forward(&x)?;
    let gradients = loss::cross_entropy(&logits, &batch.labels)?.backward()?;
    let norm = |offset: Option<&Var>| match offset.and_then(|offset| gradients.get(offset)) {
        Some(gradient) => norm(gradient),
        None => Ok(0.0),
    };
    Ok(norm(offsets.first())? / norm(offsets.last())?)
}

/// In f64, where the square of a small f32 does not become 0.
fn norm(gradient: &Tensor) -> Result<f64> {
    let values = gradient.flatten_all()?.to_vec1::<f32>()?;
    let squares = values.iter().map(|&value| f64::from(value).powi(2));
    Ok(squares.sum::<f64>().sqrt())
}
