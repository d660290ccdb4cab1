//! Role 3: with batch norm the scale of the initial weights hardly matters: BN((aW)u) = BN(Wu) (Ioffe & Szegedy 2015,
//! section 3.3).

mod runs;

use candle_core::Result;
use figures::figure::Figure;
use serde_json::json;
use tables::markdown::Table;
use tables::spread::{Spread, short};

use self::runs::{AtScales, EXTREME, SCALES, Scaled, plain_over_all_rates};
use crate::context::Context;
use crate::report::{Bar, Report};
use crate::sweep::{Runs, powers_of_ten};
use crate::training::Record;

/// Everything that was trained.
struct Findings {
    hidden: AtScales,
    /// In the full protocol only.
    all: Option<AtScales>,
    plain_over_18_decades: Vec<Runs>,
}

/// The one rate that is shown for all scales, 0.316.
fn fixed_rate() -> f64 {
    powers_of_ten(-1..=-1, 2)[0]
}

fn at_fixed_rate(runs: &Runs) -> Spread {
    runs.spread(fixed_rate(), Record::final_accuracy)
}

pub(crate) fn measure(context: &Context) -> Result<Report> {
    let mut quick_rates = powers_of_ten(-3..=0, 1);
    quick_rates.insert(3, fixed_rate());
    let rates = context.choose(powers_of_ten(-6..=1, 2), quick_rates);
    let hidden = AtScales::measure(context, Scaled::Hidden, &rates)?;
    let (all, plain_over_18_decades) = if context.quick {
        (None, Vec::new())
    } else {
        let all = AtScales::measure(context, Scaled::All, &rates)?;
        (Some(all), plain_over_all_rates(context)?)
    };
    let findings = Findings {
        hidden,
        all,
        plain_over_18_decades,
    };
    Ok(Report {
        role: 3,
        title: "the scale of the initial weights",
        protocol: format!(
            "64-4x64-10 ReLU, He weights times a scale, mini-batches of 60, 300 steps, {} rates, {} seeds. Test accuracy at \
             the end; tuned: at the rate of the least training loss of each arm. Hidden: the weights that batch norm \
             follows are scaled; all: those of the output layer too.",
            rates.len(),
            context.seeds(5, 3).len()
        ),
        tables: vec![findings.table()],
        bars: findings.bars(),
        effect: format!(
            "with batch norm one learning rate gives {} or more over the scales 0.001 to 3.16 and {} or more at 10 and \
             100; the plain network's best at 0.001, 0.01, 0.1, 10 and 100 is {}",
            short(findings.hidden.least(0.001..=3.2, at_fixed_rate)),
            short(findings.hidden.least(10.0..=100.0, at_fixed_rate)),
            short(findings.best_plain_of_extreme())
        ),
        limits: findings.limits(&rates),
        runs: json!({
            "hidden": findings.hidden.json(),
            "all": findings.all.as_ref().map(AtScales::json),
            "plain_over_18_decades": findings.plain_over_18_decades.iter().map(Runs::json).collect::<Vec<_>>(),
        }),
        figure: findings.figure(),
    })
}

impl Findings {
    /// The best median of the plain network over the scales at which it fails.
    fn best_plain_of_extreme(&self) -> f64 {
        let arms = EXTREME.iter().flat_map(|&scale| self.hidden.at(scale));
        arms.map(|arms| arms.plain.best_accuracy())
            .fold(0.0, f64::max)
    }

