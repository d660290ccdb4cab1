//! Second derivatives by their formulas in f64, and beside each what its terms add up to without their signs, of which rounding errors
//! are a part.

use crate::reference::{Forward, Problem, exact_sum};

/// The gradients of a scalar with respect to what a backward pass gives; zeros where one is missing.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// u, with respect to dx.
    pub input: Option<Vec<f64>>,
    /// w, with respect to the residual's gradient.
    pub residual: Option<Vec<f64>>,
    /// G, with respect to dγ.
    pub gamma: Option<Vec<f64>>,
    /// B, with respect to dβ.
    pub beta: Option<Vec<f64>>,
}

/// A gradient, and its terms without their signs.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    pub values: Vec<f64>,
    pub magnitudes: Vec<f64>,
}

/// With respect to dy, x and γ.
#[derive(Debug, Clone)]
pub(crate) struct SecondGradients {
    pub dy: Second,
    pub x: Second,
    pub gamma: Second,
}

/// `slope` is the derivative of the activation at each place. The magnitudes are those of an x̂ that is larger by `more_x_hat` of its
/// channel, where a sum is off by a `share` of its terms without their signs.
pub(crate) fn double_backward(
    problem: &Problem,
    forward: &Forward,
    given: &Given,
    slope: impl Fn(usize) -> f64,
    more_x_hat: impl Fn(usize) -> f64,
    share: impl Fn(usize) -> f64,
) -> SecondGradients {
    let [mut dy, mut x] = [0; 2].map(|_| Second::zeros(problem.shape.len()));
    let mut gamma = Second::zeros(problem.shape.channels());
    // Chosen, not multiplied, where the slope is zero.
    let sloped = |i: usize, value: f64| match slope(i) {
        0.0 => 0.0,
        slope => slope * value,
    };
    for c in 0..problem.shape.channels() {
        let places: Vec<usize> = problem.channel(c).collect();
        let of = |value: &dyn Fn(usize) -> f64| places.iter().map(|&i| value(i)).collect();
        let channel = Channel {
            of_batch: problem.running.is_none(),
            sign: 1.0,
            outer: of(&|i| at(given.input.as_deref(), i)),
            gradient: of(&|i| sloped(i, problem.dy[i])),
            x_hat: of(&|i| forward.x_hat[i]),
            gamma: problem.gamma[c],
            inv_std: forward.inv_std[c],
            of_gamma: at(given.gamma.as_deref(), c),
            of_beta: at(given.beta.as_deref(), c),
        };
        let unsigned = channel.without_signs(more_x_hat(c));
        let magnitude = channel.magnitude_of_covariance(&unsigned, share(c));
        let signed = channel.gradients(channel.covariance());
        let unsigned = unsigned.gradients(magnitude);
        for (at_channel, &i) in places.iter().enumerate() {
            let w = at(given.residual.as_deref(), i);
            dy.values[i] = sloped(i, signed.gradient[at_channel] + w);
            dy.magnitudes[i] = sloped(i, unsigned.gradient[at_channel] + w.abs()).abs();
            x.values[i] = signed.x[at_channel];
            x.magnitudes[i] = unsigned.x[at_channel];
        }
        gamma.values[c] = signed.gamma;
        gamma.magnitudes[c] = unsigned.gamma;
    }
    SecondGradients { dy, x, gamma }
}

fn at(array: Option<&[f64]>, i: usize) -> f64 {
    array.map_or(0.0, |array| array[i])
}

impl Second {
    fn zeros(len: usize) -> Self {
        Self {
            values: vec![0.0; len],
            magnitudes: vec![0.0; len],
        }
    }
}

/// What the formulas take of one channel.
struct Channel {
    /// Whether the statistics are the batch's.
    of_batch: bool,
    /// Of what is added where the formulas subtract: −1 where there are no signs.
    sign: f64,
    /// u.
    outer: Vec<f64>,
    /// g.
    gradient: Vec<f64>,
    x_hat: Vec<f64>,
    gamma: f64,
    /// r.
    inv_std: f64,
    /// G.
    of_gamma: f64,
    /// B.
    of_beta: f64,
}

/// With respect to g, but for w, to x and to γ.
struct OfChannel {
    gradient: Vec<f64>,
    x: Vec<f64>,
    gamma: f64,
}

