//! This crate's batch norm beside PyTorch's, oneDNN's, candle's and burn's, and the memory limit, in one run: their passes
//! take turns, each cell is a median, the data is random, and all results are compared before anything is timed. README.md
//! says more.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```

mod allocating;
mod allocator;
mod arguments;
mod burn_layer;
mod candle_layer;
mod contender;
mod environment;
mod merge;
mod native;
mod peers;
mod problem;
mod python;
mod rounds;
mod table;

use std::rc::Rc;
use std::time::Duration;

use batchnorm::Cpu;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::ThreadPoolBuilder;
use serde_json::json;

use allocating::Allocating;
use arguments::Arguments;
use burn_layer::Burn;
use candle_layer::Candle;
use contender::{Contender, InTurn};
use native::{Native, Sets, Streaming};
use peers::Peers;
use problem::{Layout, PassKind, Problem, Result};
use python::Peer;
use table::{Row, Tables};
use workload::limit::Limit;
use workload::processor::Processor;
use workload::shapes;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.merge.is_empty() {
        return merge::print(&arguments.merge);
    }
    arguments.allocator.set_up();
    let threads = arguments.threads();
    // candle's and burn's.
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let bench = Bench {
        cpu: Cpu::with_threads(threads)?,
        limit: Rc::new(Limit::new(threads)?),
        folder: tempfile::tempdir()?,
    };
    let peers = Peers::start(&arguments, bench.folder.path())?;
    let processor = Processor::read().with_allocator(arguments.allocator.remark());
    println!("{processor}\nf32, {}; {}", bench.cpu, peers.versions());
    for reason in &peers.not_run {
        println!("not run: {reason}");
    }
    println!();
    let rows = bench.rows(&arguments, &peers)?;
    let tables = Tables {
        missing: peers.missing(),
    };
    tables.print(&rows);
    if let Some(path) = &arguments.json {
        let beside = json!({
            "cpu": bench.cpu.to_string(),
            "threads": threads,
            "not_run": peers.not_run,
        });
        tables::json::write(path, &processor, &rows, beside)?;
    }
    Ok(())
}

/// What this process needs for all problems.
struct Bench {
    cpu: Cpu,
    limit: Rc<Limit>,
    /// Of the files that the other processes read and write.
    folder: tempfile::TempDir,
}

impl Bench {
    /// Measures all rows that are asked for.
    fn rows(&self, arguments: &Arguments, peers: &Peers) -> Result<Vec<Row>> {
        let mut random = StdRng::seed_from_u64(2);
        let mut rows = vec![];
        let shapes = match &arguments.shape[..] {
            [] => shapes::SHAPES.iter().map(|dims| dims.to_vec()).collect(),
            shapes => shapes.to_vec(),
        };
        let style = ProgressStyle::with_template("{msg:44} {wide_bar} {pos} of {len} shapes")?;
        let progress = ProgressBar::new(shapes.len() as u64).with_style(style);
        for dims in shapes {
            for &layout in Layout::of(&dims) {
                if !wanted(&arguments.layout, &layout) {
                    continue;
                }
                let problem = Problem::random(&dims, layout);
                let mut contenders = self.contenders(&problem, peers)?;
                for pass in PassKind::ALL {
                    if !wanted(&arguments.pass, &pass) {
                        continue;
                    }
                    rounds::compare(&mut contenders, pass)?;
                    let (shape, layout_name) = (shapes::name(&dims), layout.name());
                    progress.set_message(format!("{shape}, {layout_name}, {}", pass.name()));
                    let length = Duration::from_secs_f64(arguments.seconds);
                    let medians = rounds::medians(&mut contenders, pass, length, &mut random)?;
                    rows.push(Row {
                        dims: dims.clone(),
                        layout,
                        pass,
                        medians,
                    });
                }
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(rows)
    }

    /// Everybody who has such a layout; this crate comes first.
    fn contenders(&self, problem: &Problem, peers: &Peers) -> Result<Vec<Box<dyn Contender>>> {
        let sets = Sets::new(&self.cpu, problem)?;
        let mut contenders = vec![InTurn::boxed(Native::new(&self.cpu, problem, &sets)?)];
        let bytes = 3 * size_of_val(&problem.x[..]);
        contenders.push(InTurn::boxed(Allocating::new(&self.cpu, problem, &sets)?));
        contenders.extend(Streaming::all(&self.limit, bytes, &sets).map(InTurn::boxed));
        // Their tensors know channels first only; what is (N, C) is both.
        if problem.layout != Layout::Last {
            let sets = candle_layer::Sets::new(problem)?;
            contenders.push(InTurn::boxed(Candle::theirs(problem, &sets)?));
            contenders.push(InTurn::boxed(Candle::ours(problem, &sets)?));
            let sets = burn_layer::Sets::new(problem);
            contenders.push(InTurn::boxed(Burn::theirs(problem, &sets)));
            contenders.push(InTurn::boxed(Burn::ours(problem, &sets)));
        }
        problem.write(self.folder.path())?;
        for peer in &peers.running {
            if peer.borrow().takes(problem) {
                contenders.push(Peer::prepare(peer, problem)?);
            }
        }
        Ok(contenders)
    }
}

/// All are, unless some are named.
fn wanted<T: PartialEq>(named: &[T], one: &T) -> bool {
    named.is_empty() || named.contains(one)
}
