//! From a plan to an image: the steps in order, each found in the cache or run, then the image's folder,
//! written beside its place and swapped in at once.

use crate::{
    Context, Digest, Result,
    bare_metal::{self, LeftOut, Media},
    bindings::{self, Bindings},
    exec, files,
    image::{self, Image, InputIdentity, Manifest, Member, Role, ToolIdentity, name},
    index::Index,
    inputs::debian::{self, Prepared},
    kernel::{self, KernelBuild, prebuilt},
    lock::{self, Lock},
    memory,
    plan::{self, InputKind, Plan},
    process::{
        self, Identity,
        assemble::{self, Payload},
        table,
        tender::{self, Tender},
    },
    qemu,
    recipe::{Recipe, RootTaskSource},
    root_task::{self, RootTask, RootTaskInputs},
    scan,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// How often a build starts over because its inputs changed while it ran.
const ROUNDS: usize = 5;

/// An image could not be built, for a reason that is no step's own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user asked to stop.
    #[error("stopped by the user; nothing was written")]
    Cancelled,
    /// The sources do not stand still.
    #[error(
        "the sources of `{name}` changed again and again while they were built\n  help: stop what writes to them, then build again"
    )]
    Restless {
        /// The recipe's name.
        name: String,
    },
    /// The tools cannot work in the output folder.
    #[error(
        "{}: Python and the linker cannot write below a path with `:` or `%`, or one that is not UTF-8\n  help: choose another folder with `--out`",
        .0.display()
    )]
    OutPath(PathBuf),
    /// The prebuilt kernel was changed since the recipe was read.
    #[error(
        "{path}: no kernel can be booted from this file any more: {fault}\n  help: stop what writes to it, then build again"
    )]
    Prebuilt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The interface in the cache is none.
    #[error("{path}: {source}\n  help: the cache is safe to delete: `cargo xtask clean --cache`")]
    Interface {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Waiting for another build was given up.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Lock(error) => error.exit_code(),
    Error::OutPath(_) => crate::ExitCode::Usage,
    Error::Cancelled | Error::Interface { .. } | Error::Prebuilt { .. } | Error::Restless { .. } =>
        crate::ExitCode::Failed,
});

/// Builds the image of `plan`, or finds it built.
///
/// When everything is as it was at the last build, no process is started and no file is written. When
/// inputs change while they are built, the build plans anew: an image always fits one state of them.
pub fn build(ctx: &Context<'_>, plan: &Plan) -> Result<Image> {
    let place = Place::of(ctx, plan);
    if let Some(image) = place.current(ctx, plan) {
        return Ok(image);
    }
    check_out(ctx)?;
    let _lock = Lock::take(&place.lock, &plan.name, ctx.progress, &ctx.cancel).map_err(Error::from)?;
    let mut plan = plan.clone();
    for _ in 0..ROUNDS {
        // Another build may have made it meanwhile.
        if let Some(image) = place.current(ctx, &plan) {
            return Ok(image);
        }
        let made = make(ctx, &plan, &place)?;
        let now = plan::plan_at(ctx, &plan.recipe, plan.target, plan.epoch)?;
        if let Some(image) = made
            && now.key == plan.key
        {
            return Ok(image);
        }
        plan = now;
    }
    Err(Error::Restless { name: plan.name }.into())
}

/// Whether the tools can work in the output folder.
pub(crate) fn check_out(ctx: &Context<'_>) -> Result<(), Error> {
    let out = &ctx.project.out;
    match out.to_str().is_none_or(|out| out.contains([':', '%'])) {
        true => Err(Error::OutPath(out.clone())),
        false => Ok(()),
    }
}

/// The results of the steps before the last.
struct Parts {
    kernel: KernelBuild,
    bindings: Bindings,
    root_task: RootTask,
    /// For target `process`.
    tender: Option<Tender>,
}

