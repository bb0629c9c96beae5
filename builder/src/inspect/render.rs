//! What was inspected, as text for a person.

use super::{ElfReport, Kind, Report, Segment, executable, medium};
use crate::image;
use std::fmt::Write as _;

impl Report {
    /// The report for a reader, with a line's end after each line.
    pub fn render_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.render(&mut text);
        text
    }

    fn render(&self, out: &mut String) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Image => "image",
            Kind::Executable => "single executable: a tender with a root task inside",
            Kind::Tender => "tender without a root task",
            Kind::RootTask => "root task",
            Kind::Kernel => "kernel",
            Kind::Iso => "ISO image of target bare-metal",
            Kind::Disk => "disk image of target bare-metal",
            Kind::Elf => "ELF file",
        };
        writeln!(out, "{}: {kind}", self.path.display())?;
        if let Some(image) = &self.image {
            render_image(out, image)?;
        }
        writeln!(out, "verified:  {}", self.verified)?;
        for member in &self.members {
            let state = if member.matches { "as in the manifest" } else { "NOT as in the manifest" };
            let size = member.size.map_or("?".into(), |size| size.to_string());
            let sha256 = member.sha256.map_or("?".into(), |digest| digest.to_string());
            writeln!(out, "  {:<17} {size:>9}  {sha256}  {state}", printable(&member.name))?;
        }
        if let Some(executable) = &self.executable {
            executable::render(out, executable)?;
        }
        self.media.iter().try_for_each(|medium| medium::render(out, medium))?;
        for (name, elf) in [("kernel", &self.kernel), ("root task", &self.root_task)] {
            if let Some(elf) = elf {
                render_elf(out, name, elf)?;
            }
        }
        for problem in &self.problems {
            writeln!(out, "problem: {problem}")?;
        }
        Ok(())
    }
}

/// A text from a file, fit for a terminal.
pub(crate) fn printable(text: &str) -> String {
    let quotes = ['\'', '"', '\\'];
    let escape = |c: char| if quotes.contains(&c) { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().map(escape).collect()
}

fn render_image(out: &mut String, image: &image::Manifest) -> std::fmt::Result {
    writeln!(out, "function:  {} {}", printable(&image.name), printable(&image.version))?;
    writeln!(out, "target:    {}", image.target)?;
    image.media.iter().try_for_each(|media| medium::render_choice(out, media))?;
    let kernel = format!("seL4 {} ({})", printable(&image.kernel.version), printable(&image.kernel.config));
    if image.process.is_some() {
        writeln!(out, "kernel:    none runs; the tender serves the interface of {kernel}")?;
        return writeln!(out, "interface: {}", image.kernel.interface);
    }
    if let Some(prebuilt) = &image.kernel.prebuilt {
        writeln!(out, "kernel:    {}", printable(&prebuilt.origin))?;
        writeln!(out, "  file:    sha256 {}", prebuilt.sha256)?;
        writeln!(out, "  config:  {kernel}")?;
        return writeln!(out, "interface: {}", image.kernel.interface);
    }
    writeln!(out, "kernel:    {kernel}")?;
    let options: Vec<_> = image
        .kernel
        .options
        .iter()
        .map(|(name, value)| {
            use crate::kernel_config::OptionValue;
            match value {
                OptionValue::Flag(_) => printable(name),
                OptionValue::Number(number) => format!("{}={number}", printable(name)),
                OptionValue::Text(text) => format!("{}={}", printable(name), printable(text)),
            }
        })
        .collect();
    writeln!(out, "options:   {}", options.join(" "))?;
    for (header, reason) in &image.kernel.overlays {
        writeln!(out, "overlay:   {}: {}", printable(header), printable(reason))?;
    }
    writeln!(out, "interface: {}", image.kernel.interface)
}

fn render_elf(out: &mut String, name: &str, elf: &ElfReport) -> std::fmt::Result {
    let ElfReport { size, sha256, bits, machine, entry, .. } = elf;
    let stripped = if elf.symbols { "with symbols" } else { "stripped" };
    writeln!(
        out,
        "{name}: {bits}-bit {machine}, {size} bytes, {stripped}, entered at {entry:#x}, sha256 {sha256}"
    )?;
    for segment in &elf.segments {
        let Segment { kind, permissions, address, file_size, memory_size } = segment;
        writeln!(
            out,
            "  {kind:<14} {permissions} {address:#014x}  file {file_size:>8}  memory {memory_size:>8}"
        )?;
    }
    if let Some(sites) = elf.system_call_sites {
        writeln!(out, "  {sites} system-call sites")?;
    }
    if let Some(manifest) = &elf.manifest {
        let json = serde_json::to_string_pretty(manifest).unwrap_or_default();
        writeln!(out, "  manifest:")?;
        json.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    for (key, value) in elf.run.iter().flatten() {
        writeln!(out, "  run: {}={}", printable(key), printable(value))?;
    }
    Ok(())
}
