//! What is published beside an image, of images that were really built: it agrees with the image, the programs of
//! those who made the formats read it, and the corresponding source makes the very kernel of the image.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use builder::{
    Context, Digest, Error, ExitCode, Project, Target,
    build::build,
    context::Silent,
    image::Manifest,
    inputs::python::Python,
    kernel,
    kernel_config::UserSource,
    plan::plan,
    publish::{
        Document, Found, Published, Subject,
        archive::{self, File},
        provenance, sbom,
        source::{self, Archive, Given, SourceArchive},
        test_result,
    },
    recipe::{KernelChoice, Recipe},
    smoke::{RunReport, Verdict},
};
use common::{Checkout, skip};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What would be published of `recipe` for `target`.
struct Beside {
    manifest: Manifest,
    artifacts: Vec<(String, Digest)>,
    sources: Vec<SourceArchive>,
    documents: [Document; 3],
}

impl Beside {
    fn of(project: &Project, recipe: &Recipe, target: Target) -> Result<Self, Error> {
        Self::with(project, recipe, target, None)
    }

    fn with(
        project: &Project,
        recipe: &Recipe,
        target: Target,
        given: Option<&Given>,
    ) -> Result<Self, Error> {
        let ctx = Context::new(project, &Silent);
        let plan = plan(&ctx, recipe, target)?;
        let image = build(&ctx, &plan)?;
        let manifest = Manifest::read(&image.dir)?;
        let reports = [RunReport::not_run(&plan.name, target, Verdict::Pass)];
        let subject = Subject { plan: &plan, image: &image, manifest: &manifest, reports: &reports, given };
        let sources = source::collect(&ctx, &subject)?;
        let artifacts = vec![(format!("{}.tar.gz", subject.id()), Digest::of("archive"))];
        let documents = [
            sbom::document(&ctx, &subject, &sources)?,
            provenance::statement(&ctx, &subject, &artifacts)?,
            test_result::statement(&ctx, &subject, &artifacts)?,
        ];
        Ok(Self { manifest, artifacts, sources, documents })
    }

    /// What `verify` says of it.
    fn wrong(&self) -> Vec<String> {
        let found = |one: &SourceArchive| (one.file.clone(), Found { sha256: one.sha256, size: one.size });
        let files = self.sources.iter().map(found).collect();
        let published = Published { manifest: &self.manifest, artifacts: &self.artifacts, files: &files };
        let archives = self.sources.iter().map(|one| Archive { file: &one.file, content: &one.content });
        let [materials, built, tested] = &self.documents;
        [
            sbom::check(&published, &materials.content),
            provenance::check(&published, &built.content),
            test_result::check(&published, &tested.content),
            source::check(&published, &archives.collect::<Vec<_>>()),
        ]
        .concat()
    }

    fn write(&self, dir: &Path) -> Vec<PathBuf> {
        let write = |one: &Document| {
            let path = dir.join(&one.name);
            fs::write(&path, &one.content).unwrap();
            path
        };
        self.documents.iter().map(write).collect()
    }
}

/// A checkout with all that the recipes need.
fn checkout() -> Checkout {
    let checkout = Checkout::new();
    ["runtime", "functions", "recipes", "tender"].iter().for_each(|folder| checkout.take(folder));
    checkout
}

fn project(checkout: &Checkout) -> Project {
    Project { root: checkout.root.clone(), out: checkout.out.clone() }
}

fn recipe(project: &Project, name: &str) -> Recipe {
    Recipe::load(project, project.recipes().join(format!("{name}.toml")).to_str().unwrap()).unwrap()
}

/// Unpacks an archive with the tar of the host, into its one folder.
fn unpack(archive: &SourceArchive, dir: &Path) -> PathBuf {
    let file = dir.join("source.tar.gz");
    fs::write(&file, &archive.content).unwrap();
    let status = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(dir).status().unwrap();
    assert!(status.success());
    dir.join(&archive.component)
}

fn has_media() -> bool {
    let files = [
        "/usr/bin/grub-mkimage",
        "/usr/bin/xorriso",
        "/usr/bin/dpkg-query",
        "/usr/lib/grub/i386-pc/moddep.lst",
    ];
    let missing = files.iter().find(|file| !Path::new(file).exists());
    if let Some(file) = missing {
        skip("the documents of media", &format!("there is no {file}"));
    }
    missing.is_none()
}

