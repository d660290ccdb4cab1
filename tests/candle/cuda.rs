//! Tensors on candle's GPU against the same layer on the CPU. Without a GPU, or without the feature `candle-cuda`, each
//! test says that it was skipped.

use std::io::Write;

use batchnorm::candle::BatchNorm;
use batchnorm::{Activation, Shape};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::ModuleT;
use contract_suite::shapes;

use crate::data::{Both, distance, logical, tensor};

/// candle's GPU 0, or the word that there is none: written past the test harness, which keeps what a passing test prints
/// to itself.
fn gpu(check: &str) -> Option<Device> {
    let device = if cfg!(feature = "candle-cuda") {
        // Which tells apart what can be missing, and that candle would only name by a number.
        batchnorm::Device::cuda(0)
            .map_err(|error| error.to_string())
            .and_then(|_| Device::new_cuda(0).map_err(|error| error.to_string()))
    } else {
        Err("the feature `candle-cuda` is off".to_owned())
    };
    device
        .map_err(|why| {
            writeln!(std::io::stderr(), "skipped {check}: {why}").expect("standard error");
        })
        .ok()
}

/// The same layer on the CPU and on a GPU, with variables of their own.
fn twins(channels: usize, dtype: DType, device: &Device) -> Result<[BatchNorm; 2]> {
    let model = Both::new(channels, 1e-3, 0.2)?.ours;
    let (gamma, beta) = model.weight_and_bias().expect("affine");
    let on = |device: &Device| {
        let there = |t: &Tensor| {
            let moved = t.detach().to_dtype(dtype)?.to_device(device)?;
            Var::from_tensor(&moved).map(Var::into_inner)
        };
        BatchNorm::new_with_momentum(
            channels,
            there(model.running_mean())?,
            there(model.running_var())?,
            there(gamma)?,
            there(beta)?,
            model.eps(),
            model.momentum(),
        )
    };
    Ok([on(&Device::Cpu)?, on(device)?])
}

/// A pass: which layer, and what it is given.
struct Case {
    shape: Shape,
    dtype: DType,
    residual: bool,
    activation: Activation,
    train: bool,
}

impl Case {
    /// y, the gradients and the running statistics, in `f32` on the CPU.
    fn run(&self, layer: &BatchNorm) -> Result<Vec<Tensor>> {
        let device = layer.running_mean().device();
        // In memory order; candle's variables are contiguous.
        let variable = |center, seed| {
            let values = tensor(&self.shape, center, seed)?;
            let memory = values.flatten_all()?.reshape(self.shape.dims())?;
            Var::from_tensor(&memory.to_dtype(self.dtype)?.to_device(device)?)
        };
        let (x, residual, dy) = (variable(0.4, 1)?, variable(0.2, 3)?, variable(0.1, 2)?);
        let view = |memory: &Var| logical(memory, &self.shape);
        let layer = layer.clone().with_activation(self.activation);
        let y = if self.residual {
            layer.forward_t_add(&view(&x)?, &view(&residual)?, self.train)?
        } else {
            layer.forward_t(&view(&x)?, self.train)?
        };
        assert!(y.device().same_device(device));
        assert_eq!((y.dtype(), y.stride()), (self.dtype, view(&x)?.stride()));
        let gradients = (&y * view(&dy)?.detach())?.sum_all()?.backward()?;
        let (gamma, beta) = layer.weight_and_bias().expect("affine");
        let mut all = vec![y];
        for of in [x.as_tensor(), gamma, beta] {
            all.push(gradients.get(of).expect("a gradient").clone());
        }
        if self.residual {
            all.push(gradients.get(&residual).expect("a gradient").clone());
        }
        all.extend([layer.running_mean().clone(), layer.running_var().clone()]);
        let home = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(DType::F32);
        all.iter().map(home).collect()
    }

    /// Rounding to the data type may fall on either side where the sums differ in their last digits.
    fn tolerance(&self) -> f32 {
        match self.dtype {
            DType::BF16 => 2f32.powi(-7),
            DType::F16 => 2f32.powi(-10),
            _ => 2e-5,
        }
    }

    fn check(&self, device: &Device) -> Result<()> {
        let parameters = match self.dtype {
            DType::F64 => DType::F64,
            _ => DType::F32,
        };
        let [cpu, gpu] = twins(self.shape.channels(), parameters, device)?;
        // The second step starts from what the first has left.
        for step in 0..2 {
            let (expected, found) = (self.run(&cpu)?, self.run(&gpu)?);
            assert_eq!(found.len(), expected.len());
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let distance = distance(found, expected)?;
                assert!(
                    distance <= self.tolerance(),
                    "result {index} of step {step}, {} of {:?}: {distance:e}",
                    self.shape,
                    self.dtype
                );
            }
        }
        Ok(())
    }
}

