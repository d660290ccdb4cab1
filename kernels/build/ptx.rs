//! PTX that the oldest driver can read: nvcc writes its own, newest version, though these kernels need far less.

/// A version of the PTX language.
pub(super) type Version = (u32, u32);

/// The last minor version of each major one.
const LAST: [Version; 4] = [(6, 5), (7, 8), (8, 8), (9, 9)];

/// The oldest version in which everything that the kernels do on an architecture can be said: 6.3 knows sm_75, 7.0
/// sm_80, and 8.0 the cluster barriers of sm_90.
pub(super) fn oldest(architecture: u32) -> Version {
    match architecture {
        ..80 => (6, 3),
        80..90 => (7, 0),
        _ => (8, 0),
    }
}

/// Versions to be tried, oldest first: from the architecture's oldest to the one that nvcc wrote.
pub(super) fn candidates(architecture: u32, written: Version) -> impl Iterator<Item = Version> {
    let from = oldest(architecture).min(written);
    let all = LAST
        .into_iter()
        .flat_map(|(major, last)| (0..=last).map(move |minor| (major, minor)));
    all.filter(move |version| (from..written).contains(version))
        .chain([written])
}

/// The version that a text says it is of.
pub(super) fn version(ptx: &str) -> Option<Version> {
    let (major, minor) = ptx
        .lines()
        .find_map(|line| line.strip_prefix(".version "))?
        .trim()
        .split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The same text as another version, without the hint to the assembler (which bytes of a load are used) that came
/// with version 8.3.
pub(super) fn with_version(ptx: &str, (major, minor): Version) -> String {
    let version = format!(".version {major}.{minor}");
    let lines = ptx.lines().filter(|line| !line.contains("used_bytes_mask"));
    lines
        .flat_map(|line| {
            let is_version = line.starts_with(".version ");
            [if is_version { &version } else { line }, "\n"]
        })
        .collect()
}

/// What begins the part of a mangled name that says which file something is in, where other files may have another of that name.
/// Eight digits follow that nvcc makes of where the file is, the file's name after its length, and eight more digits.
const OF_FILE: [&str; 2] = ["_INTERNAL_", "_GLOBAL__N__"];
const DIGITS: usize = 8;

/// The same text with those digits zero: what is compiled in two places is the same.
pub(super) fn without_place(ptx: &str) -> String {
    let without = |text: String, beginning: &&str| without_digits(&text, beginning);
    OF_FILE.iter().fold(ptx.to_owned(), without)
}

fn without_digits(ptx: &str, beginning: &str) -> String {
    let mut pieces = ptx.split(beginning);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(beginning);
        match place(piece) {
            Some((file, rest)) => {
                text.extend([&"0".repeat(DIGITS), file, &"0".repeat(DIGITS), rest]);
            }
            None => text.push_str(piece),
        }
    }
    text
}

/// What is between the digits and what is after them, where they are there.
fn place(name: &str) -> Option<(&str, &str)> {
    let after = digits(name)?;
    let (length, file) = after.strip_prefix('_')?.split_once('_')?;
    let length: usize = length.parse().ok()?;
    let rest = file.get(length..)?.strip_prefix('_')?;
    let between = after.len() - rest.len();
    Some((&after[..between], digits(rest)?))
}

/// What follows the digits that a text begins with.
fn digits(text: &str) -> Option<&str> {
    let (digits, rest) = text.split_at_checked(DIGITS)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then_some(rest)
}
