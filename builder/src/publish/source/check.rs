//! Archives with source, read back from bytes that nobody vouches for and compared with the image that they go with.

use super::{
    DESCRIPTION, Description, FOLDER, TREE, given,
    pack::{self, Nodes},
    package,
};
use crate::{
    Digest, Target,
    image::Manifest,
    inputs::{
        debian::Package,
        tree::{self, Node},
    },
    publish::Published,
};
use std::path::Path;

/// A published file with source.
#[derive(Debug, Clone, Copy)]
pub struct Archive<'a> {
    /// Its path in the published folder.
    pub file: &'a str,
    /// Its content; untrusted.
    pub content: &'a [u8],
}

/// Whether `file`, a path in a published folder, is where an archive with source lies.
pub fn named(file: &str) -> bool {
    file.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether `file` is one that the user gave, so that nobody checked whether the kernel comes of it.
pub fn is_given(file: &str) -> bool {
    file.starts_with(&format!("{FOLDER}/{}-", given::COMPONENT))
}

/// What is wrong with `archives`, those that the SBOM of `published` names, as its corresponding source.
pub fn check(published: &Published<'_>, archives: &[Archive<'_>]) -> Vec<String> {
    let manifest = published.manifest;
    let mut wrong = Vec::new();
    let (mut kernel, mut boot_loader) = (false, false);
    let mut packages: Vec<_> = package::of(manifest).collect();
    for Archive { file, content } in archives {
        let mut tell = |what: String| wrong.push(format!("{file}: {what}"));
        if !named(file) || !file.ends_with(&format!("-{}.tar.gz", Digest::of(content).short(16))) {
            tell("it is not called by its digest".to_owned());
        }
        let nodes = match pack::unpack(content) {
            Ok(nodes) => nodes,
            Err(error) => {
                tell(error.to_string());
                continue;
            }
        };
        match description(&nodes) {
            Err(error) => tell(error),
            Ok(Description::Kernel { config, version, tree }) => {
                own_kernel(manifest, &nodes, (&config, &version, tree)).into_iter().for_each(tell);
                kernel = true;
            }
            Ok(Description::GivenKernel { kernel: of, file: name, sha256 }) => {
                if !is_given(file) {
                    tell("it is not called as what was given".to_owned());
                }
                if of != given::kernel(manifest) {
                    tell("it is given for another kernel than this image's".to_owned());
                }
                let content = nodes.get(&Path::new(given::GIVEN).join(name));
                let same =
                    |node: &Node| matches!(node, Node::File { content, .. } if Digest::of(content) == sha256);
                if !content.is_some_and(same) {
                    tell("what was given is not in it".to_owned());
                }
                kernel = true;
            }
            Ok(Description::BootLoader { package, version, tool, .. }) => {
                let built_with = manifest.tools.get("grub-mkimage").map(|tool| tool.version.as_str());
                if built_with != Some(tool.as_str()) {
                    tell(format!("it is about {package} {version} ({tool}), which did not make this image"));
                }
                if !is_there(&nodes, "grub.cfg") {
                    tell("the configuration of the boot loader is missing".to_owned());
                }
                boot_loader = true;
            }
            Ok(Description::SourcePackage { name, version, sha256, files }) => {
                let package = Package { name, version, sha256 };
                package::check(&nodes, &package, &files).into_iter().for_each(&mut tell);
                let Package { name, version, .. } = &package;
                match packages.iter().position(|one| *one == package) {
                    Some(at) => drop(packages.swap_remove(at)),
                    None => tell(format!(
                        "it is the source package {name} {version}, which this image is not made from"
                    )),
                }
            }
        }
    }
    for Package { name, version, .. } in packages {
        wrong.push(format!(
            "the source package {name} {version}, which the program is compiled from, is missing"
        ));
    }
    if manifest.target != Target::Process && !kernel {
        wrong.push("the source of the kernel (GPL-2.0) is missing".to_owned());
    }
    if manifest.tools.contains_key("grub-mkimage") && !boot_loader {
        wrong.push("where the source of the boot loader (GPL-3.0) is, is not said".to_owned());
    }
    wrong
}