impl Channel {
    fn without_signs(&self, more_x_hat: f64) -> Self {
        let absolute = |values: &[f64]| values.iter().map(|value| value.abs()).collect();
        Self {
            of_batch: self.of_batch,
            sign: -1.0,
            outer: absolute(&self.outer),
            gradient: absolute(&self.gradient),
            x_hat: (self.x_hat.iter())
                .map(|x_hat| x_hat.abs() + more_x_hat)
                .collect(),
            gamma: self.gamma.abs(),
            inv_std: self.inv_std,
            of_gamma: self.of_gamma.abs(),
            of_beta: self.of_beta.abs(),
        }
    }

    /// P(v).
    fn projected(&self, v: &[f64]) -> Vec<f64> {
        let (mean, by_x_hat) = (mean(v), mean_of_products(v, &self.x_hat));
        let pairs = v.iter().zip(&self.x_hat);
        pairs
            .map(|(v, x_hat)| v - self.sign * (mean + x_hat * by_x_hat))
            .collect()
    }

    /// a where the statistics are the batch's, else the mean of u·g.
    fn covariance(&self) -> f64 {
        if !self.of_batch {
            return mean_of_products(&self.outer, &self.gradient);
        }
        let [u, g] = [&self.outer, &self.gradient].map(|values| about_mean(values));
        let [p, q] = [&u, &g].map(|values| mean_of_products(values, &self.x_hat));
        mean_of_products(&u, &g) - p * q
    }

    /// What errors of a are a share of. It is taken of u and g about their means: what is off in one of the means, or in p or q, is a
    /// part of that one's own terms, by the other's deviations; and by the other's terms where both are off.
    fn magnitude_of_covariance(&self, unsigned: &Self, share: f64) -> f64 {
        if !self.of_batch {
            return unsigned.covariance();
        }
        let deviations = |values: &Vec<f64>| {
            let values = about_mean(values).into_iter();
            values.map(f64::abs).collect::<Vec<_>>()
        };
        let [u, g] = [&self.outer, &self.gradient].map(deviations);
        let [all_u, all_g] = [&unsigned.outer, &unsigned.gradient].map(|values| mean(values));
        let of_means = all_u * mean(&g) + mean(&u) * all_g + share * all_u * all_g;
        let by_x_hat =
            |of: &Self| [&of.outer, &of.gradient].map(|values| mean_of_products(values, &of.x_hat));
        let ([p, q], [all_p, all_q]) = (by_x_hat(self), by_x_hat(unsigned));
        let of_x_hat = all_p * q.abs() + p.abs() * all_q + share * all_p * all_q;
        mean_of_products(&u, &g) + of_means + of_x_hat
    }

    /// `covariance`: a, or its magnitude.
    fn gradients(&self, covariance: f64) -> OfChannel {
        let Self {
            sign,
            outer,
            gradient,
            x_hat,
            gamma,
            inv_std: r,
            of_gamma,
            of_beta,
            ..
        } = self;
        let count = x_hat.len();
        let of_parameters = |i: usize| of_gamma * x_hat[i] + of_beta;
        if !self.of_batch {
            let of_outer = |i: usize| gamma * r * outer[i];
            return OfChannel {
                gradient: (0..count).map(|i| of_outer(i) + of_parameters(i)).collect(),
                x: gradient.iter().map(|g| of_gamma * r * g).collect(),
                gamma: r * covariance * count as f64,
            };
        }
        let p = mean_of_products(outer, x_hat);
        let q = mean_of_products(gradient, x_hat);
        let [of_outer, of_gradient] = [self.projected(outer), self.projected(gradient)];
        let of_x = |i: usize| {
            let through_statistics = x_hat[i] * covariance + q * of_outer[i] + p * of_gradient[i];
            of_gamma * r * of_gradient[i] - sign * gamma * r * r * through_statistics
        };
        OfChannel {
            gradient: (0..count)
                .map(|i| gamma * r * of_outer[i] + of_parameters(i))
                .collect(),
            x: (0..count).map(of_x).collect(),
            gamma: count as f64 * r * covariance,
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    exact_sum(values.iter().copied()) / values.len() as f64
}

fn about_mean(values: &[f64]) -> Vec<f64> {
    let mean = mean(values);
    values.iter().map(|value| value - mean).collect()
}

fn mean_of_products(a: &[f64], b: &[f64]) -> f64 {
    exact_sum(a.iter().zip(b).map(|(a, b)| a * b)) / a.len() as f64
}
