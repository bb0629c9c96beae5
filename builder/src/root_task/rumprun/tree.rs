//! The user's tree of upstream rumprun: where it lies, whether it is whole, and what identifies it.
//!
//! Rumprun is in no package registry. The user builds it with its own `build-rr.sh` for the platform `hw` and names the
//! folder. It is only ever read.

use super::libraries::{ALWAYS, CXX, Place, VIRTIF};
use crate::{
    Context, Digest,
    exec::{self, Tool},
    files,
    inputs::tree,
    memory,
    recipe::{Component, Recipe, Rumprun},
};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How upstream's own build makes a tree. From GCC 10 on NetBSD's sources need `-fcommon`, and both their programs for
/// the host and the libraries warn of what nobody will mend.
pub(crate) const RECIPE: &str = "HOST_CFLAGS='-fcommon -w -O2' ./build-rr.sh hw -- -F CFLAGS='-fcommon -w'";

/// What the names of rumprun's tools begin with.
pub(super) const TUPLE: &str = "x86_64-rumprun-netbsd";
/// Below the tree: what is installed, and the folder with headers and libraries in it.
const PREFIX: &str = "rumprun";
const SYSROOT: &str = "rumprun/rumprun-x86_64";
/// Below the tree: what its build leaves behind.
const OBJECTS: &str = "obj-amd64-hw";
/// The tools that are used.
const TOOLS: [&str; 3] = ["gcc", "ld", "objcopy"];
/// Texts of the tree that the compiler reads, which have its place in them; that does not count.
const SPECS: [&str; 2] = ["lib/specs-compile_or_ferment", "lib/specs-stub"];
/// The version of the scripts that this module knows: upstream's last.
const SCRIPTS: &str = "20160209";

/// A rumprun tree, found and checked.
#[derive(Debug, Clone, Serialize)]
pub struct Tree {
    /// The folder in which `build-rr.sh` was run.
    #[serde(skip)]
    pub root: PathBuf,
    /// The same folder as it was called when the tree was built: the libraries have that in them.
    #[serde(skip)]
    pub built: PathBuf,
    /// The release of NetBSD whose sources it was built from, for instance `NetBSD 7.99.34`.
    pub version: String,
    /// The digest of the libraries, of the headers, and of what the compiler is told.
    pub digest: Digest,
}

/// There is no rumprun tree, or it is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user has to name one.
    #[error(
        "`{name}` is linked with rumprun, and no rumprun tree is named\n  help: name the folder in which `build-rr.sh hw` was run with `--rumprun DIR`, with RUMPRUN_DIR, or with `tree` in [rumprun] of the recipe; docs/rumprun.md says how to get one"
    )]
    NotNamed {
        /// The recipe's name.
        name: String,
    },
    /// The folder is none.
    #[error(
        "{root}: this is no rumprun tree: there is no `build-rr.sh` and no `rumprun/bin` in it\n  help: name the top folder of a checkout of rumprun in which `build-rr.sh hw` was run; docs/rumprun.md says how to get one"
    )]
    NotATree {
        /// The folder.
        root: PathBuf,
    },
    /// Something is missing that its build makes.
    #[error(
        "{root}: this rumprun tree is not whole: {lacks}\n  help: build it there with upstream's own script: {RECIPE}"
    )]
    NotWhole {
        /// The tree.
        root: PathBuf,
        /// What is missing.
        lacks: String,
    },
    /// The tree was built somewhere else.
    #[error(
        "{root}: this rumprun tree was moved: it was built as {built}, and its tools have that path in them\n  help: move it back, or build it anew where it lies: {RECIPE}"
    )]
    Moved {
        /// Where it lies.
        root: PathBuf,
        /// Where it was built.
        built: PathBuf,
    },
    /// Scripts of another version.
    #[error(
        "{root}: the scripts of this rumprun tree are of version {found}, and Selkie knows {SCRIPTS}\n  help: take upstream's last version; docs/rumprun.md says where it is"
    )]
    Scripts {
        /// The tree.
        root: PathBuf,
        /// What `rumprun-bake.conf` says.
        found: String,
    },
    /// The compiler does not compile.
    #[error(
        "{root}: the compiler of this rumprun tree does not work\n{source}\n  help: build the tree anew with the compiler that this host has: {RECIPE}"
    )]
    Compiler {
        /// The tree.
        root: PathBuf,
        /// What happened.
        source: Box<exec::Error>,
    },
    /// A component's library is missing.
    #[error(
        "{root}: the component `{component}` needs `{library}`, which this rumprun tree does not have\n  help: {help}"
    )]
    Library {
        /// The tree.
        root: PathBuf,
        /// The component.
        component: &'static str,
        /// The file.
        library: String,
        /// How the tree gets it.
        help: String,
    },
    /// The libraries of C++ are missing.
    #[error(
        "{root}: the program has C++ in it, and this rumprun tree was built without: `{library}` is missing\n  help: install a C++ compiler (Debian: g++) and build the tree anew: {RECIPE}"
    )]
    NoCxx {
        /// The tree.
        root: PathBuf,
        /// The first file that is missing.
        library: String,
    },
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(Box<exec::Error>),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Tree(error) => error.exit_code(),
    Error::Cancelled(error) => error.exit_code(),
    _ => crate::ExitCode::HostLacks,
});

