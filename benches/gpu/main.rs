//! The passes on a GPU, beside what its hardware can do: each shape, layout, data type and pass in a replayed graph with rotating
//! arrays, and results that are checked. `benches/gpu.sh` runs it where there is no Rust.
//!
//! Prints tables in Markdown; `--json FILE` keeps the figures as lines of JSON, for `benches/gpu/pytorch.py`. Without a GPU it says
//! why and exits with 2.

mod lines;
mod report;
mod watchdog;

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use batchnorm::Cuda;
use batchnorm::cuda::LoadedModules;
use clap::{Args, Parser, Subcommand};
use cuda_machine::machine::Machine;
use lines::Lines;
use report::Head;
use serde_json::json;
use watchdog::Watchdog;
use workload::gpu::rows::{Bench, CALLS, listed};
use workload::gpu::selection::{Only, select};
use workload::gpu::wanted::{Rows, Wanted};
use workload::gpu::{barriers, ceilings, latencies};

/// Times the passes on GPU 0, and what it can do.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    /// What `cargo bench -- --test` adds: only whether it starts.
    #[arg(long, hide = true)]
    test: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Only the device, or why there is none.
    Device,
    /// How long it takes to have every kernel ready.
    Load(Json),
    /// What memory, launches and barriers can do at best, and which clusters there are.
    Limits(Json),
    /// The rows of a table; the whole one if nothing is told.
    Rows(RowsArguments),
    /// Each pass of some rows once, as a profiler wants them.
    Once(Selection),
    /// The rows, a line of JSON each; takes no GPU.
    List(Selection),
}

#[derive(Debug, Clone, Default, Args)]
struct Json {
    /// Where the figures go, a line of JSON each.
    #[arg(long = "json", value_name = "FILE")]
    path: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
struct Selection {
    /// Which rows: twelve, table or small.
    #[arg(long, default_value = "table")]
    rows: Rows,
    /// Only those that have all this: dims=32x64x56x56;layout=channels last;type=f16;pass=forward. Several times: or this.
    #[arg(long)]
    only: Vec<Only>,
}

#[derive(Debug, Clone, Args)]
struct RowsArguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    json: Json,
    /// The most calls of a graph that is timed.
    #[arg(long, default_value_t = CALLS)]
    calls: usize,
    /// After so many seconds no further shape is begun.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many shapes to pass over: those that a process before has begun, and did not survive.
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// After so many seconds without a row the process ends itself: a kernel that hangs cannot be called back.
    #[arg(long)]
    patience: Option<u64>,
}

/// The whole table.
impl Default for RowsArguments {
    fn default() -> Self {
        Self {
            selection: Selection {
                rows: Rows::Table,
                only: Vec::new(),
            },
            json: Json::default(),
            calls: CALLS,
            seconds: None,
            skip: 0,
            patience: None,
        }
    }
}

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::List(selection)) => return code(list(selection)),
        // Without loading kernels, which takes the driver seconds where it must compile them.
        Some(Command::Device) => return device(Cuda::new(0), 2),
        _ if arguments.test => return device(Cuda::new(0), 0),
        _ => {}
    }
    let start = Instant::now();
    let machine = match Machine::open() {
        Ok(machine) => machine,
        Err(error) => {
            eprintln!("nothing was measured: {error}");
            return ExitCode::from(2);
        }
    };
    let opened = start.elapsed();
    code(match arguments.command {
        None => rows(&machine, &RowsArguments::default()),
        Some(Command::Load(json)) => load(&machine, opened, &json),
        Some(Command::Limits(json)) => limits(&machine, &json),
        Some(Command::Rows(told)) => rows(&machine, &told),
        Some(Command::Once(selection)) => once(&machine, &selection),
        // Answered above.
        Some(Command::Device | Command::List(_)) => Ok(()),
    })
}

fn code(done: Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.is::<ContextLost>() {
                ExitCode::from(3)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// A kernel has taken the context along: this process can launch nothing more, another one can.
#[derive(Debug)]
struct ContextLost;

impl fmt::Display for ContextLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the context is lost; what comes after is for another process")
    }
}

impl Error for ContextLost {}

