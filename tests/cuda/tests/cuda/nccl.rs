//! Ranks that NCCL connects: one, and two on this GPU where the library allows it (2.30 and newer, with `NCCL_MULTI_RANK_GPU_ENABLE=1`).

use std::thread;
use std::time::Duration;

use batchnorm::backend::Memory;
use batchnorm::{Cuda, Error, NcclId, NcclRank, Result, StreamTransport, ThreadRank, Transport};
use cuda_machine::machine::Machine;

use crate::ranks::Training;

const LIMIT: Duration = Duration::from_secs(20);
/// What the library is told with that two ranks may share a GPU.
const ALLOWS_TWO: &str = "NCCL_MULTI_RANK_GPU_ENABLE";

/// The first part of an exchange, or the word that there is no NCCL.
fn id(check: &str) -> Option<NcclId> {
    let id = NcclId::new();
    id.map_err(|error| crate::skipped(check, &error.to_string()))
        .ok()
}

#[test]
fn one_rank_gathers_what_it_has() {
    let check = "one_rank_gathers_what_it_has";
    let (Some(machine), Some(id)) = (crate::machine(check), id(check)) else {
        return;
    };
    let gpu = &machine.gpu;
    let rank = NcclRank::connect(gpu, id, 0, 1, LIMIT).unwrap();
    let mut received = [0; 5];
    rank.all_gather(&[1, 2, 3, 4, 5], &mut received).unwrap();
    assert_eq!(received, [1, 2, 3, 4, 5]);

    let send = gpu.upload(&[1.5f32, -2.0, 3.25]).unwrap();
    let mut gathered = gpu.zeros::<f32>(3).unwrap();
    let gather = |gathered: &mut _| {
        rank.all_gather_in_stream::<f32>(gpu, (&send).into(), Cuda::as_slice_mut(gathered))
    };
    gather(&mut gathered).unwrap();
    rank.wait().unwrap();
    assert_eq!(
        gpu.download::<f32>((&gathered).into()).unwrap(),
        [1.5, -2.0, 3.25]
    );

    let elsewhere = Cuda::on_stream(machine.context.new_stream().unwrap()).unwrap();
    let to = Cuda::as_slice_mut(&mut gathered);
    let refused = rank.all_gather_in_stream::<f32>(&elsewhere, (&send).into(), to);
    assert!(refused.unwrap_err().to_string().contains("another stream"));
    // With room for another number of values: the connection has ended.
    let mut short = gpu.zeros::<f32>(2).unwrap();
    assert!(matches!(gather(&mut short), Err(Error::Transport { .. })));
    assert!(
        rank.wait()
            .unwrap_err()
            .to_string()
            .contains("ended the connection")
    );
}

/// Three steps of a rank's training, the last two of which are replayed from a graph; or what the library said when it was to connect.
fn train<R: StreamTransport<Cuda>>(
    connect: impl FnOnce(&Cuda) -> Result<R>,
    captures: bool,
) -> Result<Vec<Vec<u32>>> {
    let machine = Machine::open()?;
    let ranks = connect(&machine.gpu)?;
    let mut training = Training::new(&machine.gpu, &ranks)?;
    training.step()?;
    if captures {
        machine.stream().synchronize().expect("the stream");
        let graph = machine.capture(|| training.step())?;
        for _ in 0..2 {
            graph.launch().expect("a graph that was captured");
        }
        machine.stream().synchronize().expect("the stream");
    } else {
        training.step()?;
        training.step()?;
    }
    training.bits()
}

#[test]
fn two_ranks_on_one_gpu_have_the_bits_of_two_threads() {
    let check = "two_ranks_on_one_gpu_have_the_bits_of_two_threads";
    let (Some(_), Some(id)) = (crate::machine(check), id(check)) else {
        return;
    };
    if std::env::var_os(ALLOWS_TWO).is_none() {
        crate::skipped(check, &format!("{ALLOWS_TWO} is not set"));
        return;
    }
    let (by_threads, by_nccl) = thread::scope(|scope| {
        let ranks = ThreadRank::connect(2, LIMIT).into_iter();
        let threads: Vec<_> = ranks
            .map(|rank| scope.spawn(move || train(|_| Ok(rank), false)))
            .collect();
        let by_threads: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let connected: Vec<_> = [0, 1]
            .map(|rank| {
                let connect = move |gpu: &Cuda| NcclRank::connect(gpu, id, rank, 2, LIMIT);
                scope.spawn(move || train(connect, true))
            })
            .into_iter()
            .collect();
        let by_nccl: Vec<_> = connected
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        (by_threads, by_nccl)
    });
    for (rank, (by_threads, by_nccl)) in by_threads.into_iter().zip(by_nccl).enumerate() {
        match by_nccl {
            Ok(found) => assert!(found == by_threads.unwrap(), "rank {rank}"),
            // Older than 2.30.
            Err(Error::Transport { reason, .. }) => crate::skipped(check, &reason),
            Err(error) => panic!("{error}"),
        }
    }
}
