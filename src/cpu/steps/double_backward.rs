//! Second derivatives over a whole array: the sums of a tile, then what is written of it, in cache still where a tile has whole channels.

use std::ops::Range;

use crate::backend::activation::Activation;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{GradientsOfGradients, InOut, SecondGradientsMut, StatisticsSource};
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::backward_reduce::{AffineGradients, Gradient, correct_for_center};
use crate::cpu::kernels::coefficients::coefficients_of;
use crate::cpu::kernels::double_backward::{self, ChannelMeans, DoubleBackwardTile, OfParameters};
use crate::cpu::kernels::gradient_products::{self, ProductsTile};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::tile_memory::{Outputs, TileMemory, for_each_tile};
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::tile_gradients::Reduction;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::{Numeric, Real};

/// What is read: x, dy, and the gradients of what the backward pass gave.
pub struct DoubleBackward<'a, T: KernelElement> {
    pub(crate) view: &'a MatrixView,
    pub(crate) params: &'a BackwardParams<'a, T>,
    pub(crate) dy: &'a [T],
    pub(crate) of: GradientsOfGradients<&'a [T], &'a [T::Scalar]>,
}

/// Writes what is with respect to dy, x and γ.
pub(crate) fn double_backward<T: KernelElement>(
    cpu: &Cpu,
    pass: &DoubleBackward<'_, T>,
    SecondGradientsMut { dy, x, gamma }: SecondGradientsMut<&mut [T], &mut [T::Scalar]>,
) {
    let view = pass.view;
    let sums = TileSums::new(pass);
    let outputs = Outputs {
        map: InOut::Separate(pass.dy, dy),
        second: Some(x),
        mask: None,
    };
    let tiling = view.for_statistics(pass_arrays::DOUBLE_BACKWARD, size_of::<T>());
    if tiling.has_whole_channels() {
        let parts = for_each_tile(&cpu.threads, &tiling, outputs, |memory, _, (): &mut ()| {
            let channels = memory.tile.channels(view);
            let mut of_tile = sums.of_tile(cpu, memory.tile);
            of_tile.correct_for_center(pass, channels.start);
            pass.write(cpu, memory, &pass.coefficients(channels.clone(), &of_tile));
            (channels, of_tile)
        });
        for (channels, part) in parts {
            pass.write_gamma(&part, &mut gamma[channels.clone()], channels.start);
        }
        return;
    }
    let bytes = pass_arrays::DOUBLE_BACKWARD * size_of_val(pass.dy);
    let (count, order) = (tiling.count(), tiling.order);
    let parts = cpu
        .threads
        .map(count, bytes, order, |index, _, (): &mut ()| {
            let tile = tiling.tile(index);
            (tile.channels(view).start, sums.of_tile(cpu, &tile))
        });
    let mut whole = ChannelSums::none(view.channels);
    // As moments are merged: where channels are cut, not all are equally far.
    let mut counts = Scratch::<f64>::zeros(view.channels);
    for (first, part) in &parts {
        let count = &mut counts[*first..first + part.products.len()];
        whole.merge_at(*first, count[0], part, pass.is_of_batch());
        count.fill(count[0] + part.count);
    }
    whole.correct_for_center(pass, 0);
    let coefficients = pass.coefficients(0..view.channels, &whole);
    let tiling = view.by_rows().reversed();
    for_each_tile(&cpu.threads, &tiling, outputs, |memory, _, (): &mut ()| {
        pass.write(cpu, memory, &coefficients);
    });
    pass.write_gamma(&whole, gamma, 0);
}

/// The five sums of some channels; zeros of those that are not needed.
struct ChannelSums {
    /// Values of each.
    count: f64,
    /// Σ g·x̂ and Σ g.
    gradient: AffineGradients,
    /// Σ u·x̂ and Σ u.
    outer: AffineGradients,
    /// Σ (u − mean u)·(g − mean g) where the statistics are the batch's, else Σ u·g.
    products: Scratch<f64>,
}

impl ChannelSums {
    fn none(channels: usize) -> Self {
        Self {
            count: 0.0,
            gradient: AffineGradients::none(channels),
            outer: AffineGradients::none(channels),
            products: Scratch::zeros(channels),
        }
    }

