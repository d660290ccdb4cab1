//! The section "Predicted" of `benches/results/kernels.md` is what the model of the plan says today, of every row of the
//! table of GPUs: `BATCHNORM_WRITE_PREDICTIONS=1 cargo test -p workload --test predicted` writes it anew, and fails, so
//! that nothing that runs tests can write by accident and go on.

mod before;
mod idle;
mod section;
mod unwritten;

use std::path::Path;
use std::{env, fs};

const HEADING: &str = "## Predicted\n";

/// Where a section of a text begins and ends.
fn section_of(text: &str) -> std::ops::Range<usize> {
    let begin = text.find(HEADING).unwrap_or(text.len());
    let body = begin + HEADING.len().min(text.len() - begin);
    let end = text[body..]
        .find("\n## ")
        .map_or(text.len(), |next| body + next + 1);
    begin..end
}

#[test]
fn the_file_has_what_is_predicted_today() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/kernels.md");
    let text = fs::read_to_string(&path).expect("the results are in the repository");
    let today = format!("{HEADING}\n{}", section::write(&before::plans()));
    let range = section_of(&text);
    if text[range.clone()] == today {
        return;
    }
    if env::var("BATCHNORM_WRITE_PREDICTIONS").is_ok_and(|value| value == "1") {
        let mut text = text;
        text.replace_range(range, &today);
        fs::write(&path, text).expect("the results can be written");
        panic!("{} has been written anew", path.display());
    }
    let lines = text[range].lines().zip(today.lines());
    let changed = lines.filter(|(old, new)| old != new).take(3);
    panic!(
        "{} is not current, as in {:#?}",
        path.display(),
        changed.collect::<Vec<_>>()
    );
}

#[test]
fn a_section_ends_where_the_next_begins() {
    let text = "# A\n## Predicted\nb\n## C\nd\n";
    assert_eq!(&text[section_of(text)], "## Predicted\nb\n");
    assert_eq!(section_of("# A\n"), 4..4);
}
