//! From what an image is made of to its bill of materials.

use super::{
    super::{
        id,
        parts::Crates,
        source::{self, BOOT_LOADER_LICENSE, Description, SourceArchive},
    },
    spdx::{
        self, Checksum, CreationInfo, DOCUMENT, ExternalRef, File, Package, Purpose, Relation, Relationship,
        VerificationCode,
    },
};
use crate::{
    Digest, Target, files,
    image::{Manifest, Member, Role},
    inputs::debian,
    plan::InputKind,
    root_task::{LinkedCrate, escaped},
};
use sha1::Sha1;
use sha2::Digest as _;
use std::path::Path;

/// The licence of `core` and `alloc` (`COPYRIGHT` of the Rust project).
const RUST_LICENSE: &str = "MIT OR Apache-2.0";
/// The licence of `compiler_builtins` (its `Cargo.toml`).
const BUILTINS_LICENSE: &str = "MIT AND Apache-2.0 WITH LLVM-exception AND (MIT OR Apache-2.0)";
/// The licence of Selkie's own parts.
const OWN_LICENSE: &str = env!("CARGO_PKG_LICENSE");

/// What the seL4 tree says of programs.
const SYSCALL_NOTE: &str =
    "As the seL4 tree says, this licence does not cover programs that use the kernel by normal system calls.";
const AGGREGATE: &str = "The files of an image are separate works, each under its own licence: see what they are generated from and linked with.";

/// The digests of a file. SPDX asks for SHA-1 of every file (8.4); nothing is compared by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    sha256: Digest,
    sha1: String,
}

impl Content {
    pub(super) fn of(content: &[u8]) -> Self {
        Self { sha256: Digest::of(content), sha1: hex(&Sha1::digest(content)) }
    }

    pub(super) fn read(path: &Path) -> Result<Self, files::Error> {
        Ok(Self::of(&files::read(path)?))
    }

    fn checksums(&self) -> Vec<Checksum> {
        vec![Checksum::sha1(&self.sha1), Checksum::sha256(self.sha256)]
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All that a bill of materials follows from.
pub(super) struct Compose<'a> {
    pub(super) manifest: &'a Manifest,
    /// The image's files.
    pub(super) members: &'a [(String, Content)],
    pub(super) crates: &'a Crates,
    /// The function's C sources, as the recipe names them.
    pub(super) c_sources: &'a [(String, Content)],
    pub(super) kernel_license: Option<&'a str>,
    pub(super) sources: &'a [SourceArchive],
    /// When, as RFC 3339 writes it.
    pub(super) created: &'a str,
    /// Whether the root task was linked elsewhere.
    pub(super) prebuilt_root_task: bool,
}

/// A document that grows.
#[derive(Default)]
struct Parts {
    packages: Vec<Package>,
    files: Vec<File>,
    relationships: Vec<Relationship>,
}

impl Parts {
    fn relate(&mut self, one: &str, relation: Relation, other: &str) {
        self.relationships.push(Relationship {
            spdx_element_id: one.to_owned(),
            relationship_type: relation,
            related_spdx_element: other.to_owned(),
        });
    }

    /// Adds a package from which `files` are made.
    fn origin(&mut self, package: Package, files: &[String], relation: Relation) {
        for file in files {
            self.relate(file, relation, &package.id);
        }
        self.add(package);
    }

    fn add(&mut self, package: Package) {
        if self.packages.iter().all(|one| one.id != package.id) {
            self.packages.push(package);
        }
    }
}

impl Compose<'_> {
    pub(super) fn document(&self) -> spdx::Document {
        let mut parts = Parts::default();
        let image = self.image(&mut parts);
        self.kernel(&mut parts);
        self.root_task(&mut parts);
        self.rumprun(&mut parts);
        self.tender(&mut parts);
        self.boot_loader(&mut parts);
        self.archives(&mut parts);
        self.tools(&mut parts, &image);
        let Parts { mut packages, mut files, mut relationships } = parts;
        packages.sort_by(|a, b| a.id.cmp(&b.id));
        files.sort_by(|a, b| a.id.cmp(&b.id));
        relationships.sort();
        relationships.dedup();
        let manifest = self.manifest;
        let name = id(&manifest.name, manifest.target);
        // Another document gets another name: it is made of all that this one says.
        let content = Digest::of_json(&(&packages, &files, &relationships));
        spdx::Document {
            id: DOCUMENT.to_owned(),
            spdx_version: "SPDX-2.3".to_owned(),
            data_license: "CC0-1.0".to_owned(),
            document_namespace: format!("urn:selkie:sbom:{name}:{content}"),
            name,
            creation_info: CreationInfo {
                created: self.created.to_owned(),
                creators: vec![format!("Tool: selkie-{}", env!("CARGO_PKG_VERSION"))],
            },
            comment: "Made from the image's inputs: what its manifest names, and what Cargo says of the crates. The time is the image's, not that of the build.".to_owned(),
            packages,
            files,
            relationships,
        }
    }

