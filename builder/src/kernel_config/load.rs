//! From a kernel config's name to a checked [`KernelConfig`].

use super::{FeaturesOf, KernelConfig, OptionValue, RawKernelConfig, RawSource, Source, UserSource, check};
use crate::{
    Project, Result,
    diagnostic::{Diagnostic, Diagnostics},
    document::{Document, Findings, Source as Text, at, names, schema::Schema, shown, suggest::did_you_mean},
    kernel,
    recipe::Recipe,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What people write for a kernel config's keys.
const HABITS: [(&str, &str); 6] = [
    ("config", "options"),
    ("cpu", "qemu-cpu"),
    ("hash", "digest"),
    ("option", "options"),
    ("overlays", "overlay"),
    ("sha256", "digest"),
];

/// The schema of a kernel config.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of::<RawKernelConfig>(&HABITS))
}

/// One file of the chain that `inherits` makes.
struct Link {
    name: String,
    path: PathBuf,
    source: Text,
    raw: RawKernelConfig,
}

impl KernelConfig {
    /// Reads `kernel-configs/NAME.toml`, follows `inherits`, and checks each file and the whole.
    ///
    /// The error, of exit code 2, tells all that is wrong: see [`crate::Error::diagnostics`].
    pub fn load(project: &Project, name: &str) -> Result<Self> {
        let mut chain = vec![link(project, name)?];
        while let Some(parent) = next(project, &chain)? {
            chain.push(link(project, &parent)?);
        }
        let mut config = merge(chain)?;
        config.settle();
        Ok(config)
    }

    /// As [`KernelConfig::load`], with the source that the user names in place of the kernel config's own.
    ///
    /// Where `name` is not meant for such a source, the kernel config that it names for this (`with-user-source`)
    /// is read instead.
    pub fn load_with(project: &Project, name: &str, user: Option<&UserSource>) -> Result<Self> {
        let config = Self::load(project, name)?;
        let Some(user) = user else { return Ok(config) };
        let mut config = match &config.with_user_source {
            Some(other) => Self::load(project, other)?,
            None => config,
        };
        if let Source::Crate { name, .. } = &config.source {
            let message =
                format!("this kernel's source is the crate `{name}`, not `{}`", user.path().display());
            let help = "choose a kernel config for your own source with `--kernel-config`; `cargo xtask list` shows them";
            let file = shown(project, &config.path);
            return Err(Diagnostics(vec![Diagnostic::of_file(file, message).help(help)]).into());
        }
        config.source = config.source.at(user);
        config.settle();
        if let UserSource::Prefix(path) = user {
            config.adapt(&kernel::features_of_prefix(path));
        }
        Ok(config)
    }

    /// Takes over the CPU features that the release at hand needs, where there is one.
    fn settle(&mut self) {
        let version = match &self.source {
            Source::Crate { version, .. } => version.clone(),
            Source::Path { path, .. } => kernel::version_of(path),
            Source::Prefix { path, .. } => {
                kernel::release_of(&UserSource::Prefix(path.clone())).unwrap_or_default()
            }
            Source::User { .. } => return,
        };
        for FeaturesOf { versions, features } in std::mem::take(&mut self.cpu_features_of) {
            if versions.accept(&version) {
                let new = features.into_iter().filter(|one| !self.cpu_features.contains(one));
                self.cpu_features.extend(new.collect::<Vec<_>>());
            }
        }
    }

    /// What an installed kernel needs of the CPU counts, not what the options here would need.
    fn adapt(&mut self, features: &[&str]) {
        let new = features.iter().filter(|feature| !self.cpu_features.iter().any(|known| known == *feature));
        let new: Vec<String> = new.map(|feature| (*feature).to_owned()).collect();
        if !new.is_empty() {
            self.cpu_features.extend(new);
            "max".clone_into(&mut self.qemu_cpu);
        }
    }

    /// The kernel config of `recipe`, with the source that the user names for it.
    pub fn of(project: &Project, recipe: &Recipe) -> Result<Self> {
        Self::load_with(project, &recipe.kernel, recipe.kernel_source.as_ref())
    }