/// What is known of a folder that is to be a rumprun tree.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Survey {
    /// The folder.
    pub root: PathBuf,
    /// What is wrong with it; none when programs can be linked from it.
    pub fault: Option<String>,
    /// The release of NetBSD.
    pub version: Option<String>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// The components of recipes, in order.
    pub components: Vec<ComponentThere>,
}

/// A component, and whether a tree has it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComponentThere {
    /// Its word in a recipe.
    pub name: &'static str,
    /// What is missing and how the tree gets it; none when all of it is there.
    pub lacks: Option<String>,
}

impl Survey {
    /// Looks at the folder `root`.
    pub fn of(ctx: &Context<'_>, root: &Path) -> Self {
        let tree = Tree::find(ctx, root);
        let fault = tree.as_ref().err().map(ToString::to_string);
        let tree = tree.ok();
        let there = |tree: &Tree| {
            let component = |one: Component| ComponentThere {
                name: one.name(),
                lacks: tree.has(one).err().map(|error| error.to_string()),
            };
            Component::ALL.into_iter().map(component).collect()
        };
        Self {
            root: root.to_owned(),
            fault,
            version: tree.as_ref().map(|tree| tree.version.clone()),
            digest: tree.as_ref().map(|tree| tree.digest),
            components: tree.as_ref().map(there).unwrap_or_default(),
        }
    }
}

impl Tree {
    /// The tree that `recipe` is linked with; none when its libOS is another.
    ///
    /// # Errors
    /// When none is named, it is not whole, or it lacks what the recipe's components need.
    pub fn of_recipe(ctx: &Context<'_>, recipe: &Recipe) -> Result<Option<Self>, Error> {
        let Some(rumprun) = &recipe.rumprun else { return Ok(None) };
        let Some(root) = named(rumprun) else {
            return Err(Error::NotNamed { name: recipe.function.name.clone() });
        };
        let tree = Self::find(ctx, &root)?;
        for component in &rumprun.components {
            tree.has(*component)?;
        }
        Ok(Some(tree))
    }

    /// The tree in the folder `root`, or in the one above when that is its `rumprun/`.
    ///
    /// Nothing is run and no file's content read when all is as it was the last time.
    ///
    /// # Errors
    /// When it is not whole, was moved, or its compiler does not work.
    pub fn find(ctx: &Context<'_>, root: &Path) -> Result<Self, Error> {
        let root = top(root)?;
        let built = root.clone();
        let mut tree = Self { root, built, version: String::new(), digest: Digest::of("") };
        tree.check_files()?;
        tree.built = tree.check_place()?;
        tree.check_scripts()?;
        tree.version = tree.netbsd()?;
        tree.digest = tree.digest_of(ctx)?;
        tree.check_compiler(ctx)?;
        Ok(tree)
    }

