//! One training run of role 5.

use candle_core::Result;
use digits_data::random::Random;
use serde_json::{Value, json};

use crate::context::Context;
use crate::initialization::Weights;
use crate::network::{Activation, Architecture, Network};
use crate::normalization::Normalize;
use crate::sweep::rounded;
use crate::training::{Schedule, evaluate, train};

pub(super) const IMAGES: usize = 240;
pub(super) const STEPS: usize = 400;
/// The training loss at which arms are compared as well.
const MATCHED_LOSS: f32 = 0.01;

/// What statistics are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// No batch norm.
    Plain,
    /// Groups of so many images, drawn anew at every step.
    Redrawn(usize),
    /// Groups that are the same at every step.
    Fixed(usize),
}

pub(super) const WITHOUT: Noise = Noise::Redrawn(IMAGES);

impl Noise {
    fn normalize(self) -> Normalize {
        match self {
            Self::Plain => Normalize::No,
            Self::Redrawn(size) | Self::Fixed(size) => Normalize::Groups {
                size,
                count: IMAGES / size,
            },
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Plain => "plain".into(),
            Self::Redrawn(IMAGES) => format!("BN, all {IMAGES} (no noise)"),
            Self::Redrawn(size) => format!("BN, groups of {size}"),
            Self::Fixed(size) => format!("BN, groups of {size}, fixed"),
        }
    }
}

pub(super) struct Run {
    pub(super) arm: Noise,
    pub(super) rate: f64,
    pub(super) seed: u64,
    pub(super) accuracy: f64,
    pub(super) test_loss: f64,
    pub(super) training_accuracy: f64,
    /// On the training images that were not drawn.
    pub(super) held_back_accuracy: f64,
    /// When the training loss first was as low as [`MATCHED_LOSS`].
    pub(super) matched_test_loss: Option<f64>,
}

/// Trains one network.
pub(super) fn run(context: &Context, arm: Noise, rate: f64, seed: u64) -> Result<Run> {
    let architecture = Architecture::new((2, 100), Activation::Relu, Weights::He, arm.normalize());
    let network = Network::new(&architecture, seed, &context.device)?;
    let all = &context.split.training;
    // Another stream than that of the weights or of the order of the images.
    let order = Random::new(seed + (1 << 32)).order(all.len());
    let (drawn, held_back) = order.split_at(IMAGES);
    let (drawn, held_back) = (all.pick(drawn)?, all.pick(held_back)?);
    let test = &context.split.test;
    let mut schedule = Schedule::new(STEPS, rate, seed).tested_at_the_end();
    schedule.batch = IMAGES;
    schedule.reshuffle = matches!(arm, Noise::Redrawn(_));
    let mut matched_test_loss = None;
    let record = train(&network, (&drawn, test), &schedule, |_, _, loss| {
        if loss <= MATCHED_LOSS && matched_test_loss.is_none() {
            matched_test_loss = Some(evaluate(&network, test)?.1);
        }
        Ok(())
    })?;
    Ok(Run {
        arm,
        rate,
        seed,
        accuracy: record.final_accuracy(),
        test_loss: evaluate(&network, test)?.1,
        training_accuracy: evaluate(&network, &drawn)?.0,
        held_back_accuracy: evaluate(&network, &held_back)?.0,
        matched_test_loss,
    })
}

impl Run {
    pub(super) fn json(&self) -> Value {
        json!({
            "arm": self.arm.name(),
            "rate": rounded(self.rate),
            "seed": self.seed,
            "accuracy": rounded(self.accuracy),
            "test_loss": rounded(self.test_loss),
            "training_accuracy": rounded(self.training_accuracy),
            "held_back_accuracy": rounded(self.held_back_accuracy),
            "test_loss_at_training_loss_0.01": self.matched_test_loss.map(rounded),
        })
    }
}
