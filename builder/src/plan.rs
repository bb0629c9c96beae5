//! The plan of a build: every input by digest, every step with its key, every output. After it nothing is
//! left to decide, and nothing reads the clock, the environment, the current directory or a folder's order.

pub mod kernel_alone;

use crate::{
    Context, Digest, Result, Target,
    bare_metal::{Headers, Media, Packer},
    bindings::{self, Era},
    cache, files, image,
    inputs::debian::Package,
    inputs::{
        tools::{self, HostTool},
        tree,
    },
    kernel::{self, KernelTree, TreeKind, prebuilt},
    kernel_config::{Arch, KernelConfig},
    process::tender,
    recipe::{Need, Recipe, RootTaskSource},
    root_task::{self, Toolchain, rumprun::tree::Tree as RumprunTree},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

/// All that one image is made from and how.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The recipe's name.
    pub name: String,
    /// What the image runs on.
    pub target: Target,
    /// The time that the image carries, in seconds since 1970.
    pub epoch: u64,
    /// The digest of everything below but the paths: the image's identity.
    pub key: Digest,
    /// The recipe.
    pub recipe: Recipe,
    /// The kernel config that the recipe names.
    pub kernel: KernelConfig,
    /// Everything that the image depends on.
    pub inputs: Vec<Input>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// The files of the image.
    pub outputs: Vec<PathBuf>,
    /// The kernel's source, found.
    #[serde(skip)]
    pub(crate) tree: KernelTree,
    /// The compilers, found.
    #[serde(skip)]
    pub(crate) toolchain: Toolchain,
    /// The rumprun tree, found, for the libOS of that name.
    #[serde(skip)]
    pub(crate) rumprun: Option<RumprunTree>,
    /// The digest of all inputs of the kind `Source`.
    #[serde(skip)]
    pub(crate) sources: Digest,
    /// The digest of the tender's sources, for target `process`.
    #[serde(skip)]
    pub(crate) tender: Option<Digest>,
    /// What is made for which firmware, for target `bare-metal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// The boot loader and what else makes media, found.
    #[serde(skip)]
    pub(crate) packer: Option<Packer>,
}

/// The name of the input that is all sources together.
pub const SOURCES: &str = "sources";

/// Something that an image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Input {
    /// What it is called, for instance `cc`.
    pub name: String,
    /// What it is.
    pub kind: InputKind,
    /// The digest of its content.
    pub digest: Digest,
    /// For a tool: what it says of itself. For a kernel's source: the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it lies on this host, when it is a file or folder; counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// The recipe, checked, with its defaults.
    Recipe,
    /// The kernel config, after `inherits` was followed.
    KernelConfig,
    /// The kernel's source tree.
    KernelSource,
    /// The user's rumprun tree: libraries, headers, and what its compiler is told.
    Rumprun,
    /// The source package of a program: its `.dsc`, which names all other files by their digests.
    SourcePackage,
    /// A kernel that was built elsewhere.
    PrebuiltKernel,
    /// A header that stands in for one of the tree.
    Overlay,
    /// What only the C headers of a kernel's era say.
    Era,
    /// The function's sources, the runtime's among them.
    Source,
    /// The tender's sources, what it shares with the runtime among them.
    Tender,
    /// A program of the host.
    Tool,
    /// The boot loader's files for a firmware.
    BootLoader,
    /// Python modules, pinned by their hashes.
    Pins,
    /// The builder itself: its source, templates and locked dependencies.
    Builder,
}

/// One step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// For instance `kernel`.
    pub name: String,
    /// What it does, for a reader.
    pub what: String,
    /// The inputs that it reads, by name.
    pub inputs: Vec<String>,
    /// The steps whose results it reads.
    pub after: Vec<String>,
    /// The digest of the inputs and of the keys of those steps.
    pub key: Digest,
    /// Whether it is left to a later release of Selkie.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub later: bool,
}

/// Nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `SOURCE_DATE_EPOCH` is no number of seconds.
    #[error(
        "SOURCE_DATE_EPOCH is `{0}`\n  help: it is a number of seconds since 1970, in decimal digits, for instance SOURCE_DATE_EPOCH=0; or unset it"
    )]
    Epoch(String),
    /// The target does not have what the function needs.
    #[error(
        "`{name}` cannot be built for target `{target}`: it needs `{need}`, and {why}\n  help: build it for another target; or write `{need}` into `wants` of [root-task] instead of `needs` when the function copes with the error of the call"
    )]
    Lacks {
        /// The recipe's name.
        name: String,
        /// The target.
        target: Target,
        /// What it lacks.
        need: Need,
        /// Why.
        why: &'static str,
    },
    /// Kernels for other architectures are built, but nothing boots them yet.
    #[error(
        "no image can be made for {arch} yet: kernel config `{config}` describes a kernel that needs a loader of its own, which Selkie does not have\n  help: take a kernel config for x86_64; `cargo xtask build-kernel {config}` builds the kernel alone, and `cargo xtask explain --kernel-config {config}` shows what is missing"
    )]
    Architecture {
        /// The kernel config.
        config: String,
        /// Its architecture.
        arch: Arch,
    },
    /// QEMU's own loader knows Multiboot 1 only.
    #[error(
        "`{name}` cannot be built for target `qemu`: its kernel {} has a Multiboot 2 header only, and `-kernel` of QEMU takes Multiboot 1\n  help: build it for another target",
        .kernel.display()
    )]
    Multiboot1 {
        /// The recipe's name.
        name: String,
        /// The prebuilt kernel.
        kernel: PathBuf,
    },
}

crate::exit_code!(Error, Usage);