    /// A tool of the tree, for instance `gcc`.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.root.join(PREFIX).join("bin").join(format!("{TUPLE}-{name}"))
    }

    /// What makes an image for upstream's own platform of a linked program.
    pub(crate) fn bake(&self) -> PathBuf {
        self.root.join(PREFIX).join("bin/rumprun-bake")
    }

    /// The folder with headers and libraries.
    pub(super) fn sysroot(&self) -> PathBuf {
        self.root.join(SYSROOT)
    }

    /// A library by its name without `lib` and `.a`.
    pub(super) fn library(&self, place: Place, name: &str) -> PathBuf {
        let file = format!("lib{name}.a");
        match place {
            Place::Kernel => self.sysroot().join("lib/rumprun-hw").join(file),
            Place::Program => self.sysroot().join("lib").join(file),
            Place::Objects => self.root.join(OBJECTS).join("lib").join(format!("lib{name}")).join(file),
        }
    }

    /// The libraries of C++ that the tree has.
    pub(super) fn cxx(&self) -> impl Iterator<Item = PathBuf> {
        CXX.iter().map(|(place, name)| self.library(*place, name)).filter(|path| path.is_file())
    }

    /// Why a program in C++ lacks something: the tree does not have the libraries for that.
    pub(super) fn lacks_cxx(&self) -> Option<Error> {
        let mut paths = CXX.iter().map(|(place, name)| self.library(*place, name));
        let library = self.inside(&paths.find(|path| !path.is_file())?);
        Some(Error::NoCxx { root: self.root.clone(), library })
    }

    /// Whether the tree has what `component` is linked with.
    fn has(&self, component: Component) -> Result<(), Error> {
        match self.lacking(component) {
            None => Ok(()),
            Some(library) => {
                let help = match component {
                    Component::Net => {
                        format!("upstream's script does not build it; this does: {}", self.virtif())
                    }
                    _ => format!(
                        "take `{}` out of `components` in [rumprun] of the recipe, or build the tree anew: {RECIPE}",
                        component.name()
                    ),
                };
                Err(Error::Library { root: self.root.clone(), component: component.name(), library, help })
            }
        }
    }

    /// The commands that build the library of the network card with the tree's own tools.
    pub(crate) fn virtif(&self) -> String {
        let (root, objects) = (self.root.display(), self.root.join(OBJECTS).join("virtif"));
        let objects = objects.display();
        format!(
            "cd {root}/src-netbsd/sys/rump/net/lib/libvirtif && mkdir -p {objects} && MAKEOBJDIR={objects} \
             {root}/{OBJECTS}/rumptools/rumpmake RUMPCOMP_USER_SRCS= MKPIC=no dependall && cp \
             {objects}/lib{VIRTIF}.a {}/",
            self.sysroot().join("lib/rumprun-hw").display()
        )
    }

    /// The library that `component` needs and the tree does not have.
    fn lacking(&self, component: Component) -> Option<String> {
        let paths = component.libraries().iter().map(|name| self.library(Place::Kernel, name));
        paths.into_iter().find(|path| !path.is_file()).map(|path| file_name(&path))
    }

    /// What every program is linked with is there.
    fn check_files(&self) -> Result<(), Error> {
        let lacks = |lacks: String| Err(Error::NotWhole { root: self.root.clone(), lacks });
        if !self.root.join(PREFIX).join("bin").is_dir() {
            return lacks("it is not built yet".to_owned());
        }
        if let Some(tool) = TOOLS.iter().map(|name| self.tool(name)).find(|tool| !tool.is_file()) {
            return lacks(format!("`{}` is missing", self.inside(&tool)));
        }
        if !self.root.join(OBJECTS).is_dir() {
            return lacks(format!(
                "its folder `{OBJECTS}` is missing, which has libraries that are installed nowhere: it must stay"
            ));
        }
        let paths = ALWAYS.iter().map(|(place, name)| self.library(*place, name));
        match paths.into_iter().find(|path| !path.is_file()) {
            Some(path) => lacks(format!("`{}` is missing", self.inside(&path))),
            None => Ok(()),
        }
    }

    /// The names of this machine that the tree's libraries may have in them.
    pub(in crate::root_task) fn places(&self) -> [PathBuf; 2] {
        [self.root.clone(), self.built.clone()]
    }

    /// The tree lies where it was built: how that was called.
    fn check_place(&self) -> Result<PathBuf, Error> {
        let compiler = self.tool("gcc");
        let text = String::from_utf8_lossy(&files::read(&compiler)?).into_owned();
        let words = text.split_whitespace();
        let sysroot = words.skip_while(|word| *word != "--sysroot").nth(1).map(Path::new);
        let built = sysroot.and_then(Path::parent).and_then(Path::parent).map(files::clean);
        let Some(built) = built else {
            let lacks =
                format!("`{}` is not the compiler that upstream's build installs", self.inside(&compiler));
            return Err(Error::NotWhole { root: self.root.clone(), lacks });
        };
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if real(&built) == real(&self.root) {
            Ok(built)
        } else {
            Err(Error::Moved { root: self.root.clone(), built })
        }
    }

    fn check_scripts(&self) -> Result<(), Error> {
        let config = self.root.join(PREFIX).join("etc/rumprun-bake.conf");
        let text = String::from_utf8_lossy(&files::read(&config)?).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix("version ")).unwrap_or("unknown").trim();
        if found == SCRIPTS {
            Ok(())
        } else {
            Err(Error::Scripts { root: self.root.clone(), found: found.to_owned() })
        }
    }

    /// The release of NetBSD that the headers are of.
    fn netbsd(&self) -> Result<String, Error> {
        let header = self.sysroot().join("include/sys/param.h");
        let text = String::from_utf8_lossy(&files::read(&header)?).into_owned();
        let number = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let named = words.next() == Some("#define") && words.next() == Some("__NetBSD_Version__");
            words.next().filter(|_| named)?.parse::<u64>().ok()
        });
        // MMmmrrpp00, as the header says itself.
        Ok(number.map_or_else(
            || "NetBSD".to_owned(),
            |number| {
                let (major, minor, patch) =
                    (number / 100_000_000, number / 1_000_000 % 100, number / 100 % 100);
                format!("NetBSD {major}.{minor}.{patch}")
            },
        ))
    }

    /// The digest of what is linked, of the headers, and of what the compiler is told.
    fn digest_of(&self, ctx: &Context<'_>) -> Result<Digest, Error> {
        let sysroot = self.sysroot();
        let mut parts: Vec<(String, Option<Digest>)> = Vec::new();
        let headers = tree::digest(ctx, &sysroot.join("include"))?;
        parts.push(("include".to_owned(), Some(headers)));
        for entry in files::sorted_entries(&sysroot.join("lib/rumprun-hw"))? {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "a") {
                parts.push((self.inside(&path), tree::digest_of_file(ctx, &path)?));
            }
        }
        for path in ALWAYS.iter().map(|(place, name)| self.library(*place, name)).chain(self.cxx()) {
            parts.push((self.inside(&path), tree::digest_of_file(ctx, &path)?));
        }
        for path in SPECS.map(|name| sysroot.join(name)).into_iter().chain(TOOLS.map(|name| self.tool(name)))
        {
            parts.push((self.inside(&path), Some(self.without_place(&path)?)));
        }
        Ok(Digest::of_json(&parts))
    }

    /// The digest of a text of the tree, but for the place of the tree.
    fn without_place(&self, path: &Path) -> Result<Digest, Error> {
        let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
        // As the scripts write it, and as it is.
        let root = self.root.display();
        Ok(Digest::of(text.replace(&format!("{root}/./"), "/").replace(&format!("{root}/"), "/")))
    }

    /// The compiler compiles. Asked once for a tree and for the host's compiler, which it runs.
    fn check_compiler(&self, ctx: &Context<'_>) -> Result<(), Error> {
        let host = crate::inputs::tools::find(ctx, "cc").map(|cc| cc.digest).ok();
        let key = Digest::of_json(&(&self.root, self.digest, host));
        let known = ctx.project.cache().join("rumprun").join(format!("{}.json", key.short(32)));
        if memory::recall::<bool>(&known) == Some(true) {
            return Ok(());
        }
        let dir = tempfile::tempdir().map_err(files::Error::at("make", &std::env::temp_dir()))?;
        let source = dir.path().join("hello.c");
        files::write(&source, "#include <stdio.h>\n#ifndef __NetBSD__\n#error not for NetBSD\n#endif\n")?;
        let tool = Tool::new(self.tool("gcc"), dir.path()).env("TMPDIR", dir.path());
        match tool.args(["-c", "hello.c", "-o", "hello.o"]).run(&ctx.cancel) {
            Ok(_) => memory::keep(&known, &true),
            Err(error @ exec::Error::Cancelled { .. }) => return Err(Error::Cancelled(Box::new(error))),
            Err(source) => return Err(Error::Compiler { root: self.root.clone(), source: Box::new(source) }),
        }
        Ok(())
    }

    /// A path as it is from the top of the tree.
    fn inside(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// The folder that is named for a recipe: by the user, else by the recipe.
pub(super) fn named(rumprun: &Rumprun) -> Option<PathBuf> {
    let written = rumprun.tree.as_ref().map(|tree| tree.path.clone());
    rumprun.named.clone().or(written)
}

/// The top of the tree that `root` is, or is the installed part of.
fn top(root: &Path) -> Result<PathBuf, Error> {
    let is_top = |dir: &Path| dir.join("build-rr.sh").is_file() || dir.join(PREFIX).join("bin").is_dir();
    let above = root.parent().filter(|above| root.ends_with(PREFIX) && is_top(above));
    match above {
        Some(above) => Ok(above.to_owned()),
        None if is_top(root) => Ok(root.to_owned()),
        None => Err(Error::NotATree { root: root.to_owned() }),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
