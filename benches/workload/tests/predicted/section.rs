//! The section as text.

use std::collections::HashMap;
use std::fmt::Write;

use batchnorm::gpu::plan::cost::Unwritten;
use batchnorm::gpu::plan::cost::constants::{
    AMPERE, Constant, HOPPER, KERNELS, OTHER, SEGMENTS, Status,
};
use batchnorm::gpu::plan::{Considered, Direction, Explanation, Reason, Tuning};
use batchnorm::gpu::{Attributes, Strategy};
use batchnorm::{DType, Layout, Shape};
use workload::table;

use crate::before::{self, Row};
use crate::unwritten;

pub(crate) const DEVICES: [(&str, Attributes); 2] =
    [("H100", Attributes::H100), ("H200", Attributes::H200)];
const TYPES: [(&str, DType, usize); 2] = [("f32", DType::F32, 4), ("f16", DType::F16, 2)];
pub(crate) const PASSES: [(&str, Direction); 2] = [
    ("forward", Direction::Forward),
    ("backward", Direction::Backward),
];

/// One row's figures.
pub(crate) struct Predicted {
    pub row: Row,
    shape: Shape,
    pub bytes: usize,
    before: Considered,
    pub now: Considered,
    /// Seconds of the fastest plan of each form that there is not.
    pub a_place_more: Option<f64>,
    pub places_refilled: Option<f64>,
    pub columns_in_turn: Option<f64>,
    pub bulk_copies: f64,
    /// What it costs to have the bits of every device, where that is too much.
    pub price_of_equal_bits: Option<f64>,
    told: String,
}

pub(crate) fn write(before: &HashMap<Row, (Tuning, String)>) -> String {
    let rows = rows(before);
    let mut text = String::from(
        "By the model of `src/gpu/plan/cost/`, not measured: the share of a copy's rate at which each row moves the bytes that must be moved.\n\
         Before: the plans of the time when the first that fitted was taken, with the kernels as they were then read in machine code. Now:\n\
         the plans of today, with the kernels as they are counted in machine code (`KERNELS` of `src/gpu/plan/cost/constants.rs`). bf16 is as f16. A test holds\n\
         this section against the model (`benches/workload/tests/predicted/`).\n\n",
    );
    goals(&mut text, &rows);
    equal_bits(&mut text, &rows);
    pipelined(&mut text, &rows);
    unwritten::write(&mut text, &rows);
    table_of_rows(&mut text, &rows);
    constants(&mut text);
    text
}

fn rows(before: &HashMap<Row, (Tuning, String)>) -> Vec<Predicted> {
    let mut rows = Vec::new();
    for shape in table::shapes(&[32, 128, 256]) {
        for (type_name, dtype, value_bytes) in TYPES {
            for (pass_name, direction) in PASSES {
                for (device_name, device) in &DEVICES {
                    let row = [
                        *device_name,
                        table::name(&shape).as_str(),
                        table::layout(&shape),
                        type_name,
                        pass_name,
                    ]
                    .map(str::to_owned);
                    let (tuning, told) = &before[&row];
                    let then = Explanation::with(
                        &shape,
                        dtype,
                        direction,
                        device,
                        tuning,
                        &before::kernels(),
                    );
                    let now = Explanation::of(&shape, dtype, direction, device, &Tuning::default());
                    let with_bulk_copies = Explanation::with(
                        &shape,
                        dtype,
                        direction,
                        device,
                        &Tuning::default(),
                        &unwritten::kernels_with_bulk_copies(),
                    );
                    let fastest = |of: fn(&Unwritten) -> Option<f64>| {
                        let busy = now.considered.iter().filter(|one| one.idle == 0);
                        busy.filter_map(|one| of(&one.prediction.unwritten))
                            .reduce(f64::min)
                    };
                    rows.push(Predicted {
                        row,
                        shape,
                        bytes: shape.len() * value_bytes,
                        before: *then.chosen(),
                        now: *now.chosen(),
                        a_place_more: fastest(|unwritten| unwritten.a_place_more),
                        places_refilled: fastest(|unwritten| unwritten.places_refilled),
                        columns_in_turn: now.columns_in_turn().map(|found| found.seconds),
                        bulk_copies: with_bulk_copies.chosen().prediction.seconds,
                        price_of_equal_bits: match now.reason {
                            Reason::Fastest { price } => Some(price.unwrap_or(f64::INFINITY)),
                            _ => None,
                        },
                        told: told.clone(),
                    });
                }
            }
        }
    }
    rows
}