/// Plans the image of `recipe` for `target`.
///
/// Starts no process and reads no file's content when everything is as it was the last time: what tools
/// answered is remembered under what the answers depend on.
pub fn plan(ctx: &Context<'_>, recipe: &Recipe, target: Target) -> Result<Plan> {
    let source_date_epoch = env::var_os("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned());
    plan_at(ctx, recipe, target, epoch(source_date_epoch.as_deref())?)
}

/// The plan of an image that carries the time `epoch`, whatever the environment says.
pub(crate) fn plan_at(ctx: &Context<'_>, recipe: &Recipe, target: Target, epoch: u64) -> Result<Plan> {
    if let Some((need, why)) = recipe.lacks(target).and_then(|need| Some((need, need.lacking(target)?))) {
        return Err(Error::Lacks { name: recipe.function.name.clone(), target, need, why }.into());
    }
    let kernel = KernelConfig::of(ctx.project, recipe)?;
    if !kernel.has_images() {
        return Err(Error::Architecture { config: kernel.name, arch: kernel.arch }.into());
    }
    // First of all, because finding the rest runs them.
    let toolchain = Toolchain::find(ctx)?;
    let tree = kernel::locate(ctx, &kernel)?;
    let rumprun = RumprunTree::of_recipe(ctx, recipe)?;
    let compilers = [&toolchain.cc, &toolchain.cargo, &toolchain.rustc].map(Clone::clone);
    let tools = tools(ctx, compilers.into(), &tree, kernel.arch)?;
    let mut inputs = vec![
        Input::new(InputKind::Builder, "builder", Digest::of(cache::BUILDER)),
        Input::new(InputKind::Recipe, "recipe", Digest::of_json(recipe)).at(&recipe.path),
        Input::new(InputKind::KernelConfig, "kernel-config", Digest::of_json(&kernel)).at(&kernel.path),
        Input::new(InputKind::KernelSource, "kernel-source", tree.digest)
            .at(&tree.root)
            .version(&tree.version),
    ];
    let era = Era::name(&ctx.project.eras(), kernel.arch, &tree.version).map_err(bindings::Error::from)?;
    inputs.extend(kernel_files(ctx, &kernel, Some(&era))?);
    let prebuilt = read_prebuilt(recipe, target)?;
    inputs.extend(prebuilt_kernel(ctx, recipe, prebuilt.as_deref())?);
    inputs.extend(rumprun.iter().map(|tree| {
        Input::new(InputKind::Rumprun, "rumprun", tree.digest).at(&tree.root).version(&tree.version)
    }));
    inputs.extend(source_package(recipe));
    inputs.extend(tools);
    let contents = root_task::contents(ctx, &root_task::sources(ctx, recipe, &toolchain)?)?;
    let sources = root_task::digest(&contents);
    inputs.push(Input::new(InputKind::Source, SOURCES, sources));
    inputs.extend(source_inputs(ctx, &contents));
    let tender = match target {
        Target::Qemu | Target::BareMetal => None,
        Target::Process => Some(tender::digest(ctx, &toolchain)?),
    };
    inputs.extend(
        tender.map(|digest| Input::new(InputKind::Tender, "tender", digest).at(&ctx.project.tender())),
    );
    let media = match target {
        Target::BareMetal => Some(Media::decide(recipe, headers(prebuilt, &tree)?)?),
        Target::Qemu | Target::Process => None,
    };
    let packer = media.as_ref().map(|media| Packer::find(ctx, media)).transpose()?.flatten();
    inputs.extend(packer.iter().flat_map(packer_inputs));
    let steps = steps(&inputs, &recipe.function.name, &kernel.name, (target, epoch, media.as_ref()));
    let dir = ctx.project.image(&recipe.function.name, target);
    Ok(Plan {
        name: recipe.function.name.clone(),
        target,
        epoch,
        key: steps.last().map_or_else(|| Digest::of(""), |step| step.key),
        recipe: recipe.clone(),
        kernel,
        inputs,
        steps,
        outputs: image::name::all(&recipe.function.name, target, media.as_ref())
            .iter()
            .map(|name| dir.join(name))
            .collect(),
        tree,
        toolchain,
        rumprun,
        sources,
        tender,
        media,
        packer,
    })
}

/// The folders and files that the root task is made from. In the checkout they are called by their places there,
/// elsewhere by their names alone; each name is there once, in an order that no place decides.
fn source_inputs(ctx: &Context<'_>, contents: &BTreeMap<PathBuf, Option<Digest>>) -> Vec<Input> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let root = real(&ctx.project.root);
    let sources = contents.iter().filter_map(|(path, digest)| {
        let inside = real(path).strip_prefix(&root).ok().map(Path::to_owned);
        let name = inside.unwrap_or_else(|| path.file_name().map(PathBuf::from).unwrap_or_default());
        let name = format!("source {}", name.display());
        Some(Input::new(InputKind::Source, &name, (*digest)?).at(path))
    });
    let mut sources: Vec<Input> = sources.collect();
    sources.sort_by(|a, b| (&a.name, a.digest).cmp(&(&b.name, b.digest)));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for source in &mut sources {
        let count = seen.entry(source.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            source.name.push_str(&format!(" ({count})"));
        }
    }
    sources
}

/// The files that a kernel config names, and those of its era.
fn kernel_files(ctx: &Context<'_>, kernel: &KernelConfig, era: Option<&str>) -> Result<Vec<Input>> {
    let folder = ctx.project.kernel_configs();
    let eras = era.map(|era| Era::chain(&ctx.project.eras(), era)).transpose();
    let eras = eras.map_err(bindings::Error::from)?.unwrap_or_default();
    let eras = eras.iter().map(|era| (InputKind::Era, format!("era {era}"), ctx.project.era(era)));
    let overlays = kernel.overlays.iter().map(|overlay| {
        (InputKind::Overlay, format!("overlay {}", overlay.header), folder.join(&overlay.file))
    });
    let mut inputs = Vec::new();
    for (kind, name, path) in overlays.chain(eras) {
        // What is missing is reported by whoever reads it.
        if let Some(digest) = tree::digest_of_file(ctx, &path)? {
            inputs.push(Input::new(kind, &name, digest).at(&path));
        }
    }
    Ok(inputs)
}

/// The file of the kernel that was built elsewhere, when the recipe names one and the target boots a kernel.
fn read_prebuilt(recipe: &Recipe, target: Target) -> Result<Option<Vec<u8>>> {
    let Some(file) = recipe.prebuilt_kernel.as_ref().filter(|_| target != Target::Process) else {
        return Ok(None);
    };
    let content = files::read_at_most(&file.path, prebuilt::MOST)?;
    if target == Target::Qemu && kernel::multiboot_header(&content).is_none() {
        let (name, kernel) = (recipe.function.name.clone(), file.path.clone());
        return Err(Error::Multiboot1 { name, kernel }.into());
    }
    Ok(Some(content))
}

/// The same as an input.
fn prebuilt_kernel(ctx: &Context<'_>, recipe: &Recipe, content: Option<&[u8]>) -> Result<Option<Input>> {
    let (Some(file), Some(content)) = (&recipe.prebuilt_kernel, content) else { return Ok(None) };
    let digest = tree::digest_of_file(ctx, &file.path)?.unwrap_or_else(|| Digest::of(content));
    Ok(Some(Input::new(InputKind::PrebuiltKernel, "prebuilt-kernel", digest).at(&file.path)))
}

/// The headers of the kernel that `tree` makes, or has.
fn headers_of_tree(tree: &KernelTree) -> Result<Headers, files::Error> {
    match tree.kind {
        TreeKind::Make | TreeKind::Cmake => Ok(Headers::of_tree(&tree.root)),
        TreeKind::Prefix => {
            let content = files::read_at_most(&tree.root.join("bin/kernel.elf"), prebuilt::MOST)?;
            Ok(Headers::of_file(&content))
        }
    }
}

/// What makes media.
fn packer_inputs(packer: &Packer) -> Vec<Input> {
    let tools = std::iter::once(&packer.grub.mkimage).chain(&packer.xorriso);
    let tools = tools.map(|tool| {
        Input::new(InputKind::Tool, &tool.name, tool.digest).at(&tool.path).version(&tool.version)
    });
    let platforms = packer.grub.platforms.iter().map(|platform| {
        let name = format!("grub {}", platform.name());
        Input::new(InputKind::BootLoader, &name, platform.digest).at(&platform.dir)
    });
    tools.chain(platforms).collect()
}

/// The headers of the kernel that boots: of the one that was built elsewhere, where there is one.
fn headers(prebuilt: Option<Vec<u8>>, tree: &KernelTree) -> Result<Headers> {
    let Some(content) = prebuilt else { return Ok(headers_of_tree(tree)?) };
    // What cannot be loaded is told when it is packed, with all that is wrong with it.
    Ok(Headers::of_file(&prebuilt::loadable(&content).unwrap_or(content)))
}

/// The tools of the host, `compilers` first, and the Python modules of the kernel's generators.
fn tools(ctx: &Context<'_>, compilers: Vec<HostTool>, tree: &KernelTree, arch: Arch) -> Result<Vec<Input>> {
    let mut tools = compilers;
    tools.push(tools::find(ctx, "python3")?);
    tools.extend(kernel::host_tools(ctx, tree.kind, arch)?);
    let mut inputs: Vec<Input> = tools
        .iter()
        .map(|tool| {
            Input::new(InputKind::Tool, &tool.name, tool.digest).at(&tool.path).version(&tool.version)
        })
        .collect();
    let names = ["python-modules", "python-modules-device-tree"];
    for (name, modules) in names.into_iter().zip(kernel::requirements(ctx.project, tree, arch)) {
        if let Some(digest) = tree::digest_of_file(ctx, &modules)? {
            inputs.push(Input::new(InputKind::Pins, name, digest).at(&modules));
        }
    }
    Ok(inputs)
}

impl Input {
    fn new(kind: InputKind, name: &str, digest: Digest) -> Self {
        Self { name: name.to_owned(), kind, digest, version: None, path: None }
    }

    fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }
}

