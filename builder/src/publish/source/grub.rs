//! Where GRUB's source is, and all that Selkie adds to it.
//!
//! The distribution that Selkie takes GRUB from has its source, so an archive says which source package it is, how to
//! have it, and has the configuration and the commands that made GRUB what it is on the media (GPL-3.0, section 6 d).

use super::{
    DESCRIPTION, Description, Error, SourceArchive, Subject,
    pack::{self, Nodes},
    plain,
};
use crate::{
    Context, Result,
    bare_metal::{self, Packer},
    doctor,
    exec::Tool,
    publish::statement,
    root_task::escaped,
    template,
};
use serde::Serialize;
use std::path::Path;

/// The licence of GRUB, as its file COPYING and the headers of its sources say.
pub(in crate::publish) const LICENSE: &str = "GPL-3.0-or-later";

const README: &str = include_str!("../../../../templates/publish/boot-loader-source.md.hbs");
const TEMPLATE: &str = include_str!("../../../../templates/bare-metal/grub.cfg.hbs");

/// A source package of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    /// Whether it is one of Debian's kind.
    debian: bool,
}

impl Package {
    /// Its package URL in this distribution.
    fn purl(&self, distribution: Option<&str>) -> String {
        let (kind, arch) = if self.debian { ("deb", "source") } else { ("rpm", "src") };
        let distribution = distribution.map(|name| format!("{}/", escaped(name))).unwrap_or_default();
        format!("pkg:{kind}/{distribution}{}@{}?arch={arch}", self.name, escaped(&self.version))
    }
}

#[derive(Serialize)]
struct Readme<'a> {
    name: &'a str,
    package: &'a str,
    version: &'a str,
    debian: bool,
    tool: &'a str,
    license: &'a str,
}

/// The archive for the boot loader of `subject`; none when its media have none.
pub(super) fn archive(ctx: &Context<'_>, subject: &Subject<'_>) -> Result<Option<SourceArchive>> {
    let plan = subject.plan;
    let (Some(packer), Some(media)) = (&plan.packer, &plan.media) else { return Ok(None) };
    let package = package(ctx, packer, &plan.name)?;
    let tool = packer.grub.mkimage.version.clone();
    let top = plain(&format!("{}-{}", package.name, package.version));
    let description = Description::BootLoader {
        package: package.name.clone(),
        version: package.version.clone(),
        purl: package.purl(doctor::distribution().as_deref()),
        tool: tool.clone(),
    };
    let readme = Readme {
        name: &plan.name,
        package: &package.name,
        version: &package.version,
        debian: package.debian,
        tool: &tool,
        license: LICENSE,
    };
    let mut nodes: Nodes = [
        ("README.md", pack::text(template::render(README, &readme))),
        (DESCRIPTION, pack::text(statement::text(&description))),
        ("grub.cfg.hbs", pack::text(TEMPLATE)),
    ]
    .map(|(name, node)| (name.into(), node))
    .into();
    let additions = bare_metal::grub_additions(&plan.recipe, media, plan.key);
    nodes.extend(additions.map(|(name, content)| (name.into(), pack::text(content))));
    let content = pack::pack(&top, &nodes, plan.epoch)
        .map_err(|source| Error::Pack { component: top.clone(), source })?;
    Ok(Some(SourceArchive::new(top, LICENSE, description, content)))
}

/// The source package that the boot loader's files are from.
fn package(ctx: &Context<'_>, packer: &Packer, name: &str) -> Result<Package, Error> {
    let list = packer.grub.platforms.first().map(|platform| platform.file("moddep.lst"));
    let file = list.unwrap_or_else(|| packer.grub.mkimage.path.clone());
    debian(ctx, &file)
        .or_else(|| rpm(ctx, &file))
        .ok_or_else(|| Error::BootLoader { name: name.to_owned(), file })
}

fn ask(ctx: &Context<'_>, program: &str, args: &[&str]) -> Option<String> {
    let tool = Tool::new(program, Path::new("/")).args(args);
    tool.run(&ctx.cancel).ok().map(|output| output.stdout)
}

fn debian(ctx: &Context<'_>, file: &Path) -> Option<Package> {
    let owner = ask(ctx, "dpkg-query", &["--search", "--", file.to_str()?])?;
    // `grub-pc-bin: /usr/lib/grub/i386-pc/moddep.lst`, with the architecture behind the name when there are several.
    let (owner, _) = owner.lines().next()?.split_once(": ")?;
    let format = "--showformat=${source:Package}\n${source:Version}\n";
    let answer = ask(ctx, "dpkg-query", &["--show", format, "--", owner])?;
    let mut lines = answer.lines().map(str::to_owned);
    Some(Package { name: lines.next()?, version: lines.next()?, debian: true })
}

fn rpm(ctx: &Context<'_>, file: &Path) -> Option<Package> {
    let answer = ask(ctx, "rpm", &["--query", "--queryformat", "%{SOURCERPM}", "--file", file.to_str()?])?;
    source_rpm(&answer)
}

/// Name and version of `grub2-2.12-28.fc42.src.rpm`.
fn source_rpm(file: &str) -> Option<Package> {
    let name = file.trim().strip_suffix(".src.rpm")?;
    let (rest, release) = name.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some(Package { name: name.to_owned(), version: format!("{version}-{release}"), debian: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_rpm_names_package_and_version() {
        let package = source_rpm("grub2-2.12-28.fc42.src.rpm\n").unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("grub2", "2.12-28.fc42"));
        assert_eq!(source_rpm("file /x is not owned by any package"), None);
    }
}
