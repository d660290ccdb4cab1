//! From the results of a case to a file.

use batchnorm::backend::Backend;
use batchnorm::{ChannelArray, Compute, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::Result;
use super::tensors::Stored;

/// What will be in the file.
#[derive(Default)]
pub(crate) struct Outputs(Vec<Output>);

struct Output {
    name: &'static str,
    dtype: Dtype,
    dims: Vec<usize>,
    bytes: Vec<u8>,
}

impl Outputs {
    /// With the dimensions that the file gives x: a shape keeps at most five.
    pub(crate) fn add_tensor<T: Stored, B: Backend>(
        &mut self,
        name: &'static str,
        dims: &[usize],
        tensor: &Tensor<T, B>,
    ) -> Result<()> {
        self.add(name, dims.to_vec(), &tensor.to_vec()?);
        Ok(())
    }

    pub(crate) fn add_channels<C: Stored + Compute, B: Backend>(
        &mut self,
        name: &'static str,
        array: &ChannelArray<C, B>,
    ) -> Result<()> {
        self.add(name, vec![array.len()], &array.to_vec()?);
        Ok(())
    }

    /// A signed number without dimensions, as PyTorch stores its counter.
    pub(crate) fn add_count(&mut self, name: &'static str, count: u64) -> Result<()> {
        let Ok(count) = i64::try_from(count) else {
            let needed = i64::MAX;
            return Err(format!("{name} is {count}, needed is at most {needed}").into());
        };
        self.0.push(Output {
            name,
            dtype: Dtype::I64,
            dims: Vec::new(),
            bytes: count.to_le_bytes().to_vec(),
        });
        Ok(())
    }

    fn add<T: Stored>(&mut self, name: &'static str, dims: Vec<usize>, values: &[T]) {
        self.0.push(Output {
            name,
            dtype: T::STORED_AS,
            dims,
            bytes: T::to_bytes(values),
        });
    }

    pub(crate) fn into_file(self) -> Result<Vec<u8>> {
        let mut views = Vec::new();
        for output in &self.0 {
            let view = TensorView::new(output.dtype, output.dims.clone(), &output.bytes)?;
            views.push((output.name, view));
        }
        Ok(safetensors::serialize(views, None)?)
    }
}
