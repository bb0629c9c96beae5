//! Building a tree of the CMake era (seL4 10.1 and later) with its own CMake files, out of tree.
//!
//! The tree is only read: Python writes no caches beside the generators, CMake works in the step's folder, and
//! what the compiler and the generators see of the environment is a fixed set. The result has the layout of an
//! installed prefix, so that what comes next reads the same files wherever the kernel is from.

use super::{
    Error, KernelTree, cmake_options, elf32, make,
    resolved::{self, declared_numbers},
    script::Script,
};
use crate::{
    Context, Result,
    exec::{self, Tool},
    files,
    inputs::tools::HostTool,
    kernel_config::{Arch, KernelConfig},
    template,
};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The host's tools that a CMake-era tree needs, besides the C compiler and Python.
const TOOLS: [&str; 3] = ["cmake", "ninja", "xmllint"];
/// What a tree makes of a device tree, in the build folder and in the layout of a prefix.
const SUPPORT: [(&str, &str); 3] = [
    ("kernel.dtb", "support/kernel.dtb"),
    ("gen_headers/plat/machine/platform_gen.json", "support/platform_gen.json"),
    ("gen_headers/plat/machine/platform_gen.yaml", "support/platform_gen.yaml"),
];
/// libsel4's headers, the generated ones among them, in the step's folder.
pub(super) const INCLUDE: &str = "libsel4/include";

const WRAPPER: &str = include_str!("../../../templates/kernel/CMakeLists.txt");
const TOOLCHAIN: &str = include_str!("../../../templates/kernel/toolchain.cmake.hbs");

/// The names by which the trees call Python.
const PYTHONS: [&str; 3] = ["python", "python2", "python3"];

/// Warnings of compilers newer than these trees, which make every warning an error.
const FORMER_WARNINGS: &str = "-Wno-address-of-packed-member -Wno-array-bounds";

/// The host's tools that such a tree needs for `arch`, besides the C compiler and Python: where the kernel is made for
/// one machine, those that the tree has the machine's device tree from.
pub(super) fn tools(arch: Arch) -> Vec<&'static str> {
    let device_tree = arch.device_tree_from().map(|qemu| ["dtc", qemu]);
    TOOLS.into_iter().chain(device_tree.into_iter().flatten()).collect()
}

/// What the Python programs of `tree` import when they make a kernel for `arch`.
pub(super) fn modules(tree: &KernelTree, arch: Arch) -> &'static [&'static str] {
    match (is_former(tree), arch.device_tree_from()) {
        (true, None) => &["jinja2", "past.builtins", "pkg_resources", "ply", "six"],
        (true, Some(_)) => &["jinja2", "past.builtins", "pkg_resources", "ply", "pyfdt.pyfdt", "six", "yaml"],
        (false, None) => &["jinja2", "lxml.etree", "ply", "yaml"],
        (false, Some(_)) => &["jinja2", "lxml.etree", "ply", "pyfdt.pyfdt", "yaml"],
    }
}

/// Whether the tree's own CMakeLists.txt makes the kernel only, and libsel4 is another project (up to 12.1).
fn is_former(tree: &KernelTree) -> bool {
    let text = fs::read_to_string(tree.root.join("CMakeLists.txt")).unwrap_or_default();
    !text.contains("add_subdirectory(libsel4)")
}

/// One build, into the empty folder `dir`.
#[derive(Clone, Copy)]
pub(super) struct Build<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) config: &'a KernelConfig,
    pub(super) tree: &'a KernelTree,
    pub(super) cc: &'a Path,
    pub(super) tools: &'a [HostTool],
    pub(super) python: &'a Path,
    pub(super) dir: &'a Path,
}

/// One build and the folder for what is not kept of it.
struct Work<'a> {
    ctx: &'a Context<'a>,
    config: &'a KernelConfig,
    tree: &'a KernelTree,
    cc: &'a Path,
    tools: &'a [HostTool],
    python: &'a Path,
    dir: &'a Path,
    folder: PathBuf,
}

#[derive(Serialize)]
struct Toolchain {
    cc: String,
    cross: Option<&'static str>,
}

