//! What it costs to normalize a batch together on ranks that are processes: `mpirun -n 2 target/release/examples/figures`. Medians, in
//! microseconds, as rank 0 sees them, of a pass over a part of two values per channel, where nearly all is the exchange and the merge.

use std::process::ExitCode;
use std::time::Duration;

use batchnorm::{Result, Transport};
use mpi_ranks::MpiRanks;
use workload::ranks::{CHANNELS, microseconds, passes, small_part};

const PASSES: usize = 3001;
const LIMIT: Duration = Duration::from_mins(1);

fn run(ranks: &MpiRanks) -> Result<()> {
    for channels in CHANNELS {
        let times = passes(ranks, small_part(channels)?, PASSES)?;
        if ranks.rank() == 0 {
            let [forward, backward] = [times.forward, times.backward].map(microseconds);
            let world = ranks.world();
            println!("| {channels} | {world} | {forward:.1} | {backward:.1} |");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(universe) = mpi::initialize() else {
        eprintln!("MPI has been initialized before");
        return ExitCode::FAILURE;
    };
    match run(&MpiRanks::new(universe.world(), LIMIT)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