/// Runs all steps; none when the sources changed while they were built.
fn make(ctx: &Context<'_>, plan: &Plan, place: &Place) -> Result<Option<Image>> {
    let kernel = step(
        ctx,
        &format!("kernel {}", plan.kernel.name),
        |kernel: &KernelBuild| kernel.fresh,
        || kernel::build(ctx, &plan.kernel, &plan.tree),
    )?;
    let bindings = step(
        ctx,
        &format!("bindings {}", plan.kernel.name),
        |bindings: &Bindings| bindings.fresh,
        || Ok(bindings::generate(ctx, &plan.kernel, &plan.tree, &kernel)?),
    )?;
    let package = source_package(ctx, &plan.recipe)?;
    let root_task = step(
        ctx,
        &format!("root task {}", plan.name),
        |task: &Option<RootTask>| task.as_ref().is_some_and(|task| task.fresh),
        || {
            let inputs = RootTaskInputs {
                recipe: &plan.recipe,
                kernel: &plan.kernel,
                version: &plan.tree.version,
                bindings: &bindings.rust,
                interface: bindings.interface_digest,
                sources: plan.sources,
                toolchain: &plan.toolchain,
                rumprun: plan.rumprun.as_ref(),
                package: package.as_ref(),
            };
            match root_task::build(ctx, &inputs) {
                Err(root_task::Error::Changed) => Ok(None),
                built => Ok(Some(built?)),
            }
        },
    )?;
    let Some(root_task) = root_task else { return Ok(None) };
    let tender = match plan.tender {
        None => None,
        Some(sources) => {
            let fresh = |tender: &Option<Tender>| tender.as_ref().is_some_and(|tender| tender.fresh);
            let built = step(ctx, "tender", fresh, || match tender::build(ctx, &plan.toolchain, sources) {
                Err(tender::Error::Build(root_task::Error::Changed)) => Ok(None),
                built => Ok(Some(built?)),
            })?;
            if built.is_none() {
                return Ok(None);
            }
            built
        }
    };
    place.write(ctx, plan, &Parts { kernel, bindings, root_task, tender }).map(Some)
}

/// The source package that the program is made of, ready to be compiled.
fn source_package(ctx: &Context<'_>, recipe: &Recipe) -> Result<Option<Prepared>> {
    let RootTaskSource::Package(source) = &recipe.source else { return Ok(None) };
    let name = format!("source {}", source.package.name);
    let prepare = || Ok(debian::prepare(ctx, &source.package, &source.prepare)?);
    step(ctx, &name, |prepared: &Prepared| prepared.fresh, prepare).map(Some)
}

/// Runs one step, with its begin and end reported.
pub(crate) fn step<T>(
    ctx: &Context<'_>,
    name: &str,
    fresh: impl Fn(&T) -> bool,
    run: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if ctx.cancel.requested() {
        return Err(Error::Cancelled.into());
    }
    ctx.progress.begin(name);
    let result = run();
    let note = match &result {
        Ok(result) if fresh(result) => "built",
        Ok(_) => "cached",
        Err(_) => "failed",
    };
    ctx.progress.end(name, note);
    result
}

/// Where an image and what is remembered of it lie.
struct Place {
    dir: PathBuf,
    partial: PathBuf,
    record: PathBuf,
    index: PathBuf,
    lock: PathBuf,
}

/// What was built last: remembered in the cache, checked before it is believed.
#[derive(Serialize, Deserialize)]
struct Record {
    plan: Digest,
    members: Vec<Member>,
}

impl Place {
    fn of(ctx: &Context<'_>, plan: &Plan) -> Self {
        let dir = ctx.project.image(&plan.name, plan.target);
        let cache = ctx.project.cache();
        let id = format!("{}.{}", plan.name, plan.target);
        Self {
            partial: dir.with_file_name(format!(".{}.{}.partial", plan.target, std::process::id())),
            record: cache.join("images").join(format!("{id}.json")),
            index: cache.join("index").join(format!("image-{id}")),
            lock: cache.join("images").join(format!("{id}.lock")),
            dir,
        }
    }

    /// The image, when it is what `plan` asks for to the last byte.
    fn current(&self, ctx: &Context<'_>, plan: &Plan) -> Option<Image> {
        let record: Record = memory::recall(&self.record)?;
        let there = [name::MANIFEST, name::LOG].iter().all(|name| self.dir.join(name).is_file());
        if record.plan != plan.key || !there {
            return None;
        }
        let mut index = Index::open(self.index.clone());
        for member in &record.members {
            let path = self.dir.join(&member.name);
            if !index.matches(&path, member.size, member.sha256) {
                ctx.progress.note(&format!("{} was changed after it was built: made anew", path.display()));
                return None;
            }
        }
        // The index only saves time.
        let _ = index.save();
        Some(self.image(plan, record.members, false))
    }

    fn image(&self, plan: &Plan, members: Vec<Member>, fresh: bool) -> Image {
        Image { name: plan.name.clone(), target: plan.target, dir: self.dir.clone(), members, fresh }
    }

