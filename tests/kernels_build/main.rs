//! What the build does before and after nvcc: looks for it, and lowers the version of the PTX that it wrote, and takes from it where it was made.

#[path = "../../kernels/build/nvcc.rs"]
#[expect(dead_code, reason = "only the build asks this machine")]
mod nvcc;
#[path = "../../kernels/build/ptx.rs"]
mod ptx;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

fn places(variables: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let places = nvcc::places(|name| variables.get(name).map(OsString::from));
    let place = |(why, path): (&'static str, std::path::PathBuf)| (why, path.display().to_string());
    places.into_iter().map(place).collect()
}

#[test]
#[cfg(unix)]
fn a_named_toolkit_comes_before_what_is_found() {
    let all = [
        ("PATH", "/one:/two"),
        ("CUDA_PATH", "/path"),
        ("CUDA_HOME", "/home"),
    ];
    let expected = [
        ("CUDA_HOME", "/home/bin/nvcc"),
        ("CUDA_HOME", "/home/nvcc"),
        ("CUDA_HOME", "/home/nvidia/cu13/bin/nvcc"),
        ("CUDA_PATH", "/path/bin/nvcc"),
        ("CUDA_PATH", "/path/nvcc"),
        ("CUDA_PATH", "/path/nvidia/cu13/bin/nvcc"),
        ("PATH", "/one/nvcc"),
        ("PATH", "/two/nvcc"),
        ("the usual place", "/usr/local/cuda/bin/nvcc"),
    ];
    assert_eq!(
        places(&all),
        expected.map(|(why, path)| (why, path.to_owned()))
    );
}

#[test]
fn nothing_else_is_taken_for_the_one_that_is_named() {
    let all = [
        ("PATH", "/one"),
        ("CUDA_HOME", "/home"),
        ("NVCC", "/named/nvcc-12"),
    ];
    assert_eq!(places(&all), [("NVCC", "/named/nvcc-12".to_owned())]);
}

#[test]
fn an_empty_variable_names_nothing() {
    let places = places(&[("NVCC", ""), ("CUDA_HOME", "")]);
    assert!(
        places
            .iter()
            .all(|(why, _)| *why == "PATH" || *why == "the usual place"),
        "{places:?}"
    );
    assert!(
        places
            .iter()
            .any(|(_, path)| Path::new(path).starts_with("/usr/local/cuda"))
    );
}

const PTX: &str =
    "// a comment\n.version 9.0\n.target sm_90\n\t.pragma \"used_bytes_mask 15\";\n\tret;\n";

#[test]
fn the_version_is_lowered_and_the_newer_hint_left_out() {
    assert_eq!(ptx::version(PTX), Some((9, 0)));
    let lowered = ptx::with_version(PTX, (8, 0));
    assert_eq!(
        lowered,
        "// a comment\n.version 8.0\n.target sm_90\n\tret;\n"
    );
    assert_eq!(ptx::version("no PTX"), None);
}

#[test]
fn versions_are_tried_from_the_oldest_up() {
    let tried = |architecture, written| ptx::candidates(architecture, written).collect::<Vec<_>>();
    assert_eq!(tried(90, (8, 2)), [(8, 0), (8, 1), (8, 2)]);
    assert_eq!(tried(80, (7, 0)), [(7, 0)]);
    let turing = tried(75, (9, 0));
    assert_eq!(
        (turing[0], turing[3], turing[turing.len() - 1]),
        ((6, 3), (7, 0), (9, 0))
    );
    assert!(turing.is_sorted(), "{turing:?}");
    // A compiler older than the oldest version needed is taken as it is.
    assert_eq!(tried(90, (7, 8)), [(7, 8)]);
}

#[test]
fn what_is_compiled_in_two_places_is_the_same() {
    let at = |place: &str| {
        let unnamed = format!("_GLOBAL__N__{place}_4_a_cu_{place}");
        let nested = format!("_ZZN27_INTERNAL_{place}_4_a_cu_{place}34{unnamed}3sumE3one");
        format!(".b8 _ZN34{unnamed}7dynamicE[];\n// {nested} has been demoted\n\tld {nested};\n")
    };
    let text = ptx::without_place(&at("dce0d86d"));
    assert_eq!(text, at("00000000"));
    assert_eq!(ptx::without_place(&at("baa2d5ff")), text);
    for other in [
        "_GLOBAL__N__",
        "_GLOBAL__N__dce0d86d_9_a_cu",
        "_INTERNAL_dce0d86g_4_a_cu_00000000",
    ] {
        assert_eq!(ptx::without_place(other), other);
    }
}