    /// Adds the sums of a tile, whose channels begin there, to those of so many values. Products about means are brought to the mean of
    /// all, as in Chan, Golub & LeVeque (1979).
    fn merge_at(&mut self, first: usize, count: f64, part: &Self, about_means: bool) {
        if about_means && count > 0.0 {
            let weight = count * part.count / (count + part.count);
            for i in 0..part.products.len() {
                let apart = |whole: &[f64], part_sum: &[f64]| {
                    part_sum[i] / part.count - whole[first + i] / count
                };
                let of_outer = apart(&self.outer.dbeta, &part.outer.dbeta);
                let of_gradient = apart(&self.gradient.dbeta, &part.gradient.dbeta);
                self.products[first + i] += of_outer * of_gradient * weight;
            }
        }
        let add = |to: &mut [f64], from: &[f64]| {
            for (to, from) in to[first..].iter_mut().zip(from) {
                *to += from;
            }
        };
        add(&mut self.gradient.dgamma, &part.gradient.dgamma);
        add(&mut self.gradient.dbeta, &part.gradient.dbeta);
        add(&mut self.outer.dgamma, &part.outer.dgamma);
        add(&mut self.outer.dbeta, &part.outer.dbeta);
        add(&mut self.products, &part.products);
    }

    /// Takes out what the rounding of the mean put into products with x̂.
    fn correct_for_center<T: KernelElement>(&mut self, pass: &DoubleBackward<'_, T>, first: usize) {
        let with = pass.params.with();
        correct_for_center(&mut self.gradient, &with, first);
        correct_for_center(&mut self.outer, &with, first);
    }
}

/// How the sums of a tile are taken.
struct TileSums<'a, T: KernelElement> {
    pass: &'a DoubleBackward<'a, T>,
    /// Of g, where the statistics are the batch's.
    of_gradient: Option<Reduction<'a, T>>,
    /// Of u, where there is one and the statistics are the batch's.
    of_outer: Option<(Reduction<'a, T>, &'a [T])>,
}

impl<'a, T: KernelElement> TileSums<'a, T> {
    fn new(pass: &'a DoubleBackward<'a, T>) -> Self {
        let (view, params) = (pass.view, pass.params);
        let with = params.with();
        let reduction = |activation| Reduction::new(view, params.x, with, activation);
        let of_batch = params.source == StatisticsSource::Batch;
        let outer = pass.of.input.filter(|_| of_batch);
        let none = ActivationBackward::of(Activation::None);
        Self {
            pass,
            of_gradient: of_batch.then(|| reduction(params.activation)),
            of_outer: outer.map(|outer| (reduction(none), outer)),
        }
    }

    fn of_tile(&self, cpu: &Cpu, tile: &Tile) -> ChannelSums {
        let channels = tile.channels(self.pass.view).len();
        let sums = |reduction: &Reduction<'_, T>, values| {
            reduction.of_tile(cpu, tile, Gradient::Array(RawSlice::new(values)), None)
        };
        let gradient = (self.of_gradient.as_ref()).map(|of| sums(of, self.pass.dy));
        let outer = (self.of_outer.as_ref()).map(|(of, outer)| sums(of, outer));
        let mut all = ChannelSums {
            count: tile.values_per_channel(self.pass.view) as f64,
            gradient: gradient.unwrap_or_else(|| AffineGradients::none(channels)),
            outer: outer.unwrap_or_else(|| AffineGradients::none(channels)),
            products: Scratch::zeros(channels),
        };
        if let Some(outer) = self.pass.of.input {
            all.products = self.products(cpu, tile, outer, &all);
        }
        all
    }

    /// What is subtracted from u and from g before they are multiplied: their means over the tile, as near as the type has them.
    fn references(&self, sums: &ChannelSums, i: usize) -> [T::Scalar; 2] {
        [&sums.outer.dbeta, &sums.gradient.dbeta].map(|sum| {
            let mean = T::Scalar::nearest(sum[i] / sums.count);
            if self.pass.is_of_batch() && mean.value().is_finite() {
                mean
            } else {
                T::Scalar::default()
            }
        })
    }

    /// Enlarged by a power of two, for products of subnormal numbers lose bits; where that overflows, as they are.
    fn products(&self, cpu: &Cpu, tile: &Tile, outer: &[T], sums: &ChannelSums) -> Scratch<f64> {
        let (view, params) = (self.pass.view, self.pass.params);
        let (with, channels) = (params.with(), tile.channels(view));
        let first = channels.start;
        let coefficients: Coefficients<_, { gradient_products::COEFFICIENTS }> =
            Coefficients::new(channels, |c| {
                let [center, scale, shift, _] = coefficients_of(&with, c);
                let [of_u, of_g] = self.references(sums, c - first);
                [center, scale, shift, of_u, of_g]
            });
        let of = |enlargement: f64| {
            T::products(
                cpu,
                ProductsTile {
                    view,
                    tile,
                    dy: RawSlice::new(self.pass.dy),
                    x: RawSlice::new(params.x),
                    outer: RawSlice::new(outer),
                    coefficients: &coefficients,
                    activation: params.activation,
                    enlargement: T::Scalar::nearest(enlargement),
                },
            )
            .sums
        };
        let mut products = of(T::Scalar::ENLARGES_PRODUCTS);
        for product in products.iter_mut() {
            *product /= T::Scalar::ENLARGES_PRODUCTS;
        }
        if !products.iter().all(|product| product.is_finite()) {
            let again = of(1.0);
            for (product, again) in products.iter_mut().zip(again.iter()) {
                if !product.is_finite() {
                    *product = *again;
                }
            }
        }
        if self.pass.is_of_batch() {
            for (i, product) in products.iter_mut().enumerate() {
                // What the references are off the means.
                let [of_u, of_g] = self.references(sums, i).map(|of| sums.count * of.value());
                let left = (sums.outer.dbeta[i] - of_u) * (sums.gradient.dbeta[i] - of_g);
                *product -= left / sums.count;
            }
        }
        products
    }
}