impl Build<'_> {
    pub(super) fn run(&self) -> Result<()> {
        let what = format!("kernel {} from seL4 {}", self.config.name, self.tree.version);
        self.ctx.progress.begin(&what);
        let made = self.make();
        self.ctx.progress.end(&what, if made.is_ok() { "built" } else { "failed" });
        made
    }

    /// seL4's CMake files hand paths to tools without quotes: below a path with blanks or other characters that a
    /// shell reads, the work is done elsewhere.
    fn make(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%=".contains(c);
        if self.dir.to_string_lossy().chars().all(plain) {
            return self.work(self.dir.join("work")).make();
        }
        let apart = tempfile::tempdir().map_err(files::Error::at("make", &std::env::temp_dir()))?;
        self.work(apart.path().join("work")).make()
    }

    /// The same as a script. Nothing is run for it.
    pub(super) fn script(&self) -> Script {
        self.work(self.dir.join("work")).script()
    }

    fn work(&self, folder: PathBuf) -> Work<'_> {
        let Self { ctx, config, tree, cc, tools, python, dir } = *self;
        Work { ctx, config, tree, cc, tools, python, dir, folder }
    }
}

impl Work<'_> {
    fn make(&self) -> Result<()> {
        self.prepare()?;
        self.configure().run(&self.ctx.cancel)?;
        cmake_options::check(self.ctx.project, self.config, self.tree, &self.build())?;
        self.ninja().run(&self.ctx.cancel)?;
        self.collect()?;
        Ok(files::remove(&self.folder)?)
    }

    fn build(&self) -> PathBuf {
        self.folder.join("build")
    }

    fn tool(&self, name: &str) -> PathBuf {
        let found = self.tools.iter().find(|tool| tool.name == name);
        found.map_or_else(|| name.into(), |tool| tool.path.clone())
    }

    /// Writes what is not in the tree: the toolchain, Python under the names that the trees use, and for former
    /// trees the project around them.
    fn prepare(&self) -> Result<()> {
        let bin = self.folder.join("bin");
        files::create_dir_all(&bin)?;
        let stand_in = |name: &str, program: &Path, options: &str| {
            let (path, program) = (bin.join(name), exec::quote(&program.to_string_lossy()));
            files::write(&path, format!("#!/bin/sh\nexec {program} {options} \"$@\"\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(files::Error::at("write", &path))
        };
        for name in PYTHONS {
            stand_in(name, self.python, "-B -s")?;
        }
        if let Some(qemu) = self.config.arch.device_tree_from() {
            // The tree asks QEMU for the device tree, in which there are seeds of the guest's randomness.
            stand_in(qemu, &self.tool(qemu), "-seed 0")?;
        }
        for (path, content) in self.written() {
            files::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            files::write(&path, content)?;
        }
        Ok(())
    }

    /// What is not in the tree, but Python and what stands in for QEMU.
    fn written(&self) -> Vec<(PathBuf, String)> {
        let work = &self.folder;
        let toolchain =
            Toolchain { cc: self.cc.display().to_string(), cross: self.config.arch.cross_prefix() };
        let toolchain = (work.join("toolchain.cmake"), template::render(TOOLCHAIN, &toolchain));
        let project = is_former(self.tree).then(|| (work.join("project/CMakeLists.txt"), WRAPPER.to_owned()));
        std::iter::once(toolchain).chain(project).collect()
    }

    fn script(&self) -> Script {
        let mut script = Script::new(self.tree, self.dir);
        script.pythons(&PYTHONS, &self.folder.join("bin"));
        for (path, content) in self.written() {
            let name = path.file_name().unwrap_or_default();
            script.file(Path::new(name), content.into_bytes(), &path);
        }
        script.jobs(&[vec![self.configure(), self.ninja()]]);
        script.copy(&self.kernel().join("kernel.elf"), &self.dir.join(make::ELF));
        script
    }

    /// What every nested tool sees: the fixed environment of [`Tool`], with our Python first.
    fn cleared(&self, tool: Tool) -> Tool {
        let mut path = self.folder.join("bin").into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        // The order of a set of strings must not depend on chance.
        tool.env("PATH", path).env("PYTHONHASHSEED", "0").env("TMPDIR", self.folder.clone())
    }

    fn ninja(&self) -> Tool {
        self.cleared(Tool::new(self.tool("ninja"), &self.folder)).arg("-C").arg(self.build())
    }

    fn configure(&self) -> Tool {
        let source = if is_former(self.tree) { self.folder.join("project") } else { self.tree.root.clone() };
        let maps = [(&self.tree.root, "sel4"), (&self.folder, "build")]
            .map(|(from, to)| format!("\"-ffile-prefix-map={}={to}\"", from.display()))
            .join(" ");
        let former = if is_former(self.tree) { FORMER_WARNINGS } else { "" };
        let define = |name: &str, value: &str| format!("-D{name}={value}");
        let cmake = Tool::new(self.tool("cmake"), &self.folder)
            .args(["-G", "Ninja", "-S"])
            .arg(source)
            .arg("-B")
            .arg(self.build())
            .args([
                define("CMAKE_MAKE_PROGRAM", &self.tool("ninja").display().to_string()),
                define("CMAKE_TOOLCHAIN_FILE", &self.folder.join("toolchain.cmake").display().to_string()),
                // seL4 chooses its own optimisation.
                define("CMAKE_BUILD_TYPE", "None"),
                define("CMAKE_C_FLAGS", &format!("{maps} {former}")),
                define("CMAKE_ASM_FLAGS", &maps),
                define("SELKIE_TREE", &self.tree.root.display().to_string()),
            ]);
        let cmake = match is_former(self.tree) {
            // The former trees' check for circles of includes stops at the line markers of gcc 11 and later. It
            // makes nothing.
            true => cmake.arg(define("CIRCULAR_INCLUDES", "/bin/true")),
            false => cmake,
        };
        let options = cmake_options::all(self.config, self.tree);
        let options = options.iter().map(|(name, value)| define(name, value));
        self.cleared(cmake.args(options))
    }

    /// Where CMake makes the kernel.
    fn kernel(&self) -> PathBuf {
        if is_former(self.tree) { self.build().join("kernel") } else { self.build() }
    }

    /// Takes kernel, headers and options out of the build folder.
    fn collect(&self) -> Result<()> {
        let build = self.build();
        let (kernel, libsel4) = (self.kernel(), build.join("libsel4"));
        let elf = files::read(&kernel.join("kernel.elf"))?;
        files::write(&self.dir.join(make::ELF), &elf)?;
        match self.config.arch.device_tree_from() {
            None => {
                let multiboot = elf32::convert(&elf).map_err(Error::from)?;
                files::write(&self.dir.join(make::MULTIBOOT), multiboot)?;
            }
            Some(_) => {
                files::create_dir_all(&self.dir.join("support"))?;
                for (from, to) in SUPPORT {
                    files::copy(&kernel.join(from), &self.dir.join(to))?;
                }
            }
        }
        let include = self.dir.join(INCLUDE);
        let sources = self.tree.include_dirs(self.config);
        let arch = self.config.arch;
        let made = [
            libsel4.join("include"),
            libsel4.join("arch_include").join(arch.family()),
            libsel4.join("sel4_arch_include").join(arch.to_string()),
            kernel.join("gen_config"),
            libsel4.join("gen_config"),
            libsel4.join("autoconf"),
        ];
        for folder in sources.iter().chain(&made).filter(|folder| folder.is_dir()) {
            self.copy_headers(folder, &include)?;
        }
        let numbers = match is_former(self.tree) {
            true => declared_numbers(&self.tree.root)?,
            false => BTreeSet::new(),
        };
        let options = resolved::read(&include, &numbers).map_err(Error::from)?;
        Ok(resolved::keep(self.dir, &options)?)
    }

    /// Copies what a compiler or the bindings' generator reads below `from`. Generated files say in a comment
    /// where they were made, and up to 12.1 in the names of their include guards: such places are left out.
    fn copy_headers(&self, from: &Path, to: &Path) -> Result<()> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let places =
            [(path(&self.folder), "build"), (path(&self.tree.root), "sel4"), (guard(&self.folder), "BUILD")];
        for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
            let entry = entry.map_err(|error| files::Error::at("read", from)(error.into()))?;
            let path = entry.path();
            let wanted = path.extension().is_some_and(|end| ["h", "pbf", "json"].iter().any(|e| end == *e));
            let Ok(relative) = path.strip_prefix(from) else { continue };
            if !wanted || !path.is_file() {
                continue;
            }
            let target = to.join(relative);
            files::create_dir_all(target.parent().unwrap_or(to))?;
            let content = files::read(path)?;
            let content = match String::from_utf8(content) {
                Ok(text) => {
                    places.iter().fold(text, |text, (place, name)| text.replace(place, name)).into_bytes()
                }
                Err(error) => error.into_bytes(),
            };
            files::write(&target, content)?;
        }
        Ok(())
    }
}

/// `path` in the name of an include guard, as the former trees' `bitfield_gen.py` writes it.
fn guard(path: &Path) -> String {
    let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    path.to_string_lossy().chars().map(part).collect()
}
