//! How a row is measured.

use batchnorm::gpu::plan::Direction;
use batchnorm::{Cuda, DType, Element, Error, Result, Shape};
use cuda_machine::arrays::{Arrays, Inputs, Work};
use cuda_machine::machine::Machine;
use half::{bf16, f16};

use crate::gpu::check::Check;
use crate::gpu::own_kernels::MemoryKernels;
use crate::gpu::timing::{Time, time};
use crate::gpu::wanted::{WORKS, Wanted};
use crate::table;

/// Calls of a graph that are many enough for any pass.
pub const CALLS: usize = 200;

/// The environment variable that tells a plan: figures are of what it says.
const PLAN: &str = "BATCHNORM_PLAN";

/// One measured row.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Row {
    /// PyTorch's dimensions.
    pub dims: Vec<usize>,
    pub layout: &'static str,
    pub dtype: String,
    pub pass: &'static str,
    /// What the plan was told.
    pub plan: String,
    /// The launches that were chosen under it, if a choice is made for the pass.
    pub ran: Option<String>,
    /// That must be read and written.
    pub bytes: usize,
    pub least: f64,
    pub seconds: f64,
    pub most: f64,
}

/// A row without a figure.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Missing {
    pub dims: Vec<usize>,
    pub layout: &'static str,
    pub dtype: String,
    pub pass: &'static str,
    pub plan: String,
    pub why: String,
}

/// A row that is to be measured, by whomever.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    pub dims: Vec<usize>,
    pub layout: &'static str,
    pub dtype: String,
    pub pass: &'static str,
    pub bytes: usize,
}

/// The rows that have their arrays in common, one by one.
pub fn listed(wanted: &Wanted) -> Vec<Listed> {
    let (shape, dtype) = (wanted.shape, wanted.dtype);
    let row = |&(work, pass): &(Work, &'static str)| Listed {
        dims: shape.logical_dims(),
        layout: table::layout(&shape),
        dtype: dtype.to_string(),
        pass,
        bytes: bytes(work, &shape, dtype),
    };
    wanted.works.iter().map(row).collect()
}

/// Bytes of compulsory traffic: each array that is read or written once, and a bit a value of a mask.
pub fn bytes(work: Work, shape: &Shape, dtype: DType) -> usize {
    let arrays = match work {
        Work::ForwardTraining | Work::Inference => 2,
        Work::ForwardAddRelu | Work::BackwardTraining | Work::BackwardFrozen => 3,
        Work::BackwardAddRelu => 4,
    };
    let mask = matches!(work, Work::ForwardAddRelu | Work::BackwardAddRelu);
    arrays * shape.len() * value_bytes(dtype) + if mask { shape.len() / 8 } else { 0 }
}

fn value_bytes(dtype: DType) -> usize {
    match dtype {
        DType::F16 | DType::BF16 => 2,
        DType::F64 => 8,
        _ => 4,
    }
}

/// Measures rows of the three data types of the table, and tells each as soon as it is known.
pub struct Bench<'a> {
    machine: &'a Machine,
    kernels: MemoryKernels<'a>,
    most_calls: usize,
}

impl<'a> Bench<'a> {
    /// With up to so many calls in a graph that is timed.
    ///
    /// # Errors
    /// What the driver refuses; [`Error::KernelsNotBuilt`].
    pub fn new(machine: &'a Machine, most_calls: usize) -> Result<Self> {
        Ok(Self {
            machine,
            kernels: MemoryKernels::load(machine)?,
            most_calls: most_calls.max(1),
        })
    }

    /// The rows that have their arrays in common.
    pub fn measure(&self, wanted: &Wanted, tell: impl FnMut(Result<Row, Missing>)) {
        match wanted.dtype {
            DType::F16 => self.of_type::<f16>(wanted, tell),
            DType::BF16 => self.of_type::<bf16>(wanted, tell),
            _ => self.of_type::<f32>(wanted, tell),
        }
    }

