//! The file of kernels that is shipped: PTX of every module for every architecture, and the sources that it was made of,
//! compressed together. So a build needs no nvcc, and a test without one sees when `kernels/` has changed since.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use lzma_rust2::LzmaReader;

/// Where it is.
pub(crate) const PATH: &str = "kernels/shipped.lzma";

/// More than the decompressor of what is shipped takes.
const MOST_KILOBYTES: u32 = 1 << 17;

/// What is in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The `.cu` and `.cuh` files of `kernels/`, by name.
    pub(crate) sources: Vec<(String, String)>,
    pub(crate) forms: Vec<Form>,
}

/// One module for one architecture and all later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) module: String,
    /// Compute capability times ten.
    pub(crate) architecture: u32,
    pub(crate) ptx: String,
}

impl Archive {
    /// What a file of them holds.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        let file = io::BufReader::new(fs::File::open(path)?);
        LzmaReader::new_mem_limit(file, MOST_KILOBYTES, None)?.read_to_string(&mut text)?;
        Self::parse(&text).ok_or_else(|| io::Error::other("it is no archive of kernels"))
    }

    /// Entries of one line, `source NAME BYTES` or `form MODULE ARCHITECTURE BYTES`, and as many bytes of text.
    fn parse(mut text: &str) -> Option<Self> {
        let mut archive = Self::default();
        while !text.is_empty() {
            let (heading, rest) = text.split_once('\n')?;
            let mut words = heading.split(' ');
            let (kind, name) = (words.next()?, words.next()?.to_owned());
            let architecture = match kind {
                "source" => None,
                "form" => Some(words.next()?.parse().ok()?),
                _ => return None,
            };
            let (body, after) = rest.split_at_checked(words.next()?.parse().ok()?)?;
            match architecture {
                None => archive.sources.push((name, body.to_owned())),
                Some(architecture) => archive.forms.push(Form {
                    module: name,
                    architecture,
                    ptx: body.to_owned(),
                }),
            }
            text = after;
        }
        Some(archive)
    }

    /// The first file that is another in a folder of sources than it was when the kernels were made, if there is one.
    pub(crate) fn changed_since(&self, folder: &Path) -> io::Result<Option<String>> {
        let now = sources(folder)?;
        let differs = |one: &&(String, String), other: &[(String, String)]| !other.contains(one);
        let changed = now.iter().find(|one| differs(one, &self.sources));
        let gone = self.sources.iter().find(|one| differs(one, &now));
        Ok(changed.or(gone).map(|(name, _)| name.clone()))
    }
}

/// The `.cu` and `.cuh` files of a folder, by name. Line ends are Unix's, whatever the checkout made of them.
pub(crate) fn sources(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension();
        if ending.is_some_and(|ending| ending == "cu" || ending == "cuh") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path)?.replace("\r\n", "\n");
            sources.push((name.into_owned(), text));
        }
    }
    sources.sort();
    Ok(sources)
}
