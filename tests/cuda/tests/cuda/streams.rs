//! Two backends on two streams of one GPU, at once and from two threads: neither disturbs the other.

use std::sync::Barrier;
use std::thread;

use batchnorm::{Cuda, Result};
use cuda_machine::arrays::Arrays;

use crate::outputs::{FUSED, Outputs, shapes, start};

const REPEATS: usize = 50;

#[test]
fn kernels_are_loaded_once_for_all_streams_and_threads_of_a_context() {
    let check = "kernels_are_loaded_once_for_all_streams_and_threads_of_a_context";
    let Some(machine) = crate::machine(check) else {
        return;
    };
    // Which has loaded all of them; a backend that had its own would have the smallest.
    let loaded = machine.gpu.loaded_modules();
    assert!(loaded.machine_code + loaded.ptx > 1, "{loaded:?}");
    let beside = || {
        let stream = machine.context.new_stream().expect("a stream");
        Cuda::on_stream(stream).unwrap().loaded_modules()
    };
    assert_eq!(beside(), loaded);
    let of_thread = thread::scope(|scope| scope.spawn(beside).join().unwrap());
    assert_eq!(of_thread, loaded);
}

#[test]
fn two_streams_at_once_change_no_bit() {
    let check = "two_streams_at_once_change_no_bit";
    let Some(machine) = crate::machine(check) else {
        return;
    };
    for shape in shapes(&machine, check) {
        let alone = |seed| -> Result<Outputs<f32>> {
            let mut arrays = Arrays::new(&machine.gpu, shape, seed)?;
            start(FUSED, &machine.gpu, &mut arrays)?;
            Outputs::of(FUSED, &machine.gpu, &arrays)
        };
        let expected = [alone(1).unwrap(), alone(2).unwrap()];
        assert!(expected[0] != expected[1]);
        expected[0].assert_written();
        let both_ready = Barrier::new(2);
        let beside = |seed| -> Result<Outputs<f32>> {
            let gpu = Cuda::on_stream(machine.context.new_stream().expect("a stream"))?;
            let mut arrays = Arrays::new(&gpu, shape, seed)?;
            gpu.stream().synchronize().expect("the stream");
            both_ready.wait();
            for _ in 0..REPEATS {
                start(FUSED, &gpu, &mut arrays)?;
            }
            Outputs::of(FUSED, &gpu, &arrays)
        };
        let found = thread::scope(|scope| {
            let first = scope.spawn(|| beside(1));
            let second = scope.spawn(|| beside(2));
            [first.join().unwrap(), second.join().unwrap()]
        });
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(found.unwrap() == expected, "{shape}");
        }
    }
}
