//! A kernel alone, `out/kernels/NAME/`: for machines that Selkie cannot make images for yet, and for other build systems.
//!
//! It lies there as seL4's own installation would have it, the layout that rust-sel4 calls SEL4_PREFIX, so that what
//! reads such a prefix, `--kernel-prefix` among it, reads this one. Trees before 13 have no such layout: of them there
//! is the kernel only.

use crate::{
    Context, Digest, Result,
    bindings::{self, Bindings},
    build::{self, step},
    files,
    image::Verified,
    kernel::{self, KernelBuild, TreeKind},
    kernel_config::{Arch, OptionValue, Platform},
    lock::Lock,
    plan::{InputKind, kernel_alone::KernelPlan},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

/// The kernel's file in the folder.
pub const KERNEL: &str = "bin/kernel.elf";

/// A kernel alone.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelAlone {
    /// The kernel config's name.
    pub name: String,
    /// The seL4 release.
    pub version: String,
    /// The folder that it lies in.
    pub dir: PathBuf,
    /// Its files, sorted by name.
    pub files: Vec<KernelFile>,
    /// Whether the interface is among them; it is where an era describes it.
    pub has_interface: bool,
    /// Whether it was written just now.
    pub fresh: bool,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelFile {
    /// Its place in the folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

/// What it is made of: `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest<'a> {
    format: u32,
    config: &'a str,
    version: &'a str,
    arch: Arch,
    platform: Platform,
    key: Digest,
    verified: Verified,
    options: &'a BTreeMap<String, OptionValue>,
    inputs: BTreeMap<&'a str, InputIdentity<'a>>,
}

#[derive(Serialize)]
struct InputIdentity<'a> {
    kind: InputKind,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

/// Names and contents.
type Contents = BTreeMap<String, Vec<u8>>;

/// Builds the kernel of `plan`, or finds it built, and writes its folder when it is not as it should be.
pub fn build(ctx: &Context<'_>, plan: &KernelPlan) -> Result<KernelAlone> {
    build::check_out(ctx)?;
    let lock = ctx.project.cache().join("kernels").join(format!("{}.lock", plan.name));
    let _lock = Lock::take(&lock, &plan.name, ctx.progress, &ctx.cancel).map_err(build::Error::from)?;
    let kernel = step(
        ctx,
        &format!("kernel {}", plan.name),
        |kernel: &KernelBuild| kernel.fresh,
        || kernel::build(ctx, &plan.kernel, &plan.tree),
    )?;
    let interface = match plan.era {
        None => None,
        Some(_) => Some(step(
            ctx,
            &format!("interface {}", plan.name),
            |bindings: &Bindings| bindings.fresh,
            || Ok(bindings::generate(ctx, &plan.kernel, &plan.tree, &kernel)?),
        )?),
    };
    let contents = contents(plan, &kernel, interface.as_ref())?;
    let fresh = !is_there(&plan.output, &contents);
    if fresh {
        write(ctx, &plan.output, &contents)?;
    }
    let files = contents.iter().map(|(name, content)| KernelFile {
        name: name.clone(),
        size: content.len() as u64,
        sha256: Digest::of(content),
    });
    Ok(KernelAlone {
        name: plan.name.clone(),
        version: plan.version.clone(),
        dir: plan.output.clone(),
        files: files.collect(),
        has_interface: interface.is_some(),
        fresh,
    })
}

/// All files.
fn contents(plan: &KernelPlan, kernel: &KernelBuild, interface: Option<&Bindings>) -> Result<Contents> {
    let mut contents = Contents::new();
    contents.insert("VERSION".to_owned(), format!("{}\n", plan.version).into_bytes());
    contents.insert(KERNEL.to_owned(), files::read(&kernel.elf)?);
    if plan.kernel.arch == Arch::X86_64 {
        contents.insert("bin/kernel".to_owned(), files::read(&kernel.multiboot)?);
    }
    if let Some(interface) = interface {
        contents.insert("interface.json".to_owned(), files::read(&interface.interface)?);
    }
    if plan.tree.kind != TreeKind::Make && kernel.api.has_names_of_a_prefix() {
        let from = if plan.tree.kind == TreeKind::Prefix { &plan.tree.root } else { &kernel.dir };
        for folder in ["libsel4/include", "support"] {
            take(&from.join(folder), folder, &mut contents)?;
        }
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let interfaces = kernel.api.interfaces.iter().map(|path| (path, "interfaces"));
        for (path, folder) in interfaces.chain([(&kernel.api.system_calls, "api")]) {
            contents.insert(format!("libsel4/include/{folder}/{}", file(path)), files::read(path)?);
        }
    }
    contents.insert("manifest.json".to_owned(), manifest(plan, kernel));
    Ok(contents)
}

/// Every file below the folder `from`, which need not be there, as one of the folder `name`.
fn take(from: &Path, name: &str, contents: &mut Contents) -> Result<(), files::Error> {
    if !from.is_dir() {
        return Ok(());
    }
    for entry in WalkDir::new(from).sort_by_file_name() {
        let entry = entry.map_err(|error| files::Error::at("read", from)(error.into()))?;
        let Ok(relative) = entry.path().strip_prefix(from) else { continue };
        if entry.path().is_file() {
            contents.insert(format!("{name}/{}", relative.display()), files::read(entry.path())?);
        }
    }
    Ok(())
}

fn manifest(plan: &KernelPlan, kernel: &KernelBuild) -> Vec<u8> {
    let inputs = plan.inputs.iter().map(|input| {
        let version = input.version.as_deref();
        (input.name.as_str(), InputIdentity { kind: input.kind, digest: input.digest, version })
    });
    let manifest = Manifest {
        format: 1,
        config: &plan.name,
        version: &plan.version,
        arch: plan.kernel.arch,
        platform: plan.kernel.platform,
        key: plan.key,
        verified: kernel::verified(&plan.kernel, &plan.tree),
        options: &kernel.options,
        inputs: inputs.collect(),
    };
    // Through `Value`, whose maps are sorted.
    let text = serde_json::to_value(manifest).and_then(|value| serde_json::to_string_pretty(&value));
    (text.unwrap_or_default() + "\n").into_bytes()
}

/// Whether `dir` has these files and no other.
fn is_there(dir: &Path, contents: &Contents) -> bool {
    let mut there = Contents::new();
    take(dir, "", &mut there).is_ok()
        && there.len() == contents.len()
        && there.iter().all(|(name, content)| contents.get(name.trim_start_matches('/')) == Some(content))
}

/// Writes the folder beside its place and swaps it in. We hold its lock: what is beside it was left by a build that was
/// killed.
fn write(ctx: &Context<'_>, dir: &Path, contents: &Contents) -> Result<()> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let partial = dir.with_file_name(format!(".{name}.partial"));
    files::remove(&partial)?;
    let fill = || {
        contents.iter().try_for_each(|(name, content)| {
            let path = partial.join(name);
            files::create_dir_all(path.parent().unwrap_or(&partial))?;
            files::write(&path, content)
        })
    };
    let written = fill();
    if ctx.cancel.requested() || written.is_err() {
        let _ = files::remove(&partial);
    }
    written?;
    if ctx.cancel.requested() {
        return Err(build::Error::Cancelled.into());
    }
    Ok(files::swap_in(&partial, dir)?)
}
