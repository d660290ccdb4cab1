//! The numbers of the plan's model that are counted in machine code (`KERNELS` of `src/gpu/plan/cost/constants.rs`): they are those
//! of the kernels of today, on the device whose plans the tables show.

use batchnorm::gpu::plan::cost::constants::{Constant, KERNELS};

use crate::machine_code::Findings;

/// The device that they are counted for: 9.0.
const DEVICE: u32 = 90;
/// A constant may be so much of itself away from what is counted: kernels of one kind differ as much, and compilers do.
const WITHIN: f64 = 0.06;

/// What is counted of each kernel on that device.
struct Counted<'a>(Vec<&'a Findings>);

impl Counted<'_> {
    /// The mean over the kernels whose names have all of these words.
    fn mean(&self, words: &[&str], of: impl Fn(&Findings) -> f64) -> f64 {
        self.mean_of_some(words, |one| Some(of(one)))
    }

    /// The same over those of them of which there is something to say.
    fn mean_of_some(&self, words: &[&str], of: impl Fn(&Findings) -> Option<f64>) -> f64 {
        let has_all = |one: &&&Findings| words.iter().all(|word| one.kernel.contains(word));
        let kernels = self.0.iter().filter(has_all);
        let values: Vec<f64> = kernels.filter_map(|one| of(one)).collect();
        assert!(!values.is_empty(), "no kernel of {words:?}");
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn slots(&self, words: &[&str]) -> f64 {
        self.mean(words, Findings::issue_slots_of_a_packet)
    }

    /// Each constant with what it should be.
    fn constants(&self) -> Vec<(&'static str, Constant, f64)> {
        let issue =
            |family| ["forward_f16", "backward_f16"].map(|pass| self.slots(&[family, pass]));
        let (planes, columns) = (issue("planes"), issue("columns"));
        let of_f32: f64 = ["planes", "columns"]
            .iter()
            .flat_map(|family| ["forward", "backward"].map(|pass| [*family, pass]))
            .map(|[family, pass]| {
                self.slots(&[family, pass, "f32"]) / self.slots(&[family, pass, "f16"])
            })
            .sum();
        let reduction = self.mean(&["f16"], |one| {
            one.reads.issue_slots_of_a_packet() / one.issue_slots_of_a_packet()
        });
        let loads = |words: &[&str], arrays: f64| {
            self.mean_of_some(words, |one| {
                let reads = one.copies.is_none().then_some(&one.reads)?;
                Some(reads.loads_in_flight as f64 / arrays)
            })
        };
        // A packet is copied for its sums, and again for what is written.
        let copies = |pass| {
            self.mean_of_some(&["planes", pass], |one| {
                Some(2.0 * one.copies.as_ref()?.issue_slots_of_a_packet())
            })
        };
        vec![
            ("plane_issue, forward", KERNELS.plane_issue[0], planes[0]),
            ("plane_issue, backward", KERNELS.plane_issue[1], planes[1]),
            (
                "copy_issue, forward",
                KERNELS.copy_issue[0],
                copies("forward"),
            ),
            (
                "copy_issue, backward",
                KERNELS.copy_issue[1],
                copies("backward"),
            ),
            ("column_issue, forward", KERNELS.column_issue[0], columns[0]),
            (
                "column_issue, backward",
                KERNELS.column_issue[1],
                columns[1],
            ),
            (
                "issue_share_of_f32",
                KERNELS.issue_share_of_f32,
                of_f32 / 4.0,
            ),
            (
                "issue_share_of_reduction",
                KERNELS.issue_share_of_reduction,
                reduction,
            ),
            (
                "plane_loads, forward",
                KERNELS.plane_loads[0],
                loads(&["planes", "forward"], 1.0),
            ),
            (
                "plane_loads, backward",
                KERNELS.plane_loads[1],
                loads(&["planes", "backward"], 2.0),
            ),
            (
                "resident_loads, forward",
                KERNELS.resident_loads[0],
                loads(&["columns", "forward"], 1.0),
            ),
            (
                "resident_loads, backward",
                KERNELS.resident_loads[1],
                loads(&["columns", "backward"], 2.0),
            ),
        ]
    }
}

/// Which constants are not what is counted; none where that device was not asked for.
pub(crate) fn faults(findings: &[Findings]) -> Vec<String> {
    let counted = Counted(findings.iter().filter(|one| one.device == DEVICE).collect());
    if counted.0.is_empty() {
        return vec![];
    }
    let mut faults = vec![];
    for (name, constant, found) in counted.constants() {
        println!(
            "{name}: {found:.3} counted, {} in the model",
            constant.value
        );
        if (constant.value / found - 1.0).abs() > WITHIN {
            faults.push(format!(
                "{name} is {}, and {found:.3} is counted",
                constant.value
            ));
        }
    }
    let most = counted.0.iter().map(|one| one.registers).max().unwrap_or(0);
    if f64::from(most) > KERNELS.registers.value {
        faults.push(format!("a kernel takes {most} registers"));
    }
    faults
}
