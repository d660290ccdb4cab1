//! Arrays of callers that do not keep their word: the layer is then as it was.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, Data, DataMut, Error, Result, Shape, Tensor, View, ViewMut,
};
use contract_suite::layers::{column, running};

/// Memory that says it has another shape, or panics when it is lent for the `panics`th time.
struct Lender {
    tensor: Tensor<f32, Cpu>,
    says: Option<Shape>,
    panics: usize,
    lent: Cell<usize>,
}

impl Lender {
    fn of(values: &[f32]) -> Self {
        Self {
            tensor: column(values),
            says: None,
            panics: usize::MAX,
            lent: Cell::new(0),
        }
    }

    fn saying(self, dims: &[usize]) -> Self {
        let says = Some(Shape::channels_first(dims).unwrap());
        Self { says, ..self }
    }

    fn panicking(self, panics: usize) -> Self {
        Self { panics, ..self }
    }

    fn count(&self) {
        self.lent.set(self.lent.get() + 1);
        assert!(self.lent.get() < self.panics, "as this test wants it");
    }
}

impl Data<Cpu> for Lender {
    type Element = f32;
    fn lend(&self) -> Result<View<'_, f32, Cpu>> {
        self.count();
        let shape = self.says.unwrap_or(self.tensor.shape());
        let values = self.tensor.slice();
        Ok(View { shape, values })
    }
}

impl DataMut<Cpu> for Lender {
    fn lend_mut(&mut self) -> Result<ViewMut<'_, f32, Cpu>> {
        self.count();
        let shape = self.says.unwrap_or(self.tensor.shape());
        let values = self.tensor.slice_mut();
        Ok(ViewMut { shape, values })
    }
}

fn layer(config: BatchNormConfig) -> BatchNorm<Cpu> {
    let mut layer = BatchNorm::new(&Cpu::new(), config).unwrap();
    layer.forward_training(&column(&[1.0, 5.0])).unwrap();
    layer
}

const X: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

#[test]
fn after_a_panic_the_layer_is_as_it_was() {
    for config in [
        BatchNormConfig::new(1),
        BatchNormConfig::new(1).ghost_batch(2),
    ] {
        let mut layer = layer(config);
        let before = running(&layer);
        let mut panicked = |x: &Lender, residual: &Lender, mut y: Lender| {
            let run = || {
                layer
                    .forward_training_into(x, Some(residual), &mut y)
                    .map(drop)
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            assert_eq!(y.tensor.to_vec().unwrap(), X);
            assert_eq!(running(&layer), before);
        };
        let good = || Lender::of(&X);
        panicked(&good().panicking(1), &good(), good());
        panicked(&good(), &good().panicking(1), good());
        panicked(&good(), &good(), good().panicking(1));

        let run = || layer.forward_training(good().panicking(2)).map(drop);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        assert_eq!(running(&layer), before);
        layer.forward_training(&column(&X)).unwrap();
        assert_ne!(running(&layer), before);
    }
}

#[test]
fn memory_of_another_length_than_it_says_is_refused_before_any_is_asked_for() {
    let length =
        |result: Result<()>| assert!(matches!(result, Err(Error::Length { .. })), "{result:?}");
    let huge = || Lender::of(&X).saying(&[1 << 59, 1]);
    let config = BatchNormConfig::new(1);
    for config in [config, config.ghost_batch(2)] {
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&Cpu::new(), config).unwrap();
        let before = running(&layer);
        length(layer.forward_training(huge()).map(drop));
        length(layer.forward_training_deferred(huge()).map(drop));
        length(
            layer
                .forward_training_into(&huge(), None, &mut huge())
                .map(drop),
        );
        length(layer.forward_frozen(huge()).map(drop));
        length(layer.forward_inference(&huge()).map(drop));
        length(layer.forward_inference_into(&huge(), None, &mut huge()));
        length(layer.batch_statistics(&huge()).map(drop));
        length(
            layer
                .forward_training_add(&Lender::of(&X), &Lender::of(&X[..2]).saying(&[4, 1]))
                .map(drop),
        );
        let mut short = Lender::of(&X[..2]).saying(&[4, 1]);
        length(
            layer
                .forward_training_into(&Lender::of(&X), None, &mut short)
                .map(drop),
        );
        assert_eq!(running(&layer), before);

        let (_, pass) = layer.forward_training_deferred(Lender::of(&X)).unwrap();
        length(
            pass.backward(&Lender::of(&X[..2]).saying(&[4, 1]))
                .map(drop),
        );
    }
}

#[test]
fn a_pass_whose_input_has_changed_its_shape_does_not_go_backward() {
    /// Shrinks after so many times.
    struct Shrinking(Lender, Tensor<f32, Cpu>);
    impl Data<Cpu> for Shrinking {
        type Element = f32;
        fn lend(&self) -> Result<View<'_, f32, Cpu>> {
            self.0.lent.set(self.0.lent.get() + 1);
            if self.0.lent.get() <= 2 {
                return self.0.tensor.lend();
            }
            self.1.lend()
        }
    }
    let layer = layer(BatchNormConfig::new(1).ghost_batch(2));
    let x = Shrinking(Lender::of(&X), column(&X[..2]));
    let (_, pass) = layer.forward_training_deferred(x).unwrap();
    let mut dx = column(&X);
    let refused = pass.backward_into(&column(&X), &mut dx, None);
    assert!(
        matches!(refused, Err(Error::ShapeMismatch { .. })),
        "{refused:?}"
    );
    assert_eq!(dx.to_vec().unwrap(), X);
}