/// What is wrong with `nodes` as the source of the kernel of this image, when they say to be the source of `of`.
fn own_kernel(manifest: &Manifest, nodes: &Nodes, of: (&String, &String, Digest)) -> Vec<String> {
    let (config, version, tree) = of;
    let kernel = &manifest.kernel;
    let mut wrong = Vec::new();
    if of != (&kernel.config, &kernel.version, kernel.source) {
        wrong.push(format!("it is the source of seL4 {version} for {config}, not of this image's kernel"));
    }
    if digest_of_tree(nodes) != tree {
        wrong.push(format!("what lies in `{TREE}/` is not the tree with the digest {tree}"));
    }
    if !is_there(nodes, "build.sh") {
        wrong.push("the script that builds it is missing".to_owned());
    }
    wrong
}

fn description(nodes: &Nodes) -> Result<Description, String> {
    let Some(Node::File { content, .. }) = nodes.get(Path::new(DESCRIPTION)) else {
        return Err(format!("it has no `{DESCRIPTION}`"));
    };
    serde_json::from_slice(content).map_err(|error| format!("its `{DESCRIPTION}` is not understood: {error}"))
}

fn is_there(nodes: &Nodes, file: &str) -> bool {
    matches!(nodes.get(Path::new(file)), Some(Node::File { content, .. }) if !content.is_empty())
}