    fn bars(&self) -> Vec<Bar> {
        let hidden = &self.hidden;
        let at_he = hidden
            .at(1.0)
            .map(|arms| arms.plain.tuned_accuracy().median);
        let tuned = |scales| hidden.least(scales, Runs::tuned_accuracy);
        let fixed = |scales| hidden.least(scales, at_fixed_rate);
        let mut bars = vec![
            Bar::effect(
                "hidden, rate 0.316: BN, least over scales 0.001 to 3.16",
                (0.87, 1.0),
                fixed(0.001..=3.2),
            ),
            Bar::effect(
                "hidden, rate 0.316: BN, least over scales 10 and 100",
                (0.78, 1.0),
                fixed(10.0..=100.0),
            ),
            Bar::beside(
                "hidden, tuned rate: BN, least over all scales",
                (0.82, 1.0),
                tuned(0.0..=100.0),
            ),
            Bar::beside(
                "hidden, tuned rate: BN, least over scales to 10",
                (0.88, 1.0),
                tuned(0.0..=10.0),
            ),
            Bar::effect(
                "hidden: plain, best over rates and scales 0.001, 0.01, 0.1, 10, 100",
                (0.0, 0.25),
                self.best_plain_of_extreme(),
            ),
            Bar::beside(
                "hidden: plain at scale 1, tuned rate (the baseline is sound)",
                (0.89, 0.95),
                at_he.fold(0.0, f64::max),
            ),
        ];
        if let Some(all) = &self.all {
            let tuned = |scales| all.least(scales, Runs::tuned_accuracy);
            bars.extend([
                Bar::beside(
                    "all, tuned rate: BN, least over scales to 10",
                    (0.86, 1.0),
                    tuned(0.0..=10.0),
                ),
                Bar::beside(
                    "all, tuned rate: BN at scale 100 (the limit)",
                    (0.35, 0.75),
                    tuned(100.0..=100.0),
                ),
            ]);
        }
        bars
    }

    fn limits(&self, rates: &[f64]) -> Vec<String> {
        let mut limits = vec![format!(
            "That the plain network fails means: at every one of the {} rates from {} to {}.",
            rates.len(),
            short(rates[0]),
            short(rates[rates.len() - 1])
        )];
        if let Some(all) = &self.all {
            limits.push(format!(
                "The output layer has no batch norm: with all weights 100 times as large the accuracy with batch norm is {}.",
                short(all.least(100.0..=100.0, Runs::tuned_accuracy))
            ));
            let best = EXTREME.iter().zip(&self.plain_over_18_decades);
            let best: Vec<_> = best
                .map(|(scale, runs)| format!("{} at scale {scale}", short(runs.best_accuracy())))
                .collect();
            limits.push(format!(
                "The plain network is not beyond help where weights are too large: over 18 decades of rates, 1e-16 to 10, \
                 its best medians are {}.",
                best.join(", ")
            ));
        }
        limits.push(
            "With batch norm large weights train more slowly: the effective rate is rate / scale². And ε ends the \
             independence of scale where the variance before batch norm is no longer far above it."
                .into(),
        );
        limits
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            "scale",
            "hidden, rate 0.316: plain",
            "BN",
            "hidden, tuned: plain",
            "BN",
            "all, tuned: plain",
            "BN",
        ]);
        for scale in SCALES {
            let hidden = || self.hidden.at(scale);
            let fixed = hidden().flat_map(|arms| arms.both().map(at_fixed_rate));
            let tuned = hidden().chain(self.all.iter().flat_map(|all| all.at(scale)));
            let tuned = tuned.flat_map(|arms| arms.both().map(Runs::tuned_accuracy));
            let cells = fixed.chain(tuned).map(|spread| spread.to_string());
            table.row([scale.to_string()].into_iter().chain(cells));
        }
        table
    }

    fn figure(&self) -> Figure {
        let mut charts = Vec::new();
        for (name, runs) in [
            ("hidden layers", Some(&self.hidden)),
            ("all layers", self.all.as_ref()),
        ] {
            let Some(runs) = runs else { continue };
            charts.push(runs.chart(format!("{name} scaled, learning rate 0.316"), at_fixed_rate));
            let title = format!("{name} scaled, each arm at its tuned rate");
            charts.push(runs.chart(title, Runs::tuned_accuracy));
        }
        Figure {
            title: "Role 3: with batch norm the scale of the initial weights hardly matters".into(),
            caption: "line = median over seeds, band = quartiles; 0.10 = chance, 0 = diverged; tuned = rate of least \
                      training loss"
                .into(),
            columns: 2,
            charts,
        }
    }
}
