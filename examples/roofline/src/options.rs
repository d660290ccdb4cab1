//! What the command line asks for.

use std::path::PathBuf;

use batchnorm::{Layout, Level, Shape};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum, value_parser};
use workload::passes::Pass;
use workload::shapes::SHAPES;

use crate::floats::Type;
use crate::sizes;

/// Measure how near the memory limit each pass of batch normalization is: the limit is the time it takes to stream the
/// same bytes through the same threads, taken in the same run
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Only these shapes, N x C x spatial..., such as 32x64x56x56,4096x1024
    #[arg(long, value_delimiter = ',', value_parser = dims)]
    shape: Vec<Dims>,
    /// Only this place of the channels in memory; (N, C) arrays count as channels last
    #[arg(long, value_enum)]
    layout: Option<Place>,
    /// Which data types
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    pub(crate) dtype: Vec<Type>,
    /// Only these passes
    #[arg(long, value_delimiter = ',', value_parser = pass())]
    pass: Vec<Pass>,
    /// Every pass, instead of those of plain training and inference
    #[arg(long, conflicts_with = "pass")]
    all: bool,
    /// On so many threads, instead of one and as many as there are
    #[arg(long, value_delimiter = ',', value_parser = value_parser!(u16).range(1..))]
    threads: Vec<u16>,
    /// At these SIMD levels, instead of the best there is
    #[arg(long, value_delimiter = ',', value_parser = level)]
    level: Vec<Level>,
    /// How often each pass is timed, taking turns with the others and with the limit
    #[arg(long, value_parser = value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Few shapes and few rounds: to try it, not to quote it
    #[arg(long)]
    quick: bool,
    /// Sizes over four decades instead of the shapes of networks: how time grows with them
    #[arg(long, conflicts_with_all = ["shape", "quick"])]
    pub(crate) sizes: bool,
    /// Where every figure goes
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where charts go, as SVG and PNG
    #[cfg(feature = "charts")]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) chart: Option<PathBuf>,
}

type Dims = Vec<usize>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    First,
    Last,
}

fn pass() -> impl TypedValueParser<Value = Pass> {
    let of_name = |name: String| {
        let found = Pass::ALL.into_iter().find(|pass| pass.name() == name);
        found.expect("one of the names")
    };
    PossibleValuesParser::new(Pass::ALL.map(Pass::name)).map(of_name)
}

/// Shapes and rounds of the quick form.
const QUICK: ([&[usize]; 3], usize) = ([SHAPES[3], SHAPES[9], SHAPES[12]], 5);
const ROUNDS: usize = 25;
/// The passes of plain training and inference.
const PLAIN: [Pass; 5] = [
    Pass::ForwardTraining,
    Pass::Backward,
    Pass::Inference,
    Pass::BackwardFrozen,
    Pass::BackwardFrozenInput,
];

impl Options {
    /// The shapes with their layouts.
    pub(crate) fn shapes(&self) -> batchnorm::Result<Vec<Shape>> {
        let dims: Vec<Dims> = match (self.sizes, self.quick) {
            _ if !self.shape.is_empty() => self.shape.clone(),
            (true, _) => sizes::dims(),
            (false, true) => QUICK.0.map(<[_]>::to_vec).into(),
            (false, false) => SHAPES.map(<[_]>::to_vec).into(),
        };
        let mut shapes = Vec::new();
        for mut dims in dims {
            // An (N, C) array is the same in either layout.
            if self.layout != Some(Place::Last) && dims.len() != 2 {
                shapes.push(Shape::new(&dims, Layout::ChannelsFirst)?);
            }
            if self.layout != Some(Place::First) {
                if dims.len() > 2 {
                    dims[1..].rotate_left(1);
                }
                shapes.push(Shape::new(&dims, Layout::ChannelsLast)?);
            }
        }
        Ok(shapes)
    }

    pub(crate) fn passes(&self) -> Vec<Pass> {
        match (&self.pass[..], self.all) {
            (_, true) => Pass::ALL.into(),
            ([], _) if self.sizes => sizes::PASSES.into(),
            ([], _) => PLAIN.into(),
            (some, _) => some.into(),
        }
    }

    /// One and all, each once.
    pub(crate) fn threads(&self) -> Vec<usize> {
        let mut threads: Vec<_> = self.threads.iter().copied().map(usize::from).collect();
        if threads.is_empty() {
            let all = std::thread::available_parallelism().map_or(1, usize::from);
            threads = vec![1, all];
        }
        threads.dedup();
        threads
    }

    pub(crate) fn levels(&self) -> Vec<Level> {
        match &self.level[..] {
            [] => vec![Level::detect()],
            some => some.into(),
        }
    }

    pub(crate) fn rounds(&self) -> usize {
        let usual = if self.quick { QUICK.1 } else { ROUNDS };
        self.rounds.map_or(usual, usize::from)
    }
}

fn dims(text: &str) -> Result<Dims, String> {
    let dims = text.split('x').map(str::parse::<usize>);
    dims.collect::<Result<_, _>>()
        .map_err(|_| format!("{text:?} is not like 32x64x56x56"))
}

fn level(text: &str) -> Result<Level, String> {
    let available = Level::available();
    let found = available.iter().find(|level| level.name() == text);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|level| level.name()).collect();
        format!("this machine has {}", names.join(", "))
    })
}