    /// The kernel configs for a user's own source that accept the release of the source tree in `tree` and that images
    /// can be made with, each with the tree as its source.
    pub fn all_for(project: &Project, tree: &Path) -> Result<Vec<Self>> {
        let (user, version) = (UserSource::Tree(tree.to_owned()), kernel::version_of(tree));
        let mut configs = Vec::new();
        for name in Self::names(project)? {
            let config = Self::load(project, &name)?;
            match &config.source {
                Source::User { versions, .. } if config.has_images() && versions.accept(&version) => {
                    configs.push(Self::load_with(project, &name, Some(&user))?);
                }
                _ => {}
            }
        }
        Ok(configs)
    }

    /// The names of all kernel configs, sorted.
    pub fn names(project: &Project) -> Result<Vec<String>> {
        Ok(names(&project.kernel_configs())?)
    }
}

/// Reads and checks one file.
fn link(project: &Project, name: &str) -> Result<Link, Diagnostics> {
    let path = project.kernel_configs().join(format!("{name}.toml"));
    let source = Text::read(&path, &shown(project, &path), || {
        let there = names(&project.kernel_configs()).unwrap_or_default();
        let help = did_you_mean(name, "kernel configs", &there);
        Diagnostic::of_file(shown(project, &path), format!("there is no kernel config `{name}`")).help(help)
    })?;
    let doc = Document::parse(&source)?;
    let raw: RawKernelConfig = doc.decode(schema())?;
    check::check(project, &doc, &raw)?;
    Ok(Link { name: name.to_owned(), path, source, raw })
}

/// The kernel config that the last of `chain` inherits from.
fn next(project: &Project, chain: &[Link]) -> Result<Option<String>, Diagnostics> {
    let Some(Link { source, raw: RawKernelConfig { inherits: Some(parent), .. }, .. }) = chain.last() else {
        return Ok(None);
    };
    let there = names(&project.kernel_configs())?;
    let seen = chain.iter().position(|link| link.name == *parent);
    let known = there.contains(parent);
    if seen.is_none() && known {
        return Ok(Some(parent.clone()));
    }
    let doc = Document::parse(source)?;
    let mut findings = Findings::new(&doc);
    match seen {
        Some(first) => {
            let circle = chain[first..].iter().map(|link| link.name.as_str()).chain([parent.as_str()]);
            let circle = circle.collect::<Vec<_>>().join(" → ");
            let help = "take `inherits` out of one of them";
            findings.value(at!["inherits"], format!("`{parent}` inherits from itself: {circle}"), help);
        }
        None => {
            let help = did_you_mean(parent, "kernel configs", &there);
            findings.value(
                at!["inherits"],
                format!("there is no kernel config `{parent}` to inherit from"),
                help,
            );
        }
    }
    findings.finish()?;
    Ok(None)
}

/// The source that a checked file names. Paths are relative to it.
fn source(link: &Link, raw: &RawSource) -> Option<Source> {
    let folder = link.path.parent()?;
    let versions = raw.versions.as_ref().and_then(|versions| versions.parse().ok());
    Some(match raw {
        RawSource { crate_name: Some(name), subdir, version, digest, .. } => Source::Crate {
            name: name.clone(),
            subdir: subdir.clone()?,
            version: version.clone()?,
            digest: (*digest)?,
        },
        RawSource { path: Some(path), digest, .. } => {
            Source::Path { path: folder.join(path), versions: versions?, digest: *digest }
        }
        RawSource { prefix: Some(path), digest, .. } => {
            Source::Prefix { path: folder.join(path), versions: versions?, digest: *digest }
        }
        RawSource { digest, .. } => Source::User { versions: versions?, digest: *digest },
    })
}

