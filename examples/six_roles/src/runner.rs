//! Many training runs at once, one on each core.

use std::error::Error;

use candle_core::Result;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

pub(crate) struct Runner {
    pool: ThreadPool,
    progress: ProgressBar,
}

impl Runner {
    pub(crate) fn new() -> std::result::Result<Self, Box<dyn Error>> {
        let threads = std::thread::available_parallelism()?.get();
        let style = "{msg:44} {wide_bar} {pos}/{len} runs, {eta} left";
        Ok(Self {
            pool: ThreadPoolBuilder::new().num_threads(threads).build()?,
            progress: ProgressBar::no_length().with_style(ProgressStyle::with_template(style)?),
        })
    }

    /// What `run` makes of each job, in the order of the jobs.
    pub(crate) fn all<J: Sync, R: Send>(
        &self,
        name: &'static str,
        jobs: &[J],
        run: impl Fn(&J) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        self.progress.reset();
        self.progress.set_length(jobs.len() as u64);
        self.progress.set_message(name);
        let results = self.pool.install(|| {
            jobs.par_iter()
                // Runs differ in length: a thread takes the next one when it is done with the last.
                .with_max_len(1)
                .map(|job| {
                    let result = run(job);
                    self.progress.inc(1);
                    result
                })
                .collect()
        });
        self.progress.finish_and_clear();
        results
    }
}
