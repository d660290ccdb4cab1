//! Convolutions by their definition.

/// A convolution, transposed or not, with 1 to 3 spatial dimensions; without any it is a linear layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution<'a> {
    pub(crate) transposed: bool,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) groups: usize,
    pub(crate) size: &'a [usize],
    pub(crate) kernel: &'a [usize],
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

pub(crate) const BATCH: usize = 2;

pub(crate) const LINEAR: Convolution<'_> = Convolution {
    transposed: false,
    inputs: 7,
    outputs: 5,
    groups: 1,
    size: &[],
    kernel: &[],
    stride: 1,
    padding: 0,
};

impl Convolution<'_> {
    pub(crate) fn weight_dims(&self) -> Vec<usize> {
        let front = if self.transposed {
            [self.inputs, self.outputs / self.groups]
        } else {
            [self.outputs, self.inputs / self.groups]
        };
        [&front, self.kernel].concat()
    }

    pub(crate) fn output_size(&self) -> Vec<usize> {
        let axes = self.size.iter().zip(self.kernel);
        axes.map(|(size, kernel)| {
            if self.transposed {
                (size - 1) * self.stride + kernel - 2 * self.padding
            } else {
                (size + 2 * self.padding - kernel) / self.stride + 1
            }
        })
        .collect()
    }

    /// Where the value at `position` of the convolution's smaller side meets kernel element `k` on its larger side.
    fn meets(&self, position: &[usize], k: &[usize], larger: &[usize]) -> Option<usize> {
        let mut index = 0;
        for axis in 0..larger.len() {
            let along = (position[axis] * self.stride + k[axis]).checked_sub(self.padding)?;
            if along >= larger[axis] {
                return None;
            }
            index = index * larger[axis] + along;
        }
        Some(index)
    }

    /// (N, outputs, output size...), by the definition: every pair of an input and an output channel of one group.
    pub(crate) fn run(&self, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let (in_size, out_size) = (self.size.to_vec(), self.output_size());
        let (in_len, out_len) = (product(&in_size), product(&out_size));
        let kernel_len = product(self.kernel);
        let (in_group, out_group) = (self.inputs / self.groups, self.outputs / self.groups);
        let mut y = vec![0.0; BATCH * self.outputs * out_len];
        for (index, value) in y.iter_mut().enumerate() {
            *value = bias.map_or(0.0, |bias| bias[index / out_len % self.outputs]);
        }
        // The smaller side steps by the stride over the larger one: the output, or when transposed the input.
        let (smaller, larger) = if self.transposed {
            (&in_size, &out_size)
        } else {
            (&out_size, &in_size)
        };
        for n in 0..BATCH {
            for i in 0..self.inputs {
                for o in (0..self.outputs).filter(|o| o / out_group == i / in_group) {
                    let weight_row = if self.transposed {
                        i * out_group + o % out_group
                    } else {
                        o * in_group + i % in_group
                    };
                    for p in 0..product(smaller) {
                        for k in 0..kernel_len {
                            let (at, kernel_at) = (unravel(p, smaller), unravel(k, self.kernel));
                            let Some(q) = self.meets(&at, &kernel_at, larger) else {
                                continue;
                            };
                            let (from, to) = if self.transposed { (p, q) } else { (q, p) };
                            y[(n * self.outputs + o) * out_len + to] += x
                                [(n * self.inputs + i) * in_len + from]
                                * weight[weight_row * kernel_len + k];
                        }
                    }
                }
            }
        }
        y
    }
}

pub(crate) fn product(dims: &[usize]) -> usize {
    dims.iter().product()
}

fn unravel(mut index: usize, dims: &[usize]) -> Vec<usize> {
    let mut position = vec![0; dims.len()];
    for axis in (0..dims.len()).rev() {
        position[axis] = index % dims[axis];
        index /= dims[axis];
    }
    position
}
