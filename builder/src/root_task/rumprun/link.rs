//! `rump.o`: the program, the parts of NetBSD's kernel, and its libraries for programs, as one relocatable object.

use super::{
    Error, Job, Tree,
    libraries::{ALWAYS, Place},
    scrub::scrub,
};
use crate::{elf::Elf, exec::Tool, files, recipe::Component};
use object::elf::SHN_UNDEF;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What is linked.
pub(super) struct Link<'a> {
    /// The rumprun tree.
    pub(super) tree: &'a Tree,
    /// The parts of the rump kernel beside those that every program has.
    pub(super) components: &'a [Component],
    /// The program's object files.
    pub(super) objects: &'a [PathBuf],
    /// Whether it has C++ in it.
    pub(super) cxx: bool,
}

/// The program's `main` under the name that the platform calls it by: what rumprun takes for the program's begin is the
/// platform's, which hands arguments, environment and files over.
const MAIN: &str = "main=selkie_program_main";

/// Functions of rumprun that the platform stands in for: who calls them calls `__wrap_…` instead. They end the program,
/// give random bytes and memory, and keep handlers of signals.
const WRAPPED: [&str; 14] = [
    "_exit",
    "rumpuser_getrandom",
    "bmk_pgalloc",
    "bmk_pgalloc_align",
    "sigaction",
    "__sigaction14",
    "sigprocmask",
    "__sigprocmask14",
    "_sys___sigprocmask14",
    "kill",
    "_lwp_kill",
    "__fork",
    "__vfork14",
    "_sys___wait450",
];

/// What only the platform asks the libraries for (`runtime/rumprun/src/bmk.rs`): it has to be linked in and to stay
/// global.
const CALLED: [&str; 38] = [
    "bmk_core_init",
    "bmk_current",
    "bmk_mainthread",
    "bmk_memalloc",
    "bmk_memfree",
    "bmk_memsize",
    "bmk_pgalloc",
    "bmk_pgalloc_align",
    "bmk_pgalloc_loadmem",
    "bmk_printf_init",
    "bmk_sched_block",
    "bmk_sched_blockprepare",
    "bmk_sched_blockprepare_timeout",
    "bmk_sched_create",
    "bmk_sched_init",
    "bmk_sched_startmain",
    "bmk_sched_wake",
    "bmk_sched_yield",
    "close",
    "dup2",
    "environ",
    "exit",
    "fcntl",
    "getpid",
    "mkdir",
    "open",
    "pgalloc_totalkb",
    "pgalloc_usedkb",
    "pipe",
    "pthread_create",
    "rump___sysimpl_mount50",
    "rumprun_main1",
    "rumprun_reboot",
    "rumpuser__hyp",
    "setenv",
    "strerror",
    "write",
    "__errno",
];
/// What else of it stays global.
const KEPT: [&str; 2] = ["selkie_program_main", "rump_virtif_*"];

/// Sections that are of no use in a root task. With one that asks for an executable stack the linker would refuse it.
const DROPPED: [&str; 4] = [".note.*", ".comment", ".ident", ".gnu.warning.*"];

/// Links `rump.o` in the folder `work`.
pub(super) fn rump_object(job: &Job<'_>, link: &Link<'_>, work: &Path) -> Result<PathBuf, Error> {
    let dir = tempfile::tempdir_in(work).map_err(Error::io(work))?;
    let [program, whole, object] = ["program.o", "whole.o", "rump.o"].map(|name| dir.path().join(name));
    let run = |tool: Tool| tool.env("TMPDIR", dir.path()).run(&job.ctx.cancel);
    let [ld, objcopy] = ["ld", "objcopy"].map(|name| Tool::new(link.tree.tool(name), dir.path()));
    run(ld.clone().args(["-r", "-o"]).arg(&program).args(link.objects))?;
    run(objcopy.clone().args(["--redefine-sym", MAIN]).arg(&program))?;
    run(ld.args(link.arguments(&program, &whole)))?;
    run(objcopy.args(keep()).arg(&whole).arg(&object))?;
    let mut data = files::read(&object)?;
    scrub(&mut data, &link.tree.places());
    super::super::link::store(work, "rump", "o", &data)
}

/// The arguments of `objcopy` that make all names local but those that the platform has to do with.
fn keep() -> Vec<String> {
    let mut args = vec!["-w".to_owned(), "-g".to_owned()];
    args.extend(DROPPED.iter().flat_map(|name| ["-R".to_owned(), (*name).to_owned()]));
    args.extend(CALLED.iter().chain(&KEPT).flat_map(|name| ["-G".to_owned(), (*name).to_owned()]));
    args
}