/// One kernel config of a chain, the heir first.
fn merge(chain: Vec<Link>) -> Result<KernelConfig, Diagnostics> {
    let first = |get: fn(&RawKernelConfig) -> Option<String>| chain.iter().find_map(|link| get(&link.raw));
    let arch = chain.iter().find_map(|link| link.raw.arch);
    let platform = chain.iter().find_map(|link| link.raw.platform);
    let qemu_cpu = first(|raw| raw.qemu_cpu.clone());
    let cpu_features = chain.iter().find_map(|link| link.raw.cpu_features.clone());
    let features_of = chain.iter().find_map(|link| link.raw.cpu_features_of.clone()).unwrap_or_default();
    // A text that is no range was an error of its file.
    let features_of = features_of
        .into_iter()
        .filter_map(|raw| Some(FeaturesOf { versions: raw.versions.parse().ok()?, features: raw.features }));
    let source = chain.iter().find_map(|link| source(link, link.raw.source.as_ref()?));
    let kconfig = matches!(source, Some(Source::Crate { .. }));
    let published = chain.iter().find_map(|link| link.raw.source.as_ref());
    let published = published.map(|source| source.published.clone()).unwrap_or_default();
    check_overlays(&chain)?;
    let mut options = BTreeMap::new();
    let mut overlays = Vec::new();
    for link in chain.iter().rev() {
        leave_out(link, &mut options)?;
        options.extend(link.raw.options.clone());
        overlays.extend(link.raw.overlay.iter().cloned());
    }
    // Kconfig leaves a symbol that is off undefined; CMake has to be told, since its default may be on.
    options.retain(|_, value| !kconfig || *value != OptionValue::Flag(false));
    let keys = [
        ("arch", arch.is_none()),
        ("platform", platform.is_none()),
        ("qemu-cpu", qemu_cpu.is_none()),
        ("cpu-features", cpu_features.is_none()),
        ("source", source.is_none()),
    ];
    let (Some(arch), Some(platform), Some(qemu_cpu), Some(cpu_features), Some(source)) =
        (arch, platform, qemu_cpu, cpu_features, source)
    else {
        let missing = keys.into_iter().filter(|(_, missing)| *missing);
        return Err(Diagnostics(missing.map(|(key, _)| missing_key(&chain, key)).collect()));
    };
    let heir = &chain[0];
    if platform.arch() != arch {
        let message = format!("platform `{}` is not of architecture `{arch}`", platform.name());
        let diagnostic = heir.source.diagnostic(0..0, message);
        return Err(Diagnostics(vec![diagnostic.help(format!("write `arch = \"{}\"`", platform.arch()))]));
    }
    Ok(KernelConfig {
        name: heir.name.clone(),
        path: heir.path.clone(),
        description: heir.raw.description.clone(),
        arch,
        platform,
        qemu_cpu,
        cpu_features,
        cpu_features_of: features_of.collect(),
        with_user_source: first(|raw| raw.with_user_source.clone()),
        verified: chain.iter().find_map(|link| link.raw.verified).unwrap_or(false),
        emulation_only: chain.iter().find_map(|link| link.raw.emulation_only).unwrap_or(false),
        source,
        published,
        options,
        overlays,
    })
}

/// Takes out of the inherited `options` what `link` is without.
fn leave_out(link: &Link, options: &mut BTreeMap<String, OptionValue>) -> Result<(), Diagnostics> {
    for (i, name) in link.raw.without.iter().enumerate() {
        if options.remove(name).is_none() {
            let doc = Document::parse(&link.source)?;
            let mut findings = Findings::new(&doc);
            let there: Vec<_> = options.keys().cloned().collect();
            let help = did_you_mean(name, "inherited options", &there);
            findings.value(at!["without", i], format!("there is no option `{name}` to inherit"), help);
            findings.finish()?;
        }
    }
    Ok(())
}

/// No file of `chain` says `key`.
fn missing_key(chain: &[Link], key: &str) -> Diagnostic {
    let ancestors: Vec<_> = chain.iter().skip(1).map(|link| format!("`{}`", link.name)).collect();
    let inherited = match ancestors.is_empty() {
        true => String::new(),
        false => format!(", and not inherited from {} either", ancestors.join(", ")),
    };
    let message = format!("`{key}` is missing{inherited}");
    chain[0].source.diagnostic(0..0, message).help(format!("add it, {}", schema().explain(key)))
}

/// No two files of `chain` may overlay the same header.
fn check_overlays(chain: &[Link]) -> Result<(), Diagnostics> {
    for (i, heir) in chain.iter().enumerate() {
        for (n, overlay) in heir.raw.overlay.iter().enumerate() {
            let taken = |link: &&Link| link.raw.overlay.iter().any(|other| other.header == overlay.header);
            if let Some(ancestor) = chain[i + 1..].iter().find(taken) {
                let doc = Document::parse(&heir.source)?;
                let mut findings = Findings::new(&doc);
                let message = format!("`{}` is already overlaid by `{}`", overlay.header, ancestor.name);
                let help = "take one of the two out, or do not inherit";
                findings.value(at!["overlay", n, "header"], message, help);
                findings.finish()?;
            }
        }
    }
    Ok(())
}
