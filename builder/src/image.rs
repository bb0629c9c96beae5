//! An image: what `build-image` produces for one recipe and one target, and the manifest that lies in it.

use crate::{
    Digest, Target,
    bare_metal::Media,
    exec, files,
    inspect::printable,
    kernel_config::OptionValue,
    plan::{Input, InputKind},
    process::Identity,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// A manifest is never longer than this, in bytes.
pub(crate) const MAX_MANIFEST: u64 = 1 << 20;

/// The file names in an image's folder.
pub mod name {
    use crate::{Target, bare_metal::Media};

    /// The kernel, as the target's loader takes it.
    pub const KERNEL: &str = "kernel";
    /// The root task, stripped.
    pub const ROOT_TASK: &str = "root-task";
    /// Boots the image.
    pub const RUN: &str = "run.sh";
    /// The recipe with every default written out.
    pub const RECIPE: &str = "recipe.toml";
    /// What the image is made of: a [`super::Manifest`].
    pub const MANIFEST: &str = "manifest.json";
    /// The commands that built the image and what they printed.
    pub const LOG: &str = "build.log";

    /// What boots over the network: kernel, root task, and the script that iPXE starts with.
    pub const NETBOOT: [&str; 3] = ["netboot/kernel", "netboot/root-task", "netboot/boot.ipxe"];

    /// The ISO image of the recipe `name`.
    pub fn iso(name: &str) -> String {
        format!("{name}.iso")
    }

    /// The disk image of the recipe `name`.
    pub fn disk(name: &str) -> String {
        format!("{name}.img")
    }

    /// The files of the image of the recipe `name` for `target`. A process is one executable, which has the
    /// recipe's name; `media` are those of a bare machine.
    pub fn all(name: &str, target: Target, media: Option<&Media>) -> Vec<String> {
        let first: &[&str] = match target {
            Target::Qemu => &[KERNEL, ROOT_TASK, RUN],
            Target::Process => &[name, ROOT_TASK],
            Target::BareMetal => &[KERNEL, ROOT_TASK],
        };
        let media =
            media.map(|media| media.files(name)).unwrap_or_default().into_iter().map(|(name, _)| name);
        let last = [RECIPE, MANIFEST, LOG].map(str::to_owned);
        first.iter().map(|name| (*name).to_owned()).chain(media).chain(last).collect()
    }
}

/// A built image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Image {
    /// The recipe's name.
    pub name: String,
    /// What it runs on.
    pub target: Target,
    /// The folder that it lies in.
    pub dir: PathBuf,
    /// Its files, the manifest last; the log is none of them.
    pub members: Vec<Member>,
    /// Whether anything was built; false when the image was there and nothing had changed.
    pub fresh: bool,
}

impl Image {
    /// The file of the member with this name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The log of the build.
    pub fn log(&self) -> PathBuf {
        self.dir.join(name::LOG)
    }

    /// The member that plays `role`.
    pub fn member(&self, role: Role) -> Option<&Member> {
        self.members.iter().find(|member| member.role == role)
    }
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// Its file name, with a folder before it where it lies in one.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

impl Member {
    /// The member `name` in `dir`, read.
    pub fn read(dir: &Path, name: &str, role: Role) -> Result<Self, files::Error> {
        let content = files::read(&dir.join(name))?;
        Ok(Self { name: name.to_owned(), role, size: content.len() as u64, sha256: Digest::of(content) })
    }
}

/// What a file of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The seL4 kernel.
    Kernel,
    /// The function with its runtime.
    RootTask,
    /// The tender with the root task inside: a Linux program.
    Executable,
    /// Starts the image.
    Script,
    /// An ISO image, for a CD or a USB stick.
    Iso,
    /// A disk image.
    Disk,
    /// For booting over the network.
    Netboot,
    /// The expanded recipe.
    Recipe,
    /// The manifest.
    Manifest,
}

/// How a kernel's options and source relate to a configuration that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// Not a verified configuration.
    None,
    /// The options are those of the tree's verified configuration; the source is not known to be the one that was
    /// verified.
    OptionsMatch,
    /// The options are those of the tree's verified configuration, and the source is that of the published release
    /// to the last byte.
    OptionsAndSourceMatch,
}

impl Verified {
    /// What is meant, for a reader.
    pub fn why(self) -> &'static str {
        match self {
            Self::None => "other options, another release, or overlays",
            Self::OptionsMatch => "the source is not that of the published release, to the last byte",
            Self::OptionsAndSourceMatch => {
                "the options of the tree's verified configuration, the published source"
            }
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::OptionsMatch => "options match",
            Self::OptionsAndSourceMatch => "options and source digest match",
        })
    }
}

/// What an image is made of: `manifest.json`. The same inputs give the same bytes, wherever and whenever
/// it is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The version of this format: 1.
    pub format: u32,
    /// The recipe's name.
    pub name: String,
    /// The function's version.
    pub version: String,
    /// What the image runs on.
    pub target: Target,
    /// The time that the image carries, in seconds since 1970.
    pub epoch: u64,
    /// The digest of everything that the image depends on.
    pub key: Digest,
    /// The kernel.
    pub kernel: Kernel,
    /// The function with its runtime.
    pub root_task: RootTask,
    /// What hosts the root task in a process; on target `process` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Identity>,
    /// What boots on which firmware; on target `bare-metal` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// The recipe, checked, with its defaults.
    pub recipe: serde_json::Value,
    /// Everything that the image depends on, by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputIdentity>,
    /// The tools that made the image, by name.
    pub tools: BTreeMap<String, ToolIdentity>,
    /// The files of the image, but the manifest and the log.
    pub members: Vec<Member>,
}