    fn of_type<T: Element>(&self, wanted: &Wanted, mut tell: impl FnMut(Result<Row, Missing>)) {
        let shape = wanted.shape;
        let missing = |pass, why: String| Missing {
            dims: shape.logical_dims(),
            layout: table::layout(&shape),
            dtype: T::DTYPE.to_string(),
            pass,
            plan: plan(),
            why,
        };
        let mut all_missing = |error: &Error| {
            for (_, pass) in &wanted.works {
                tell(Err(missing(pass, error.to_string())));
            }
        };
        let inputs = match Inputs::<T>::new(&self.machine.gpu, shape.len()) {
            Ok(inputs) => inputs,
            Err(error) => return all_missing(&error),
        };
        // Before there is work for the GPU: it would lower its clock while the processor computes this.
        let check = Check::new(self.machine, &self.kernels, &inputs, shape, seed_of(0));
        let mut sets = match self.sets(&inputs, &shape) {
            Ok(sets) => sets,
            Err(error) => return all_missing(&error),
        };
        for &(work, pass) in &wanted.works {
            let measured = self.time_of(work, &mut sets, &check);
            tell(match measured {
                Ok(Ok(time)) => Ok(Row {
                    dims: shape.logical_dims(),
                    layout: table::layout(&shape),
                    dtype: T::DTYPE.to_string(),
                    pass,
                    plan: plan(),
                    // After the time was taken: a launch that the device refused has been replaced by now.
                    ran: ran(&self.machine.gpu, work, &shape, T::DTYPE),
                    bytes: bytes(work, &shape, T::DTYPE),
                    least: time.least,
                    seconds: time.median,
                    most: time.most,
                }),
                Ok(Err(wrong)) => Err(missing(pass, format!("wrong: {wrong}"))),
                Err(error) => Err(missing(pass, error.to_string())),
            });
        }
    }

    /// So many sets of arrays that a call finds nothing of its own in the cache.
    fn sets<T: Element>(&self, inputs: &Inputs<T>, shape: &Shape) -> Result<Vec<Arrays<T>>> {
        const MOST: usize = 64;
        let gpu = &self.machine.gpu;
        let cache = 3 * gpu.attributes().l2_bytes as usize;
        let of_one = bytes(Work::ForwardTraining, shape, T::DTYPE);
        let count = (1 + cache / of_one).min(MOST);
        let mut sets = Vec::new();
        for number in 0..count {
            let mut arrays = Arrays::copied(gpu, inputs, *shape, seed_of(number))?;
            // Statistics and a mask for the passes that read them; and every kernel has then run once.
            for (work, _) in WORKS {
                work.start(gpu, &mut arrays)?;
            }
            sets.push(arrays);
        }
        self.finish()?;
        Ok(sets)
    }

    /// The time of a pass, or what is wrong with its results in the first set, which is written anew while the time is taken.
    fn time_of<T: Element>(
        &self,
        work: Work,
        sets: &mut [Arrays<T>],
        check: &Check<'_, T>,
    ) -> Result<Result<Time, String>> {
        // A few milliseconds at 3 TB/s, and every set as often as every other.
        let calls = (10_000_000_000 / bytes(work, &sets[0].shape, T::DTYPE)).max(10);
        let calls = calls.min(self.most_calls);
        let calls = calls.next_multiple_of(sets.len());
        let count = sets.len();
        check.poison(work, &mut sets[0])?;
        let time = time(self.machine, calls, |call| {
            work.start(&self.machine.gpu, &mut sets[call % count])
        })?;
        Ok(check.wrong(work, &sets[0])?.map_or(Ok(time), Err))
    }

    /// Each pass once, without a graph, as a profiler wants them.
    ///
    /// # Errors
    /// What the driver refuses.
    pub fn once(&self, wanted: &Wanted) -> Result<()> {
        match wanted.dtype {
            DType::F16 => self.once_of::<f16>(wanted),
            DType::BF16 => self.once_of::<bf16>(wanted),
            _ => self.once_of::<f32>(wanted),
        }
    }

    fn once_of<T: Element>(&self, wanted: &Wanted) -> Result<()> {
        let gpu = &self.machine.gpu;
        let mut arrays = Arrays::<T>::new(gpu, wanted.shape, 1)?;
        for (work, _) in &wanted.works {
            work.start(gpu, &mut arrays)?;
        }
        self.finish()
    }

    fn finish(&self) -> Result<()> {
        self.machine
            .stream()
            .synchronize()
            .map_err(|error| Error::Driver {
                operation: "run a pass",
                reason: error.to_string(),
                source: None,
            })
    }
}

fn seed_of(set: usize) -> u64 {
    100 * set as u64 + 1
}

/// What `BATCHNORM_PLAN` asks for and what is launched differ where no plan that it allows is right for the array.
fn ran(gpu: &Cuda, work: Work, shape: &Shape, dtype: DType) -> Option<String> {
    let direction = match work {
        Work::ForwardTraining | Work::ForwardAddRelu => Direction::Forward,
        Work::BackwardTraining | Work::BackwardAddRelu => Direction::Backward,
        // Value by value, in one way.
        Work::Inference | Work::BackwardFrozen => return None,
    };
    let chosen = gpu.explain(shape, dtype, direction).chosen().plan;
    Some(chosen.to_string())
}

fn plan() -> String {
    std::env::var(PLAN).unwrap_or_default()
}