/// What the names of inputs that are source packages begin with.
pub(crate) const SOURCE_PACKAGE: &str = "source package ";

/// The source package of a program.
fn source_package(recipe: &Recipe) -> Option<Input> {
    let RootTaskSource::Package(source) = &recipe.source else { return None };
    let Package { name, version, sha256 } = &source.package;
    Some(Input::new(InputKind::SourcePackage, &format!("{SOURCE_PACKAGE}{name}"), *sha256).version(version))
}

/// Steps in their order, each with the inputs that it reads.
struct Steps<'a> {
    inputs: &'a [Input],
    steps: Vec<Step>,
}

impl Steps<'_> {
    /// Adds a step that reads the inputs of these kinds and the tools of these names, what no input says (`more`), and
    /// the results of the steps `after`.
    fn add(
        &mut self,
        step: &str,
        what: String,
        kinds: &[InputKind],
        tools: &[&str],
        after: &[&str],
        more: Option<impl Serialize>,
    ) {
        let reads = |input: &&Input| kinds.contains(&input.kind) || tools.contains(&input.name.as_str());
        let read: Vec<&Input> = self.inputs.iter().filter(reads).collect();
        // Names, kinds and contents count; places do not.
        let content: Vec<_> = read.iter().map(|input| (&input.name, input.kind, input.digest)).collect();
        let before = self.steps.iter().filter(|before| after.contains(&before.name.as_str()));
        let keys: Vec<Digest> = before.map(|step| step.key).collect();
        let key = Digest::of_json(&(step, &content, keys, more));
        self.steps.push(Step {
            name: step.to_owned(),
            what,
            inputs: read.iter().map(|input| input.name.clone()).collect(),
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            key,
            later: false,
        });
    }
}

