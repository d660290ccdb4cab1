//! What rows would gain by forms of the kernels that nobody has written.

use batchnorm::gpu::plan::cost::constants::{Constant, KERNELS, KernelConstants};

use crate::section::{DEVICES, GOALS, PASSES, Predicted, line};

/// Rows below this are waited for, not moved.
const LARGE: usize = 8_000_000;
const WORTH: f64 = 0.05;

/// Rows that gain, and by how much.
fn summary(rows: &[&Predicted], to: fn(&Predicted) -> f64) -> String {
    // What is slower would not be planned.
    let gain = |one: &&Predicted| (one.now.prediction.seconds / to(one) - 1.0).max(0.0);
    let gains: Vec<f64> = rows.iter().map(gain).collect();
    let mean = gains.iter().sum::<f64>() / gains.len() as f64;
    let most = gains.iter().copied().fold(0.0, f64::max);
    let worth = gains.iter().filter(|&&gain| gain >= WORTH).count();
    format!("{worth}; {:.1} %, {:.1} %", mean * 1e2, most * 1e2)
}

/// Never, where there is no such plan.
fn seconds(of: Option<f64>) -> f64 {
    of.unwrap_or(f64::INFINITY)
}

/// The kernels without the instructions that each packet's copy takes.
pub(crate) fn kernels_with_bulk_copies() -> KernelConstants {
    let nothing = |copies: Constant| Constant {
        value: 0.0,
        ..copies
    };
    KernelConstants {
        copy_issue: KERNELS.copy_issue.map(nothing),
        ..KERNELS
    }
}

pub(crate) fn write(text: &mut String, rows: &[Predicted]) {
    line(
        text,
        "What is left to gain by forms of the kernels that there are not, by the same model, of the rows of 8 MB and more, by the strategy that is planned \
         for them. Of each cell: rows that gain 5 % or more; the mean over all of them, and the most. A form that is slower gains nothing.\n\n\
         - At the most: the next tile on its way while this one is reduced, as if all bytes moved without a pause, only the first tile were waited for, and room for it cost nothing.\n\
         - A place more: the same with its price. On the chip the next channel has room in shared memory beside the one that is kept, so clusters are \
         larger, groups of columns narrower, or blocks half as many; where there are two places for tiles there are three. A tile is copied as a whole (`cp.async`), \
         which takes instructions, and a block adds up one tile after the other. The fastest of all such plans.\n\
         - Places refilled: on the chip each packet's place takes one of the next channel as soon as it is written. That costs no shared memory, and nothing is on \
         its way while a block reduces. The fastest of all such plans.\n\
         - Bulk copies: whole pieces of planes copied by one instruction (`cp.async.bulk` with an mbarrier, 9.0), and none for each packet.\n\
         - Pushed sums: those of a cluster are pushed one way instead of asked for, which saves half of the exchange.\n\
         - In turn: blocks take groups of columns one after the other, fewer at once than there are, so that what they keep on the chip is more of each. Where \
         they all work on one group, all wait for it at once. The fastest of all such plans.\n",
    );
    line(
        text,
        "| strategy | device | pass | rows | at the most | a place more | places refilled | bulk copies | pushed sums | in turn |",
    );
    line(text, "|---|---|---|---|---|---|---|---|---|---|");
    for strategy in [
        "planes_on_chip",
        "columns_on_chip",
        "columns_persistent",
        "planes_ticketed",
        "planes_pipelined",
    ] {
        for (device, _) in &DEVICES {
            for (pass, _) in PASSES {
                let is_planned = |one: &&Predicted| {
                    let large = one.bytes >= LARGE && one.row[0] == *device && one.row[4] == pass;
                    large && one.now.plan.to_string().starts_with(strategy)
                };
                let planned: Vec<&Predicted> = rows.iter().filter(is_planned).collect();
                if planned.is_empty() {
                    continue;
                }
                let cells = [
                    summary(&planned, |one| one.now.prediction.unwritten.next_in_flight),
                    summary(&planned, |one| seconds(one.a_place_more)),
                    summary(&planned, |one| seconds(one.places_refilled)),
                    summary(&planned, |one| one.bulk_copies),
                    summary(&planned, |one| one.now.prediction.unwritten.pushed_sums),
                    summary(&planned, |one| seconds(one.columns_in_turn)),
                ];
                let (rows, cells) = (planned.len(), cells.join(" | "));
                line(
                    text,
                    &format!("| {strategy} | {device} | {pass} | {rows} | {cells} |"),
                );
            }
        }
    }
    line(text, "");
    goals(text, rows);
}

/// How far the goals would be with the best of them.
fn goals(text: &mut String, rows: &[Predicted]) {
    line(
        text,
        "The goals with the fastest of these forms for each row, and what most of the time of the rows that miss them is for today:\n",
    );
    line(
        text,
        "| goal | device | pass | share | rows | that reach it | with the forms | least | with the forms | missed by memory, cache, instructions, latency |",
    );
    line(text, "|---|---|---|---|---|---|---|---|---|---|");
    for goal in &GOALS {
        for (device, _) in &DEVICES {
            for (index, (pass, _)) in PASSES.iter().enumerate() {
                let of_goal = goal.rows(rows, device, pass);
                let needed = goal.share[index];
                let share = |one: &Predicted| one.now.prediction.share;
                let with_forms = |one: &Predicted| {
                    let now = one.now.prediction.seconds;
                    let forms = [one.a_place_more, one.places_refilled, one.columns_in_turn];
                    let fastest = forms.into_iter().flatten().fold(now, f64::min);
                    share(one) * now / fastest
                };
                let reach = |of: &dyn Fn(&Predicted) -> f64| {
                    let reached = of_goal.iter().filter(|one| of(one) >= needed).count();
                    let least = of_goal
                        .iter()
                        .map(|one| of(one))
                        .fold(f64::INFINITY, f64::min);
                    (reached, least * 1e2)
                };
                let (now, then) = (reach(&share), reach(&with_forms));
                let missed = |bound: &str| {
                    let missed = of_goal.iter().filter(|one| share(one) < needed);
                    missed
                        .filter(|one| one.now.prediction.bound.to_string() == bound)
                        .count()
                };
                let missed = ["memory", "cache", "instructions", "latency"].map(missed);
                line(
                    text,
                    &format!(
                        "| {} | {device} | {pass} | {:.0} % | {} | {} | {} | {:.0} % | {:.0} % | {}, {}, {}, {} |",
                        goal.name,
                        needed * 1e2,
                        of_goal.len(),
                        now.0,
                        then.0,
                        now.1,
                        then.1,
                        missed[0],
                        missed[1],
                        missed[2],
                        missed[3],
                    ),
                );
            }
        }
    }
    line(text, "");
}
