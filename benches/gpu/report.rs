//! The figures as tables in Markdown, and as JSON.

use std::path::Path;

use batchnorm::cudarc::driver::sys;
use cuda_machine::machine::Machine;
use serde_json::json;
use tables::markdown::Table;
use workload::gpu::ceilings::Ceilings;
use workload::gpu::rows::Row;
use workload::shapes;

/// What was measured on.
#[derive(Debug, serde::Serialize)]
struct Head {
    device: String,
    compute_capability: u32,
    multiprocessors: u32,
    l2_bytes: u32,
    cluster_blocks: u32,
    memory_bytes: usize,
    /// CUDA's version that the driver supports, as it gives it: 13000 is 13.0.
    driver: i32,
}

fn head_of(machine: &Machine) -> Result<Head, Box<dyn std::error::Error>> {
    let attributes = machine.gpu.attributes();
    Ok(Head {
        device: machine.context.name()?,
        compute_capability: attributes.architecture,
        multiprocessors: attributes.multiprocessors,
        l2_bytes: attributes.l2_bytes,
        cluster_blocks: attributes.cluster_blocks,
        memory_bytes: machine.context.total_mem()?,
        driver: driver_version()?,
    })
}

#[expect(unsafe_code, reason = "cudarc has no safe call for it")]
fn driver_version() -> Result<i32, Box<dyn std::error::Error>> {
    let mut version = 0;
    // SAFETY: the driver is there, and writes one int.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(version)
}

pub(crate) fn head(machine: &Machine) -> Result<String, Box<dyn std::error::Error>> {
    let head = head_of(machine)?;
    Ok(format!(
        "{}: compute capability {}.{}, {} multiprocessors, {:.1} MB of second-level cache, clusters of up to {}, {:.1} GB; the driver is of CUDA {}.{}\n",
        head.device,
        head.compute_capability / 10,
        head.compute_capability % 10,
        head.multiprocessors,
        f64::from(head.l2_bytes) / 1e6,
        head.cluster_blocks,
        head.memory_bytes as f64 / 1e9,
        head.driver / 1000,
        head.driver % 1000 / 10,
    ))
}

pub(crate) fn of_ceilings(ceilings: &Ceilings) -> Table {
    let mut table = Table::new(["at best", ""]);
    let rates = [
        ("copy (bytes read and written)", ceilings.copy),
        ("copy by the driver", ceilings.copy_by_driver),
        ("read", ceilings.read),
        ("write", ceilings.write),
    ];
    for (what, rate) in rates {
        table.row([what.into(), format!("{:.0} GB/s", rate / 1e9)]);
    }
    for (bytes, rate) in &ceilings.read_again {
        let (megabytes, rate) = (*bytes as f64 / 1e6, rate / 1e9);
        table.row([
            format!("read again, {megabytes:.1} MB"),
            format!("{rate:.0} GB/s"),
        ]);
    }
    let times = [
        ("an empty kernel in a graph", ceilings.empty_in_graph),
        (
            "the processor's time to start one in a stream",
            ceilings.empty_in_stream,
        ),
    ];
    for (what, seconds) in times {
        table.row([what.into(), format!("{:.2} us", seconds * 1e6)]);
    }
    table
}

pub(crate) fn of_rows(rows: &[Row], limit: f64) -> Table {
    let mut table = Table::new([
        "N x C x ...",
        "layout",
        "type",
        "pass",
        "median us",
        "least to most",
        "GB/s",
        "share of the copy",
    ]);
    for row in rows {
        let rate = row.bytes as f64 / row.seconds;
        table.row([
            shapes::name(&row.dims),
            row.layout.into(),
            row.dtype.clone(),
            row.pass.into(),
            format!("{:.2}", row.seconds * 1e6),
            format!("{:.2} to {:.2}", row.least * 1e6, row.most * 1e6),
            format!("{:.0}", rate / 1e9),
            format!("{:.2}", rate / limit),
        ]);
    }
    table
}

pub(crate) fn write_json(
    path: &Path,
    machine: &Machine,
    ceilings: &Ceilings,
    rows: &[Row],
) -> Result<(), Box<dyn std::error::Error>> {
    let beside = json!({ "ceilings": ceilings, "copy_limit": ceilings.limit() });
    tables::json::write(path, &head_of(machine)?, rows, beside)
}
