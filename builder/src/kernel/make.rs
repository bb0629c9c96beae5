//! Building a tree of the Makefile and Kconfig era (seL4 up to 10.0) without its Makefiles' recipes.
//!
//! As there: the tree's generators make headers, all C files become one unit, which is compiled once.
//! Unlike there: nothing is written into the tree, no path of the host gets into the kernel, and the
//! generators are not told which functions are unused (the compiler drops them, in less time).

use super::{
    Error, KernelTree, OverlayFile, elf32,
    headers::{Headers, PREPROCESS},
    makefile, option, options, parallel,
    script::Script,
};
use crate::{
    Context, Result,
    exec::Tool,
    files,
    kernel_config::{Arch, KernelConfig},
};
use std::{
    ffi::OsString,
    iter,
    path::{Path, PathBuf},
};

/// The kernel as a multiboot loader takes it, in the step's folder.
pub(super) const MULTIBOOT: &str = "kernel";
/// The kernel as it was linked.
pub(super) const ELF: &str = "kernel.elf";
/// libsel4's generated headers.
pub(super) const INCLUDE: &str = "include";
/// The options, as a header.
const AUTOCONF: &str = "autoconf.h";

/// Runs a generator of the tree with PLY kept from writing beside it.
const GENERATOR: &str = include_str!("../../../templates/kernel/generator.py");

/// What the tree's own Makefile passes, and what compilers since then need to be told: distributions
/// turn on position-independent code, CET and the stack protector; the kernel takes interrupts on its
/// own stack, so it has no red zone, and dereferences address 0 on purpose.
const COMPILE: &[&str] = &[
    "-std=c99",
    "-nostdlib",
    "-nostdinc",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-delete-null-pointer-checks",
    "-Wno-address-of-packed-member",
    "-Wno-array-bounds",
];
const COMPILE_X86_64: &[&str] = &[
    "-m64",
    "-mcmodel=kernel",
    "-mno-mmx",
    "-mno-sse",
    "-mno-sse2",
    "-mno-3dnow",
    "-mno-red-zone",
    "-fcf-protection=none",
];
/// `-n` keeps the file's layout dense: segments are not padded to pages.
const LINK: &[&str] = &[
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--build-id=none",
    "-Wl,-n",
    "-Wl,-z,noexecstack",
    "-Wl,-T,linker.lds",
];
const LINK_X86_64: &[&str] = &["-m64", "-Wl,-m,elf_x86_64"];

/// The names by which a tree's folders tell architectures and platforms apart.
pub(super) struct Layout {
    arch: &'static str,
    sel4_arch: &'static str,
    platform: &'static str,
    pub(super) word_bits: &'static str,
    /// The options that say the same as the kernel config's `arch` and `platform`.
    pub(super) required: &'static [&'static str],
    defines: &'static [&'static str],
    compile: &'static [&'static str],
    link: &'static [&'static str],
}

impl Layout {
    /// The names for `config`'s architecture and platform.
    pub(super) fn of(config: &KernelConfig, tree: &KernelTree) -> Result<Self, Error> {
        let platform = config.platform.name();
        match config.arch {
            Arch::X86_64 => Ok(Self {
                arch: "x86",
                sel4_arch: "x86_64",
                platform,
                word_bits: "64",
                required: &["ARCH_X86", "ARCH_X86_64", "PLAT_PC99"],
                defines: &["ARCH_X86", "X86_64", "__KERNEL_64__", "KERNEL_64=y", "__X86_64__=y"],
                compile: COMPILE_X86_64,
                link: LINK_X86_64,
            }),
            arch => {
                let (root, version) = (tree.root.clone(), tree.version.clone());
                Err(Error::Architecture { root, version, arch })
            }
        }
    }

    /// The macros that the sources expect a build system to define.
    pub(super) fn defines(&self) -> impl Iterator<Item = &'static str> {
        iter::once("HAVE_AUTOCONF").chain(self.defines.iter().copied())
    }

    /// libsel4's include folders in the tree.
    pub(super) fn libsel4(&self, root: &Path) -> [PathBuf; 4] {
        let libsel4 = root.join("libsel4");
        [
            libsel4.join("include"),
            libsel4.join("arch_include").join(self.arch),
            libsel4.join("sel4_arch_include").join(self.sel4_arch),
            libsel4.join("sel4_plat_include").join(self.platform),
        ]
    }

    /// The include folders in the tree that the Makefiles search; bitfield descriptions are there too.
    pub(super) fn kernel(&self, root: &Path) -> [PathBuf; 5] {
        let include = root.join("include");
        let arch = include.join("arch").join(self.arch);
        let platform = include.join("plat").join(self.platform);
        let (mode, platform_mode) =
            (arch.join("arch").join(self.word_bits), platform.join("plat").join(self.word_bits));
        [include, arch, platform, mode, platform_mode]
    }

    /// The Kconfig files that say something about this architecture and platform.
    pub(super) fn kconfig(&self, root: &Path) -> Vec<PathBuf> {
        let files = [
            "Kconfig".into(),
            format!("src/arch/{}/Kconfig", self.arch),
            format!("src/plat/{}/Kconfig", self.platform),
            "libsel4/Kconfig".into(),
        ];
        files.iter().map(PathBuf::from).filter(|file| root.join(file).is_file()).collect()
    }
}

