//! What was inspected, as text for a person.

use super::{ElfReport, Kind, Report, Segment, document, executable, layout, medium};
use crate::{
    Digest, Target,
    image::{self, Verified},
    note,
    recipe::show_size,
};
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
            Kind::Manifest => "manifest of an image, without its files",
            Kind::Archive => "published archive of an image",
            Kind::Layout => "published OCI image layout",
            Kind::Document => "document that is published beside an image",
            Kind::Netboot => "netboot folder of target bare-metal",
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
        self.layout.iter().try_for_each(|layout| layout::render(out, layout))?;
        self.document.iter().try_for_each(|document| document::render(out, document))?;
        match self.verified {
            Some(Verified::None) if self.target() == Some(Target::Process) => {
                writeln!(out, "verified:  none (no seL4 kernel runs in a process)")?;
            }
            Some(verified) => writeln!(out, "verified:  {verified} ({})", verified.why())?,
            None if self.kind == Kind::Document => {}
            None => writeln!(out, "verified:  not known: the file does not say how its kernel was made")?,
        }
        self.render_members(out)?;
        if let Some(executable) = &self.executable {
            executable::render(out, executable)?;
        }
        self.media.iter().try_for_each(|medium| medium::render(out, medium))?;
        for (name, elf) in [("kernel", &self.kernel), ("root task", &self.root_task)] {
            if let Some(elf) = elf {
                render_elf(out, name, elf)?;
            }
        }
        if !self.trusted_base.is_empty() {
            writeln!(out, "trusted, with lines of code:")?;
        }
        for component in &self.trusted_base {
            writeln!(out, "  {:<16}  {}: {}", component.size(), component.name, component.trusted_for)?;
        }
        // Parts of them may be a file's own words.
        self.problems.iter().try_for_each(|problem| writeln!(out, "problem: {}", printable(problem)))
    }

    /// The files; of a manifest alone what it says of them.
    fn render_members(&self, out: &mut String) -> std::fmt::Result {
        let mut line = |name: &str, size: Option<u64>, sha256: Option<Digest>, state: &str| {
            let size = size.map_or("?".into(), |size| size.to_string());
            let sha256 = sha256.map_or("?".into(), |digest| digest.to_string());
            let line = format!("  {:<17} {size:>9}  {sha256}  {state}", printable(name));
            writeln!(out, "{}", line.trim_end())
        };
        if let (Kind::Manifest, Some(image)) = (self.kind, &self.image) {
            let mut members = image.members.iter();
            return members.try_for_each(|one| line(&one.name, Some(one.size), Some(one.sha256), "not here"));
        }
        for member in &self.members {
            let state = match (self.kind, member.matches) {
                // There is no manifest.
                (Kind::Netboot, _) => "",
                (_, true) => "as in the manifest",
                (_, false) => "NOT as in the manifest",
            };
            line(&member.name, member.size, member.sha256, state)?;
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
        render_note(out, manifest)?;
    }
    for (key, value) in elf.run.iter().flatten() {
        writeln!(out, "  run: {}={}", printable(key), printable(value))?;
    }
    for (name, size) in elf.files.iter().flatten() {
        writeln!(out, "  file: {}, {size} bytes", printable(name))?;
    }
    Ok(())
}

/// What a root task says about itself.
fn render_note(out: &mut String, note: &note::Manifest) -> std::fmt::Result {
    let note::Manifest { function, kernel, libos, rumprun, stack, heap, devices, targets, memory, format: _ } =
        note;
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let license = function.license.as_deref().unwrap_or("not said");
    writeln!(out, "  function:    {} {}", printable(&function.name), printable(&function.version))?;
    writeln!(out, "  description: {}", printable(&function.description))?;
    writeln!(out, "  licence:     {}", printable(license))?;
    writeln!(out, "  built for:   seL4 {} ({})", printable(&kernel.version), printable(&kernel.config))?;
    writeln!(out, "  interface:   {}", kernel.interface)?;
    writeln!(out, "  targets:     {}", list(&mut targets.iter().map(ToString::to_string)))?;
    writeln!(
        out,
        "  libOS:       {}",
        serde_json::to_value(libos).unwrap_or_default().as_str().unwrap_or("?")
    )?;
    if let Some(rumprun) = rumprun {
        let components = list(&mut rumprun.components.iter().map(|one| one.name().to_owned()));
        writeln!(out, "  rumprun:     {}, digest {}", printable(&rumprun.version), rumprun.digest)?;
        writeln!(out, "  components:  {}", components)?;
    }
    let sizes = memory.iter().map(|(target, size)| format!("{} ({})", show_size(*size), printable(target)));
    let own = [("stack", stack), ("heap", heap)].map(|(name, size)| format!("{name} {}", show_size(*size)));
    writeln!(out, "  memory:      {}", list(&mut sizes.chain(own)))?;
    let devices = devices.iter().map(|(device, which)| format!("{} {}", printable(device), printable(which)));
    writeln!(out, "  devices:     {}", list(&mut devices.into_iter()))
}
