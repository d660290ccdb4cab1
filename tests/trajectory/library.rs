//! This crate's layer as a hidden layer.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, ChannelArray, Cpu, Element, Pass, Tensor};
use ndarray::{Array2, Zip};

use crate::digits::Float;
use crate::network::{Hidden, State};

/// Who does the ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relu {
    /// The layer.
    Fused,
    /// The network, after the layer.
    Separate,
}

pub(crate) struct Library<F: Float> {
    layer: BatchNorm<Cpu, F>,
    relu: Relu,
}

impl<F: Float> Library<F> {
    pub(crate) fn new(relu: Relu) -> Self {
        let activation = match relu {
            Relu::Fused => Activation::Relu,
            Relu::Separate => Activation::None,
        };
        let config = BatchNormConfig::new(32).activation(activation);
        Self {
            layer: BatchNorm::with_compute(&Cpu::new(), config).unwrap(),
            relu,
        }
    }

    /// As an array, after the ReLU if that is still to be done.
    fn finish(&self, y: &Tensor<F, Cpu>) -> Array2<F> {
        let y = array(y);
        match self.relu {
            Relu::Fused => y,
            Relu::Separate => y.mapv_into(|value| value.max(F::zero())),
        }
    }
}

impl<F: Float> Hidden<F> for Library<F> {
    /// The pass, and y.
    type Kept = (Pass<Array2<F>, Cpu>, Array2<F>);

    fn forward(&mut self, x: Array2<F>) -> (Array2<F>, Self::Kept) {
        let (y, pass) = self.layer.forward_training(x).unwrap();
        let y = self.finish(&y);
        (y.clone(), (pass, y))
    }

    fn backward(&mut self, (pass, y): Self::Kept, mut dy: Array2<F>, rate: F) -> Array2<F> {
        if self.relu == Relu::Separate {
            Zip::from(&mut dy).and(&y).for_each(|dy, &y| {
                if y <= F::zero() {
                    *dy = F::zero();
                }
            });
        }
        let gradients = pass.backward(&dy).unwrap();
        descend(self.layer.gamma_mut(), gradients.gamma, rate);
        descend(self.layer.beta_mut(), gradients.beta, rate);
        array(&gradients.input)
    }

    fn infer(&self, x: Array2<F>) -> Array2<F> {
        self.finish(&self.layer.forward_inference(&x).unwrap())
    }

    fn state(&self) -> State {
        let wide = |array: &ChannelArray<F, Cpu>| {
            let values = array.to_vec().unwrap();
            values.into_iter().map(Element::to_f64).collect()
        };
        let running = self.layer.running().unwrap();
        State {
            gamma: wide(self.layer.gamma().unwrap()),
            beta: wide(self.layer.beta().unwrap()),
            running_mean: wide(running.mean()),
            running_variance: wide(running.variance()),
        }
    }
}

fn array<F: Float>(tensor: &Tensor<F, Cpu>) -> Array2<F> {
    let shape = tensor.shape();
    Array2::from_shape_vec((shape.batch(), shape.channels()), tensor.to_vec().unwrap()).unwrap()
}

fn descend<F: Float>(
    parameter: Option<&mut ChannelArray<F, Cpu>>,
    gradient: Option<ChannelArray<F, Cpu>>,
    rate: F,
) {
    let (parameter, gradient) = (parameter.unwrap(), gradient.unwrap());
    let mut values = parameter.to_vec().unwrap();
    for (value, slope) in values.iter_mut().zip(gradient.to_vec().unwrap()) {
        *value -= rate * slope;
    }
    parameter.set(&values).unwrap();
}
