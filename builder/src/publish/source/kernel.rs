//! The source of a kernel: the tree to the last file, what Selkie adds to it, and the script that builds it.

use super::{
    DESCRIPTION, Description, Error, SourceArchive, Subject, TREE, given,
    pack::{self, Nodes},
    plain,
};
use crate::{
    Context, Digest, Result, files,
    inputs::tree::{self, Node},
    kernel::{self, BuildScript, KernelTree, TreeKind},
    publish::statement,
    template,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The name of the step in the cache.
const STEP: &str = "kernel-source";
/// The archive there.
const ARCHIVE: &str = "source.tar.gz";
/// The licence of the kernel, where the tree has its text (`LICENSE.md` of the tree; before 12.0 `README.md`).
pub(in crate::publish) const LICENSE: &str = "GPL-2.0-only";
/// Where trees have that text.
const LICENSES: [&str; 2] = ["LICENSES/GPL-2.0-only.txt", "LICENSE_GPLv2.txt"];

const README: &str = include_str!("../../../../templates/publish/kernel-source.md.hbs");

/// The licence of the kernel that `tree` makes, where it can be told.
pub(in crate::publish) fn license(tree: &KernelTree) -> Option<&'static str> {
    LICENSES.iter().any(|file| tree.root.join(file).is_file()).then_some(LICENSE)
}

#[derive(Serialize)]
struct Readme<'a> {
    top: &'a str,
    config: &'a str,
    version: &'a str,
    tree: Digest,
    overlays: bool,
    cmake: bool,
    modules: bool,
    license: Option<&'static str>,
    compiler: &'a str,
    kernel: Digest,
}

/// What lies in the archive beside the tree, and what it is all called.
#[derive(Serialize)]
struct Parts {
    top: String,
    /// Files by path.
    files: Vec<(String, Vec<u8>)>,
    tree: Digest,
    epoch: u64,
}

/// The archive of the kernel of `subject`.
pub(super) fn archive(ctx: &Context<'_>, subject: &Subject<'_>) -> Result<SourceArchive> {
    let plan = subject.plan;
    given::check(plan, subject.given)?;
    if let Some(given) = subject.given.filter(|_| given::is_needed(plan)) {
        return Ok(given.archive(subject)?);
    }
    let tree = &plan.tree;
    let Some(script) = kernel::build_script(ctx, &plan.kernel, tree)? else {
        let (name, target, prefix) = (plan.name.clone(), plan.target, tree.root.clone());
        return Err(Error::InstalledKernel { name, target, prefix }.into());
    };
    let top = plain(&format!("sel4-{}-{}", tree.version, plan.kernel.name));
    let description = Description::Kernel {
        config: plan.kernel.name.clone(),
        version: tree.version.clone(),
        tree: tree.digest,
    };
    let parts = Parts {
        files: beside(ctx, subject, script, &description, &top)?,
        top: top.clone(),
        tree: tree.digest,
        epoch: plan.epoch,
    };
    let entry = ctx.cache.step::<Error>(STEP, &parts, |dir| {
        let content = packed(ctx, tree, &parts)?;
        Ok(files::write(&dir.join(ARCHIVE), content)?)
    })?;
    let content = files::read(&entry.dir.join(ARCHIVE))?;
    Ok(SourceArchive::new(top, license(tree).unwrap_or("NOASSERTION"), description, content))
}

/// The files beside the tree.
fn beside(
    ctx: &Context<'_>,
    subject: &Subject<'_>,
    script: BuildScript,
    description: &Description,
    top: &str,
) -> Result<Vec<(String, Vec<u8>)>> {
    let (plan, manifest) = (subject.plan, subject.manifest);
    let modules = match plan.tree.kind {
        TreeKind::Cmake => ctx.project.cmake_requirements(),
        TreeKind::Make | TreeKind::Prefix => ctx.project.python_requirements(),
    };
    let modules = modules.is_file().then(|| files::read(&modules)).transpose()?;
    let built = kernel::build(ctx, &plan.kernel, &plan.tree)?;
    let compiler = manifest.tools.get("cc").and_then(|tool| tool.version.lines().next());
    let readme = Readme {
        top,
        config: &plan.kernel.name,
        version: &plan.tree.version,
        tree: plan.tree.digest,
        overlays: !plan.kernel.overlays.is_empty(),
        cmake: plan.tree.kind == TreeKind::Cmake,
        modules: modules.is_some(),
        license: license(&plan.tree),
        compiler: compiler.unwrap_or("unknown"),
        kernel: Digest::of(files::read(&built.elf)?),
    };
    let mut files = vec![
        ("README.md".to_owned(), template::render(README, &readme).into_bytes()),
        (DESCRIPTION.to_owned(), statement::text(description)),
        ("build.sh".to_owned(), script.text.into_bytes()),
        ("kernel-config.json".to_owned(), statement::text(&plan.kernel)),
        // As they came out.
        ("options.json".to_owned(), statement::text(&manifest.kernel.options)),
    ];
    files.extend(modules.map(|modules| ("requirements.txt".to_owned(), modules)));
    files.extend(script.files);
    Ok(files)
}

/// The bytes of the archive.
fn packed(ctx: &Context<'_>, tree: &KernelTree, parts: &Parts) -> Result<Vec<u8>, Error> {
    let found = tree::nodes(ctx, &tree.root)?;
    for (path, node) in &found {
        if let Node::Link(target) = node
            && !pack::stays_inside(path, target)
        {
            let path = tree.root.join(path);
            return Err(Error::Path { path, why: "it is a link that leads out of the tree" });
        }
    }
    // What is packed is what was built from, to the last byte.
    if tree::digest_of_nodes(&found) != tree.digest {
        return Err(Error::Changed { root: tree.root.clone() });
    }
    let below: Nodes = found.into_iter().map(|(path, node)| (Path::new(TREE).join(path), node)).collect();
    let beside = parts.files.iter().map(|(path, content)| {
        let (content, executable) = (content.clone(), path == "build.sh");
        (PathBuf::from(path), Node::File { content, executable })
    });
    let nodes: Nodes = below.into_iter().chain(beside).collect();
    pack::pack(&parts.top, &nodes, parts.epoch)
        .map_err(|source| Error::Pack { component: parts.top.clone(), source })
}