fn digest_of_tree(nodes: &Nodes) -> Digest {
    let below = nodes
        .iter()
        .filter_map(|(path, node)| Some((path.strip_prefix(TREE).ok()?.to_owned(), node.clone())));
    tree::digest_of_nodes(&below.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::{self, ToolIdentity},
        publish::{sample, statement},
    };
    use std::{collections::BTreeMap, path::PathBuf};

    /// A manifest whose kernel is made from the tree of [`kernel`].
    fn manifest() -> Manifest {
        let mut manifest = sample::manifest();
        manifest.kernel.source = digest_of_tree(&kernel_nodes());
        manifest
    }

    fn kernel_nodes() -> Nodes {
        [("build.sh", pack::text("make")), ("sel4/src/a.c", pack::text("a"))]
            .map(|(path, node)| (path.into(), node))
            .into()
    }

    fn packed(mut nodes: Nodes, description: &Description) -> (String, Vec<u8>) {
        nodes.insert(DESCRIPTION.into(), pack::text(statement::text(description)));
        named_by_digest(pack::pack("top", &nodes, 0).unwrap())
    }

    fn named_by_digest(content: Vec<u8>) -> (String, Vec<u8>) {
        (format!("sources/top-{}.tar.gz", Digest::of(&content).short(16)), content)
    }

    fn kernel(manifest: &Manifest, nodes: Nodes) -> (String, Vec<u8>) {
        let image::Kernel { config, version, source, .. } = manifest.kernel.clone();
        packed(nodes, &Description::Kernel { config, version, tree: source })
    }

    fn found(manifest: &Manifest, archives: &[&(String, Vec<u8>)]) -> String {
        let files = BTreeMap::new();
        let published = Published { manifest, artifacts: &[], files: &files };
        let archives = archives.iter().map(|(file, content)| Archive { file, content });
        check(&published, &archives.collect::<Vec<_>>()).join("\n")
    }

    #[test]
    fn the_source_of_a_kernel_is_held_against_the_manifest() {
        let manifest = manifest();
        let good = kernel(&manifest, kernel_nodes());
        assert_eq!(found(&manifest, &[&good]), "");
        assert_eq!(found(&manifest, &[]), "the source of the kernel (GPL-2.0) is missing");

        let mut other = kernel_nodes();
        other.insert("sel4/src/a.c".into(), pack::text("b"));
        assert!(found(&manifest, &[&kernel(&manifest, other)]).contains("is not the tree with the digest"));
        let mut bare = kernel_nodes();
        bare.remove(Path::new("build.sh"));
        assert!(
            found(&manifest, &[&kernel(&manifest, bare)]).contains("the script that builds it is missing")
        );
        let mut newer = manifest.clone();
        newer.kernel.version = "6.0.0".into();
        assert!(
            found(&newer, &[&good]).contains("it is the source of seL4 5.0.0 for x86_64-release, not of")
        );

        let renamed = ("sources/top-0123456789abcdef.tar.gz".to_owned(), good.1.clone());
        assert!(found(&manifest, &[&renamed]).contains("not called by its digest"));
        let cut = named_by_digest(good.1[..good.1.len() / 2].to_vec());
        let text = found(&manifest, &[&cut]);
        assert!(text.contains("not a .tar.gz") && text.contains("(GPL-2.0) is missing"), "{text}");
        let nothing = named_by_digest(pack::pack("top", &kernel_nodes(), 0).unwrap());
        assert!(found(&manifest, &[&nothing]).contains("it has no `source.json`"));
    }

    #[test]
    fn what_was_given_is_of_this_very_kernel() {
        let mut manifest = manifest();
        let elsewhere = Digest::of("elsewhere");
        manifest.kernel.prebuilt = Some(image::Prebuilt { sha256: elsewhere, origin: String::new() });
        let given = |kernel, file: &str, content: &str, top: &str| {
            let nodes = [(PathBuf::from(format!("given/{file}")), pack::text(content))];
            let sha256 = Digest::of("source");
            let description = Description::GivenKernel { kernel, file: "a.tar.gz".into(), sha256 };
            let (name, content) = packed(nodes.into(), &description);
            (name.replace("top", top), content)
        };
        let good = given(elsewhere, "a.tar.gz", "source", "given-kernel");
        assert!(is_given(&good.0) && !is_given("sources/sel4-given-kernel-1.tar.gz"));
        assert_eq!(found(&manifest, &[&good]), "");
        for (archive, why) in [
            (given(Digest::of("x"), "a.tar.gz", "source", "given-kernel"), "for another kernel"),
            (given(elsewhere, "a.tar.gz", "other", "given-kernel"), "what was given is not in it"),
            (given(elsewhere, "b.tar.gz", "source", "given-kernel"), "what was given is not in it"),
            (given(elsewhere, "a.tar.gz", "source", "sel4"), "not called as what was given"),
        ] {
            assert!(found(&manifest, &[&archive]).contains(why), "{why}");
        }
    }

    #[test]
    fn a_process_needs_none_and_media_that_of_their_boot_loader() {
        let mut manifest = manifest();
        let kernel = kernel(&manifest, kernel_nodes());
        let tool = ToolIdentity { version: "grub-mkimage (GRUB) 2.06".into(), digest: Digest::of("grub") };
        manifest.target = Target::BareMetal;
        manifest.tools.insert("grub-mkimage".into(), tool);
        assert!(found(&manifest, &[&kernel]).contains("the boot loader (GPL-3.0) is, is not said"));
        let grub = |tool: &str| {
            let description = Description::BootLoader {
                package: "grub2".into(),
                version: "2.06".into(),
                purl: "pkg:deb/debian/grub2@2.06?arch=source".into(),
                tool: tool.into(),
            };
            packed([("grub.cfg".into(), pack::text("boot"))].into(), &description)
        };
        assert_eq!(found(&manifest, &[&kernel, &grub("grub-mkimage (GRUB) 2.06")]), "");
        assert!(found(&manifest, &[&kernel, &grub("another")]).contains("which did not make this image"));
        manifest.target = Target::Process;
        manifest.tools.remove("grub-mkimage");
        assert_eq!(found(&manifest, &[]), "");
    }
}
