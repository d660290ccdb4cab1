//! Threads that the caller has, or has not: a pool of its own that works through a loop, and a child that was forked.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
use rayon::prelude::*;

/// Long beside what is done here, short beside for ever.
const LIMIT: Duration = Duration::from_secs(120);

fn layer(cpu: &Cpu) -> BatchNorm<Cpu> {
    BatchNorm::new(cpu, BatchNormConfig::new(CHANNELS)).unwrap()
}

const CHANNELS: usize = 24;

/// More than a megabyte, in many tiles.
fn batch(cpu: &Cpu) -> Tensor<f32, Cpu> {
    let shape = Shape::channels_first(&[4, CHANNELS, 60, 60]).unwrap();
    let values: Vec<f32> = (0..shape.len()).map(|i| (i % 1013) as f32).collect();
    assert!(size_of_val(values.as_slice()) > 1 << 20);
    Tensor::new(cpu, shape, &values).unwrap()
}

/// Fails where the work does not end.
fn within_the_limit(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    let ended = wait.recv_timeout(LIMIT);
    assert!(ended.is_ok(), "{what}: {ended:?}");
}

/// One layer that all iterations of a parallel loop share. A thread that took up another iteration while it waits for a pass
/// would wait for the lock that it holds itself.
fn in_a_parallel_loop(cpu: &Cpu) {
    let x = batch(cpu);
    let shared = Mutex::new(layer(cpu));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
    pool.unwrap().install(|| {
        (0..12).into_par_iter().with_max_len(1).for_each(|_| {
            let mut layer = shared.lock().unwrap();
            let (_, pass) = layer.forward_training(&x).unwrap();
            pass.backward(&x).unwrap();
        });
    });
    let layer = shared.into_inner().unwrap();
    assert_eq!(layer.running().unwrap().num_batches_tracked(), 12);
}

#[test]
fn a_layer_behind_a_lock_with_a_pool_of_its_own_ends_a_parallel_loop() {
    within_the_limit("a pool of its own", || {
        in_a_parallel_loop(&Cpu::with_threads(2).unwrap());
    });
}

#[test]
fn a_layer_behind_a_lock_in_the_pool_of_a_parallel_loop_ends_it() {
    within_the_limit("the loop's pool", || in_a_parallel_loop(&Cpu::new()));
}

#[test]
fn a_pool_that_is_busy_with_something_else_is_not_waited_for() {
    let (free, busy) = mpsc::channel::<()>();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let pool = pool.unwrap();
    pool.spawn(move || busy.recv().unwrap());
    within_the_limit("a busy pool", move || {
        pool.install(|| {
            let cpu = Cpu::new();
            layer(&cpu).forward_training(&batch(&cpu)).unwrap();
        });
        free.send(()).unwrap();
    });
}

#[cfg(unix)]
mod forked {
    #![allow(unsafe_code, reason = "a process can be forked no other way")]

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;

    /// Everything that a pass makes.
    fn passes(cpu: &Cpu) -> Vec<f32> {
        let x = batch(cpu);
        let (y, pass) = layer(cpu).forward_training(&x).unwrap();
        let gradients = pass.backward(&y).unwrap();
        [y.to_vec().unwrap(), gradients.input.to_vec().unwrap()].concat()
    }

    /// Whether a child process says so, in time.
    fn in_a_child(says: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child makes passes and leaves; the locks of the allocator are whole in it, as the C library promises.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "no process");
        if child == 0 {
            let said = catch_unwind(AssertUnwindSafe(says)).unwrap_or(false);
            // SAFETY: the end of the child, without what the parent's threads have registered.
            unsafe { libc::_exit(i32::from(!said)) }
        }
        let (start, mut status) = (Instant::now(), 0);
        loop {
            // SAFETY: it writes to where `status` is.
            match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
                0 if start.elapsed() < LIMIT => thread::sleep(Duration::from_millis(5)),
                0 => {
                    // SAFETY: a child of this process that has not been waited for.
                    unsafe { libc::kill(child, libc::SIGKILL) };
                    return false;
                }
                ended => {
                    assert_eq!(ended, child);
                    return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
                }
            }
        }
    }

    #[test]
    fn a_forked_child_has_the_results_of_its_parent() {
        let own = Cpu::with_threads(2).unwrap();
        let global = Cpu::new();
        let expected = [passes(&own), passes(&global)];
        for (cpu, expected) in [&own, &global].into_iter().zip(&expected) {
            assert!(
                in_a_child(|| passes(cpu) == *expected && cpu.threads() == 1),
                "{cpu}"
            );
        }
        let its_own = || {
            let cpu = Cpu::with_threads(2).unwrap();
            cpu.threads() == 2 && passes(&cpu) == expected[0]
        };
        assert!(in_a_child(its_own), "with a pool of the child's");
    }

    /// Some are forked while another thread has the lock of the memory that is retained, which nobody releases in the child.
    #[test]
    fn a_child_that_is_forked_while_memory_is_freed_does_not_wait_for_it() {
        let one = Cpu::with_threads(1).unwrap();
        let expected = passes(&one);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let shape = Shape::channels_first(&[1, 1, 4096]).unwrap();
                    while !is_over.load(Ordering::Relaxed) {
                        let memory = [(); 16].map(|()| Tensor::<f32, _>::zeros(&one, shape));
                        drop(memory.map(Result::unwrap));
                    }
                });
            }
            let all = (0..40).all(|_| in_a_child(|| passes(&one) == expected));
            is_over.store(true, Ordering::Relaxed);
            assert!(all);
        });
    }
}