impl Link<'_> {
    /// The linker's arguments that make one object of the program and all libraries.
    fn arguments(&self, program: &Path, output: &Path) -> Vec<OsString> {
        let library = |(place, name): &(Place, &str)| OsString::from(self.tree.library(*place, name));
        let whole = |(place, name): &&(Place, &str)| *place == Place::Kernel && *name != "rumprun_base";
        // Variables that several files declare get their place here: what is made local must have one.
        let mut args: Vec<OsString> = ["-r", "-d", "-o"].map(OsString::from).into();
        args.extend([output.into(), program.into()]);
        args.extend(WRAPPED.iter().map(|name| format!("--wrap={name}").into()));
        args.extend(CALLED.iter().flat_map(|name| ["-u".into(), OsString::from(name)]));
        args.push("--whole-archive".into());
        args.extend(ALWAYS.iter().filter(whole).map(library));
        let further: BTreeSet<_> =
            self.components.iter().flat_map(|component| component.libraries()).collect();
        args.extend(further.into_iter().map(|name| library(&(Place::Kernel, name))));
        args.extend(["--no-whole-archive".into(), "--start-group".into()]);
        args.extend(ALWAYS.iter().filter(|one| !whole(one)).map(library));
        args.extend(self.tree.cxx().filter(|_| self.cxx).map(Into::into));
        args.push("--end-group".into());
        args
    }
}

/// The link sets of a `rump.o`: sections in which modules register themselves, and whose begin and end the code asks for
/// by names that the linker makes.
pub(in crate::root_task) fn link_sets(rump: &Path) -> Result<Vec<String>, Error> {
    let data = files::read(rump)?;
    let elf = Elf::parse(&data).map_err(|source| Error::Elf { path: rump.to_owned(), source })?;
    let undefined = elf.symbols.iter().filter(|symbol| symbol.section == SHN_UNDEF);
    let names: BTreeSet<_> = undefined.filter_map(|symbol| symbol.name.strip_prefix("__start_")).collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn tree() -> Tree {
        let root = PathBuf::from("/tree");
        Tree { built: root.clone(), root, version: "NetBSD 7.99.34".to_owned(), digest: Digest::of("tree") }
    }

    fn arguments(components: &[Component]) -> Vec<String> {
        let link = Link { tree: &tree(), components, objects: &[], cxx: false };
        let args = link.arguments(Path::new("program.o"), Path::new("whole.o"));
        args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn the_link_line_is_the_one_that_boots() {
        let text = arguments(&[Component::Net, Component::Tmpfs, Component::Ext2]).join("\n") + "\n";
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/root_task/rumprun/link.golden");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&golden).unwrap_or_default());
    }

    #[test]
    fn a_library_that_two_components_have_is_linked_once_and_whole() {
        let args = arguments(&[Component::Ext2, Component::Ffs, Component::Cd9660]);
        let disk: Vec<_> = (0..).zip(&args).filter(|(_, arg)| arg.ends_with("/librumpdev_disk.a")).collect();
        let end = args.iter().position(|arg| arg == "--no-whole-archive").unwrap();
        assert!(matches!(disk[..], [(index, _)] if index < end), "{disk:?}");
    }

    #[test]
    fn a_program_in_cxx_is_linked_with_what_the_tree_has_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree { root: dir.path().to_owned(), ..tree() };
        let linked = |cxx| {
            let link = Link { tree: &tree, components: &[], objects: &[], cxx };
            let args = link.arguments(Path::new("program.o"), Path::new("whole.o"));
            args.iter().any(|arg| Path::new(arg).ends_with("libc++.a"))
        };
        assert!(!linked(true), "what is not there is not linked");
        let fault = tree.lacks_cxx().unwrap().to_string();
        assert!(
            fault.contains("built without: `rumprun/rumprun-x86_64/lib/libc++.a` is missing\n  help: "),
            "{fault}"
        );
        let library = tree.library(Place::Program, "c++");
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::write(&library, "!<arch>\n").unwrap();
        assert!(linked(true) && !linked(false));
    }

    #[test]
    fn what_the_platform_calls_is_linked_in_and_stays_global() {
        // What is called, and what of the platform is called by the libraries.
        let platform = [
            include_str!("../../../../runtime/rumprun/src/bmk.rs"),
            include_str!("../../../../runtime/rumprun/src/program.rs"),
        ];
        let kept = keep();
        for name in CALLED {
            assert!(kept.windows(2).any(|pair| pair == ["-G", name]), "{name}");
            assert!(platform.iter().any(|source| source.contains(name)), "{name} is named nowhere");
        }
    }
}
