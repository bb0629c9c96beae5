//! What a kernel config that has the right shape can still get wrong by itself, without its kernel's tree.

use super::{OptionValue, RawFeaturesOf, RawKernelConfig, RawSource, Versions};
use crate::{
    Project,
    diagnostic::Diagnostics,
    document::{Document, Findings, Step, at, names, shown, suggest::did_you_mean},
    files, qemu,
};
use std::path::{Component, Path};

/// Checks `raw`, which was read as `doc`.
pub(super) fn check(project: &Project, doc: &Document<'_>, raw: &RawKernelConfig) -> Result<(), Diagnostics> {
    let mut findings = Findings::new(doc);
    if raw.description.chars().any(char::is_control) {
        let help = "write one line of plain text";
        findings.value(at!["description"], "the description has a control character in it", help);
    }
    if let Some(cpu) = &raw.qemu_cpu
        && !qemu::is_cpu_model(cpu)
    {
        let message = format!("`{}` is not a CPU model", cpu.escape_debug());
        let help = "write one of those that `qemu-system-x86_64 -cpu help` lists, for instance `\"qemu64\"`";
        findings.value(at!["qemu-cpu"], message, help);
    }
    if let (Some(arch), Some(platform)) = (raw.arch, raw.platform)
        && platform.arch() != arch
    {
        let message = format!("platform `{}` is not of architecture `{arch}`", platform.name());
        findings.value(at!["platform"], message, format!("write `arch = \"{}\"`", platform.arch()));
    }
    if let Some(other) = &raw.with_user_source {
        check_other(project, other, &mut findings);
    }
    check_features(raw, &mut findings);
    if let Some(source) = &raw.source {
        check_source(project, source, &mut findings);
    }
    for (name, value) in &raw.options {
        check_option(name, value, &mut findings);
    }
    check_overlays(project, raw, &mut findings);
    findings.finish()
}

/// The kernel config for the user's own source is there.
fn check_other(project: &Project, other: &str, findings: &mut Findings<'_>) {
    let there = names(&project.kernel_configs()).unwrap_or_default();
    if !there.iter().any(|name| name == other) {
        let message = format!("there is no kernel config `{other}`");
        findings.value(at!["with-user-source"], message, did_you_mean(other, "kernel configs", &there));
    }
}

fn check_features(raw: &RawKernelConfig, findings: &mut Findings<'_>) {
    let always = raw.cpu_features.as_deref().unwrap_or_default();
    for (i, feature) in always.iter().enumerate() {
        check_feature(feature, &always[..i], at!["cpu-features", i], findings);
    }
    for (n, RawFeaturesOf { versions, features }) in raw.cpu_features_of.iter().flatten().enumerate() {
        if let Err(error) = versions.parse::<Versions>() {
            let message = format!("`{}` is not a range of versions: {error}", versions.escape_debug());
            let help = "write the releases that need the features, for instance `\"<14\"`";
            findings.value(at!["cpu-features-of", n, "versions"], message, help);
        }
        for (i, feature) in features.iter().enumerate() {
            let known: Vec<String> = always.iter().chain(&features[..i]).cloned().collect();
            check_feature(feature, &known, at!["cpu-features-of", n, "features", i], findings);
        }
    }
}

/// `feature` has the form of a name and is not among those that are `known` already.
fn check_feature(feature: &String, known: &[String], place: &[Step<'_>], findings: &mut Findings<'_>) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if feature.is_empty() || !feature.chars().all(allowed) {
        let message = format!("`{feature}` is not a CPU feature");
        let help = "write it as `/proc/cpuinfo` does, in small letters, for instance `\"fsgsbase\"`";
        findings.value(place, message, help);
    } else if known.contains(feature) {
        findings.value(place, format!("`{feature}` is there twice"), "keep one of them");
    }
}

fn check_source(project: &Project, source: &RawSource, findings: &mut Findings<'_>) {
    let kinds =
        [("crate", &source.crate_name), ("path", &source.path), ("prefix", &source.prefix)].into_iter();
    let named: Vec<&str> = kinds.filter_map(|(key, value)| value.as_ref().map(|_| key)).collect();
    if let [first, second, ..] = named[..] {
        let message = format!("`{first}` and `{second}` are two sources");
        findings.value(at!["source", second], message, "keep one of them");
        return;
    }
    match &source.crate_name {
        Some(name) => check_crate(project, name, source, findings),
        None => check_versions(source, findings),
    }
    for (key, path) in [("path", &source.path), ("prefix", &source.prefix)] {
        if path.as_ref().is_some_and(|path| path.is_empty() || path.contains('\0')) {
            findings.value(at!["source", key], "this is not a path", "write the folder's path");
        }
    }
}