/// What a kernel is made with, of those that the plan has: compilers, and the tools of trees that CMake configures.
const KERNEL_TOOLS: [&str; 10] = [
    "cc",
    "aarch64-linux-gnu-gcc",
    "riscv64-linux-gnu-gcc",
    "python3",
    "cmake",
    "ninja",
    "xmllint",
    "dtc",
    "qemu-system-aarch64",
    "qemu-system-riscv64",
];

/// What a kernel is made from.
const KERNEL_INPUTS: [InputKind; 5] = [
    InputKind::Builder,
    InputKind::KernelConfig,
    InputKind::KernelSource,
    InputKind::Overlay,
    InputKind::Pins,
];

/// The steps of an image.
fn steps(inputs: &[Input], name: &str, kernel: &str, image: (Target, u64, Option<&Media>)) -> Vec<Step> {
    use InputKind::{
        BootLoader, Builder, Era, KernelConfig, KernelSource, PrebuiltKernel, Recipe, Rumprun, Source,
        SourcePackage, Tender,
    };
    let none = None::<()>;
    let mut steps = Steps { inputs, steps: Vec::new() };
    let what = format!("compile and link the kernel {kernel}");
    steps.add("kernel", what, &KERNEL_INPUTS, &KERNEL_TOOLS, &[], none);
    let what = format!("generate and check the bindings for {kernel}");
    steps.add("bindings", what, &[Builder, KernelConfig, KernelSource, Era], &["cc"], &["kernel"], none);
    let what = format!("compile, link and check the root task of {name}");
    let rust = ["cargo", "rustc", "cc"];
    let kinds = [Builder, Recipe, Rumprun, Source, SourcePackage];
    steps.add("root-task", what, &kinds, &rust, &["bindings"], none);
    if image.0 == Target::Process {
        let what = "compile, link and check the tender".to_owned();
        steps.add("tender", what, &[Builder, Tender], &rust, &[], none);
    }
    let what = format!("write the image of {name} for {}", image.0);
    let before = ["kernel", "bindings", "root-task", "tender"];
    let kinds = [Builder, Recipe, KernelConfig, PrebuiltKernel, BootLoader];
    steps.add("image", what, &kinds, &["grub-mkimage", "xorriso"], &before, Some(image));
    steps.steps
}

/// The time that images carry: what `SOURCE_DATE_EPOCH` says, else 0
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
pub fn epoch(source_date_epoch: Option<&str>) -> Result<u64, Error> {
    let Some(text) = source_date_epoch else { return Ok(0) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| Error::Epoch(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_names_of_their_own_in_an_order_that_no_place_decides() {
        let project = crate::Project { root: "/checkout".into(), out: "/out".into() };
        let ctx = Context::new(&project, &crate::context::Silent);
        let named = |paths: &[(&str, &str)]| {
            let contents = paths.iter().map(|(path, text)| (PathBuf::from(path), Some(Digest::of(text))));
            let inputs = source_inputs(&ctx, &contents.collect());
            inputs.into_iter().map(|input| (input.name, input.digest)).collect::<Vec<_>>()
        };
        let own = ("/checkout/runtime/Cargo.toml", "own");
        let one = named(&[own, ("/a/Cargo.toml", "x"), ("/b/Cargo.toml", "y")]);
        let names: Vec<_> = one.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["source Cargo.toml", "source Cargo.toml (2)", "source runtime/Cargo.toml"]);
        assert_eq!(named(&[own, ("/z/Cargo.toml", "x"), ("/b/Cargo.toml", "y")]), one);
    }

    #[test]
    fn a_malformed_epoch_is_an_error() {
        assert_eq!(epoch(None).unwrap(), 0);
        assert_eq!(epoch(Some("1700000000")).unwrap(), 1_700_000_000);
        for bad in ["", "-1", "+1", " 1", "1.5", "now", "99999999999999999999"] {
            assert!(matches!(epoch(Some(bad)), Err(Error::Epoch(_))), "{bad}");
        }
    }
}