    /// The image with its files; gives its identifier.
    fn image(&self, parts: &mut Parts) -> String {
        let Manifest { name, version, target, recipe, .. } = self.manifest;
        let image = spdx::id("Image", &id(name, *target));
        for (member, content) in self.members {
            let file = member_id(member);
            parts.relate(&image, Relation::Contains, &file);
            parts.files.push(File {
                id: file,
                file_name: format!("./{member}"),
                file_types: Vec::new(),
                checksums: content.checksums(),
                license_concluded: spdx::NOASSERTION.to_owned(),
                copyright_text: spdx::NOASSERTION.to_owned(),
                comment: None,
            });
        }
        let mut digests: Vec<_> = self.members.iter().map(|(_, content)| content.sha1.as_str()).collect();
        digests.sort_unstable();
        let value = hex(&Sha1::digest(digests.concat()));
        let purpose = match target {
            Target::Process => Purpose::Application,
            Target::Qemu | Target::BareMetal => Purpose::OperatingSystem,
        };
        let described = recipe["function"]["description"].as_str().unwrap_or_default();
        let package = Package {
            files_analyzed: true,
            package_verification_code: Some(VerificationCode { value }),
            license_comments: Some(AGGREGATE.to_owned()),
            ..Package::new(image.clone(), name, purpose).version(version).summary(described)
        };
        parts.relate(DOCUMENT, Relation::Describes, &image);
        parts.add(package);
        image
    }

    /// The identifiers of the image's files that have one of these roles.
    fn files(&self, roles: &[Role]) -> Vec<String> {
        let with_role = |member: &&Member| roles.contains(&member.role);
        self.manifest.members.iter().filter(with_role).map(|member| member_id(&member.name)).collect()
    }

    /// The kernel, and what of its tree the root task knows.
    fn kernel(&self, parts: &mut Parts) {
        let kernel = &self.manifest.kernel;
        let files = match self.manifest.target {
            Target::Process => Vec::new(),
            Target::Qemu | Target::BareMetal => {
                self.files(&[Role::Kernel, Role::Iso, Role::Disk, Role::Netboot])
            }
        };
        if let Some(prebuilt) = &kernel.prebuilt {
            let package = Package {
                checksums: vec![Checksum::sha256(prebuilt.sha256)],
                ..Package::new(spdx::id("Kernel", "prebuilt"), "prebuilt kernel", Purpose::OperatingSystem)
                    .summary(&prebuilt.origin)
            };
            parts.origin(package, &files, Relation::GeneratedFrom);
        } else if !files.is_empty() {
            let package = Package {
                source_info: Some(format!(
                    "source tree {}; kernel config {}; verified configuration: {}",
                    kernel.source, kernel.config, kernel.verified
                )),
                license_comments: self.kernel_license.map(|_| SYSCALL_NOTE.to_owned()),
                external_refs: self.kernel_purl(),
                ..Package::new(spdx::id("Kernel", "seL4"), "seL4", Purpose::OperatingSystem)
                    .version(&kernel.version)
                    .license(self.kernel_license)
                    .summary("The kernel")
            };
            let id = package.id.clone();
            parts.origin(package, &files, Relation::GeneratedFrom);
            for (name, input) in self.manifest.inputs.iter().filter(|(_, one)| one.kind == InputKind::Overlay)
            {
                let header = name.strip_prefix("overlay ").unwrap_or(name);
                let package = Package {
                    checksums: vec![Checksum::sha256(input.digest)],
                    ..Package::new(spdx::id("Overlay", header), name, Purpose::Source)
                        .license(Some(OWN_LICENSE))
                        .summary("A header that stands in for one of the kernel's tree")
                };
                parts.origin(package, std::slice::from_ref(&id), Relation::GeneratedFrom);
            }
        }
        if self.prebuilt_root_task {
            return;
        }
        // The bindings are made from descriptions of the interface, which the tree has under another licence.
        let package = Package {
            external_refs: self.kernel_purl(),
            ..Package::new(spdx::id("Library", "libsel4"), "libsel4", Purpose::Source)
                .version(&kernel.version)
                .license(self.kernel_license.map(|_| "BSD-2-Clause"))
                .summary("The descriptions of the kernel's interface, from which the root task's bindings are made")
        };
        parts.origin(package, &self.files(&[Role::RootTask]), Relation::GeneratedFrom);
    }

