//! Building, linking and checking a root task: the ELF that seL4 starts first.
//!
//! The pipeline calls [`build`] with [`RootTaskInputs`]. A crate is built by a nested Cargo with an
//! environment of its own; C sources are compiled and linked with the crate `selkie-c`; a prebuilt ELF
//! is only checked. Whatever its origin, [`check`] looks at the result before anyone uses it.

pub mod check;
mod code;
mod crate_build;
mod crates;
mod csource;
pub(crate) mod files_section;
mod included;
pub(crate) mod leaks;
mod link;
mod linker_error;
pub(crate) mod needs;
pub(crate) mod nested;
pub mod rumprun;
mod sources;
mod strip;
mod toolchain;

pub use code::SITES;
pub(crate) use code::{crate_of, demangle};
pub use crates::LinkedCrate;
pub(crate) use crates::{escaped, linked, locked_crate};
pub use leaks::cargo_home;
pub(crate) use sources::sources_of_crate;
pub use sources::{Sources, contents, digest, sources};
pub use strip::strip;
pub(crate) use toolchain::TRIPLE;
pub use toolchain::Toolchain;

use crate::{
    Context, Digest,
    cache::{self, Cache},
    elf::{self, Elf},
    exec, files,
    inputs::{debian::Prepared, tree},
    kernel_config::{KernelConfig, OptionValue},
    note::Manifest,
    recipe::{InputPath, RawRun, Recipe, RootTaskSource, Rumprun},
    run_config,
};
use serde::Serialize;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

/// Where a root task is loaded: the lowest address, that of its first stack's lower end.
pub const BASE: u64 = 0x40_0000;

/// Changes when the same inputs give another root task, so that old cache entries are left alone.
const FORMAT: u32 = 1;

/// All that a root task is made from.
#[derive(Debug, Clone, Copy)]
pub struct RootTaskInputs<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The kernel config that `recipe.kernel` names.
    pub kernel: &'a KernelConfig,
    /// The kernel's seL4 release.
    pub version: &'a str,
    /// The generated `bindings.rs`.
    pub bindings: &'a Path,
    /// The digest of the kernel's interface.
    pub interface: Digest,
    /// The digest of everything that [`sources`] names.
    pub sources: Digest,
    /// Cargo, rustc and the C compiler.
    pub toolchain: &'a Toolchain,
    /// The rumprun tree, for the libOS of that name.
    pub rumprun: Option<&'a rumprun::tree::Tree>,
    /// The source of the program, where that is a package.
    pub package: Option<&'a Prepared>,
}

/// A root task that was built and checked.
#[derive(Debug, Clone)]
pub struct RootTask {
    /// The folder of the cache that it lies in.
    pub dir: PathBuf,
    /// The ELF with symbols and line tables, for debuggers, `size` and `inspect`.
    pub elf: PathBuf,
    /// The ELF that goes into images.
    pub stripped: PathBuf,
    /// What its exit line must repeat: 16 hexadecimal digits.
    pub nonce: String,
    /// The digest of everything that it depends on.
    pub key: Digest,
    /// Whether it was built just now.
    pub fresh: bool,
    /// The commands that built it.
    pub log: PathBuf,
}

