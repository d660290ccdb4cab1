//! One result against PyTorch's.

use std::collections::BTreeMap;

use batchnorm::Device;
use safetensors::Dtype;

use crate::bounds::bound;
use crate::file::{Golden, GoldenFile};

/// The largest error in bounds by dtype and tensor, and how many halves there were and had the same bits.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) largest: BTreeMap<String, (f64, f64, String)>,
    pub(crate) halves: usize,
    pub(crate) equal_halves: usize,
}

impl Findings {
    /// Compares one tensor.
    pub(crate) fn compare(
        &mut self,
        what: &str,
        theirs: &Golden,
        ours: &Golden,
        bound: f64,
    ) -> Result<(), String> {
        if (theirs.dtype, &theirs.dims) != (ours.dtype, &ours.dims) {
            return Err(format!(
                "{what} is {:?} {:?}, PyTorch's is {:?} {:?}",
                ours.dtype, ours.dims, theirs.dtype, theirs.dims
            ));
        }
        match theirs.dtype {
            Dtype::I64 if theirs.bytes == ours.bytes => Ok(()),
            Dtype::I64 => Err(format!(
                "{what}: {:?}, PyTorch's {:?}",
                ours.bytes, theirs.bytes
            )),
            Dtype::F16 | Dtype::BF16 => self.compare_halves(what, theirs, ours),
            _ => self.compare_values(what, theirs, ours, bound),
        }
    }

    fn compare_values(
        &mut self,
        what: &str,
        theirs: &Golden,
        ours: &Golden,
        bound: f64,
    ) -> Result<(), String> {
        let mut largest = 0.0_f64;
        for (i, (theirs, ours)) in theirs.values.iter().zip(&ours.values).enumerate() {
            let error = (ours - theirs).abs();
            if error > bound || error.is_nan() {
                return Err(format!(
                    "{what}[{i}] is {ours:e}, PyTorch's {theirs:e}: {error:e} apart, allowed {bound:e}"
                ));
            }
            largest = largest.max(error);
        }
        let tensor = what.split_whitespace().last().unwrap_or_default();
        let entry = self
            .largest
            .entry(format!("{:?} {tensor}", theirs.dtype))
            .or_default();
        if bound > 0.0 && largest / bound >= entry.0 {
            *entry = (largest / bound, largest, what.to_owned());
        }
        Ok(())
    }

    /// Half precision is PyTorch's exact value rounded once, and the cases keep away from ties: the last bit may differ
    /// at most, and hardly ever does.
    fn compare_halves(&mut self, what: &str, theirs: &Golden, ours: &Golden) -> Result<(), String> {
        let steps = |bytes: &[u8; 2]| {
            let bits = u16::from_le_bytes(*bytes);
            let magnitude = i32::from(bits & 0x7fff);
            if bits & 0x8000 == 0 {
                magnitude
            } else {
                -magnitude
            }
        };
        let (theirs, ours) = (theirs.bytes.as_chunks().0, ours.bytes.as_chunks().0);
        for (i, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
            let apart = (steps(theirs) - steps(ours)).abs();
            if apart > 1 {
                return Err(format!("{what}[{i}] is {apart} steps from PyTorch's"));
            }
            self.halves += 1;
            self.equal_halves += usize::from(theirs == ours);
        }
        Ok(())
    }

    /// Compares every tensor of a case that a device has computed: the same ones must be there.
    pub(crate) fn compare_all(
        &mut self,
        device: &Device,
        name: &str,
        case: &GoldenFile,
        expected: &GoldenFile,
        ours: &GoldenFile,
    ) -> Result<(), String> {
        let names = |file: &GoldenFile| file.tensors.keys().cloned().collect::<Vec<_>>();
        if names(ours) != names(expected) {
            return Err(format!(
                "{name}: tensors {:?}, PyTorch's {:?}",
                names(ours),
                names(expected)
            ));
        }
        for (tensor, theirs) in &expected.tensors {
            let bound = match theirs.dtype {
                Dtype::I64 => 0.0,
                _ => bound(device, name, tensor, case, expected),
            };
            self.compare(
                &format!("{name} {tensor}"),
                theirs,
                &ours.tensors[tensor],
                bound,
            )?;
        }
        Ok(())
    }
}
