//! Random weights.

use candle_core::{Device, Result, Var};
use digits_data::random::Random;

/// The variance of Gaussian weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weights {
    /// 2 / inputs (He et al. 2015)
    He,
    /// 2 / (inputs + outputs) (Glorot & Bengio 2010)
    Xavier,
    /// 1 / (3 · inputs): that of PyTorch's linear layer
    Default,
    /// The same deviation everywhere
    Deviation(f32),
}

impl Weights {
    pub(crate) fn name(self) -> String {
        match self {
            Self::He => "He".into(),
            Self::Xavier => "Xavier".into(),
            Self::Default => "default".into(),
            Self::Deviation(deviation) => format!("N(0, {deviation}²)"),
        }
    }

    fn deviation(self, inputs: usize, outputs: usize) -> f32 {
        match self {
            Self::He => (2.0 / inputs as f32).sqrt(),
            Self::Xavier => (2.0 / (inputs + outputs) as f32).sqrt(),
            Self::Default => (1.0 / (3 * inputs) as f32).sqrt(),
            Self::Deviation(deviation) => deviation,
        }
    }

    /// A matrix (outputs, inputs), `scale` times as large as it would be.
    pub(crate) fn matrix(
        self,
        (outputs, inputs): (usize, usize),
        scale: f32,
        random: &mut Random,
        device: &Device,
    ) -> Result<Var> {
        let deviation = scale * self.deviation(inputs, outputs);
        let values = (0..inputs * outputs)
            .map(|_| deviation * normal(random))
            .collect();
        Var::from_vec(values, (outputs, inputs), device)
    }
}

/// From the normal distribution, by Marsaglia's polar method.
fn normal(random: &mut Random) -> f32 {
    loop {
        let (u, v) = (random.symmetric(), random.symmetric());
        let square = u * u + v * v;
        if square > 0.0 && square < 1.0 {
            return u * (-2.0 * square.ln() / square).sqrt();
        }
    }
}
