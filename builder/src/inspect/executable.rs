//! A tender with or without a root task inside: what it carries, and what it lets the root task do.

use super::{ElfReport, inspect_elf, printable};
use crate::{
    Digest, image,
    process::{
        Identity,
        assemble::{self, Contents},
    },
};
use selkie_tender_filter::{Listing, Setting};
use selkie_tender_table::payload::Settings;
use serde::Serialize;
use std::fmt::Write as _;

/// A tender: the executable of an image, or what an operator installs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Executable {
    /// Bytes.
    pub size: u64,
    /// The digest of the file.
    pub sha256: Digest,
    /// The tender alone, tables, settings.
    #[serde(flatten)]
    pub identity: Identity,
    /// Whether it is the tender that an operator installs: it has no root task of its own.
    pub operator: bool,
    /// The filter of system calls, a line for each rule.
    pub filter: Vec<String>,
    /// What whoever runs it relies on.
    pub trusted: Vec<&'static str>,
}

/// What holds for every process.
const TRUSTED: [&str; 2] = [
    "the Linux kernel and the filter below: the root task shares the tender's memory and may write all of it",
    "this target serves seL4's interface; the verified kernel does not run",
];
/// What holds for an executable that brings its own tender.
const OWN_TENDER: &str = "whoever published this file: it brings its tender and filter itself, so it confines a compromised \
                          function, not a hostile image (for that, an operator installs `selkie-tender`)";
/// What holds for a tender that runs the root tasks of others.
const OPERATORS: &str =
    "whoever built this tender; not the root tasks, whose devices and memory come from its command line";

/// Looks into the executable `data`, and into its root task when it has one.
pub(super) fn inspect(
    data: &[u8],
    problems: &mut Vec<String>,
) -> Result<(Executable, Option<ElfReport>), assemble::Error> {
    let tender = assemble::tender_digest(data)?;
    let Contents { header, tables, root_task } = assemble::contents(data)?;
    for (what, part) in [("tables", &header.tables), ("root task", &header.root_task)] {
        let bytes = match what {
            "tables" => bytemuck::cast_slice(&tables),
            _ => root_task,
        };
        if !bytes.is_empty() && part.sha256 != *Digest::of(bytes).bytes() {
            problems.push(format!("the digest of its {what} is not the one in the payload's header"));
        }
    }
    let inner = if root_task.is_empty() { None } else { inner(root_task, problems) };
    let identity = Identity::new(tender, &tables, &header.settings);
    if let Some(note) = inner.as_ref().and_then(|elf| elf.manifest.as_ref()) {
        let interface = note.kernel.interface;
        if !identity.tables.iter().any(|table| table.interface == interface) {
            problems.push(format!("it has no table for the root task's interface {interface}"));
        }
    }
    let operator = inner.is_none() && root_task.is_empty();
    let executable = Executable {
        size: data.len() as u64,
        sha256: Digest::of(data),
        filter: filter(&header.settings, operator),
        identity,
        operator,
        trusted: TRUSTED.into_iter().chain([if operator { OPERATORS } else { OWN_TENDER }]).collect(),
    };
    Ok((executable, inner))
}

fn inner(root_task: &[u8], problems: &mut Vec<String>) -> Option<ElfReport> {
    match inspect_elf(root_task, problems) {
        Ok((_, report)) => Some(report),
        Err(error) => {
            problems.push(format!("its root task: {error}"));
            None
        }
    }
}

/// The filter in readable form, for a machine that sets segment bases by an instruction.
fn filter(settings: &Settings, operator: bool) -> Vec<String> {
    if operator {
        return vec!["depends on the devices that the command line allows".to_owned()];
    }
    let setting = Setting { devices: settings.devices, slow_segment_bases: false };
    let mut lines: Vec<String> = Listing(setting).to_string().lines().map(str::to_owned).collect();
    lines.push("(processors without FSGSBASE: also arch_prctl to set the bases of FS and GS)".to_owned());
    lines
}

/// Where an image's manifest and its executable contradict each other.
pub(super) fn disagreements(
    image: &image::Manifest,
    executable: &Executable,
    inner: Option<&ElfReport>,
) -> Vec<String> {
    let mut differ = Vec::new();
    match &image.process {
        Some(identity) if *identity == executable.identity => {}
        Some(_) => differ
            .push("the executable's tender, tables or settings are not those of the manifest".to_owned()),
        None => differ.push("the manifest says nothing of the tender".to_owned()),
    }
    let inside = inner.map(|elf| elf.sha256);
    if inside != Some(image.root_task.sha256) {
        differ.push("the root task inside the executable is not the one of the manifest".to_owned());
    }
    differ
}

pub(super) fn render(out: &mut String, executable: &Executable) -> std::fmt::Result {
    let Executable { size, sha256, identity, operator, filter, trusted } = executable;
    writeln!(out, "executable: {size} bytes, sha256 {sha256}")?;
    writeln!(out, "  tender:  sha256 {} (without payload)", identity.tender)?;
    if !operator {
        writeln!(out, "  memory:  {} bytes", identity.memory)?;
        writeln!(out, "  devices: {}", identity.devices.join(" "))?;
    }
    for table in &identity.tables {
        writeln!(out, "  serves:  {} (interface {})", printable(&table.config), table.interface)?;
    }
    writeln!(out, "  filter, once the root task runs:")?;
    filter.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
    writeln!(out, "  trusted:")?;
    trusted.iter().try_for_each(|line| writeln!(out, "    - {line}"))
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::{
        elf_sample::Sample,
        process::assemble::{Payload, assemble, tests::sample},
    };
    use selkie_tender_table::{
        Table,
        payload::{Settings, device},
    };

    fn tables() -> [Table; 1] {
        let mut table: Table = bytemuck::Zeroable::zeroed();
        table.digest = *Digest::of("i").bytes();
        [table]
    }

    fn executable(root_task: &[u8]) -> Vec<u8> {
        let settings = Settings { memory: 16 << 20, devices: device::CONSOLE | device::CLOCK };
        assemble(&sample(), &Payload { tables: &tables(), root_task, settings }).unwrap()
    }

    fn report(data: &[u8]) -> Report {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), data).unwrap();
        super::super::inspect(file.path()).unwrap()
    }

    #[test]
    fn an_executable_tells_its_tender_its_root_task_and_its_filter() {
        let task = Sample::good().bytes();
        let report = report(&executable(&task));
        assert_eq!((report.kind, report.problems.as_slice()), (Kind::Executable, &[][..]));
        let found = report.executable.as_ref().unwrap();
        assert_eq!(found.identity.tender, crate::process::assemble::tender_digest(&sample()).unwrap());
        assert_eq!(report.root_task.as_ref().unwrap().sha256, Digest::of(&task));
        let text = report.render_text();
        for part in
            ["single executable", "devices: console clock", "16777216 bytes", "exit_group", "hostile image"]
        {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(!found.filter.iter().any(|line| line.starts_with("read:")), "it has no input: {text}");
    }

    #[test]
    fn the_operators_tender_has_no_root_task() {
        let report = report(&executable(b""));
        assert_eq!(report.kind, Kind::Tender);
        assert!(report.root_task.is_none() && report.executable.as_ref().unwrap().operator);
        assert!(report.render_text().contains("command line"));
    }

    #[test]
    fn tampering_is_seen() {
        let mut bad = executable(&Sample::good().bytes());
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let problems = report(&bad).problems;
        assert!(
            problems.iter().any(|problem| problem.contains("the digest of its root task is not")),
            "{problems:?}"
        );
    }
}