#[test]
fn every_target_has_documents_that_agree_with_it_and_that_others_read() {
    let checkout = checkout();
    let project = project(&checkout);
    let targets = [(Target::Qemu, true), (Target::Process, true), (Target::BareMetal, has_media())];
    let dir = tempfile::tempdir().unwrap();
    let mut documents = Vec::new();
    let mut kernels = Vec::new();
    for target in targets.into_iter().filter_map(|(target, can)| can.then_some(target)) {
        let beside = Beside::of(&project, &recipe(&project, "hello"), target).unwrap();
        assert_eq!(beside.wrong(), Vec::<String>::new(), "{target}");
        let sources: Vec<_> = beside.sources.iter().map(|one| one.license.as_str()).collect();
        let expected: &[&str] = match target {
            Target::Qemu => &["GPL-2.0-only"],
            Target::Process => &[],
            Target::BareMetal => &["GPL-2.0-only", "GPL-3.0-or-later"],
        };
        assert_eq!(sources, expected);
        kernels.extend(beside.sources.first().map(|one| one.file.clone()));
        for document in &beside.documents {
            let text = String::from_utf8(document.content.clone()).unwrap();
            assert!(!text.contains(checkout.root.to_str().unwrap()), "{}: {text}", document.name);
        }
        documents.extend(beside.write(dir.path()));
    }
    kernels.dedup();
    assert_eq!(kernels.len(), 1, "images share the source of their kernel: {kernels:?}");
    let c = Beside::of(&project, &recipe(&project, "hello-c"), Target::Qemu).unwrap();
    assert_eq!(c.wrong(), Vec::<String>::new());
    documents.extend(c.write(dir.path()));
    read_by_others(&documents, dir.path());
}

