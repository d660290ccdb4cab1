//! What was measured on, and figures as lines of tables in Markdown.

use batchnorm::cudarc::driver::sys;
use cuda_machine::machine::Machine;
use workload::gpu::barriers::Cluster;
use workload::gpu::ceilings::Ceiling;
use workload::gpu::rows::{Missing, Row};
use workload::shapes;

/// What was measured on.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Head {
    device: String,
    compute_capability: u32,
    multiprocessors: u32,
    /// The multiprocessors' clock at its highest, and the rate of the memory, as the driver reports them; 0: it does not.
    clock_khz: u32,
    memory_rate: u64,
    l2_bytes: u32,
    shared_bytes_per_block: u32,
    shared_bytes_per_multiprocessor: u32,
    cluster_blocks: u32,
    memory_bytes: usize,
    /// CUDA's version that the driver supports, as it gives it: 13000 is 13.0.
    driver: i32,
}

impl Head {
    pub(crate) fn of(machine: &Machine) -> Result<Self, Box<dyn std::error::Error>> {
        let attributes = machine.gpu.attributes();
        Ok(Self {
            device: machine.context.name()?,
            compute_capability: attributes.architecture,
            multiprocessors: attributes.multiprocessors,
            clock_khz: attributes.clock_khz,
            memory_rate: attributes.memory_rate,
            l2_bytes: attributes.l2_bytes,
            shared_bytes_per_block: attributes.shared_per_block,
            shared_bytes_per_multiprocessor: attributes.shared_per_multiprocessor,
            cluster_blocks: attributes.cluster_blocks,
            memory_bytes: machine.context.total_mem()?,
            driver: driver_version()?,
        })
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "{}: compute capability {}.{}, {} multiprocessors, {:.1} MB of second-level cache, clusters of up to {}, {:.1} GB; the driver is of CUDA {}.{}\n",
            self.device,
            self.compute_capability / 10,
            self.compute_capability % 10,
            self.multiprocessors,
            f64::from(self.l2_bytes) / 1e6,
            self.cluster_blocks,
            self.memory_bytes as f64 / 1e9,
            self.driver / 1000,
            self.driver % 1000 / 10,
        )
    }
}

#[expect(unsafe_code, reason = "cudarc has no safe call for it")]
fn driver_version() -> Result<i32, Box<dyn std::error::Error>> {
    let mut version = 0;
    // SAFETY: the driver is there, and writes one int.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(version)
}

pub(crate) const CEILINGS: &str = "| at best | |\n|---|---|";

pub(crate) fn ceiling(ceiling: &Ceiling) -> String {
    let Ceiling { what, value, unit } = ceiling;
    match *unit {
        "seconds" => format!("| {what} | {:.3} us |", value * 1e6),
        "clocks a second" => format!("| {what} | {:.3} GHz |", value / 1e9),
        _ => format!("| {what} | {:.0} GB/s |", value / 1e9),
    }
}

pub(crate) const CLUSTERS: &str =
    "| blocks of a cluster | threads | shared bytes | at once | launched |\n|---|---|---|---|---|";

pub(crate) fn cluster(cluster: &Cluster) -> String {
    let at_once = cluster.at_once.as_ref();
    let at_once = at_once.map_or_else(Clone::clone, ToString::to_string);
    let launched = cluster.launched.as_ref();
    let launched = launched.map_or_else(Clone::clone, |()| "yes".to_owned());
    format!(
        "| {} | {} | {} | {at_once} | {launched} |",
        cluster.blocks, cluster.threads, cluster.shared_bytes
    )
}

pub(crate) const ROWS: &str = "| N x C x ... | layout | type | pass | median us | least to most | GB/s | share of the copy |\n|---|---|---|---|---|---|---|---|";

pub(crate) fn row(row: &Row, limit: f64) -> String {
    let rate = row.bytes as f64 / row.seconds;
    format!(
        "| {} | {} | {} | {} | {:.2} | {:.2} to {:.2} | {:.0} | {:.2} |",
        shapes::name(&row.dims),
        row.layout,
        row.dtype,
        row.pass,
        row.seconds * 1e6,
        row.least * 1e6,
        row.most * 1e6,
        rate / 1e9,
        rate / limit,
    )
}

pub(crate) fn missing(missing: &Missing) -> String {
    format!(
        "| {} | {} | {} | {} | no time: {} | | | |",
        shapes::name(&missing.dims),
        missing.layout,
        missing.dtype,
        missing.pass,
        missing.why,
    )
}