/// A root task could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A source tree could not be read.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A program could not be run.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// The files of the image cannot be packed.
    #[error(transparent)]
    Packed(#[from] files_section::Error),
    /// There is no rumprun tree, or it is not whole.
    #[error(transparent)]
    Rumprun(#[from] rumprun::tree::Error),
    /// Symbols that neither a POSIX program nor a library of the rumprun tree defines.
    #[error(
        "{what} does not link: {}\n  help: neither the program nor NetBSD's libraries have it: name the source file that does in `c-sources`; what Linux or glibc has beyond POSIX, rumprun lacks (docs/rumprun.md)",
        list(missing)
    )]
    Lacking {
        /// The recipe.
        what: String,
        /// The symbols, each with who wants it.
        missing: Vec<linker_error::Undefined>,
    },
    /// A POSIX program without its `main`.
    #[error("the program has no function `main`, in none of {}\n  help: name the file that defines `int main(int argc, char **argv)`", .files.join(", "))]
    NoMain {
        /// Its files.
        files: Vec<String>,
    },
    /// Thread-local variables that rumprun does not align.
    #[error(
        "{file}: its thread-local variables are aligned to {alignment} bytes: {names}\n  help: rumprun aligns those of a thread to 8 bytes and would put them elsewhere; take the alignment out, or make them plain variables behind a lock"
    )]
    ThreadLocalAlignment {
        /// The source file.
        file: String,
        /// The variables.
        names: String,
        /// Their alignment.
        alignment: u64,
    },
    /// The program is none that rumprun's compiler linked.
    #[error(
        "{path}: this is no program for rumprun: {why}\n  help: `program` in [root-task] names what `x86_64-rumprun-netbsd-gcc` of the rumprun tree linked: give it to the program's own build as its C compiler (`./configure --host=x86_64-rumprun-netbsd`, `make CC=x86_64-rumprun-netbsd-gcc`)"
    )]
    NotRumprun {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The recipe names files that the source package does not have.
    #[error("`{pattern}` in `{key}` of [root-task.source] fits no file of {package}\n  help: {help}")]
    NoSuchSource {
        /// The key.
        key: &'static str,
        /// What is written there.
        pattern: String,
        /// The package.
        package: String,
        /// What to do.
        help: String,
    },
    /// The run configuration cannot be written.
    #[error(transparent)]
    RunConfig(#[from] run_config::Error),
    /// A C source or a crate does not compile, or does not link for a reason of its own.
    #[error("{what} does not build\n{output}\n  command: {command}{help}")]
    Compile {
        /// The crate or file.
        what: String,
        /// What the compiler said.
        output: String,
        /// The command line, ready to paste.
        command: String,
        /// What to do, as a further line, when it is known.
        help: String,
    },
    /// Symbols that nobody defines.
    #[error("{what} does not link: {}\n  help: {}", list(missing), remedy(missing))]
    Undefined {
        /// The crate or recipe.
        what: String,
        /// The symbols, each with who wants it.
        missing: Vec<linker_error::Undefined>,
    },
    /// A C source has thread-local variables.
    #[error("{file} has thread-local variables: {names}\n  help: {}", check::NO_THREAD_LOCALS)]
    ThreadLocal {
        /// The file.
        file: PathBuf,
        /// The variables.
        names: String,
    },
    /// The folder has no crate.
    #[error(
        "{0}: there is no Cargo.toml here\n  help: `root-task.crate` names the folder of a Rust crate, relative to the recipe"
    )]
    NoManifest(PathBuf),
    /// Cargo cannot read the crate.
    #[error("{dir}: Cargo cannot read this crate\n{output}")]
    Metadata {
        /// The crate's folder.
        dir: PathBuf,
        /// What Cargo said.
        output: String,
    },
    /// The crate has no binary target.
    #[error(
        "{0}: this crate has no binary target\n  help: a root task is a program: give the crate a `src/main.rs`"
    )]
    NoBinary(PathBuf),
    /// The crate has several binary targets.
    #[error("{dir}: this crate has several binary targets: {}\n  help: a recipe builds one program: name it by `default-run` in the crate's Cargo.toml, or give each a crate of its own", .names.join(", "))]
    ManyBinaries {
        /// The crate's folder.
        dir: PathBuf,
        /// The binary targets' names.
        names: Vec<String>,
    },
    /// There is no Cargo.lock.
    #[error(
        "{lock}: not found\n  help: the versions of all dependencies must be fixed: run `cargo generate-lockfile` in {dir} and keep the file with the sources"
    )]
    NoLock {
        /// Where it should be.
        lock: PathBuf,
        /// The workspace's folder.
        dir: PathBuf,
    },
    /// Cargo.lock does not fit Cargo.toml.
    #[error(
        "{lock}: it does not fit the crate's Cargo.toml any more\n  help: run `cargo update --workspace` in {dir} and keep the changed file\n{output}"
    )]
    StaleLock {
        /// The lock file.
        lock: PathBuf,
        /// The workspace's folder.
        dir: PathBuf,
        /// What Cargo said.
        output: String,
    },
    /// A path of this machine is in the result.
    #[error(
        "the root task contains the path `{path}` of this machine, at file offset {offset:#x}{place}\n  help: nothing that depends on the place of the build may be in an image; look for `file!()`, `env!(\"CARGO_MANIFEST_DIR\")`, `__FILE__` and the like"
    )]
    Leak {
        /// The path.
        path: String,
        /// Offset in the stripped file.
        offset: u64,
        /// The section it is in.
        place: String,
    },
    /// Cargo's configuration in its home would change the result.
    #[error(
        "{file}: its table [{table}] would change the image, and what lies in Cargo's home is no input of one\n  help: move it to `.cargo/config.toml` in the crate's folder or one above it, where it counts"
    )]
    HomeConfig {
        /// The file.
        file: PathBuf,
        /// The table.
        table: &'static str,
    },
    /// The sources are not those that were to be built.
    #[error("the sources changed while they were built\n  help: build again")]
    Changed,
    /// The ELF does not read.
    #[error("{path}: {source}")]
    Elf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: elf::Error,
    },
    /// The root task uses what the recipe does not declare.
    #[error("{}", needs::describe(.0))]
    Undeclared(Vec<needs::Marker>),
    /// The ELF breaks rules.
    #[error("{path}: this root task would not run on seL4\n{}", check::list(.offences))]
    Check {
        /// The file.
        path: PathBuf,
        /// The rules it breaks.
        offences: Vec<check::Offence>,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Tree(error) => error.exit_code(),
    Error::Cache(error) => error.exit_code(),
    Error::Exec(error) => error.exit_code(),
    Error::RunConfig(error) => error.exit_code(),
    Error::Packed(error) => error.exit_code(),
    Error::Rumprun(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

fn list(missing: &[linker_error::Undefined]) -> String {
    missing.iter().map(|one| one.to_string()).collect::<Vec<_>>().join("\n  ")
}

fn remedy(missing: &[linker_error::Undefined]) -> &'static str {
    if missing.iter().any(|one| one.symbol == "main") {
        return "one of the C sources defines `int main(int argc, char **argv)`";
    }
    "a root task has no C library and no operating system beneath it; use what the crate `selkie` offers \
     (for C: `selkie.h`), or a crate or feature that is `no_std`"
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let at = files::Error::at("use", path);
        move |source| Self::Files(at(source))
    }
}

