//! Passes of ranks in a stream: captured in a graph, they give the same bits when it is replayed.

use std::thread;
use std::time::Duration;

use batchnorm::backend::Memory;
use batchnorm::cuda::{CudaDriver, CudaMemory, CudaMemoryMut};
use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, ChannelArray, Cuda, Element, Result, Shape, Split,
    StreamTransport, SyncBatchNorm, Tensor, ThreadRank, Transport,
};

const LIMIT: Duration = Duration::from_secs(50);

/// A rank among two that have the same: what it sends, it gets of both. Whatever is told beforehand, is told.
struct Mirror(ThreadRank);

impl Transport for &Mirror {
    fn rank(&self) -> usize {
        self.0.rank()
    }
    fn world(&self) -> usize {
        self.0.world()
    }
    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
        self.0.all_gather(send, received)
    }
}

impl StreamTransport<Cuda> for &Mirror {
    fn all_gather_in_stream<T: Element>(
        &self,
        gpu: &Cuda,
        send: CudaMemory<'_, T>,
        mut received: CudaMemoryMut<'_, T>,
    ) -> Result<()> {
        for rank in 0..self.world() {
            let place = rank * send.len()..(rank + 1) * send.len();
            let place = Cuda::subslice_mut::<T>(&mut received, place)?;
            gpu.copy::<T>(send, place)?;
        }
        Ok(())
    }
}

/// A rank's layer, its arrays, and memory for what a pass gives.
pub(crate) struct Training<R: StreamTransport<Cuda> + Clone> {
    gpu: Cuda,
    layer: SyncBatchNorm<Cuda, R>,
    split: Split<CudaDriver>,
    inputs: [Tensor<f32, Cuda>; 3],
    outputs: [Tensor<f32, Cuda>; 3],
    channels: [Tensor<f32, Cuda>; 4],
}

impl<R: StreamTransport<Cuda> + Clone> Training<R> {
    pub(crate) fn new(gpu: &Cuda, ranks: R) -> Result<Self> {
        let shape = Shape::channels_first(&[3, 5, 7, 9])?;
        let config = BatchNormConfig::new(5).activation(Activation::Silu);
        let layer = SyncBatchNorm::with_summed_gradients(BatchNorm::new(gpu, config)?, ranks)?;
        let split = layer.agree_on_split(&shape)?;
        let input = |seed: usize| {
            let value = |i: usize| ((i + seed) * 7919 % 1009) as f32 / 500.0 - 1.0;
            let values: Vec<f32> = (0..shape.len()).map(value).collect();
            Tensor::new(gpu, shape, &values)
        };
        let output = || Tensor::zeros(gpu, shape);
        let of_channels = || Tensor::zeros(gpu, Shape::channels_first(&[1, 5])?);
        Ok(Self {
            gpu: gpu.clone(),
            layer,
            split,
            inputs: [input(1)?, input(2)?, input(3)?],
            outputs: [output()?, output()?, output()?],
            channels: [
                of_channels()?,
                of_channels()?,
                of_channels()?,
                of_channels()?,
            ],
        })
    }

    /// A pass forward and one backward, of which nothing is kept but what is in memory that was there.
    pub(crate) fn step(&mut self) -> Result<()> {
        let ([x, dy, residual], [y, dx, dresidual]) = (&self.inputs, &mut self.outputs);
        let pass =
            (self.layer).forward_training_in_stream_into(x, Some(residual), y, &self.split)?;
        let gradients = pass.backward_into(dy, dx, Some(dresidual))?;
        let running = self.layer.layer().running().expect("it follows");
        let (gamma, beta) = (gradients.gamma, gradients.beta);
        let arrays: [&ChannelArray<f32, Cuda>; 4] = [
            gamma.as_ref().expect("it has γ"),
            beta.as_ref().expect("it has β"),
            running.mean(),
            running.variance(),
        ];
        for (from, to) in arrays.into_iter().zip(&mut self.channels) {
            self.gpu.copy::<f32>(from.slice(), to.slice_mut())?;
        }
        Ok(())
    }

    /// What the passes gave.
    pub(crate) fn bits(&self) -> Result<Vec<Vec<u32>>> {
        let all = self.outputs.iter().chain(&self.channels);
        all.map(|array| Ok(array.to_vec()?.into_iter().map(f32::to_bits).collect()))
            .collect()
    }
}

#[test]
fn a_replayed_graph_of_ranks_gives_the_same_bits() {
    let check = "a_replayed_graph_of_ranks_gives_the_same_bits";
    let Some(machine) = crate::machine(check) else {
        return;
    };
    let gpu = &machine.gpu;
    thread::scope(|scope| {
        let mut ranks = ThreadRank::connect(2, LIMIT).into_iter();
        let [mine, other] = [ranks.next().unwrap(), ranks.next().unwrap()].map(Mirror);
        // The other tells what is told beforehand, of both layers, and is mirrored from then on.
        scope.spawn(move || {
            for _ in 0..2 {
                Training::new(gpu, &other).unwrap();
            }
        });
        let mut direct = Training::new(gpu, &mine).unwrap();
        let mut captured = Training::new(gpu, &mine).unwrap();
        // What has been loaded and allocated once need not be while the graph is captured.
        direct.step().unwrap();
        let graph = machine.capture(|| captured.step()).unwrap();
        assert_ne!(
            captured.bits().unwrap(),
            direct.bits().unwrap(),
            "captured, not run"
        );
        // The running statistics follow with each.
        for _ in 0..2 {
            graph.launch().expect("a graph that was captured");
            assert_eq!(captured.bits().unwrap(), direct.bits().unwrap());
            direct.step().unwrap();
        }
    });
}
