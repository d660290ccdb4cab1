//! Ghost batches, each of which is renormalized against the running statistics of before the whole batch.

use batchnorm::{Activation, BatchNormConfig, Cpu, Element, Layout, Renormalization, Shape};
use contract_suite::layers::running;
use half::f16;

use crate::{layer, tensor, values, wave};

fn shape(samples: usize, layout: Layout) -> Shape {
    match layout {
        Layout::ChannelsFirst => Shape::channels_first(&[samples, 5, 4, 3]).unwrap(),
        Layout::ChannelsLast => Shape::channels_last(&[samples, 4, 3, 5]).unwrap(),
    }
}

/// Against layers of before the batch that are given a group each: the same bits of y and dx, and dγ and dβ that are their sums.
fn check<T: Element>(layout: Layout, tolerance: f64) {
    let cpu = Cpu::with_threads(2).unwrap();
    let config = BatchNormConfig::new(5)
        .activation(Activation::Relu)
        .renormalization(Renormalization::new(1.3, 0.4));
    let (samples, sample) = (14, shape(1, layout).len());
    let (x, dy) = (
        wave(samples * sample, 1.7, 0.2),
        wave(samples * sample, 0.9, 2.3),
    );
    let mut whole = layer::<T, _>(&cpu, config.ghost_batch(4));
    let of_whole = tensor::<T, _>(&cpu, shape(samples, layout), &x);
    let (y, pass) = whole.forward_training(&of_whole).unwrap();
    let dy_of_whole = tensor::<T, _>(&cpu, shape(samples, layout), &dy);
    let (y, dx, dgamma, dbeta) = values(&y, pass.backward(&dy_of_whole).unwrap());

    let (mut sums_gamma, mut sums_beta) = ([0.0; 5], [0.0; 5]);
    for start in (0..samples).step_by(4) {
        let group = start..samples.min(start + 4);
        let part = group.start * sample..group.end * sample;
        let shape = shape(group.len(), layout);
        let mut before = layer::<T, _>(&cpu, config);
        let x = tensor::<T, _>(&cpu, shape, &x[part.clone()]);
        let (group_y, pass) = before.forward_training(&x).unwrap();
        let dy = tensor::<T, _>(&cpu, shape, &dy[part.clone()]);
        let gradients = pass.backward(&dy).unwrap();
        let (group_y, group_dx, group_dgamma, group_dbeta) = values(&group_y, gradients);
        assert_eq!(y[part.clone()], group_y);
        assert_eq!(dx[part], group_dx);
        for c in 0..5 {
            sums_gamma[c] += group_dgamma[c].to_f64();
            sums_beta[c] += group_dbeta[c].to_f64();
        }
    }
    for c in 0..5 {
        for (found, sum) in [(dgamma[c], sums_gamma[c]), (dbeta[c], sums_beta[c])] {
            assert!((found.to_f64() - sum).abs() <= tolerance * (1.0 + sum.abs()));
        }
    }
    // The running statistics follow the groups as they do without renormalization.
    let mut plain = layer::<T, _>(&cpu, config.renormalization(None).ghost_batch(4));
    plain.forward_training(&of_whole).unwrap();
    assert_eq!(running(&whole), running(&plain));
}

#[test]
fn every_group_is_brought_to_the_same_running_statistics() {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        check::<f32>(layout, 1e-6);
        check::<f16>(layout, 1e-6);
        check::<f64>(layout, 1e-14);
    }
}
