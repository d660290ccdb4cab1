//! The program as real processes, 1 to 4 of them.

use std::process::{Command, Output};

/// Runs it, and waits for the end.
fn mpirun(processes: usize, arguments: &[&str]) -> Output {
    let processes = processes.to_string();
    Command::new("mpirun")
        .args(["--allow-run-as-root", "--oversubscribe", "-n", &processes])
        .arg(env!("CARGO_BIN_EXE_mpi-ranks"))
        .args(arguments)
        .output()
        .expect("mpirun, of the packages that README.md names")
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

#[test]
fn processes_normalize_a_batch_as_one() {
    for processes in 1..=4 {
        let output = mpirun(processes, &[]);
        let said = said(&output);
        println!("{said}");
        assert!(output.status.success(), "{said}");
        for rank in 0..processes {
            assert!(
                said.contains(&format!("rank {rank} of {processes}: ")),
                "{said}"
            );
        }
    }
}

#[test]
fn all_processes_name_the_one_that_failed() {
    let output = mpirun(3, &["fail"]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for rank in 0..3 {
        let expected = format!("rank {rank} says: rank 1 could not do its part: ");
        assert!(said.contains(&expected), "{said}");
    }
    assert_eq!(
        said.matches("38 channels but the layer was built for 37")
            .count(),
        3,
        "{said}"
    );
}

#[test]
fn a_process_that_does_not_come_ends_all() {
    let output = mpirun(3, &["absent"]);
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("some rank did not come within 2s"), "{said}");
}