/// Says which device there is, or why there is none and exits so.
fn device(gpu: batchnorm::Result<Cuda>, without: u8) -> ExitCode {
    match gpu {
        Ok(gpu) => {
            println!("{gpu}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("nothing was measured: {error}");
            ExitCode::from(without)
        }
    }
}

/// How long it took, and of what: the driver may refuse the machine code, and then compiles PTX.
fn load(machine: &Machine, opened: Duration, json: &Json) -> Done {
    let seconds = opened.as_secs_f64();
    let LoadedModules {
        machine_code, ptx, ..
    } = machine.gpu.loaded_modules();
    println!(
        "a context with every kernel: {seconds:.3} s; {machine_code} modules as machine code, {ptx} as PTX"
    );
    let mut lines = Lines::to(json.path.as_deref())?;
    let loaded = json!({ "seconds": seconds, "machine_code": machine_code, "ptx": ptx });
    lines.write("load", &loaded)?;
    Ok(())
}

/// Prints a line of a table at once.
fn say(line: &str) {
    println!("{line}");
    // Nobody who reads it any more is no reason to measure nothing.
    let _ = std::io::stdout().flush();
}

fn limits(machine: &Machine, json: &Json) -> Done {
    let mut lines = Lines::to(json.path.as_deref())?;
    let head = Head::of(machine)?;
    say(&head.text());
    lines.write("machine", &head)?;
    let mut written = Ok(());
    say(report::CEILINGS);
    let mut tell = |ceiling: ceilings::Ceiling| {
        say(&report::ceiling(&ceiling));
        written = std::mem::replace(&mut written, Ok(())).and(lines.write("ceiling", &ceiling));
    };
    // Each for itself: one that the driver refuses takes none of the others along.
    let mut failures = vec![
        ceilings::measure(machine, &mut tell),
        latencies::measure(machine, &mut tell),
    ];
    if machine.gpu.attributes().cluster_blocks > 1 {
        failures.push(barriers::latencies(machine, &mut tell));
        written?;
        say(&format!("\n{}", report::CLUSTERS));
        written = Ok(());
        failures.push(barriers::clusters(machine, |cluster| {
            say(&report::cluster(&cluster));
            written = std::mem::replace(&mut written, Ok(())).and(lines.write("cluster", &cluster));
        }));
    }
    written?;
    let failures: Vec<String> = failures
        .into_iter()
        .filter_map(|measured| Some(measured.err()?.to_string()))
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; ").into())
    }
}

fn selected(selection: &Selection) -> Result<Vec<Wanted>, String> {
    select(selection.rows, &selection.only)
}

fn rows(machine: &Machine, told: &RowsArguments) -> Done {
    let start = Instant::now();
    let wanted = selected(&told.selection)?;
    let mut lines = Lines::to(told.json.path.as_deref())?;
    let head = Head::of(machine)?;
    say(&head.text());
    lines.write("machine", &head)?;
    let watchdog = told.patience.map(Duration::from_secs).map(Watchdog::of);
    let limit = ceilings::copy_limit(machine)?;
    lines.write("copy_limit", &limit)?;
    say(report::ROWS);
    let bench = Bench::new(machine, told.calls)?;
    let (mut without_time, mut not_begun) = (0, 0);
    for (number, row) in wanted.iter().enumerate().skip(told.skip) {
        if told
            .seconds
            .is_some_and(|most| start.elapsed().as_secs() >= most)
        {
            not_begun = wanted.len() - number;
            break;
        }
        // Whoever goes on after this process counts these.
        let mut written = lines.write("begun", &json!({ "number": number }));
        bench.measure(row, |measured| {
            watchdog.as_ref().inspect(|watchdog| watchdog.calm());
            let done = match measured {
                Ok(row) => {
                    say(&report::row(&row, limit));
                    lines.write("row", &row)
                }
                Err(missing) => {
                    without_time += 1;
                    say(&report::missing(&missing));
                    lines.write("missing", &missing)
                }
            };
            written = std::mem::replace(&mut written, Ok(())).and(done);
        });
        written?;
        if without_time > 0 && machine.stream().synchronize().is_err() {
            return Err(ContextLost.into());
        }
    }
    if not_begun > 0 {
        say(&format!(
            "\n{not_begun} of {} shapes were not begun in time.",
            wanted.len()
        ));
    }
    if without_time == 0 {
        Ok(())
    } else {
        Err(format!("{without_time} rows have no time").into())
    }
}

fn once(machine: &Machine, selection: &Selection) -> Done {
    let bench = Bench::new(machine, 1)?;
    for row in selected(selection)? {
        bench.once(&row)?;
    }
    Ok(())
}

fn list(selection: &Selection) -> Done {
    for row in selected(selection)? {
        for line in listed(&row) {
            say(&serde_json::to_string(&line)?);
        }
    }
    Ok(())
}
