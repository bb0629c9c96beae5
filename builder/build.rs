//! Gives the builder a digest of its own source: results of another builder are not reused.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// What counts as the builder's source, in a checkout.
const SOURCE: [&str; 5] = ["builder/src", "builder/data", "templates", "tender/table/src", "Cargo.lock"];

fn main() -> io::Result<()> {
    let builder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = builder.parent().unwrap_or(&builder);
    for input in SOURCE {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rustc-env=SELKIE_BUILDER_SOURCE={:032x}", digest(root)?);
    Ok(())
}

/// The digest of the builder's source in the checkout `root`.
pub(crate) fn digest(root: &Path) -> io::Result<u128> {
    let mut hash = Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    SOURCE.iter().try_for_each(|input| add(root, &root.join(input), &mut hash))?;
    Ok(hash.0)
}

fn add(root: &Path, path: &Path, hash: &mut Fnv) -> io::Result<()> {
    if path.is_dir() {
        let mut entries =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| add(root, entry, hash));
    }
    if path.is_file() {
        let name = path.strip_prefix(root).unwrap_or(path);
        let content = fs::read(path)?;
        for field in [name.as_os_str().as_encoded_bytes(), &content] {
            hash.add(&(field.len() as u64).to_le_bytes());
            hash.add(field);
        }
    }
    Ok(())
}

/// FNV-1a with 128 bits (draft-eastlake-fnv): tells versions apart, needs no dependency.
struct Fnv(u128);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
}