impl<T: KernelElement> DoubleBackward<'_, T> {
    fn is_of_batch(&self) -> bool {
        self.params.source == StatisticsSource::Batch
    }

    /// Of some channels, whose sums these are.
    fn coefficients(
        &self,
        channels: Range<usize>,
        sums: &ChannelSums,
    ) -> Coefficients<T::Scalar, { double_backward::COEFFICIENTS }> {
        let first = channels.start;
        let given = |array: Option<&[T::Scalar]>, c: usize| array.map_or(0.0, |all| all[c].value());
        double_backward::coefficients(
            &self.params.with(),
            channels,
            |c| self.means(sums, c - first),
            |c| OfParameters {
                gamma: given(self.of.gamma, c),
                beta: given(self.of.beta, c),
            },
        )
    }

    /// Of the i-th channel that the sums are of.
    fn means(&self, sums: &ChannelSums, i: usize) -> ChannelMeans {
        if !self.is_of_batch() || (self.of.input.is_none() && self.of.gamma.is_none()) {
            return ChannelMeans::default();
        }
        let mean = |sum: &[f64]| sum[i] / self.view.values_per_channel();
        let [outer, gradient] = [&sums.outer.dbeta, &sums.gradient.dbeta].map(|sum| mean(sum));
        let [p, q] = [&sums.outer.dgamma, &sums.gradient.dgamma].map(|sum| mean(sum));
        ChannelMeans {
            outer,
            outer_by_x_hat: p,
            gradient,
            gradient_by_x_hat: q,
            covariance: if self.of.input.is_some() {
                mean(&sums.products) - p * q
            } else {
                0.0
            },
        }
    }

    fn write(
        &self,
        cpu: &Cpu,
        memory: &mut TileMemory<'_, T>,
        coefficients: &Coefficients<T::Scalar, { double_backward::COEFFICIENTS }>,
    ) {
        let takes_statistics_of_u = self.is_of_batch() && self.of.input.is_some();
        T::second_gradients(
            cpu,
            DoubleBackwardTile {
                view: self.view,
                x: RawSlice::new(self.params.x),
                outer: self.of.input.map(RawSlice::new),
                outer_residual: self.of.residual.map(RawSlice::new),
                coefficients,
                of_batch: self.is_of_batch(),
                takes_x_hat: self.of.gamma.is_some() || takes_statistics_of_u,
                activation: self.params.activation,
                memory,
            },
        );
    }

    /// With respect to γ, of the channels that the sums are of.
    fn write_gamma(&self, sums: &ChannelSums, out: &mut [T::Scalar], first: usize) {
        for (i, out) in out.iter_mut().enumerate() {
            let products = if self.is_of_batch() {
                self.means(sums, i).covariance * self.view.values_per_channel()
            } else {
                sums.products[i]
            };
            *out = T::Scalar::nearest(self.params.with().inv_std[first + i].value() * products);
        }
    }
}