/// The sources that the tree's Makefiles list for `config`.
pub(super) fn sources(
    config: &KernelConfig,
    tree: &KernelTree,
    layout: &Layout,
) -> Result<makefile::Sources, makefile::Error> {
    let mut variables = vec![
        ("ARCH", layout.arch),
        ("SEL4_ARCH", layout.sel4_arch),
        ("PLAT", layout.platform),
        ("TYPE_SUFFIX", layout.word_bits),
    ];
    if config.is_debug() {
        variables.push(("DEBUG", "1"));
    }
    makefile::sources(&tree.root, &variables)
}

/// One build, into the empty folder `dir`.
pub(super) struct Build<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) config: &'a KernelConfig,
    pub(super) tree: &'a KernelTree,
    pub(super) layout: &'a Layout,
    pub(super) overlays: &'a [OverlayFile],
    pub(super) cc: &'a Path,
    pub(super) python: &'a Path,
    pub(super) dir: &'a Path,
    pub(super) sources: &'a makefile::Sources,
}

/// Commands that run one after the other, beside other jobs.
pub(super) type Job = Vec<Tool>;

impl Build<'_> {
    pub(super) fn run(&self) -> Result<()> {
        self.prepare()?;
        self.all(Headers(self).kernel()?)?;
        self.concatenate()?;
        self.all(self.objects())?;
        self.link().run(&self.ctx.cancel)?;
        let multiboot = elf32::convert(&files::read(&self.dir.join(ELF))?).map_err(super::Error::from)?;
        files::write(&self.dir.join(MULTIBOOT), multiboot)?;
        Ok(files::remove(&self.work())?)
    }

    /// Runs `jobs` on all cores.
    fn all(&self, jobs: Vec<Job>) -> Result<()> {
        let run = |job: Job| -> parallel::Job<'_> {
            Box::new(move || {
                let mut tools = job.iter();
                Ok(tools.try_for_each(|tool| tool.run(&self.ctx.cancel).map(drop))?)
            })
        };
        parallel::run(jobs.into_iter().map(run).collect())
    }

    /// What is compiled once the generated headers and the unit of all C files are there.
    fn objects(&self) -> Vec<Job> {
        // The one long job first: the others find room beside it.
        let mut jobs = vec![self.compile(&["-c"], "kernel_all.c".into(), "kernel_all.o".into())];
        let assemble = |file: &PathBuf| self.compile(&["-c"], self.tree.root.join(file), object(file));
        jobs.extend(self.sources.asm.iter().map(assemble));
        let script = self.tree.root.join("src/plat").join(self.layout.platform).join("linker.lds");
        jobs.push(self.compile(PREPROCESS, script, "linker.lds".into()));
        jobs.extend(Headers(self).libsel4());
        jobs
    }

    /// The same as a script, in the same order but for what runs side by side. Nothing is run for it.
    pub(super) fn script(&self) -> Result<Script> {
        let mut script = Script::new(self.tree, self.dir);
        script.folders(self.folders());
        for (path, content) in self.written() {
            let name = path.strip_prefix(self.work()).map_or_else(|_| AUTOCONF.into(), Path::to_owned);
            script.file(&name, content, &path);
        }
        script.jobs(&Headers(self).kernel()?);
        script.concatenate(&self.unit(), TREE, &self.work().join("kernel_all.c"));
        script.jobs(&self.objects());
        script.jobs(&[vec![self.link()]]);
        Ok(script)
    }

    /// Where what is not kept is made. Tools run here and are given relative paths, so that none of
    /// this host's paths gets into what they make.
    pub(super) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Writes the inputs that are not in the tree, and makes the folders for the generated headers.
    fn prepare(&self) -> Result<()> {
        for folder in self.folders() {
            files::create_dir_all(&folder)?;
        }
        for (path, content) in self.written() {
            files::create_dir_all(path.parent().unwrap_or(self.dir))?;
            files::write(&path, content)?;
        }
        Ok(())
    }

    /// The inputs that are not in the tree.
    fn written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let work = self.work();
        let autoconf = options::autoconf(&self.config.options).into_bytes();
        let mut written = vec![
            (self.dir.join(INCLUDE).join(AUTOCONF), autoconf.clone()),
            (work.join(AUTOCONF), autoconf),
            (work.join("generator.py"), GENERATOR.into()),
        ];
        let overlays = self.overlays.iter();
        written.extend(overlays.map(|one| (work.join("overlay").join(&one.header), one.content.clone())));
        written
    }

    /// The folders for the generated headers.
    fn folders(&self) -> Vec<PathBuf> {
        let (work, include) = (self.work(), self.dir.join(INCLUDE));
        let user = ["sel4/sel4_arch", "sel4/arch"].map(|folder| include.join(folder));
        let made = ["api", "arch/api", "libsel4"].iter().map(Path::new);
        let bitfields = self.sources.bitfields.iter().filter_map(|file| file.parent());
        let searched = self.sources.include_dirs.iter().map(PathBuf::as_path);
        let kernel = made.chain(bitfields).chain(searched).map(|folder| work.join(folder));
        user.into_iter().chain(kernel).collect()
    }

    /// The C files of the kernel, in their order.
    fn unit(&self) -> Vec<&Path> {
        let domains = Path::new("src/config/default_domain.c");
        self.sources.c.iter().map(PathBuf::as_path).chain([domains]).collect()
    }

    /// All C files as one unit, as the tree's `cpp_gen.sh` makes it. Markers name places in the tree, for
    /// messages, `__FILE__` and debug information.
    fn concatenate(&self) -> Result<()> {
        let mut unit = Vec::new();
        for file in self.unit() {
            unit.extend(format!("#line 1 \"{TREE}/{}\"\n", file.display()).into_bytes());
            unit.extend(files::read(&self.tree.root.join(file))?);
        }
        Ok(files::write(&self.work().join("kernel_all.c"), unit)?)
    }

    /// The compiler with the kernel's flags, but without include folders, in `folder`.
    pub(super) fn compiler(&self, folder: &Path) -> Tool {
        let optimisation = self.config.options.keys().find_map(|name| name.strip_prefix("OPTIMISATION_"));
        let debug: &[&str] = if self.config.is_debug() { &["-g", "-DDEBUG"] } else { &[] };
        Tool::new(self.cc, folder)
            .env("TMPDIR", self.work())
            .args(COMPILE)
            .args(self.layout.compile)
            .arg(format!("-{}", optimisation.unwrap_or("O2")))
            .args(debug)
            .args(self.layout.defines().map(|define| format!("-D{define}")))
            .args([mapped(&self.tree.root, TREE), mapped(&self.work(), "build")])
    }

    /// Options for the folders that the kernel's sources include from, overlays first.
    pub(super) fn include_options(&self) -> Vec<OsString> {
        let made = self.sources.include_dirs.iter().map(|dir| option("-I", dir));
        let tree = self.layout.kernel(&self.tree.root);
        let tree = tree.iter().map(|dir| option("-I", dir));
        ["-Ioverlay", "-I."].map(OsString::from).into_iter().chain(made).chain(tree).collect()
    }

    /// A job that runs the compiler, or only a part of it, as `mode` says.
    fn compile(&self, mode: &[&str], source: PathBuf, output: PathBuf) -> Job {
        let tool = self.compiler(&self.work()).args(self.include_options()).args(mode);
        vec![tool.args([source.as_os_str(), "-o".as_ref(), output.as_os_str()])]
    }

    fn link(&self) -> Tool {
        let elf = self.dir.join(ELF);
        Tool::new(self.cc, &self.work())
            .env("TMPDIR", self.work())
            .args(LINK)
            .args(self.layout.link)
            .args(self.sources.asm.iter().map(|file| object(file)))
            .args(["kernel_all.o".as_ref(), "-o".as_ref(), elf.as_os_str()])
    }
}

/// What the tree is called in everything that is made from it.
const TREE: &str = "sel4";

/// `src/arch/x86/64/head.S` → `src-arch-x86-64-head.o`
fn object(source: &Path) -> PathBuf {
    let name = source.with_extension("o");
    name.to_string_lossy().replace('/', "-").into()
}

fn mapped(from: &Path, to: &str) -> OsString {
    let mut mapped = option("-ffile-prefix-map=", from);
    mapped.push(format!("={to}"));
    mapped
}
