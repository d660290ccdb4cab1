//! What this build embeds, beside what is shipped; and the file of it, made anew.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use lzma_rust2::{LzmaOptions, LzmaWriter};

use crate::archive::{Archive, Form, PATH, sources};
use crate::{ARCHITECTURES, RECORD, in_repository, is_recording, shipped};

/// As `src/cuda/modules.rs` has it.
struct Embedded {
    module: &'static str,
    architecture: u32,
    #[expect(dead_code, reason = "it is in the text")]
    version: (u32, u32),
    ptx: &'static str,
}

/// As there, too.
#[expect(dead_code, reason = "what is shipped is the PTX")]
struct Cubin {
    module: &'static str,
    architecture: u32,
    image: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Large enough for the forms of one module, which are much alike, to be seen together.
const DICTIONARY_BYTES: u32 = 1 << 24;

fn of_this_build() -> Vec<Form> {
    let form = |one: &Embedded| Form {
        module: one.module.to_owned(),
        architecture: one.architecture,
        ptx: one.ptx.to_owned(),
    };
    EMBEDDED.iter().map(form).collect()
}

/// The version of the compiler that a text says it was made by.
fn compiler(form: &Form) -> &str {
    let line = form.ptx.lines().find(|line| line.contains("release"));
    line.and_then(|line| line.rsplit(' ').next()).unwrap_or("")
}

/// Whether nvcc or nobody made it, the build has what is shipped, byte for byte.
#[test]
fn this_build_has_what_is_shipped() {
    let built = of_this_build();
    assert!(!built.is_empty(), "{SEARCH_LOG}");
    if is_recording() {
        record(built);
        return;
    }
    let shipped = shipped().forms;
    let (here, there) = (compiler(&built[0]), compiler(&shipped[0]));
    if here != there {
        eprintln!("skipped: this nvcc is {here}, what is shipped was made by {there}");
        return;
    }
    for form in &built {
        let same = shipped
            .iter()
            .find(|one| (&one.module, one.architecture) == (&form.module, form.architecture));
        let (module, architecture) = (&form.module, form.architecture);
        let Some(same) = same else {
            // Another architecture can be asked for.
            assert!(
                !ARCHITECTURES.contains(&architecture),
                "{module} is not shipped"
            );
            continue;
        };
        assert!(
            same.ptx == form.ptx,
            "{module} for {architecture} is not what is shipped: if that is meant, record it with {RECORD}=1"
        );
    }
    let maker = option_env!("BATCHNORM_PTXAS").map_or("unpacked", |_| "made by nvcc");
    println!("{} forms, {maker}, are those that are shipped", built.len());
}

fn record(forms: Vec<Form>) {
    assert!(
        option_env!("BATCHNORM_PTXAS").is_some(),
        "{RECORD}=1 records what nvcc made, and this build had none"
    );
    let archive = Archive {
        sources: sources(&in_repository("kernels")).unwrap(),
        forms,
    };
    let path = in_repository(PATH);
    fs::write(&path, packed(&archive)).unwrap();
    assert_eq!(Archive::read(&path).unwrap(), archive);
}

fn packed(archive: &Archive) -> Vec<u8> {
    let mut text = String::new();
    for (name, source) in &archive.sources {
        write!(text, "source {name} {}\n{source}", source.len()).unwrap();
    }
    for Form {
        module,
        architecture,
        ptx,
    } in &archive.forms
    {
        write!(text, "form {module} {architecture} {}\n{ptx}", ptx.len()).unwrap();
    }
    let options = LzmaOptions {
        dict_size: DICTIONARY_BYTES,
        nice_len: LzmaOptions::NICE_LEN_MAX,
        ..LzmaOptions::with_preset(9)
    };
    let length = u64::try_from(text.len()).unwrap();
    let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, Some(length)).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn what_is_packed_is_unpacked() {
    let form = |module: &str, architecture, ptx: &str| Form {
        module: module.to_owned(),
        architecture,
        ptx: ptx.to_owned(),
    };
    let archive = Archive {
        sources: vec![("a.cu".to_owned(), "form x 1 1\n".to_owned())],
        forms: vec![form("a", 75, ".version 6.3\nµ"), form("b", 90, "")],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    let bytes = packed(&archive);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Archive::read(&path).unwrap(), archive);
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    Archive::read(&path).unwrap_err();
    assert_eq!(packed(&archive), bytes);
}
