//! Sizes that no machine has room for, and a machine that has little: errors, where the program could end.

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Error, PooledStatistics};

#[test]
fn a_layer_of_too_many_channels_is_an_error() {
    for channels in [1 << 45, 1 << 59, 1 << 61, usize::MAX] {
        let made: Result<BatchNorm<Cpu>, Error> =
            BatchNorm::new(&Cpu::new(), BatchNormConfig::new(channels));
        assert!(matches!(made, Err(Error::OutOfMemory { .. })), "{channels}");
        let pool = PooledStatistics::new(channels);
        let batch = pool.to_batch::<f32, _>(&Cpu::new(), 1e-5);
        assert!(
            matches!(batch, Err(Error::OutOfMemory { .. })),
            "{channels}"
        );
    }
}

/// Each in a process of its own, whose address space is limited: a mistake would end it.
#[cfg(target_os = "linux")]
mod limited {
    use std::env;
    use std::process::Command;

    use batchnorm::backend::GradientsOfGradients;
    use batchnorm::{
        Activation, BatchNorm, BatchNormConfig, Cpu, DType, Data, Error, PooledStatistics, Result,
        RunningVariance, Shape, Tensor,
    };

    /// Runs one test of this program, one that is ignored otherwise, with so many bytes of address space.
    fn run_with(bytes: usize, test: &str, variables: &[(&str, &str)]) {
        let program = env::current_exe().expect("the program that runs");
        let limited = format!("ulimit -v {} && exec \"$0\" \"$@\"", bytes >> 10);
        let output = Command::new("sh")
            .args(["-c", &limited])
            .arg(program)
            .args([
                "--exact",
                test,
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .envs(variables.iter().copied())
            .output()
            .expect("a process");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{test} in {bytes} bytes: {}\n{printed}",
            output.status
        );
    }

    #[test]
    fn without_memory_every_operation_is_an_error() {
        // Larger memory is mapped by itself, so that what is given back can be had again.
        let mapped = [
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
            ("MALLOC_ARENA_MAX", "1"),
        ];
        run_with(
            400 << 20,
            "limited::every_operation_with_little_room",
            &mapped,
        );
    }

    #[test]
    fn without_threads_a_large_pass_is_an_error_and_a_small_one_is_none() {
        let many = [("RAYON_NUM_THREADS", "20000")];
        run_with(1 << 30, "limited::passes_without_a_pool", &many);
    }

    const CHANNELS: usize = 1 << 15;
    const CHUNK: usize = 64 << 10;

    fn chunk(bytes: usize) -> Option<Vec<u8>> {
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(bytes).ok().map(|()| chunk)
    }

    /// Takes all memory but so many chunks.
    fn all_but(chunks: usize) -> Vec<Vec<u8>> {
        let room: Vec<_> = (0..chunks).map(|_| chunk(CHUNK)).collect();
        let (mut taken, mut bytes) = (Vec::with_capacity(1 << 10), 256 << 20);
        while bytes >= CHUNK {
            match chunk(bytes) {
                Some(chunk) => taken.push(chunk),
                None => bytes /= 2,
            }
        }
        drop(room);
        taken
    }

    /// Does it with more and more room, until there is enough. Without room it must fail, and for no other reason.
    fn with_more_and_more_room(what: &str, mut operation: impl FnMut() -> Result<()>) {
        let mut failures = 0;
        for chunks in 4.. {
            let taken = all_but(chunks);
            let result = operation();
            drop(taken);
            match result {
                Ok(()) => break,
                Err(Error::OutOfMemory { .. }) => failures += 1,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        assert!(failures > 0, "{what} takes no memory");
    }

    #[test]
    #[ignore = "run by another test, with a limit"]
    fn every_operation_with_little_room() {
        let cpu = Cpu::with_threads(1).unwrap();
        let config = BatchNormConfig::new(CHANNELS).activation(Activation::Relu);
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, config).unwrap();
        let shape = Shape::channels_first(&[4, CHANNELS]).unwrap();
        let values: Vec<f32> = (0..shape.len()).map(|i| (i % 13) as f32).collect();
        let x = Tensor::new(&cpu, shape, &values).unwrap();
        let of_layer = |layer: &BatchNorm<Cpu>| {
            let running = layer.running().unwrap();
            let (mean, variance) = (running.mean().to_vec(), running.variance().to_vec());
            (
                mean.unwrap(),
                variance.unwrap(),
                running.num_batches_tracked(),
            )
        };

        with_more_and_more_room("new", || BatchNorm::<Cpu, f32>::new(&cpu, config).map(drop));
        for ghost_batch in [usize::MAX, 2] {
            let mut layer: BatchNorm<Cpu> =
                BatchNorm::new(&cpu, config.ghost_batch(ghost_batch)).unwrap();
            with_more_and_more_room("training", || layer.forward_training(&x).map(drop));
            let mut once: BatchNorm<Cpu> =
                BatchNorm::new(&cpu, config.ghost_batch(ghost_batch)).unwrap();
            once.forward_training(&x).unwrap();
            assert_eq!(
                of_layer(&layer),
                of_layer(&once),
                "a refused pass was followed"
            );
            let (_, pass) = layer.forward_training_deferred(&x).unwrap();
            with_more_and_more_room("backward", || pass.backward(&x).map(drop));
            let of = GradientsOfGradients {
                input: Some(&x as &dyn Data<Cpu, Element = f32>),
                ..GradientsOfGradients::default()
            };
            with_more_and_more_room("second derivatives", || {
                pass.double_backward(&x, of).map(drop)
            });
            with_more_and_more_room("follow", || {
                let statistics = layer.forward_training_deferred(&x)?.1;
                layer.follow(statistics.statistics())
            });
        }
        with_more_and_more_room("inference", || layer.forward_inference(&x).map(drop));
        with_more_and_more_room("frozen", || layer.forward_frozen(&x).map(drop));
        with_more_and_more_room("pooling", || {
            let mut pool = PooledStatistics::new(CHANNELS);
            pool.add(&layer.batch_statistics(&x)?)?;
            layer
                .running_mut()
                .unwrap()
                .adopt(&pool, RunningVariance::Unbiased)
        });
        with_more_and_more_room("reset", || layer.running_mut().unwrap().reset());

        with_more_and_more_room("saving", || layer.to_bytes("", DType::F64).map(drop));
        let bytes = layer.to_bytes("", DType::F64).unwrap();
        with_more_and_more_room("loading", || layer.load_bytes(&bytes, ""));
        with_more_and_more_room("scale and shift", || layer.scale_and_shift().map(drop));
        with_more_and_more_room("folding", || {
            layer
                .fold_into_linear(&values, &[CHANNELS, 4], None)
                .map(drop)
        });
        let keras = layer.to_keras().unwrap();
        with_more_and_more_room("to Keras", || layer.to_keras().map(drop));
        with_more_and_more_room("from Keras", || {
            BatchNorm::from_keras(&cpu, &keras).map(drop)
        });
    }

    #[test]
    #[ignore = "run by another test, with a limit"]
    fn passes_without_a_pool() {
        let cpu = Cpu::new();
        let column = |len| {
            let shape = Shape::channels_first(&[len, 1]).unwrap();
            Tensor::<f32, Cpu>::zeros(&Cpu::new(), shape).unwrap()
        };
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, BatchNormConfig::new(1)).unwrap();
        let large = column(1 << 20);
        for _ in 0..2 {
            let refused = layer.forward_training(&large).map(drop);
            assert!(matches!(refused, Err(Error::Threads { .. })), "{refused:?}");
            let refused = layer.forward_inference(&large).map(drop);
            assert!(matches!(refused, Err(Error::Threads { .. })), "{refused:?}");
            assert_eq!(layer.running().unwrap().num_batches_tracked(), 0);
        }
        layer.forward_inference(&column(100)).unwrap();
        assert_eq!(cpu.to_string().split_once(", ").unwrap().1, "1 thread)");

        // The threads that were started before there was no room for one more end in their own time.
        let mut tries = (0..200).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            Cpu::with_threads(1)
        });
        let cpu = tries.find_map(Result::ok).expect("room for one thread");
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, BatchNormConfig::new(1)).unwrap();
        layer.forward_training(&large).unwrap();
    }
}
