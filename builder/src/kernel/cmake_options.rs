//! The options of a CMake-era tree: what is handed to CMake, whether it took them as they were meant, and how
//! they relate to the tree's verified configuration.

use super::{Error, KernelTree, check, kconfig::Complaint};
use crate::{
    Project, Result,
    document::suggest::{closest, list},
    files,
    kernel_config::{Arch, KernelConfig, OptionValue},
};
use regex::Regex;
use std::{collections::BTreeMap, path::Path, sync::LazyLock};

/// Options as CMake has them: names to texts.
type Cache = BTreeMap<String, String>;

/// Everything that CMake is told: what `arch` and `platform` of `config` mean, and its options.
pub(super) fn all(config: &KernelConfig, tree: &KernelTree) -> Cache {
    let mut options = machine(config, tree);
    options.extend(config.options.iter().map(|(name, value)| (name.clone(), value.to_string())));
    options
}

/// What `arch` and `platform` of `config` mean. The first trees asked for the architecture alone.
fn machine(config: &KernelConfig, tree: &KernelTree) -> Cache {
    let arch = config.arch.to_string();
    let names = if tree.root.join("configs/seL4Config.cmake").is_file() {
        [("KernelPlatform", config.platform.name()), ("KernelSel4Arch", arch.as_str())]
    } else {
        [("KernelArch", "x86"), ("KernelX86Sel4Arch", arch.as_str())]
    };
    names.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Checks that CMake, which configured `build`, took every option of `config` as it was meant, and, when
/// `config` says that it is verified, that it has the options of the tree's verified configuration.
pub(super) fn check(project: &Project, config: &KernelConfig, tree: &KernelTree, build: &Path) -> Result<()> {
    let cache = files::read(&build.join("CMakeCache.txt"))?;
    let mut complaints = taken(config, &parse(&String::from_utf8_lossy(&cache)));
    if config.verified {
        complaints.extend(unverified(config, tree)?);
    }
    check::report(project, config, complaints, Vec::new())
}

/// A line of CMake's cache: type and value.
struct Entry<'a> {
    kind: &'a str,
    value: &'a str,
}

/// CMake's cache: lines `NAME:TYPE=VALUE` among comments.
fn parse(cache: &str) -> BTreeMap<&str, Entry<'_>> {
    let mut entries = BTreeMap::new();
    for line in cache.lines().filter(|line| !line.starts_with(['#', '/'])) {
        if let Some((left, value)) = line.split_once('=')
            && let Some((name, kind)) = left.split_once(':')
        {
            entries.insert(name, Entry { kind, value });
        }
    }
    entries
}

/// What is wrong with the options of `config`, by what CMake made of them.
fn taken(config: &KernelConfig, cache: &BTreeMap<&str, Entry<'_>>) -> Vec<Complaint> {
    let complain = |(name, value): (&String, &OptionValue)| {
        let wanted = value.to_string();
        let (message, help) = match cache.get(name.as_str()) {
            // An option that no file of the tree declares keeps the type that the command line gave it.
            None | Some(Entry { kind: "UNINITIALIZED", .. }) => {
                let known = cache.iter().filter(|(_, entry)| ["BOOL", "STRING"].contains(&entry.kind));
                let known = known.map(|(name, _)| *name).filter(|name| name.starts_with("Kernel"));
                let help = closest(name, known).map(|best| format!("did you mean `{best}`?"));
                (format!("this kernel has no option `{name}`"), help)
            }
            Some(entry) if entry.value == wanted => return None,
            Some(entry) => {
                let strings = cache.get(format!("{name}-STRINGS").as_str());
                let choices: Vec<&str> = strings.map_or(Vec::new(), |all| all.value.split(';').collect());
                let help = match choices.is_empty() || choices.contains(&wanted.as_str()) {
                    true => "the tree allows it only together with other options; see its config.cmake files"
                        .to_owned(),
                    false => format!("write one of {}", list(&choices)),
                };
                (format!("the tree makes `{name}` {} of {wanted}", entry.value), Some(help))
            }
        };
        Some(Complaint { option: Some(name.clone()), message, help })
    };
    config.options.iter().filter_map(complain).collect()
}

