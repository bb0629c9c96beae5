//! Figures of a process's disk, against the same requests to a file of the host.
//!
//! Both programs lie in `tests/fixtures/block/`.

use super::{
    Figure, Measured, Unit,
    lab::{Lab, failed},
    process::{counted, executable},
};
use crate::{Result, Target, exec::Tool, files, recipe::Recipe};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How often both are measured, in turn; an odd number.
const ROUNDS: usize = 5;
/// Bytes of the disk, as `block.toml` has it.
const SIZE: u64 = 64 << 20;

/// The figures; docs/SPECIFICATION.md has the same.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        what: "block: sequential write of 64 KiB to a process's disk / to the host's file",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, "write-in-order"),
    },
    Figure {
        what: "block: sequential read of 64 KiB from a process's disk / from the host's file",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, "read-in-order"),
    },
    Figure {
        what: "block: random write of 4 kB to a process's disk / to the host's file",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, "write-anywhere"),
    },
    Figure {
        what: "block: random read of 4 kB from a process's disk / from the host's file",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, "read-anywhere"),
    },
];

/// Nanoseconds of each kind of request, run by run: of the process, and of the host's program.
#[derive(Debug, Default)]
pub(super) struct Disks([Vec<BTreeMap<String, f64>>; 2]);

fn ratio(lab: &Lab<'_>, name: &str) -> Result<Measured> {
    let Disks(runs) = lab.disks(disks)?;
    let of = |runs: &[BTreeMap<String, f64>]| -> Option<Vec<f64>> {
        runs.iter().map(|times| times.get(name).map(|nanoseconds| nanoseconds / 1e9)).collect()
    };
    match (of(&runs[0]), of(&runs[1])) {
        (Some(ours), Some(theirs)) => Ok(Measured::Ratio(ours, theirs)),
        _ => Err(failed(name, "the program does not say how long it took")),
    }
}

fn folder(lab: &Lab<'_>) -> PathBuf {
    lab.ctx.project.root.join("tests/fixtures/block")
}

/// Runs both in turn, on the same file.
fn disks(lab: &Lab<'_>) -> Result<Disks> {
    let recipe = Recipe::load(lab.ctx.project, &folder(lab).join("block.toml").to_string_lossy())?;
    let ours = executable(&lab.image_for(&recipe, Target::Process)?)?;
    let out = lab.folder("block")?;
    let (theirs, disk) = (out.join("disk"), out.join("disk.img"));
    Tool::new("cc", &folder(lab)).args(["-O2", "disk.c", "-o"]).arg(&theirs).run(&lab.ctx.cancel)?;
    let ours = Tool::new(&ours, Path::new("/")).arg("--disk").arg(&disk);
    let theirs = Tool::new(&theirs, Path::new("/")).arg(&disk);
    let mut measured = Disks::default();
    files::write(&disk, vec![0; SIZE as usize])?;
    for _ in 0..ROUNDS {
        for (tool, runs) in [&ours, &theirs].into_iter().zip(&mut measured.0) {
            runs.push(counted(&tool.run(&lab.ctx.cancel)?.stdout));
        }
    }
    Ok(measured)
}