/// A goal: of which rows, and what share.
pub(crate) struct Goal {
    pub name: &'static str,
    pub share: [f64; 2],
    has: fn(&Shape, usize) -> bool,
}

impl Goal {
    /// Those of some rows, in one direction on one device.
    pub(crate) fn rows<'a>(
        &self,
        rows: &'a [Predicted],
        device: &str,
        pass: &str,
    ) -> Vec<&'a Predicted> {
        rows.iter()
            .filter(|one| one.row[0] == device && one.row[4] == pass)
            .filter(|one| (self.has)(&one.shape, one.bytes))
            .collect()
    }
}

const LARGE: usize = 50_000_000;

fn few_large_planes(shape: &Shape) -> bool {
    shape.layout() == Layout::ChannelsFirst
        && (shape.channels() <= 16 || shape.spatial() >= 65536)
        && shape.spatial() >= 65536
}

pub(crate) const GOALS: [Goal; 3] = [
    Goal {
        name: "channels first, from 50 MB",
        share: [0.90, 0.88],
        has: |shape, bytes| {
            shape.layout() == Layout::ChannelsFirst && bytes >= LARGE && !few_large_planes(shape)
        },
    },
    Goal {
        name: "channels last, from 50 MB",
        share: [0.80, 0.80],
        has: |shape, bytes| shape.layout() == Layout::ChannelsLast && bytes >= LARGE,
    },
    Goal {
        name: "few channels with large planes",
        share: [0.80, 0.80],
        has: |shape, _| few_large_planes(shape),
    },
];

fn goals(text: &mut String, rows: &[Predicted]) {
    line(
        text,
        "| goal | device | pass | share | rows that reach it, before | now | least, before | now | rows |",
    );
    line(text, "|---|---|---|---|---|---|---|---|---|");
    for goal in &GOALS {
        for (device, _) in &DEVICES {
            for (index, (pass, _)) in PASSES.iter().enumerate() {
                let of_goal = goal.rows(rows, device, pass);
                let share = goal.share[index];
                let reach = |of: fn(&Predicted) -> f64| {
                    let reached = of_goal.iter().filter(|one| of(one) >= share).count();
                    let least = of_goal
                        .iter()
                        .map(|one| of(one))
                        .fold(f64::INFINITY, f64::min);
                    (reached, least * 1e2)
                };
                let before = reach(|one| one.before.prediction.share);
                let now = reach(|one| one.now.prediction.share);
                line(
                    text,
                    &format!(
                        "| {} | {device} | {pass} | {:.0} % | {} | {} | {:.0} % | {:.0} % | {} |",
                        goal.name,
                        share * 1e2,
                        before.0,
                        now.0,
                        before.1,
                        now.1,
                        of_goal.len()
                    ),
                );
            }
        }
    }
    line(text, "");
}

/// Where two GPUs add up in the same order, and what it would cost where they do not.
fn equal_bits(text: &mut String, rows: &[Predicted]) {
    let of_h100: Vec<&Predicted> = rows.iter().filter(|one| one.row[0] == "H100").collect();
    let prices = of_h100.iter().filter_map(|one| one.price_of_equal_bits);
    let (mut others, mut most, mut impossible) = (0, 0.0_f64, 0);
    for price in prices {
        others += 1;
        if price.is_finite() {
            most = most.max(price);
        } else {
            impossible += 1;
        }
    }
    line(
        text,
        &format!(
            "Sums are partitioned as on an H200, which the shape alone decides, where that costs less than 3 %: an H100 does so in {} of {} rows. In the \
             other {others} it would take up to {:.0} % longer ({impossible} of them cannot), and its bits are others.\n",
            of_h100.len() - others,
            of_h100.len(),
            most * 1e2,
        ),
    );
}