/// What a root task's bytes depend on, and nothing that they do not: a changed `[smoke]` builds nothing.
#[derive(Serialize)]
struct Key<'a> {
    format: u32,
    manifest: Manifest,
    run: &'a RawRun,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a InputPath>,
    source: &'a RootTaskSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    rumprun: Option<&'a Rumprun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<Digest>,
    features: Vec<String>,
    acpi: bool,
    serial_speed: u32,
    sources: Digest,
    bindings: Digest,
    toolchain: &'a Toolchain,
    templates: [Digest; 2],
}

impl<'a> Key<'a> {
    fn new(inputs: &RootTaskInputs<'a>) -> Result<Self, Error> {
        let recipe = inputs.recipe;
        Ok(Self {
            format: FORMAT,
            manifest: Manifest::new(recipe, inputs.kernel, inputs.version, inputs.interface)
                .with_rumprun(recipe, inputs.rumprun),
            run: &recipe.run,
            files: recipe.files.as_ref(),
            source: &recipe.source,
            rumprun: recipe.rumprun.as_ref(),
            package: inputs.package.map(|package| package.key),
            features: recipe.cargo_features(),
            acpi: recipe.acpi,
            serial_speed: recipe.bare_metal.serial_speed,
            sources: inputs.sources,
            bindings: Digest::of_file(inputs.bindings).map_err(Error::io(inputs.bindings))?,
            toolchain: inputs.toolchain,
            templates: link::template_digests(),
        })
    }

    /// What the exit line of this root task repeats. It follows from what the function is made of and not
    /// from the host's tools, so that compilers that make the same code make the same root task.
    fn nonce(&self) -> String {
        let Self { manifest, run, source, rumprun, features, acpi, serial_speed, sources, bindings, .. } =
            self;
        let own = (manifest, run, source, features, acpi, serial_speed, sources, bindings);
        // What other libOSes do not have is not in their nonces.
        match rumprun {
            None => Digest::of_json(&own).short(16),
            Some(rumprun) => Digest::of_json(&(own, rumprun)).short(16),
        }
    }
}

/// The crate that the root task of `recipe` is built from, and its features; none when it was linked elsewhere.
pub(crate) fn crate_of_recipe(ctx: &Context<'_>, recipe: &Recipe) -> Option<(PathBuf, Vec<String>)> {
    let (folder, mut features) = match &recipe.source {
        RootTaskSource::Crate(folder) => (folder.path.clone(), recipe.cargo_features()),
        _ if recipe.rumprun.is_some() => (rumprun::platform_crate(ctx), Vec::new()),
        RootTaskSource::C(_) => (csource::interface_crate(ctx), Vec::new()),
        RootTaskSource::Package(_) | RootTaskSource::Program(_) | RootTaskSource::Prebuilt(_) => return None,
    };
    features.extend(recipe.acpi.then(|| crate_build::ACPI.to_owned()));
    Some((folder, features))
}

/// The name of the step in the cache.
pub const STEP: &str = "root-task";

/// The ELF with symbols, in the folder of the step.
pub(crate) const ELF: &str = "root-task.elf";
/// The ELF that goes into images, there too.
pub(crate) const STRIPPED: &str = "root-task";

/// The key that [`build`] keeps its result under.
pub fn key(inputs: &RootTaskInputs<'_>) -> Result<Digest, Error> {
    Ok(Cache::key(STEP, &Key::new(inputs)?))
}

