//! Whether a kernel config fits its kernel's tree: options that the tree knows and that go together,
//! overlays of headers that are there.

use super::{
    Error, KernelTree, OverlayFile,
    kconfig::{Complaint, Kconfig},
    make::Layout,
};
use crate::{
    Context, Project, Result,
    diagnostic::{Diagnostic, Diagnostics},
    document::{Document, Source, Step, at, shown},
    files,
    kernel_config::{KernelConfig, Overlay, RawKernelConfig, schema},
};

/// Reads the overlays of `config`.
pub(super) fn overlays(ctx: &Context<'_>, config: &KernelConfig) -> Result<Vec<OverlayFile>> {
    let read = |overlay: &Overlay| {
        let content = files::read(&ctx.project.kernel_configs().join(&overlay.file))?;
        Ok(OverlayFile { header: overlay.header.clone(), content })
    };
    config.overlays.iter().map(read).collect()
}

/// Checks options and overlays of `config` against `tree`.
///
/// The error, of exit code 2, tells all that is wrong, each with its place in the kernel config or in
/// the one it inherits from.
pub(super) fn config(
    project: &Project,
    config: &KernelConfig,
    tree: &KernelTree,
    layout: &Layout,
) -> Result<()> {
    let kconfig = Kconfig::read(&tree.root, &layout.kconfig(&tree.root));
    let kconfig = kconfig.map_err(|source| Error::Unreadable { root: tree.root.clone(), source })?;
    let mut complaints = kconfig.check(&config.options);
    complaints.extend(beyond_kconfig(config, layout));
    let folders = layout.kernel(&tree.root);
    let strange = config.overlays.iter().filter(|o| !folders.iter().any(|dir| dir.join(&o.header).is_file()));
    let strange: Vec<_> = strange.collect();
    report(project, config, complaints, strange)
}

/// Says all that is wrong, each at its place in the kernel config or in the one that it inherits from.
pub(super) fn report(
    project: &Project,
    config: &KernelConfig,
    complaints: Vec<Complaint>,
    strange: Vec<&Overlay>,
) -> Result<()> {
    if complaints.is_empty() && strange.is_empty() {
        return Ok(());
    }
    let chain = Chain::read(project, config)?;
    let mut found = Vec::new();
    for Complaint { option, message, help } in complaints {
        let option = option.as_deref().unwrap_or_default();
        let place = if option.is_empty() { Place::Key("options") } else { Place::Option(option) };
        let diagnostic = chain.diagnostic(place, message)?;
        found.push(help.into_iter().fold(diagnostic, Diagnostic::help));
    }
    for overlay in strange {
        let message = format!("this kernel's sources have no header `{}`", overlay.header);
        let help = "name it as the sources include it, or take the overlay out: it would have no effect";
        found.push(chain.diagnostic(Place::Overlay(&overlay.header), message)?.help(help));
    }
    Ok(Diagnostics::check(found)?)
}

/// What only concerns us, not the tree: options that would have no effect, or contradict `arch`.
fn beyond_kconfig(config: &KernelConfig, layout: &Layout) -> Vec<Complaint> {
    let idle = IDLE.iter().filter(|name| config.options.contains_key(**name));
    let idle = idle.map(|name| Complaint {
        option: Some((*name).to_owned()),
        message: format!("`{name}` would have no effect: only the tree's own Makefiles look at it"),
        help: Some("take it out".to_owned()),
    });
    let missing = layout.required.iter().filter(|name| !config.has(name));
    let missing = missing.map(|name| Complaint {
        option: None,
        message: format!("`arch` and `platform` need the option `{name}`"),
        help: Some(format!("write `{name} = true`")),
    });
    idle.chain(missing).collect()
}

/// Options for the tree's Makefiles, which are not used.
const IDLE: &[&str] = &[
    "DOMAIN_SCHEDULE",
    "KERNEL_CFLAGS",
    "KERNEL_COMPILER",
    "KERNEL_EXTRA_CPPFLAGS",
    "WHOLE_PROGRAM_OPTIMISATIONS_KERNEL",
];

/// A kernel config's file and those that it inherits from, the heir first.
struct Chain(Vec<Source>);

#[derive(Clone, Copy)]
enum Place<'a> {
    Key(&'a str),
    Option(&'a str),
    Overlay(&'a str),
}

impl Chain {
    fn read(project: &Project, config: &KernelConfig) -> Result<Self, Diagnostics> {
        let mut chain = Vec::new();
        let mut next = Some(config.path.clone());
        while let Some(path) = next {
            let file = shown(project, &path);
            let source = Source::read(&path, &file, || Diagnostic::of_file(&file, "this file is gone"))?;
            let parent = Document::parse(&source)?.decode::<RawKernelConfig>(schema())?.inherits;
            chain.push(source);
            next = parent.map(|name| project.kernel_configs().join(format!("{name}.toml")));
        }
        Ok(Self(chain))
    }

    /// Something wrong at `place` of the first file that has it.
    fn diagnostic(&self, place: Place<'_>, message: String) -> Result<Diagnostic, Diagnostics> {
        for source in &self.0 {
            let doc = Document::parse(source)?;
            let path: &[Step<'_>] = match place {
                Place::Key(key) => at![key],
                Place::Option(name) => at!["options", name],
                Place::Overlay(header) => {
                    let raw: RawKernelConfig = doc.decode(schema())?;
                    let Some(n) = raw.overlay.iter().position(|o| o.header == header) else { continue };
                    return Ok(source.diagnostic(doc.span(at!["overlay", n, "header"]), message));
                }
            };
            if doc.has(path) {
                return Ok(source.diagnostic(doc.key_span(path), message));
            }
        }
        Ok(Diagnostic::of_file(&self.0[0].file, message))
    }
}