/// What rows that are taken in items gain by having the next tile on its way: each strategy's own best plan, against the other's.
fn pipelined(text: &mut String, rows: &[Predicted]) {
    line(
        text,
        "Channels that fit no cluster, on planes, are taken tile by tile: by `planes_ticketed`, or by `planes_pipelined` with the next tile on \
         its way to shared memory (`cp.async`) while this one is worked on. Of the rows for which one of the two is planned, the best plan of \
         each; the gain is what the ticketed one takes longer.\n",
    );
    line(
        text,
        "| N x C x ... | type | MB | pass | device | ticketed, us | pipelined, us | gain | planned |",
    );
    line(text, "|---|---|---|---|---|---|---|---|---|");
    let is_in_items = |one: &&Predicted| {
        let plan = one.now.plan.to_string();
        ["planes_ticketed", "planes_pipelined"]
            .iter()
            .any(|kernels| plan.starts_with(kernels))
    };
    for one in rows.iter().filter(is_in_items) {
        let [device, dims, _, type_name, pass_name] = &one.row;
        let named = |list: &str, name: &String| list == name;
        let (_, attributes) = DEVICES
            .iter()
            .find(|of| named(of.0, device))
            .expect("a device");
        let (_, dtype, _) = TYPES
            .iter()
            .find(|of| named(of.0, type_name))
            .expect("a type");
        let (_, direction) = PASSES
            .iter()
            .find(|of| named(of.0, pass_name))
            .expect("a pass");
        let seconds = |strategy: Strategy| {
            let tuning = Tuning::default().strategy(strategy);
            let told = Explanation::of(&one.shape, *dtype, *direction, attributes, &tuning);
            told.chosen().prediction.seconds
        };
        let [ticketed, pipelined] = [Strategy::Ticketed, Strategy::Pipelined].map(seconds);
        let plan = one.now.plan.to_string();
        line(
            text,
            &format!(
                "| {dims} | {type_name} | {:.1} | {pass_name} | {device} | {:.1} | {:.1} | {:.1} % | {} |",
                one.bytes as f64 / 1e6,
                ticketed * 1e6,
                pipelined * 1e6,
                (ticketed / pipelined - 1.0) * 1e2,
                plan.split('_').nth(1).unwrap_or(&plan),
            ),
        );
    }
    line(text, "");
}

fn table_of_rows(text: &mut String, rows: &[Predicted]) {
    line(
        text,
        "| N x C x ... | layout | type | MB | pass | H100 before | now | H200 before | now | us on the H200 | by | planned before on the H200 | planned now |",
    );
    line(
        text,
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    );
    for pair in rows.chunks(DEVICES.len()) {
        let [h100, h200] = pair else {
            panic!("a row for each device");
        };
        let share = |considered: &Considered| format!("{:.0} %", considered.prediction.share * 1e2);
        let [_, dims, layout, dtype, pass] = &h200.row;
        line(
            text,
            &format!(
                "| {dims} | {layout} | {dtype} | {:.1} | {pass} | {} | {} | {} | {} | {:.1} | {} | {} | {} |",
                h200.bytes as f64 / 1e6,
                share(&h100.before),
                share(&h100.now),
                share(&h200.before),
                share(&h200.now),
                h200.now.prediction.seconds * 1e6,
                h200.now.prediction.bound,
                h200.told.trim_start_matches("strategy="),
                h200.now.plan,
            ),
        );
    }
    line(text, "");
}

fn constants(text: &mut String) {
    line(text, "The model's numbers:\n");
    line(text, "| of | what | value | unit | from | |");
    line(text, "|---|---|---|---|---|---|");
    let mut add = |of: &str, what: &str, constant: Constant| {
        let Constant {
            value,
            unit,
            source,
            status,
        } = constant;
        let status = match status {
            Status::Predicted => "predicted",
            Status::Measured => "measured",
        };
        line(
            text,
            &format!("| {of} | {what} | {value} | {unit} | {source} | {status} |"),
        );
    };
    for (what, constant) in HOPPER.table() {
        add(HOPPER.class, what, constant);
    }
    for device in [AMPERE, OTHER] {
        let others = device.table().into_iter().zip(HOPPER.table());
        for ((what, constant), _) in others.filter(|(own, hopper)| own != hopper) {
            add(device.class, what, constant);
        }
    }
    for (what, constant) in KERNELS.table() {
        add("kernels", what, constant);
    }
    for (bytes, constant) in SEGMENTS {
        add(
            "memory",
            &format!("rows in pieces of {bytes} bytes or more"),
            constant,
        );
    }
}

pub(crate) fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}