    /// Writes the image's folder beside its place and swaps it in.
    fn write(&self, ctx: &Context<'_>, plan: &Plan, parts: &Parts) -> Result<Image> {
        self.sweep();
        for LeftOut { what, why } in plan.media.iter().flat_map(|media| &media.left_out) {
            ctx.progress.note(&format!("{}: `{what}` is left out: {why}", plan.name));
        }
        if plan.media.is_some() && bare_metal::halts(&plan.recipe) {
            ctx.progress.note(&format!(
                "{}: at its end a PC halts: what switches one off is left out; write `acpi = true` in [root-task]",
                plan.name
            ));
        }
        let written = self.fill(ctx, plan, parts);
        if ctx.cancel.requested() || written.is_err() {
            let _ = files::remove(&self.partial);
        }
        let members = written?;
        if ctx.cancel.requested() {
            return Err(Error::Cancelled.into());
        }
        files::swap_in(&self.partial, &self.dir).map_err(Error::from)?;
        let record = Record { plan: plan.key, members: members.clone() };
        memory::store(&self.record, &record).map_err(Error::from)?;
        Ok(self.image(plan, members, true))
    }

    /// Writes all files into the partial folder.
    fn fill(&self, ctx: &Context<'_>, plan: &Plan, parts: &Parts) -> Result<Vec<Member>> {
        let dir = &self.partial;
        files::create_dir_all(dir)?;
        files::copy(&parts.root_task.stripped, &dir.join(name::ROOT_TASK))?;
        files::write(&dir.join(name::RECIPE), plan.recipe.expanded())?;
        let mut log = log(parts)?;
        let (roles, process) = match (&parts.tender, &plan.media) {
            (Some(tender), _) => {
                let (roles, identity) = process_files(dir, plan, parts, tender)?;
                (roles, Some(identity))
            }
            (None, Some(media)) => {
                let (roles, packed) = metal_files(ctx, dir, plan, parts, media)?;
                log.push_str(&format!("== media\n{packed}"));
                (roles, None)
            }
            (None, None) => (machine_files(dir, plan, parts)?, None),
        };
        let roles = roles.into_iter().chain([(name::RECIPE.to_owned(), Role::Recipe)]);
        let members = roles.map(|(name, role)| Member::read(dir, &name, role));
        let mut members = members.collect::<Result<Vec<_>, _>>()?;
        files::write(&dir.join(name::MANIFEST), manifest(plan, parts, process, &members).text())?;
        members.push(Member::read(dir, name::MANIFEST, Role::Manifest)?);
        scan::image(ctx, plan, dir, &members)?;
        files::write(&dir.join(name::LOG), log)?;
        Ok(members)
    }

    /// Removes what killed builds of this image left; we hold its lock.
    fn sweep(&self) {
        let Some(folder) = self.dir.parent() else { return };
        for entry in files::sorted_entries(folder).unwrap_or_default() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let target = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(&format!(".{target}.")) && name.ends_with(".partial") {
                // What cannot be removed is in nobody's way.
                let _ = files::remove(&entry.path());
            }
        }
    }
}

/// Files and what they are.
type Roles = Vec<(String, Role)>;

/// The kernel that boots, as a Multiboot loader takes it.
fn kernel_file(plan: &Plan, parts: &Parts) -> Result<Vec<u8>> {
    let Some(file) = &plan.recipe.prebuilt_kernel else { return Ok(files::read(&parts.kernel.multiboot)?) };
    let content = files::read_at_most(&file.path, prebuilt::MOST)?;
    Ok(prebuilt::loadable(&content)
        .map_err(|fault| Error::Prebuilt { path: file.path.clone(), fault: fault.to_string() })?)
}

/// What boots on a machine: kernel and root task, and a script for it.
fn machine_files(dir: &Path, plan: &Plan, parts: &Parts) -> Result<Roles> {
    files::write(&dir.join(name::KERNEL), kernel_file(plan, parts)?)?;
    let script = qemu::run_script(&plan.name, &qemu::Vm::new(&plan.recipe, &plan.kernel));
    write_program(&dir.join(name::RUN), script)?;
    let roles = [(name::KERNEL, Role::Kernel), (name::ROOT_TASK, Role::RootTask), (name::RUN, Role::Script)];
    Ok(roles.map(|(name, role)| (name.to_owned(), role)).into())
}