/// Builds the root task of a recipe, or finds it in the cache.
pub fn build(ctx: &Context<'_>, inputs: &RootTaskInputs<'_>) -> Result<RootTask, Error> {
    let key = Key::new(inputs)?;
    let digest = Cache::key(STEP, &key);
    let nonce = key.nonce();
    let entry = ctx.cache.keyed_step(STEP, digest, |dir| {
        let seen = RefCell::default();
        let job = Job { ctx, inputs, manifest: &key.manifest, nonce: &nonce, bindings: key.bindings, seen };
        job.run(dir)
    })?;
    Ok(RootTask {
        elf: entry.dir.join(ELF),
        stripped: entry.dir.join(STRIPPED),
        dir: entry.dir,
        nonce,
        key: entry.key,
        fresh: entry.fresh,
        log: entry.log,
    })
}

/// The file in which the program of the crate in `folder` begins.
pub(crate) fn main_of_crate(
    ctx: &Context<'_>,
    folder: &Path,
    toolchain: &Toolchain,
) -> Result<PathBuf, Error> {
    Ok(crate_build::describe(ctx, folder, toolchain)?.main)
}

/// One build that is under way.
struct Job<'a> {
    ctx: &'a Context<'a>,
    inputs: &'a RootTaskInputs<'a>,
    manifest: &'a Manifest,
    nonce: &'a str,
    bindings: Digest,
    /// The files that the compilers read.
    seen: RefCell<BTreeSet<PathBuf>>,
}

impl Job<'_> {
    fn run(&self, dir: &Path) -> Result<(), Error> {
        let source = &self.inputs.recipe.source;
        let mut own = BTreeSet::new();
        // Nobody else links there until the result is read.
        let (path, _lock) = match source {
            _ if self.inputs.recipe.rumprun.is_some() => {
                let (target, lock) = self.target_dir()?;
                (rumprun::build(self, &target)?, Some(lock))
            }
            RootTaskSource::Crate(folder) => {
                let (target, lock) = self.target_dir()?;
                (crate_build::build(self, &folder.path, &[], &target)?, Some(lock))
            }
            RootTaskSource::C(files) => {
                let (target, lock) = self.target_dir()?;
                (csource::build(self, files, &mut own, &target)?, Some(lock))
            }
            RootTaskSource::Program(file) | RootTaskSource::Prebuilt(file) => (file.path.clone(), None),
            // The checks of recipes let it pass for rumprun alone.
            RootTaskSource::Package(_) => return Err(Error::Changed),
        };
        self.keep_seen();
        let mut data = files::read(&path)?;
        if self.inputs.recipe.rumprun.is_some() {
            rumprun::tls::drop_header(&mut data);
        }
        self.unchanged()?;
        let broken = |source| Error::Elf { path: path.clone(), source };
        let elf = Elf::parse(&data).map_err(broken)?;
        let offences = check::check(&elf, &self.limits(), &own);
        if !offences.is_empty() {
            return Err(Error::Check { path, offences });
        }
        let undeclared = needs::undeclared(&elf, self.inputs.recipe);
        if !undeclared.is_empty() {
            return Err(Error::Undeclared(undeclared));
        }
        let stripped = if let RootTaskSource::Prebuilt(_) = source {
            data.clone()
        } else {
            let stripped = strip(&data).map_err(broken)?;
            leaks::scan(&stripped, &self.places()?)?;
            stripped
        };
        files::write(&dir.join(ELF), &data)?;
        Ok(files::write(&dir.join(STRIPPED), stripped)?)
    }

    /// Whether the sources still are what the result is kept under: somebody may have saved a file while
    /// the compiler ran.
    fn unchanged(&self) -> Result<(), Error> {
        let sources = sources(self.ctx, self.inputs.recipe, self.inputs.toolchain)?;
        if digest(&contents(self.ctx, &sources)?) == self.inputs.sources {
            Ok(())
        } else {
            Err(Error::Changed)
        }
    }

    fn limits(&self) -> check::Limits {
        let hosted = self.inputs.recipe.rumprun.is_some();
        let bits = match self.inputs.kernel.options.get("ROOT_CNODE_SIZE_BITS") {
            Some(&OptionValue::Number(bits @ 1..=40)) => bits,
            // seL4's own default (`KernelRootCNodeSizeBits`).
            _ => 12,
        };
        let recipe = self.inputs.recipe;
        let memory = recipe.targets().into_iter().map(|target| recipe.memory(target)).min();
        check::Limits { memory: memory.unwrap_or(recipe.qemu.memory), slots: 1 << bits, hosted }
    }
}