/// The kernel of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kernel {
    /// The kernel config's name.
    pub config: String,
    /// The seL4 release.
    pub version: String,
    /// The digest of its source tree.
    pub source: Digest,
    /// The options that are on, or have a value.
    pub options: BTreeMap<String, OptionValue>,
    /// The headers that stand in for headers of the tree, with the reasons.
    pub overlays: BTreeMap<String, String>,
    /// The kernel that boots when it was built elsewhere: all the rest here but `interface` then says nothing
    /// of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prebuilt: Option<Prebuilt>,
    /// Whether this is a verified configuration.
    pub verified: Verified,
    /// The digest of its user interface: numbers, labels, object types, layouts.
    pub interface: Digest,
}

/// A kernel that was built elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Prebuilt {
    /// The digest of the file that the recipe names; the member `kernel` is what a boot loader needs of it.
    pub sha256: Digest,
    /// What is known of it: [`NOT_BUILT`].
    pub origin: String,
}

/// What Selkie can say of a kernel that was built elsewhere.
pub const NOT_BUILT: &str = "not built by Selkie: its source, options and interface are not known; the config is what the root task was built for";

/// The root task of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RootTask {
    /// The digest of its file.
    pub sha256: Digest,
    /// What its exit line repeats, 16 hexadecimal digits.
    pub nonce: String,
}

/// Which input it was, wherever it lay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InputIdentity {
    /// What it is.
    pub kind: InputKind,
    /// The digest of its content.
    pub digest: Digest,
    /// For a tool: what it says of itself. For a kernel's source: the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl InputIdentity {
    /// The identity of `input`.
    pub fn of(input: &Input) -> Self {
        let Input { name: _, kind, digest, version, path: _ } = input;
        Self { kind: *kind, digest: *digest, version: version.clone() }
    }
}

/// Which tool it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ToolIdentity {
    /// What it says of itself.
    pub version: String,
    /// The digest of the program and of the programs it runs.
    pub digest: Digest,
}

/// An image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no image.
    #[error(
        "{dir}: there is no image here\n  help: `cargo xtask build-image {}` makes it",
        exec::quote(name)
    )]
    Absent {
        /// Where it should be.
        dir: PathBuf,
        /// The recipe's name.
        name: String,
    },
    /// The manifest is not one.
    #[error("{path}: this is not the manifest of an image: {}\n  help: build the image anew", printable(&source.to_string()))]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Absent { .. } | Error::Manifest { .. } => crate::ExitCode::Failed,
});

impl Manifest {
    /// The manifest in an image's folder.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(name::MANIFEST);
        if !path.exists() {
            let recipe = dir.parent().and_then(Path::file_name).unwrap_or("RECIPE".as_ref());
            return Err(Error::Absent { dir: dir.to_owned(), name: recipe.to_string_lossy().into_owned() });
        }
        serde_json::from_slice(&files::read_at_most(&path, MAX_MANIFEST)?)
            .map_err(|source| Error::Manifest { path, source })
    }

    /// Its text: JSON with sorted keys, two spaces per level, and a line's end.
    pub fn text(&self) -> String {
        // Through `Value`, whose maps are sorted, so that the bytes do not follow the order of fields.
        let text = serde_json::to_value(self).and_then(|value| serde_json::to_string_pretty(&value));
        text.unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let digest = Digest::of("x");
        Manifest {
            format: 1,
            name: "hello".into(),
            version: "0.1.0".into(),
            target: Target::Qemu,
            epoch: 0,
            key: digest,
            kernel: Kernel {
                config: "x86_64-release".into(),
                version: "5.0.0".into(),
                source: digest,
                options: [("FASTPATH".to_owned(), OptionValue::Flag(true))].into(),
                overlays: BTreeMap::new(),
                prebuilt: None,
                verified: Verified::None,
                interface: digest,
            },
            root_task: RootTask { sha256: digest, nonce: "0".repeat(16) },
            process: None,
            media: None,
            recipe: serde_json::json!({ "b": 1, "a": 2 }),
            inputs: BTreeMap::new(),
            tools: BTreeMap::new(),
            members: vec![Member { name: "kernel".into(), role: Role::Kernel, size: 1, sha256: digest }],
        }
    }

    #[test]
    fn a_manifest_is_read_back_and_its_keys_are_sorted() {
        let dir = tempfile::tempdir().unwrap();
        let text = manifest().text();
        files::write(&dir.path().join(name::MANIFEST), &text).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), manifest());
        let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  \"")).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(text.find("\"a\": 2") < text.find("\"b\": 1"));
    }

    #[test]
    fn a_folder_without_image_names_the_command_that_makes_it() {
        let text = Manifest::read(Path::new("/none/hello/qemu")).unwrap_err().to_string();
        assert!(text.contains("`cargo xtask build-image hello`"), "{text}");
        let text = Manifest::read(Path::new("folder")).unwrap_err().to_string();
        assert!(text.contains("`cargo xtask build-image RECIPE`"), "{text}");
    }

    #[test]
    fn a_manifest_that_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join(name::MANIFEST)).unwrap();
        file.set_len(1 << 40).unwrap();
        let text = Manifest::read(dir.path()).unwrap_err().to_string();
        assert!(text.ends_with("it has more than 1048576 bytes"), "{text}");
    }
}