/// What the firmware of a PC boots; with it, what the tools said.
fn metal_files(
    ctx: &Context<'_>,
    dir: &Path,
    plan: &Plan,
    parts: &Parts,
    media: &Media,
) -> Result<(Roles, String)> {
    files::write(&dir.join(name::KERNEL), kernel_file(plan, parts)?)?;
    let mut roles: Roles =
        vec![(name::KERNEL.to_owned(), Role::Kernel), (name::ROOT_TASK.to_owned(), Role::RootTask)];
    let members = roles.iter().map(|(name, role)| Member::read(dir, name, *role));
    let members = members.collect::<Result<Vec<_>, _>>()?;
    let manifest = manifest(plan, parts, None, &members).text();
    let Plan { recipe, key, epoch, .. } = plan;
    let payload = bare_metal::Payload { recipe, media, key: *key, epoch: *epoch, manifest: &manifest };
    let (packed, log) = exec::record(|| bare_metal::pack(ctx, plan.packer.as_ref(), &payload, dir));
    packed?;
    roles.extend(media.files(&plan.name));
    Ok((roles, log))
}

/// What runs as a process: the tender with the root task inside, one executable of the recipe's name.
fn process_files(dir: &Path, plan: &Plan, parts: &Parts, tender: &Tender) -> Result<(Roles, Identity)> {
    let path = &parts.bindings.interface;
    let interface = serde_json::from_slice(&files::read(path)?)
        .map_err(|source| Error::Interface { path: path.clone(), source })?;
    let tables = [table::table(&interface, &plan.kernel.name)?];
    let settings = process::settings(&plan.recipe);
    let root_task = files::read(&parts.root_task.stripped)?;
    let payload = Payload { tables: &tables, root_task: &root_task, settings };
    write_program(&dir.join(&plan.name), assemble::assemble(&files::read(&tender.bare)?, &payload)?)?;
    let roles = vec![(plan.name.clone(), Role::Executable), (name::ROOT_TASK.to_owned(), Role::RootTask)];
    Ok((roles, Identity::new(tender.sha256, &tables, &settings)))
}

/// Writes a file that can be started.
fn write_program(path: &Path, content: impl AsRef<[u8]>) -> Result<(), files::Error> {
    files::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(files::Error::at("write", path))
}

fn manifest(plan: &Plan, parts: &Parts, process: Option<Identity>, members: &[Member]) -> Manifest {
    let inputs = plan.inputs.iter().map(|input| (input.name.clone(), InputIdentity::of(input)));
    let tools = plan.inputs.iter().filter(|input| input.kind == InputKind::Tool).map(|input| {
        let version = input.version.clone().unwrap_or_default();
        (input.name.clone(), ToolIdentity { version, digest: input.digest })
    });
    let overlays =
        plan.kernel.overlays.iter().map(|overlay| (overlay.header.clone(), overlay.reason.clone()));
    let prebuilt = plan.inputs.iter().find(|input| input.kind == InputKind::PrebuiltKernel);
    let root_task = members.iter().find(|member| member.role == Role::RootTask);
    Manifest {
        format: 1,
        name: plan.name.clone(),
        version: plan.recipe.function.version.clone(),
        target: plan.target,
        epoch: plan.epoch,
        key: plan.key,
        kernel: image::Kernel {
            config: plan.kernel.name.clone(),
            version: plan.tree.version.clone(),
            source: plan.tree.digest,
            options: parts.kernel.options.clone(),
            overlays: overlays.collect(),
            prebuilt: prebuilt
                .map(|input| image::Prebuilt { sha256: input.digest, origin: image::NOT_BUILT.into() }),
            // Of a kernel from elsewhere nothing is known.
            verified: match prebuilt {
                Some(_) => image::Verified::None,
                None => kernel::verified(&plan.kernel, &plan.tree),
            },
            interface: parts.bindings.interface_digest,
        },
        root_task: image::RootTask {
            sha256: root_task.map_or(plan.key, |member| member.sha256),
            nonce: parts.root_task.nonce.clone(),
        },
        process,
        media: plan.media.clone(),
        recipe: serde_json::to_value(&plan.recipe).unwrap_or_default(),
        inputs: inputs.collect(),
        tools: tools.collect(),
        members: members.to_vec(),
    }
}

/// The commands of all steps, each step's own log in the order of the steps.
fn log(parts: &Parts) -> Result<String, files::Error> {
    let mut steps: Vec<(&str, &Path)> = vec![
        ("kernel", &parts.kernel.log),
        ("bindings", &parts.bindings.log),
        ("root task", &parts.root_task.log),
    ];
    steps.extend(parts.tender.iter().map(|tender| ("tender", tender.log.as_path())));
    let mut text = String::new();
    for (name, log) in steps {
        text.push_str(&format!("== {name}\n{}", String::from_utf8_lossy(&files::read(log)?)));
    }
    Ok(text)
}