    fn kernel_purl(&self) -> Vec<ExternalRef> {
        let purl = self.crates.kernel.as_ref().and_then(LinkedCrate::purl);
        purl.map(ExternalRef::purl).into_iter().collect()
    }

    /// The function with the runtime.
    fn root_task(&self, parts: &mut Parts) {
        let files = self.files(&[Role::RootTask]);
        let recipe = &self.manifest.recipe;
        let license = recipe["function"]["license"].as_str();
        if self.prebuilt_root_task {
            let package = Package::new(
                spdx::id("Function", &self.manifest.name),
                &self.manifest.name,
                Purpose::Application,
            )
            .version(&self.manifest.version)
            .license(license)
            .summary("A root task that was linked elsewhere: what it is made from is not known");
            parts.origin(package, &files, Relation::GeneratedFrom);
            return;
        }
        for (name, content) in self.c_sources {
            let id = spdx::id("Source", name);
            for file in &files {
                parts.relate(file, Relation::GeneratedFrom, &id);
            }
            parts.files.push(File {
                id,
                file_name: name.clone(),
                file_types: vec!["SOURCE".to_owned()],
                checksums: content.checksums(),
                license_concluded: license.unwrap_or(spdx::NOASSERTION).to_owned(),
                copyright_text: spdx::NOASSERTION.to_owned(),
                comment: Some("A source of the function; not in the image".to_owned()),
            });
        }
        self.source_packages(parts, license, &files);
        self.link(parts, &self.crates.root_task, &files);
    }

    /// The source packages that the program is compiled from. The recipe says under which licence it is.
    fn source_packages(&self, parts: &mut Parts, license: Option<&str>, files: &[String]) {
        for debian::Package { name, version, sha256 } in source::packages(self.manifest) {
            let purl = format!("pkg:deb/debian/{}@{}?arch=source", escaped(&name), escaped(&version));
            let package = Package {
                source_info: Some(format!("its .dsc has the SHA-256 digest {sha256}")),
                external_refs: vec![ExternalRef::purl(purl)],
                ..Package::new(spdx::id("SourcePackage", &name), &name, Purpose::Source)
                    .version(&version)
                    .license(license)
                    .summary("The source package that the program is compiled from")
            };
            parts.origin(package, files, Relation::GeneratedFrom);
        }
    }

    /// NetBSD's libraries, from a tree that is the user's.
    fn rumprun(&self, parts: &mut Parts) {
        let trees = self.manifest.inputs.iter().filter(|(_, one)| one.kind == InputKind::Rumprun);
        for (name, input) in trees {
            let package = Package {
                source_info: Some(format!("identity in Selkie's manifest: {}", input.digest)),
                ..Package::new(spdx::id("Library", name), name, Purpose::Library)
                    .version(input.version.as_deref().unwrap_or_default())
                    .summary("NetBSD's kernel and libraries, as upstream's rumprun builds them; what they are made from has many licences, which its source files name")
            };
            parts.origin(package, &self.files(&[Role::RootTask]), Relation::StaticLink);
        }
    }

    fn tender(&self, parts: &mut Parts) {
        let files = self.files(&[Role::Executable]);
        self.link(parts, &self.crates.tender, &files);
        // It carries the root task.
        for (executable, root_task) in files.iter().zip(self.files(&[Role::RootTask])) {
            parts.relate(executable, Relation::Contains, &root_task);
        }
    }

