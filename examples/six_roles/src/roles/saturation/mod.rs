//! Role 6: with batch norm networks of saturating activations train, and deep ones too.

mod charts;
mod stack;

use candle_core::Result;
use serde_json::{Map, Value};
use tables::markdown::Table;
use tables::spread::{Spread, short};

use self::charts::figure;
use self::stack::{Stack, TANH};
use crate::context::Context;
use crate::normalization::Normalize;
use crate::report::{Bar, Report};
use crate::sweep::{Arms, Runs, compare, powers_of_ten, sweep};
use crate::training::{Record, Schedule};

const STEPS: usize = 600;
const LONG: usize = 6000;

fn to_85(record: &Record) -> f64 {
    record.steps_to_accuracy(0.85)
}

/// The fewest steps to 85 %, at the rate where that is.
fn fastest(runs: &Runs) -> Spread {
    runs.spread(runs.rate_of_least(to_85), to_85)
}

struct Results(Vec<(Stack, Arms)>);

impl Results {
    fn of(&self, stack: Stack) -> Option<&Arms> {
        let found = self.0.iter().find(|(at, _)| *at == stack);
        found.map(|(_, arms)| arms)
    }

    /// The bars of the stacks that were measured.
    fn bars(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        if let Some(three) = self.of(Stack::sigmoid(3)) {
            let Arms { plain, batch_norm } = three;
            let over_rates = batch_norm.over_rates(Record::final_accuracy);
            let least = over_rates
                .iter()
                .map(|(_, accuracy)| accuracy.median)
                .fold(1.0, f64::min);
            let early = plain
                .spread(plain.tuned_rate(), |record| record.accuracy_at(100))
                .median;
            bars.extend([
                Bar::effect(
                    "3 layers: steps to 85 %, BN",
                    (0.0, 80.0),
                    fastest(batch_norm).median,
                ),
                Bar::effect(
                    "3 layers: steps to 85 %, plain",
                    (200.0, 540.0),
                    fastest(plain).median,
                ),
                Bar::beside(
                    "3 layers: plain, tuned rate (the baseline is sound)",
                    (0.89, 0.94),
                    plain.tuned_accuracy().median,
                ),
                Bar::beside("3 layers: BN, least over the rates", (0.87, 0.96), least),
                Bar::beside(
                    "3 layers: plain after 100 steps, tuned rate",
                    (0.0, 0.4),
                    early,
                ),
            ]);
        }
        let names = [
            (
                5,
                [
                    "5 layers: plain, best over the rates",
                    "5 layers: BN, tuned rate",
                    "5 layers: steps to 85 %, BN",
                ],
            ),
            (
                8,
                [
                    "8 layers: plain, best over the rates",
                    "8 layers: BN, tuned rate",
                    "8 layers: steps to 85 %, BN",
                ],
            ),
        ];
        for (depth, [plain, accuracy, steps]) in names {
            if let Some(arms) = self.of(Stack::sigmoid(depth)) {
                bars.extend([
                    Bar::effect(plain, (0.0, 0.15), arms.plain.best_accuracy()),
                    Bar::effect(
                        accuracy,
                        (0.89, 0.96),
                        arms.batch_norm.tuned_accuracy().median,
                    ),
                    Bar::beside(steps, (0.0, 80.0), fastest(&arms.batch_norm).median),
                ]);
            }
        }
        bars
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            "network",
            "arm",
            "tuned rate",
            "accuracy at 100 steps",
            "at 300",
            "at 600",
            "steps to 85 % (fastest rate)",
        ]);
        for (stack, arms) in &self.0 {
            for (runs, name) in arms.both().into_iter().zip(["plain", "BN"]) {
                let rate = runs.tuned_rate();
                let at = |step| {
                    runs.spread(rate, |record| record.accuracy_at(step))
                        .to_string()
                };
                table.row([
                    stack.name(),
                    name.into(),
                    short(rate),
                    at(100),
                    at(300),
                    at(STEPS),
                    fastest(runs).to_string(),
                ]);
            }
        }
        table
    }
}

