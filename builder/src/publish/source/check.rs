//! Archives with source, read back from bytes that nobody vouches for and compared with the image that they go with.

use super::{
    DESCRIPTION, Description, FOLDER, TREE,
    pack::{self, Nodes},
};
use crate::{
    Digest, Target,
    inputs::tree::{self, Node},
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

/// What is wrong with `archives`, those that the SBOM of `published` names, as its corresponding source.
pub fn check(published: &Published<'_>, archives: &[Archive<'_>]) -> Vec<String> {
    let manifest = published.manifest;
    let mut wrong = Vec::new();
    let (mut kernel, mut boot_loader) = (false, false);
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
                let same = (&config, &version, tree)
                    == (&manifest.kernel.config, &manifest.kernel.version, manifest.kernel.source);
                if !same {
                    tell(format!(
                        "it is the source of seL4 {version} for {config}, not of this image's kernel"
                    ));
                }
                if digest_of_tree(&nodes) != tree {
                    tell(format!("what lies in `{TREE}/` is not the tree with the digest {tree}"));
                }
                if !is_there(&nodes, "build.sh") {
                    tell("the script that builds it is missing".to_owned());
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
        }
    }
    if manifest.target != Target::Process && !kernel {
        wrong.push("the source of the kernel (GPL-2.0) is missing".to_owned());
    }
    if manifest.tools.contains_key("grub-mkimage") && !boot_loader {
        wrong.push("where the source of the boot loader (GPL-3.0) is, is not said".to_owned());
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