    /// The crates that `files` are linked from, and what every Rust program has.
    fn link(&self, parts: &mut Parts, crates: &[LinkedCrate], files: &[String]) {
        for one in crates {
            let package = Package {
                checksums: one.checksum.map(Checksum::sha256).into_iter().collect(),
                external_refs: one.purl().map(ExternalRef::purl).into_iter().collect(),
                ..Package::new(
                    spdx::id("Crate", &format!("{}-{}", one.name, one.version)),
                    &one.name,
                    Purpose::Library,
                )
                .version(&one.version)
                .license(one.license.as_deref())
            };
            parts.origin(package, files, Relation::StaticLink);
        }
        let rustc = self.manifest.tools.get("rustc").map_or("", |tool| tool.version.as_str());
        let said = |key: &str| rustc.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown");
        let (release, commit) = (said("release: "), said("commit-hash: "));
        for (name, license, what) in [
            ("core", RUST_LICENSE, "Rust's core library"),
            ("alloc", RUST_LICENSE, "Rust's library for memory"),
            ("compiler_builtins", BUILTINS_LICENSE, "What rustc's code calls"),
        ] {
            let package = Package {
                source_info: Some(format!("as rustc {release} has it, commit {commit}")),
                ..Package::new(spdx::id("Rust", name), name, Purpose::Library)
                    .version(release)
                    .license(Some(license))
                    .summary(what)
            };
            if !crates.is_empty() {
                parts.origin(package, files, Relation::StaticLink);
            }
        }
    }

    /// GRUB, on the media that have it.
    fn boot_loader(&self, parts: &mut Parts) {
        let files = self.files(&[Role::Iso, Role::Disk]);
        for archive in self.sources {
            let Description::BootLoader { package: name, version, purl, tool } = &archive.description else {
                continue;
            };
            let package = Package {
                source_info: Some(format!("core images made by {tool}")),
                external_refs: vec![ExternalRef::purl(purl.clone())],
                ..Package::new(spdx::id("BootLoader", name), name, Purpose::Firmware)
                    .version(version)
                    .license(Some(BOOT_LOADER_LICENSE))
                    .summary("GRUB, the boot loader")
            };
            parts.origin(package, &files, Relation::Contains);
        }
    }

    /// The archives with source.
    fn archives(&self, parts: &mut Parts) {
        for archive in self.sources {
            let id = spdx::id("SourceOf", &archive.component);
            let mut holds = None;
            let what = match &archive.description {
                Description::GivenKernel { file, sha256, .. } => {
                    let kernel = if self.manifest.kernel.prebuilt.is_some() { "prebuilt" } else { "seL4" };
                    parts.relate(&spdx::id("Kernel", kernel), Relation::GeneratedFrom, &id);
                    holds = Some(format!("holds {file} with the SHA-256 digest {sha256}"));
                    "What whoever published the image gives as the corresponding source of the kernel, which was built elsewhere"
                }
                Description::Kernel { .. } => {
                    parts.relate(&spdx::id("Kernel", "seL4"), Relation::GeneratedFrom, &id);
                    "The complete corresponding source of the kernel, with the script that builds it"
                }
                Description::BootLoader { package, .. } => {
                    parts.relate(&id, Relation::DocumentationOf, &spdx::id("BootLoader", package));
                    "Where the source of the boot loader is, its configuration and the commands that make its core images"
                }
                Description::SourcePackage { name, files, .. } => {
                    parts.relate(&id, Relation::Contains, &spdx::id("SourcePackage", name));
                    let files = files.iter();
                    let named =
                        files.map(|one| format!("{} with the SHA-256 digest {}", one.name, one.sha256));
                    holds = Some(format!("holds {}", named.collect::<Vec<_>>().join(", ")));
                    "The source package that the program is compiled from, as the distribution has it"
                }
            };
            parts.add(Package {
                package_file_name: Some(archive.file.clone()),
                checksums: vec![Checksum::sha256(archive.sha256)],
                source_info: holds,
                ..Package::new(id, &archive.component, Purpose::Source)
                    .license(Some(&archive.license))
                    .summary(what)
            });
        }
    }

    /// The tools of the host.
    fn tools(&self, parts: &mut Parts, image: &str) {
        for (name, tool) in &self.manifest.tools {
            let id = spdx::id("Tool", name);
            parts.relate(&id, Relation::BuildToolOf, image);
            let version = tool.version.lines().next().unwrap_or_default();
            let package = Package {
                source_info: Some(format!("identity in Selkie's manifest: {}", tool.digest)),
                ..Package::new(id, name, Purpose::Application).version(version)
            };
            parts.add(package);
        }
    }
}

/// The identifier of a file of the image.
pub(super) fn member_id(member: &str) -> String {
    spdx::id("File", member)
}