/// The plain deep networks, ten times as long.
fn long(context: &Context, rates: &[f64]) -> Result<Vec<Runs>> {
    let name = "role 6: plain, 6000 steps";
    let seeds = context.seeds(3, 3);
    let build = |depth, seed| Stack::sigmoid(depth).network(Normalize::No, seed, context);
    let schedule = |rate, seed| {
        let mut schedule = Schedule::new(LONG, rate, seed);
        schedule.checkpoints = (100..=LONG).step_by(100).collect();
        schedule
    };
    sweep(context, name, &[5, 8], (rates, &seeds), build, schedule)
}

pub(crate) fn measure(context: &Context) -> Result<Report> {
    let seeds = context.seeds(10, 3);
    let all = [
        Stack::sigmoid(3),
        Stack::sigmoid(5),
        Stack::sigmoid(8),
        TANH,
    ]
    .to_vec();
    let stacks = context.choose(all, [Stack::sigmoid(3), Stack::sigmoid(8)].to_vec());
    let rates = context.choose(powers_of_ten(-3..=2, 2), powers_of_ten(-2..=1, 2));
    let arms = compare(
        context,
        "role 6: saturating activations",
        &stacks,
        (&rates, &seeds),
        |stack, normalize, seed| stack.network(normalize, seed, context),
        |rate, seed| Schedule::new(STEPS, rate, seed),
    )?;
    let results = Results(stacks.into_iter().zip(arms).collect());
    let long = if context.quick {
        Vec::new()
    } else {
        long(context, &rates)?
    };

    let of_depth = |depth| results.of(Stack::sigmoid(depth));
    let steps = of_depth(3)
        .map(|arms| arms.both().map(|runs| fastest(runs).median))
        .unwrap_or_default();
    let deepest = of_depth(8)
        .map(|arms| {
            (
                arms.plain.best_accuracy(),
                arms.batch_norm.tuned_accuracy().median,
            )
        })
        .unwrap_or_default();
    let runs: Map<String, Value> = results
        .0
        .iter()
        .map(|(stack, arms)| (stack.name(), arms.json()))
        .chain([(
            "plain, 6000 steps".into(),
            long.iter().map(Runs::json).collect(),
        )])
        .collect();
    Ok(Report {
        role: 6,
        title: "saturating activations",
        protocol: format!(
            "Sigmoid networks of 100 units a layer, weights N(0, 0.1²) (tanh: Xavier), mini-batches of 60, {STEPS} steps, \
             {} rates from {} to {}, {} seeds. Tuned: at the rate of the least training loss of each arm. Test accuracy is \
             looked at every 20 steps.",
            rates.len(),
            short(rates[0]),
            short(rates[rates.len() - 1]),
            seeds.len()
        ),
        tables: vec![results.table()],
        bars: results.bars(),
        effect: format!(
            "3 sigmoid layers reach 85 % in {} steps with batch norm and {} without; 8 layers reach {} with it, and without \
             it {} at best, whatever the rate",
            short(steps[1]),
            short(steps[0]),
            short(deepest.1),
            short(deepest.0)
        ),
        limits: limits(&results, &long),
        runs: runs.into(),
        figure: figure(&results),
    })
}

fn limits(results: &Results, long: &[Runs]) -> Vec<String> {
    let mut limits = Vec::new();
    for (runs, depth) in long.iter().zip([5, 8]) {
        let best = runs.rate_of_least(Record::final_loss);
        let at = |step| short(runs.spread(best, |record| record.accuracy_at(step)).median);
        limits.push(format!(
            "Given ten times as many steps, the plain network of {depth} layers has {} after 1800 and {} after 6000 at its \
             best rate, {}.",
            at(1800),
            at(LONG),
            short(best)
        ));
    }
    if let Some(tanh) = results.of(TANH) {
        let [plain, batch_norm] = tanh.both().map(|runs| short(runs.tuned_accuracy().median));
        limits.push(format!("3 tanh layers with Xavier weights need no batch norm: {plain} without, {batch_norm} with it."));
    }
    limits.push("Chance is 0.10; the test images are 597, so that one accuracy has a standard error of about 0.01.".into());
    limits
}
