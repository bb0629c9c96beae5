//! The build of a kernel as a shell script, for whoever has the kernel's source and nothing of Selkie: the commands
//! that the builder runs, made by the very code that runs them, with variables for places.

use super::{Error, KernelTree, OverlayFile, TreeKind, cmake, make};
use crate::{
    Context, Digest, Result,
    exec::{Tool, quote},
    inputs::tools::HostTool,
    kernel_config::KernelConfig,
    template,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What stands before and after the commands.
const FRAME: &str = include_str!("../../../templates/kernel/build.sh.hbs");

/// The place of the result, and tools: names that the commands are made with and that the script has variables for.
/// Nothing lies there.
const OUT: &str = "/selkie/out";
const CC: &str = "/selkie/cc";
const PYTHON: &str = "/selkie/python";
/// What a file in the archive has for the C compiler's path.
const CC_MARK: &str = "@CC@";

/// How to build a kernel from its source alone.
#[derive(Debug, Clone)]
pub(crate) struct BuildScript {
    /// The text of `build.sh`.
    pub(crate) text: String,
    /// What the script reads beside it, besides the tree in `sel4/`: generated configuration, overlays, helpers.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// The script that builds the kernel that `config` describes from `tree`; none for an installed kernel, whose
/// build nobody knows.
pub(crate) fn build_script(
    ctx: &Context<'_>,
    config: &KernelConfig,
    tree: &KernelTree,
) -> Result<Option<BuildScript>> {
    let (dir, cc, python) = (Path::new(OUT), Path::new(CC), Path::new(PYTHON));
    let script = match tree.kind {
        TreeKind::Prefix => return Ok(None),
        TreeKind::Make => {
            let layout = &make::Layout::of(config, tree)?;
            let sources = &make::sources(config, tree, layout).map_err(Error::from)?;
            let overlays: &[OverlayFile] = &super::check::overlays(ctx, config)?;
            make::Build { ctx, config, tree, layout, overlays, cc, python, dir, sources }.script()?
        }
        TreeKind::Cmake => {
            // Called by their names.
            let tool = |name: &&str| HostTool {
                name: (*name).to_owned(),
                version: String::new(),
                digest: Digest::of(""),
                path: PathBuf::from(name),
            };
            let tools: &[HostTool] = &cmake::tools(config.arch).iter().map(tool).collect::<Vec<_>>();
            cmake::Build { ctx, config, tree, cc, tools, python, dir }.script()
        }
    };
    Ok(Some(script.finish(config.arch.compiler())))
}

/// A script that grows.
pub(super) struct Script {
    /// Places and the variables for them, the longest first.
    places: [(String, &'static str); 5],
    lines: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    cc: &'a str,
    lines: &'a [String],
}

impl Script {
    /// A script for the kernel of `tree` that builds in `dir`.
    pub(super) fn new(tree: &KernelTree, dir: &Path) -> Self {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let places = [
            (text(&tree.root), "TREE"),
            (text(&dir.join("work")), "WORK"),
            (text(dir), "OUT"),
            (CC.to_owned(), "CC"),
            (PYTHON.to_owned(), "PYTHON"),
        ];
        Self { places, lines: Vec::new(), files: BTreeMap::new() }
    }

    /// `word` for a shell, with variables for the places in it.
    fn word(&self, word: &str) -> String {
        let mut text = String::new();
        let mut rest = word;
        let mut found = false;
        while let Some(next) = rest.chars().next() {
            let place = self.places.iter().find_map(|(place, name)| {
                let after = rest.strip_prefix(place.as_str())?;
                // `/a/tree` is no part of `/a/trees`.
                let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || "._-".contains(c));
                ends.then_some((*name, after))
            });
            match place {
                Some((name, after)) => {
                    text.push_str(&format!("${{{name}}}"));
                    (rest, found) = (after, true);
                }
                None => {
                    if "\\\"$`".contains(next) {
                        text.push('\\');
                    }
                    text.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        if found { format!("\"{text}\"") } else { quote(word) }
    }

    fn path(&self, path: &Path) -> String {
        self.word(&path.to_string_lossy())
    }

    /// Makes these folders.
    pub(super) fn folders(&mut self, folders: Vec<PathBuf>) {
        let lines = folders.iter().map(|folder| format!("mkdir -p {}", self.path(folder)));
        self.lines.extend(lines.collect::<Vec<_>>());
    }

    /// Takes the file `name`, which lies beside the script, to `to`.
    pub(super) fn file(&mut self, name: &Path, content: Vec<u8>, to: &Path) {
        let name = name.to_string_lossy().into_owned();
        let (from, to_folder) = (format!("\"${{SOURCE}}/{name}\""), to.parent().unwrap_or(to));
        let (to, to_folder) = (self.path(to), self.path(to_folder));
        self.lines.push(format!("mkdir -p {to_folder}"));
        let text = String::from_utf8_lossy(&content);
        if text.contains(CC) {
            self.lines.push(format!("sed \"s|{CC_MARK}|${{CC}}|\" {from} >{to}"));
            self.files.insert(name, text.replace(CC, CC_MARK).into_bytes());
        } else {
            self.lines.push(format!("cp {from} {to}"));
            self.files.insert(name, content);
        }
    }

    /// Puts Python into the folder `bin` under these names.
    pub(super) fn pythons(&mut self, names: &[&str], bin: &Path) {
        let bin = self.path(bin);
        self.lines.push(format!("mkdir -p {bin}"));
        self.lines.push(format!("for name in {}; do", names.join(" ")));
        self.lines
            .push(format!("  printf '#!/bin/sh\\nexec %s -B -s \"$@\"\\n' \"${{PYTHON}}\" >{bin}/\"$name\""));
        self.lines.push(format!("  chmod +x {bin}/\"$name\""));
        self.lines.push("done".to_owned());
        self.lines.push(format!("export PATH={bin}:\"$PATH\""));
    }

    /// Runs these commands.
    pub(super) fn jobs(&mut self, jobs: &[Vec<Tool>]) {
        for tool in jobs.iter().flatten() {
            let words: Vec<_> = tool.words().map(|word| self.word(&word.to_string_lossy())).collect();
            self.lines.push(format!("(cd {} && {})", self.path(tool.folder()), words.join(" ")));
        }
    }

    /// Makes one unit of `files` of the tree, which calls the tree `tree`.
    pub(super) fn concatenate(&mut self, files: &[&Path], tree: &str, unit: &Path) {
        let files: Vec<_> = files.iter().map(|file| quote(&file.to_string_lossy())).collect();
        let unit = self.path(unit);
        self.lines.push(format!("for file in {}; do", files.join(" ")));
        self.lines.push(format!("  printf '#line 1 \"{tree}/%s\"\\n' \"$file\""));
        self.lines.push("  cat \"${TREE}/$file\"".to_owned());
        self.lines.push(format!("done >{unit}"));
    }

    /// Copies a file that was made.
    pub(super) fn copy(&mut self, from: &Path, to: &Path) {
        self.lines.push(format!("cp {} {}", self.path(from), self.path(to)));
    }

    /// The script, which asks for the C compiler `cc` unless the caller names another.
    fn finish(self, cc: &str) -> BuildScript {
        BuildScript { text: template::render(FRAME, &Frame { cc, lines: &self.lines }), files: self.files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(root: &str) -> Script {
        let tree = KernelTree {
            root: root.into(),
            kind: TreeKind::Make,
            version: "5.0.0".into(),
            digest: Digest::of(""),
        };
        Script::new(&tree, Path::new(OUT))
    }

    #[test]
    fn places_become_variables_and_everything_else_stays_as_it_is() {
        let script = script("/a tree's/x");
        for (word, expected) in [
            ("-O2", "-O2"),
            ("a b", "'a b'"),
            ("/a tree's/x", "\"${TREE}\""),
            ("-I/a tree's/x/include", "\"-I${TREE}/include\""),
            ("/a tree's/xy", "'/a tree'\\''s/xy'"),
            ("/selkie/out/work/a", "\"${WORK}/a\""),
            ("/selkie/out/kernel.elf", "\"${OUT}/kernel.elf\""),
            ("\"-fmap=/a tree's/x=sel4\" \"$d`\\", "\"\\\"-fmap=${TREE}=sel4\\\" \\\"\\$d\\`\\\\\""),
            ("/selkie/cc", "\"${CC}\""),
        ] {
            assert_eq!(script.word(word), expected);
        }
    }

    #[test]
    fn nobody_knows_the_build_of_an_installed_kernel() {
        let project = crate::Project::here();
        let ctx = Context::new(&project, &crate::context::Silent);
        let config = KernelConfig::load(&project, "x86_64-release").unwrap();
        let tree = KernelTree {
            root: "/prefix".into(),
            kind: TreeKind::Prefix,
            version: "16.0.0".into(),
            digest: Digest::of(""),
        };
        assert!(build_script(&ctx, &config, &tree).unwrap().is_none());
    }

    #[test]
    fn a_file_that_names_the_compiler_is_filled_in_when_it_is_used() {
        let mut script = script("/t");
        script.file(Path::new("a"), b"plain".into(), Path::new("/selkie/out/work/x/a"));
        script.file(Path::new("b"), b"cc is /selkie/cc".into(), Path::new("/selkie/out/work/b"));
        let BuildScript { text, files } = script.finish("cc");
        assert_eq!(files["b"], b"cc is @CC@");
        for line in [
            "mkdir -p \"${WORK}/x\"\ncp \"${SOURCE}/a\" \"${WORK}/x/a\"\n",
            "sed \"s|@CC@|${CC}|\" \"${SOURCE}/b\" >\"${WORK}/b\"\n",
            "${CC:-cc}",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
