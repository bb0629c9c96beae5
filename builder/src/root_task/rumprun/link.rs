//! `rump.o`: the program, the parts of NetBSD's kernel, and its libraries for programs, as one relocatable object.

use super::{
    Error, Job, Tree,
    libraries::{ALWAYS, Place},
    scrub::scrub,
};
use crate::{exec::Tool, files, recipe::Rumprun};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What is linked.
pub(super) struct Link<'a> {
    /// The rumprun tree.
    pub(super) tree: &'a Tree,
    /// What the recipe says of it.
    pub(super) rumprun: &'a Rumprun,
    /// The program's object files.
    pub(super) objects: &'a [PathBuf],
}

/// What stays global in `rump.o`: what the platform calls and what it provides.
const GLOBAL: [&str; 6] = ["bmk_*", "rumpuser_*", "rumprun_*", "rump_*", "rumpcomp_*", "jsmn_*"];

/// Links `rump.o` in the folder `work`.
pub(super) fn rump_object(job: &Job<'_>, link: &Link<'_>, work: &Path) -> Result<PathBuf, Error> {
    let dir = tempfile::tempdir_in(work).map_err(Error::io(work))?;
    let [program, whole, object] = ["program.o", "whole.o", "rump.o"].map(|name| dir.path().join(name));
    let run = |tool: Tool| tool.env("TMPDIR", dir.path()).run(&job.ctx.cancel);
    let [ld, objcopy] = ["ld", "objcopy"].map(|name| Tool::new(link.tree.tool(name), dir.path()));
    run(ld.clone().args(["-r", "-o"]).arg(&program).args(link.objects))?;
    run(objcopy.clone().args(["--redefine-sym", "main=rumprun_main1"]).arg(&program))?;
    run(ld.args(link.arguments(&program, &whole)))?;
    let keep = GLOBAL.iter().flat_map(|name| ["-G", name]);
    run(objcopy.arg("-w").args(keep).arg(&whole).arg(&object))?;
    let mut data = files::read(&object)?;
    scrub(&mut data, &link.tree.places());
    super::super::link::store(work, "rump", "o", &data)
}

impl Link<'_> {
    /// The linker's arguments that make one object of the program and all libraries.
    fn arguments(&self, program: &Path, output: &Path) -> Vec<OsString> {
        let library = |(place, name): &(Place, &str)| OsString::from(self.tree.library(*place, name));
        let whole = |(place, name): &&(Place, &str)| *place == Place::Kernel && *name != "rumprun_base";
        let mut args: Vec<OsString> = ["-r", "-o"].map(OsString::from).into();
        args.extend([output.into(), program.into(), "--whole-archive".into()]);
        args.extend(ALWAYS.iter().filter(whole).map(library));
        let further: BTreeSet<_> =
            self.rumprun.components.iter().flat_map(|component| component.libraries()).collect();
        args.extend(further.into_iter().map(|name| library(&(Place::Kernel, name))));
        args.extend(["--no-whole-archive".into(), "--start-group".into()]);
        args.extend(ALWAYS.iter().filter(|one| !whole(one)).map(library));
        args.push("--end-group".into());
        args
    }
}