/// Every data type, memory order and rank, in training and with the running statistics.
fn check_all(device: &Device, residual: bool, activation: Activation) -> Result<()> {
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
        for shape in shapes::ranks() {
            for train in [true, false] {
                let case = Case {
                    shape,
                    dtype,
                    residual,
                    activation,
                    train,
                };
                case.check(device)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_gpu_gives_what_the_cpu_gives() -> Result<()> {
    let Some(device) = gpu("the layer on candle's GPU") else {
        return Ok(());
    };
    check_all(&device, false, Activation::None)
}

#[test]
fn with_a_residual_too() -> Result<()> {
    let Some(device) = gpu("residuals on candle's GPU") else {
        return Ok(());
    };
    check_all(&device, true, Activation::None)
}

#[test]
fn large_shapes() -> Result<()> {
    let Some(device) = gpu("large shapes on candle's GPU") else {
        return Ok(());
    };
    for shape in shapes::large() {
        let case = Case {
            shape,
            dtype: DType::F32,
            residual: true,
            activation: Activation::None,
            train: true,
        };
        case.check(&device)?;
    }
    Ok(())
}

#[test]
fn on_a_stream_of_its_own() -> Result<()> {
    if gpu("a stream of its own on candle's GPU").is_none() {
        return Ok(());
    }
    check_all(&Device::new_cuda_with_stream(0)?, true, Activation::None)
}

/// Where y is not near 0, ReLU passes the same gradients on both.
#[test]
fn with_relu_in_the_same_pass() -> Result<()> {
    let Some(device) = gpu("ReLU on candle's GPU") else {
        return Ok(());
    };
    for shape in shapes::ranks() {
        let case = Case {
            shape,
            dtype: DType::F64,
            residual: true,
            activation: Activation::Relu,
            train: true,
        };
        case.check(&device)?;
    }
    Ok(())
}

#[test]
fn a_part_of_a_larger_tensor_is_normalized_alone() -> Result<()> {
    let Some(device) = gpu("views on candle's GPU") else {
        return Ok(());
    };
    let shape = Shape::channels_first(&[6, 5, 4, 6]).unwrap();
    let (whole, [cpu, gpu]) = (tensor(&shape, 0.2, 1)?, twins(5, DType::F32, &device)?);
    let there = whole.to_device(&device)?;
    for (dim, start, len) in [(0, 2, 3), (3, 1, 4)] {
        let expected = cpu.forward_t(&whole.narrow(dim, start, len)?, false)?;
        let found = gpu.forward_t(&there.narrow(dim, start, len)?, false)?;
        assert!(distance(&found.to_device(&Device::Cpu)?, &expected)? < 1e-6);
    }
    Ok(())
}

/// Another thread is another stream, with a workspace of its own.
#[test]
fn backward_on_another_thread() -> Result<()> {
    let Some(device) = gpu("two threads on candle's GPU") else {
        return Ok(());
    };
    let shape = Shape::channels_first(&[16, 8, 32, 32]).unwrap();
    let x = Var::from_tensor(&tensor(&shape, 0.2, 1)?.to_device(&device)?)?;
    let dx = |elsewhere: bool| {
        let [_, layer] = twins(8, DType::F32, &device)?;
        let loss = layer.forward_t(&x, true)?.sqr()?.sum_all()?;
        device.synchronize()?;
        let backward = || {
            let gradients = loss.backward()?;
            device.synchronize()?;
            let dx = gradients.get(&x).expect("dx").to_device(&Device::Cpu)?;
            let (gamma, _) = layer.weight_and_bias().expect("affine");
            let dgamma = gradients.get(gamma).expect("a gradient");
            Ok::<_, candle_core::Error>([dx, dgamma.to_device(&Device::Cpu)?])
        };
        if elsewhere {
            std::thread::scope(|scope| scope.spawn(backward).join().expect("no panic"))
        } else {
            backward()
        }
    };
    for (here, there) in dx(false)?.iter().zip(&dx(true)?) {
        assert_eq!(distance(here, there)?, 0.0);
    }
    Ok(())
}

#[test]
fn variables_on_another_device_are_refused() -> Result<()> {
    let Some(device) = gpu("two devices of candle's") else {
        return Ok(());
    };
    let shape = Shape::channels_first(&[4, 3, 2]).unwrap();
    let x = tensor(&shape, 0.2, 1)?;
    let [cpu, gpu] = twins(3, DType::F32, &device)?;
    // The same GPU, another stream.
    let other = Device::new_cuda(0)?;
    for (layer, x, residual, what) in [
        (&cpu, x.to_device(&device)?, None, "the layer's variables"),
        (&gpu, x.clone(), None, "the layer's variables"),
        (&gpu, x.to_device(&other)?, None, "the layer's variables"),
        (&gpu, x.to_device(&device)?, Some(&x), "the residual"),
    ] {
        let before = layer.running_mean().to_device(&Device::Cpu)?;
        let refused = match residual {
            None => layer.forward_t(&x, true),
            Some(residual) => layer.forward_t_add(&x, residual, true),
        };
        let message = refused.expect_err("an error").to_string();
        let expected = format!("{what} must be on the device of x");
        assert!(message.starts_with(&expected), "{message}");
        let after = layer.running_mean().to_device(&Device::Cpu)?;
        assert_eq!(distance(&after, &before)?, 0.0);
    }
    Ok(())
}