/// The options of the verified configuration, as the tree's own file says them.
fn verified(config: &KernelConfig, tree: &KernelTree) -> Result<Cache, Error> {
    static SET: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?m)^\s*set\(\s*(\w+)\s+"?([^"\s]*)"?\s+CACHE\b"#).expect("a sound pattern")
    });
    let name = match config.arch {
        Arch::X86_64 => "X64_verified.cmake",
        Arch::Aarch64 => "AARCH64_verified.cmake",
        Arch::Riscv64 => "RISCV64_verified.cmake",
    };
    let path = tree.root.join("configs").join(name);
    let text =
        std::fs::read_to_string(&path).map_err(|source| Error::Unreadable { root: path.clone(), source })?;
    Ok(SET.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect())
}

/// In what the options of `config` differ from those of the tree's verified configuration.
fn unverified(config: &KernelConfig, tree: &KernelTree) -> Result<Vec<Complaint>, Error> {
    let (ours, theirs) = (all(config, tree), verified(config, tree)?);
    let missing =
        theirs.iter().filter(|(name, value)| ours.get(*name) != Some(value)).map(|(name, value)| {
            let has = ours.get(name).map_or("not set".to_owned(), |value| format!("`{value}`"));
            Complaint {
                option: ours.contains_key(name).then(|| name.clone()),
                message: format!(
                    "the tree's verified configuration has `{name}` = `{value}`; here it is {has}"
                ),
                help: Some("take over the tree's value, or write `verified = false`".to_owned()),
            }
        });
    let more = ours.keys().filter(|name| !theirs.contains_key(*name)).map(|name| Complaint {
        option: Some(name.clone()),
        message: format!("the tree's verified configuration does not set `{name}`"),
        help: Some("take it out, or write `verified = false`".to_owned()),
    });
    Ok(missing.chain(more).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Project;

    /// What is wrong with the options of a kernel config, by such a cache.
    fn complaints(options: &str) -> Vec<String> {
        let cache = "# a comment\n//KernelFake:BOOL=ON\nKernelPrinting:BOOL=OFF\nKernelFPU:STRING=XSAVE\n\
                     KernelFPU-STRINGS:INTERNAL=XSAVE;FXSAVE\nKernelColourPrinting:INTERNAL=OFF\n\
                     KernelColourPrinting_DISABLED:INTERNAL=TRUE\nKernelPrintin:UNINITIALIZED=ON\n\
                     KernelMaxNumNodes:STRING=1\n";
        let mut config = KernelConfig::load(&Project::here(), "x86_64-current-release").unwrap();
        config.options = toml::from_str(options).unwrap();
        let complaint = |c: Complaint| format!("{}; {}", c.message, c.help.unwrap_or_default());
        taken(&config, &parse(cache)).into_iter().map(complaint).collect()
    }

    #[test]
    fn options_that_cmake_took_are_no_complaint() {
        let options = "KernelPrinting = false\nKernelFPU = \"XSAVE\"\nKernelMaxNumNodes = 1\nKernelColourPrinting = false";
        assert_eq!(complaints(options), Vec::<String>::new());
    }

    #[test]
    fn options_that_cmake_did_not_take_are_explained() {
        let options =
            "KernelPrintin = true\nKernelFPU = \"NONE\"\nKernelColourPrinting = true\nKernelFake = true";
        let found = complaints(options);
        let expected = [
            "the tree makes `KernelColourPrinting` OFF of ON; the tree allows it only together",
            "the tree makes `KernelFPU` XSAVE of NONE; write one of `XSAVE`, `FXSAVE`",
            "this kernel has no option `KernelFake`; ",
            "this kernel has no option `KernelPrintin`; did you mean `KernelPrinting`?",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
