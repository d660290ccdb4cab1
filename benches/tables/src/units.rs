//! Numbers as a table has them.

/// Three digits and the unit that suits them.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        _ if seconds < 1e-3 => (seconds * 1e6, "µs"),
        _ if seconds < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = match value {
        _ if value < 10.0 => 2,
        _ if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_three_digits() {
        let times = [1.6e-6, 2.345e-5, 0.25, 12.0];
        assert_eq!(times.map(time), ["1.60 µs", "23.4 µs", "250 ms", "12.0 s"]);
    }
}
