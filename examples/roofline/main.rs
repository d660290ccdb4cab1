//! How near the memory limit each pass is.
//!
//! ```text
//! cargo run --release --example roofline
//! ```

mod limit;
mod shapes;

use limit::{Limit, fastest};

/// How often each way is timed.
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::thread::available_parallelism()?.get();
    let limit = Limit::new(threads)?;
    println!("on {threads} threads:");
    for dims in shapes::SHAPES {
        let len: usize = dims.iter().product();
        let mut sets: Vec<[Vec<f32>; 3]> = (0..shapes::sets(size_of::<f32>() * len) as u64)
            .map(|set| [0, 1, 2].map(|array| shapes::values(len, 3 * set + array)))
            .collect();
        let calls = if sets.len() == 1 { 100 } else { 1 };
        for arrays in [2, 3] {
            let bytes = arrays * size_of::<f32>() * len;
            let ways = limit.ways(bytes);
            let mut times = vec![vec![]; ways.len()];
            let count = sets.len();
            for turn in 0..ROUNDS * ways.len() {
                let [dy, x, out] = &mut sets[turn % count];
                let way = turn % ways.len();
                let time = match arrays {
                    2 => limit.copy(ways[way], calls, x, out),
                    _ => limit.combine(ways[way], calls, dy, x, out),
                };
                times[way].push(time.as_secs_f64() / calls as f64);
            }
            let way = fastest(&times).ok_or("nothing was timed")?;
            let best = times[way].iter().copied().fold(f64::INFINITY, f64::min);
            println!(
                "{:>16} {arrays} arrays {:>9.1} us {:>6.1} GB/s {}",
                shapes::name(dims),
                best * 1e6,
                bytes as f64 / best / 1e9,
                ways[way],
            );
        }
    }
    Ok(())
}
