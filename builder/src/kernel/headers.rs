//! The headers that a Makefile-era tree generates: for the kernel itself and for its users.

use super::{
    Error,
    make::{Build, INCLUDE, Job},
    option,
};
use crate::{Result, exec::Tool};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

/// Compiler options that stop after the preprocessor and leave line markers out.
pub(super) const PREPROCESS: &[&str] = &["-E", "-P", "-x", "c"];

/// One of the three files that describe invocations.
struct Interface {
    /// What the generator is told about it.
    flag: Option<&'static str>,
    /// Where it lies.
    xml: PathBuf,
    /// The header that the kernel includes.
    kernel: &'static str,
    /// The header that users include.
    user: &'static str,
}

/// Makes the headers of one build.
#[derive(Clone, Copy)]
pub(super) struct Headers<'a>(pub(super) &'a Build<'a>);

impl Headers<'_> {
    /// What the kernel's sources include, made in the working folder.
    pub(super) fn kernel(self) -> Result<Vec<Job>> {
        let work = self.0.work();
        let folders = self.0.layout.kernel(&self.0.tree.root);
        let mut jobs = Vec::new();
        for file in &self.0.sources.bitfields {
            let found = folders.iter().map(|folder| folder.join(file)).find(|path| path.is_file());
            let description = found.ok_or_else(|| Error::Unreadable {
                root: self.0.tree.root.join("include").join(file),
                source: io::ErrorKind::NotFound.into(),
            })?;
            let includes = self.0.include_options();
            let preprocessed = file.with_extension("pbf");
            jobs.push(self.bitfields(&work, description, includes, preprocessed, header(file), "sel4"));
        }
        for Interface { flag, xml, kernel, .. } in self.interfaces() {
            let args = [option("--xml=", &xml), option("--dest=", kernel.as_ref())];
            let args = args.into_iter().chain(flag.map(OsString::from)).collect();
            jobs.push(self.generate(&work, "invocation_header_gen.py", args));
        }
        let calls = self.0.tree.root.join("include/api/syscall.xml");
        let args = vec![option("--xml=", &calls), option("--kernel_header=", "arch/api/syscall.h".as_ref())];
        jobs.push(self.generate(&work, "syscall_header_gen.py", args));
        Ok(jobs)
    }

    /// What users of libsel4's headers include.
    pub(super) fn libsel4(self) -> Vec<Job> {
        let include = self.0.dir.join(INCLUDE);
        let [generic, _, sel4_arch, _] = self.0.layout.libsel4(&self.0.tree.root);
        let word_bits = self.0.layout.word_bits;
        let mut jobs = Vec::new();
        for (description, header) in [
            (generic.join(format!("sel4/types_{word_bits}.bf")), "sel4/types_gen.h"),
            (generic.join(format!("sel4/shared_types_{word_bits}.bf")), "sel4/shared_types_gen.h"),
            (sel4_arch.join("sel4/sel4_arch/types.bf"), "sel4/sel4_arch/types_gen.h"),
        ] {
            let folders = self.0.layout.libsel4(&self.0.tree.root);
            let includes = std::iter::once("-I.".into()).chain(folders.iter().map(|dir| option("-I", dir)));
            let preprocessed =
                self.0.work().join("libsel4").join(header.replace('/', "-")).with_extension("pbf");
            jobs.push(self.bitfields(
                &include,
                description,
                includes.collect(),
                preprocessed,
                header.into(),
                "libsel4",
            ));
        }
        for Interface { flag, xml, user, .. } in self.interfaces() {
            let args = [option("--xml=", &xml), option("--dest=", user.as_ref()), "--libsel4".into()];
            let args = args.into_iter().chain(flag.map(OsString::from)).collect();
            jobs.push(self.generate(&include, "invocation_header_gen.py", args));
        }
        let calls = generic.join("api/syscall.xml");
        let args = vec![option("--xml=", &calls), option("--libsel4_header=", "sel4/syscall.h".as_ref())];
        jobs.push(self.generate(&include, "syscall_header_gen.py", args));
        jobs
    }

    fn interfaces(self) -> [Interface; 3] {
        let [generic, arch, sel4_arch, _] = self.0.layout.libsel4(&self.0.tree.root);
        [
            Interface {
                flag: None,
                xml: generic.join("interfaces/sel4.xml"),
                kernel: "api/invocation.h",
                user: "sel4/invocation.h",
            },
            Interface {
                flag: Some("--arch"),
                xml: arch.join("interfaces/sel4arch.xml"),
                kernel: "arch/api/invocation.h",
                user: "sel4/arch/invocation.h",
            },
            Interface {
                flag: Some("--sel4_arch"),
                xml: sel4_arch.join("interfaces/sel4arch.xml"),
                kernel: "arch/api/sel4_invocation.h",
                user: "sel4/sel4_arch/invocation.h",
            },
        ]
    }

    /// Makes accessors from a description of bitfields. `header` is relative to `folder`: the generator
    /// makes the include guard from it.
    fn bitfields(
        self,
        folder: &Path,
        description: PathBuf,
        includes: Vec<OsString>,
        preprocessed: PathBuf,
        header: PathBuf,
        environment: &str,
    ) -> Job {
        let args =
            vec![format!("--environment={environment}").into(), preprocessed.clone().into(), header.into()];
        let generate = self.generate(folder, "bitfield_gen.py", args);
        let compiler = self.0.compiler(folder).args(includes).args(PREPROCESS);
        let preprocess = compiler.arg(description).arg("-o").arg(preprocessed);
        std::iter::once(preprocess).chain(generate).collect()
    }

    /// Runs a generator of the tree in `folder`.
    fn generate(self, folder: &Path, script: &str, args: Vec<OsString>) -> Job {
        let work = self.0.work();
        let tool = Tool::new(self.0.python, folder)
            .args(["-B", "-s"])
            // The order of a set of strings must not depend on chance.
            .env("PYTHONHASHSEED", "0")
            .env("TMPDIR", &work)
            .arg(work.join("generator.py"))
            .arg(self.0.tree.root.join("tools").join(script))
            .args(args);
        vec![tool]
    }
}

/// `arch/object/structures.bf` → `arch/object/structures_gen.h`
fn header(description: &Path) -> PathBuf {
    let stem = description.file_stem().unwrap_or_default().to_string_lossy();
    description.with_file_name(format!("{stem}_gen.h"))
}