/// What SPDX's validator and in-toto's messages say of `documents`; none where they cannot be had.
fn said_by_others(documents: &[PathBuf]) -> Option<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/publish");
    // The environment is kept from one run to the next.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
    let project = Project { out, ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let found = Python::find(&ctx, &tests.join("requirements.txt"));
    let python = match found.and_then(|python| python.environment(&ctx)) {
        Ok(environment) => environment.python,
        Err(error) => {
            skip("the readers of published documents", &error.to_string());
            return None;
        }
    };
    let output =
        Command::new(&python).args(["-B", "-I"]).arg(tests.join("readers.py")).args(documents).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Holds that SPDX's validator and in-toto's messages take `documents`, and that they do not take each that is broken.
fn read_by_others(documents: &[PathBuf], dir: &Path) {
    let Some(said) = said_by_others(documents) else { return };
    assert_eq!(said, "");
    for (file, from, to) in [
        ("hello-qemu.spdx.json", "\"SPDXRef-Kernel-seL4\"", "\"SPDXRef-Kernel_seL4\""),
        ("hello-qemu.spdx.json", "\"dataLicense\": \"CC0-1.0\"", "\"dataLicense\": \"MIT\""),
        ("hello-qemu.spdx.json", "GPL-2.0-only", "GPL-2.0 only"),
        (
            "hello-qemu.spdx.json",
            "\"relatedSpdxElement\": \"SPDXRef-File-kernel\"",
            "\"relatedSpdxElement\": \"SPDXRef-x\"",
        ),
        ("hello-qemu.spdx.json", "\"SHA1\"", "\"SHA2\""),
        ("hello-qemu.provenance.json", "\"buildType\"", "\"buildKind\""),
        ("hello-qemu.provenance.json", "in-toto.io/Statement/v1", "in-toto.io/Statement/v2"),
        ("hello-qemu.test-result.json", "\"passedTests\"", "\"passed\""),
        ("hello-qemu.test-result.json", "\"subject\"", "\"subjects\""),
    ] {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        let broken = dir.join(format!("broken-{file}"));
        fs::write(&broken, text.replace(from, to)).unwrap();
        assert_ne!(said_by_others(std::slice::from_ref(&broken)).unwrap(), "", "{file}: {to}");
    }
}

/// Builds the kernel in `archive` by its own script and gives the digest of the result.
fn rebuilt(archive: &SourceArchive, python: &Path, dir: &Path) -> Digest {
    let folder = unpack(archive, dir);
    let mut build = Command::new("sh");
    build.arg(folder.join("build.sh")).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let output = build.env("PYTHON", python).current_dir("/").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{said:?}");
    Digest::of_file(&folder.join("out/kernel.elf")).unwrap()
}

#[test]
fn the_corresponding_source_makes_the_very_kernel() {
    let checkout = checkout();
    let project = project(&checkout);
    let ctx = Context::new(&project, &Silent);
    let hello = recipe(&project, "hello");
    let beside = Beside::of(&project, &hello, Target::Qemu).unwrap();
    let python = kernel::python(&ctx).unwrap().python;
    let dir = tempfile::tempdir().unwrap();
    let made = rebuilt(&beside.sources[0], &python, dir.path());
    let plan = plan(&ctx, &hello, Target::Qemu).unwrap();
    let built =
        kernel::locate(&ctx, &plan.kernel).and_then(|tree| kernel::build(&ctx, &plan.kernel, &tree)).unwrap();
    assert_eq!(made, Digest::of_file(&built.elf).unwrap());
    let readme = fs::read_to_string(dir.path().join(&beside.sources[0].component).join("README.md")).unwrap();
    assert!(readme.contains(&made.to_string()), "{readme}");
    for word in ["GPL-2.0-only", "build.sh", "overlay/"] {
        assert!(readme.contains(word), "{word}: {readme}");
    }
}

#[test]
fn the_source_of_the_users_own_kernel_makes_the_very_kernel() {
    // Set by `cargo xtask test --kernel-source DIR`.
    let trees = std::env::var_os("SELKIE_KERNEL_SOURCES").unwrap_or_default();
    let trees: Vec<PathBuf> = std::env::split_paths(&trees).filter(|tree| tree.is_dir()).collect();
    if trees.is_empty() {
        let reason = "no source tree of seL4 was named (`cargo xtask test --kernel-source DIR`)";
        return skip("the corresponding source of the user's own kernel", reason);
    }
    let checkout = checkout();
    let project = project(&checkout);
    let ctx = Context::new(&project, &Silent);
    for tree in trees {
        let source = UserSource::Tree(tree.clone());
        let choice = KernelChoice { config: Some("x86_64-current-release".into()), source: Some(source) };
        let hello = recipe(&project, "hello").with_kernel(&project, &choice).unwrap();
        let beside = Beside::of(&project, &hello, Target::Qemu).unwrap();
        assert_eq!(beside.wrong(), Vec::<String>::new(), "{}", tree.display());
        let python =
            Python::find(&ctx, &project.cmake_requirements()).unwrap().environment(&ctx).unwrap().python;
        let dir = tempfile::tempdir().unwrap();
        let made = rebuilt(&beside.sources[0], &python, dir.path());
        let plan = plan(&ctx, &hello, Target::Qemu).unwrap();
        let located = kernel::locate(&ctx, &plan.kernel);
        let built = located.and_then(|tree| kernel::build(&ctx, &plan.kernel, &tree)).unwrap();
        assert_eq!(made, Digest::of_file(&built.elf).unwrap(), "{}", tree.display());
    }
}

#[test]
fn an_image_whose_kernel_has_no_source_is_not_published() {
    let checkout = checkout();
    let project = project(&checkout);
    let mut kernels = fs::read_dir(checkout.out.join(".cache/steps/kernel")).unwrap();
    let kernel =
        kernels.find_map(|entry| Some(entry.ok()?.path().join("kernel")).filter(|path| path.is_file()));
    fs::copy(kernel.unwrap(), checkout.path("recipes/kernel")).unwrap();
    checkout.edit("recipes/hello.toml", "[run]\n", "[kernel]\nprebuilt = \"kernel\"\n\n[run]\n");
    let hello = recipe(&project, "hello");
    let error = Beside::of(&project, &hello, Target::Qemu).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), ExitCode::Usage);
    let text = error.to_string();
    for part in [
        "cannot be published for target `qemu`",
        "GPL-2.0",
        "help: give it with `--corresponding-source FILE.tar.gz`; or take `prebuilt` out of [kernel]",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let file = File { content: b"int main;".to_vec(), executable: false };
    let tar = archive::tar(&[("seL4/a.c".to_owned(), file)].into(), 0).unwrap();
    let path = checkout.path("seL4.tar.gz");
    fs::write(&path, archive::gzip(&tar).unwrap()).unwrap();
    let given = Given::read(&path).unwrap();
    let beside = Beside::with(&project, &hello, Target::Qemu, Some(&given)).unwrap();
    assert_eq!(beside.wrong(), Vec::<String>::new());
    let dir = tempfile::tempdir().unwrap();
    assert!(said_by_others(&beside.write(dir.path())).is_none_or(|said| said.is_empty()));
}