/// A source in a crate: the crate is pinned, the release is one, the tree's digest is there.
fn check_crate(project: &Project, name: &str, source: &RawSource, findings: &mut Findings<'_>) {
    let pin = project.pinned_crate(name).join("Cargo.toml");
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !plain {
        let help = "write the crate's name in the registry, for instance `\"sel4-sys\"`";
        findings.value(at!["source", "crate"], format!("`{name}` is not a crate's name"), help);
    } else if !pin.is_file() {
        let help = "add it: a manifest that names the crate with an exact version, and its lock file";
        let message = format!("the crate `{name}` is not pinned: there is no `{}`", shown(project, &pin));
        findings.value(at!["source", "crate"], message, help);
    }
    if source.versions.is_some() {
        let help = "write `version`, the one release that the crate carries";
        findings.key(at!["source", "versions"], "a crate's source has no `versions`", help);
    }
    let needed = [
        ("subdir", source.subdir.is_none(), "the folder of the tree in the crate, for instance `\"seL4\"`"),
        ("version", source.version.is_none(), "the seL4 release, for instance `\"5.0.0\"`"),
        ("digest", source.digest.is_none(), "the tree's digest, 64 hexadecimal digits"),
    ];
    for (key, _, what) in needed.into_iter().filter(|(_, missing, _)| *missing) {
        let message = format!("`{key}` is missing: a crate's source needs it");
        findings.key(at!["source"], message, format!("add `{key}`, {what}"));
    }
    if let Some(subdir) = source.subdir.as_ref().filter(|subdir| !is_inner(subdir)) {
        let help =
            "write the tree's folder in the crate, for instance `\"seL4\"`; `\".\"` is the crate itself";
        findings.value(at!["source", "subdir"], format!("`{subdir}` is not a folder inside the crate"), help);
    }
    if let Some(version) = &source.version
        && let Err(error) = semver::Version::parse(version)
    {
        let help = "write the seL4 release as three numbers, for instance `\"5.0.0\"`";
        findings.value(at!["source", "version"], format!("`{version}` is not a version: {error}"), help);
    }
}

/// A user's source: the accepted releases are there, and nothing that only a crate has.
fn check_versions(source: &RawSource, findings: &mut Findings<'_>) {
    for (key, there) in [("subdir", source.subdir.is_some()), ("version", source.version.is_some())] {
        if there {
            let help = match key {
                "version" => "write `versions`, for instance `\">=13, <17\"`",
                _ => "take it out, or name the `crate`",
            };
            findings.key(at!["source", key], format!("only a crate's source has `{key}`"), help);
        }
    }
    let example = "the releases that the options are for, for instance `\">=13, <17\"`";
    match &source.versions {
        None if source.version.is_none() => findings.key(
            at!["source"],
            "`versions` is missing: a source tree or prefix needs it",
            format!("add `versions`, {example}"),
        ),
        Some(text) => {
            if let Err(error) = text.parse::<Versions>() {
                let message = format!("`{}` is not a range of versions: {error}", text.escape_debug());
                findings.value(at!["source", "versions"], message, format!("write {example}"));
            }
        }
        None => {}
    }
}

fn check_option(name: &str, value: &OptionValue, findings: &mut Findings<'_>) {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(bare) = name.strip_prefix("CONFIG_") {
        findings.key(
            at!["options", name],
            format!("`{name}` is written without `CONFIG_`"),
            format!("write `{bare}`"),
        );
    } else if !plain {
        let help = "write the symbol as the tree's Kconfig files do, for instance `DEBUG_BUILD`";
        findings.key(
            at!["options", name],
            format!("`{}` is not a name of an option", name.escape_debug()),
            help,
        );
    }
    let OptionValue::Text(text) = value else { return };
    let help = match text.to_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => "write `true`, without quotes".to_owned(),
        "n" | "no" | "false" | "off" => "write `false`, without quotes".to_owned(),
        number if number.parse::<i64>().is_ok() => format!("write `{number}`, without quotes"),
        _ if text.is_empty() || text.contains(|c: char| c.is_control() || c == '"' || c == '\\') => {
            "write a plain text without quotes and backslashes in it".to_owned()
        }
        _ => return,
    };
    findings.value(
        at!["options", name],
        format!("`{}` is not a text option's value", text.escape_debug()),
        help,
    );
}

fn check_overlays(project: &Project, raw: &RawKernelConfig, findings: &mut Findings<'_>) {
    for (i, overlay) in raw.overlay.iter().enumerate() {
        if !is_inner(&overlay.header) {
            let help = "write it as the sources include it, for instance `\"mode/kernel/stack.h\"`";
            findings.value(
                at!["overlay", i, "header"],
                format!("`{}` is not a header's name", overlay.header),
                help,
            );
        } else if raw.overlay[..i].iter().any(|other| other.header == overlay.header) {
            let message = format!("`{}` is overlaid twice", overlay.header);
            findings.value(at!["overlay", i, "header"], message, "keep one of the two");
        }
        let path = files::clean(&project.kernel_configs().join(&overlay.file));
        if !is_inner(&overlay.file) {
            let help = "write a path relative to `kernel-configs/`, without `..`";
            findings.value(
                at!["overlay", i, "file"],
                format!("`{}` is not inside `kernel-configs/`", overlay.file),
                help,
            );
        } else if !path.is_file() {
            let message = format!("there is no file `{}`", shown(project, &path));
            findings.value(at!["overlay", i, "file"], message, "paths are relative to `kernel-configs/`");
        }
        if overlay.reason.trim().is_empty() {
            let help = "say what is wrong in the tree and what the overlay does about it";
            findings.value(at!["overlay", i, "reason"], "the overlay has no reason", help);
        }
    }
}

/// Whether `path` stays inside the folder that it is relative to.
fn is_inner(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.is_empty() && !path.contains('\0') && Path::new(path).components().all(plain)
}
