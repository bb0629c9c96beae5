//! The options that a kernel really has: what CMake made of those that were asked for, read from the
//! configuration that the tree generates.

use crate::{files, kernel_config::OptionValue};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The options that came out, by their names without `CONFIG_`; those that are off are not there.
pub(super) type Options = BTreeMap<String, OptionValue>;

/// Where a step keeps them, in its folder.
const FILE: &str = "options.json";

/// The generated configurations of kernel and libsel4, relative to an include folder.
const CONFIGURATIONS: [&str; 2] = ["kernel/gen_config", "sel4/gen_config"];

/// The options that came out could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A file is not what it should be.
    #[error(
        "{path}: {source}\n  help: this file is made by seL4's own build; build or install the kernel anew"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An option has a value that no option has.
    #[error(
        "{path}: the option `{name}` is neither true, nor false, nor a text\n  help: this file is made by seL4's own build; build or install the kernel anew"
    )]
    Value {
        /// The file.
        path: PathBuf,
        /// The option.
        name: String,
    },
}

/// Reads the options below the include folder `include` of a tree: `gen_config.json` (since 13), else
/// `gen_config.h`. In a header a flag that is on looks like the number 1; `numbers` names those that are numbers.
pub(super) fn read(include: &Path, numbers: &BTreeSet<String>) -> Result<Options, Error> {
    let mut options = Options::new();
    for name in CONFIGURATIONS {
        let json = include.join(name).with_extension("json");
        if json.is_file() {
            options.extend(from_json(&json)?.into_iter().filter_map(|(name, value)| Some((name, value?))));
            continue;
        }
        let header = include.join(name).with_extension("h");
        match fs::read_to_string(&header) {
            Ok(text) => options.extend(from_header(&text, numbers)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files::Error::at("read", &header)(error).into()),
        }
    }
    Ok(options)
}

/// The options of the prefix in `root`.
pub(super) fn of_prefix(root: &Path) -> Result<Options, Error> {
    read(&root.join("libsel4/include"), &BTreeSet::new())
}

/// The names of all options that the prefix in `root` has, on or off.
pub(super) fn names(root: &Path) -> Result<BTreeSet<String>, Error> {
    let path = root.join("libsel4/include").join(CONFIGURATIONS[0]).with_extension("json");
    Ok(from_json(&path)?.into_keys().collect())
}

/// Every option of a `gen_config.json`; none for one that is off.
fn from_json(path: &Path) -> Result<BTreeMap<String, Option<OptionValue>>, Error> {
    let json = |source| Error::Json { path: path.to_owned(), source };
    let all: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&files::read(path)?).map_err(json)?;
    let value = |(name, value): (String, serde_json::Value)| {
        let value = match &value {
            serde_json::Value::Bool(on) => on.then_some(OptionValue::Flag(true)),
            serde_json::Value::String(text) => Some(number_or_text(text)),
            serde_json::Value::Number(number) => Some(number_or_text(&number.to_string())),
            _ => return Err(Error::Value { path: path.to_owned(), name }),
        };
        Ok((name, value))
    };
    all.into_iter().map(value).collect()
}

/// The options that a `gen_config.h` defines.
fn from_header(text: &str, numbers: &BTreeSet<String>) -> Options {
    let define = |line: &str| {
        let (name, value) = line.strip_prefix("#define CONFIG_")?.split_once(char::is_whitespace)?;
        let value = value.split("/*").next().unwrap_or_default().trim().trim_matches('"');
        let value = match value {
            "1" if !numbers.contains(name) => OptionValue::Flag(true),
            value => number_or_text(value),
        };
        Some((name.to_owned(), value))
    };
    text.lines().filter_map(define).collect()
}

fn number_or_text(text: &str) -> OptionValue {
    text.parse().map_or_else(|_| OptionValue::Text(text.to_owned()), OptionValue::Number)
}

/// The options of the tree in `root` that are numbers or texts, as its CMake files declare them.
pub(super) fn declared_numbers(root: &Path) -> Result<BTreeSet<String>, files::Error> {
    static STRING: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"config_string\(\s*\w+\s+(\w+)").expect("a sound pattern"));
    let mut names = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            files::Error::at("read", &path)(error.into())
        })?;
        let name = entry.file_name().to_string_lossy();
        if entry.file_type().is_file() && (name.ends_with(".cmake") || name == "CMakeLists.txt") {
            let text = files::read(entry.path())?;
            let text = String::from_utf8_lossy(&text);
            names.extend(STRING.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    Ok(names)
}

/// Keeps `options` in a step's folder.
pub(super) fn keep(dir: &Path, options: &Options) -> Result<(), files::Error> {
    let text = serde_json::to_string_pretty(options).unwrap_or_default();
    files::write(&dir.join(FILE), text + "\n")
}

/// The options that a step kept in its folder.
pub(super) fn recall(dir: &Path) -> Result<Options, super::Error> {
    let path = dir.join(FILE);
    let bytes = files::read(&path).map_err(Error::from)?;
    Ok(serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_flags_from_numbers_with_what_the_tree_declares() {
        let text = "#pragma once\n\n#define CONFIG_PRINTING  1  /* KernelPrinting=ON */\n\
                    /* disabled: CONFIG_VTX */\n#define CONFIG_MAX_NUM_NODES  1  /* KernelMaxNumNodes=1 */\n\
                    #define CONFIG_PLAT  pc99\n#define CONFIG_TOP  140737488355328\n";
        let numbers = BTreeSet::from(["MAX_NUM_NODES".to_owned()]);
        let options = from_header(text, &numbers);
        let expected = [
            ("MAX_NUM_NODES", OptionValue::Number(1)),
            ("PLAT", OptionValue::Text("pc99".into())),
            ("PRINTING", OptionValue::Flag(true)),
            ("TOP", OptionValue::Number(140_737_488_355_328)),
        ];
        assert_eq!(options, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn json_has_booleans_and_texts_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let path = dir.path().join("libsel4/include/kernel/gen_config.json");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(r#"{"PRINTING": true, "VTX": false, "MAX_NUM_NODES": "1", "PLAT": "pc99"}"#);
        let options = of_prefix(dir.path()).unwrap();
        assert_eq!(options["PRINTING"], OptionValue::Flag(true));
        assert_eq!(options["MAX_NUM_NODES"], OptionValue::Number(1));
        assert_eq!(options["PLAT"], OptionValue::Text("pc99".into()));
        assert!(!options.contains_key("VTX") && names(dir.path()).unwrap().contains("VTX"));

        write(r#"{"PRINTING": []}"#);
        assert!(of_prefix(dir.path()).unwrap_err().to_string().contains("the option `PRINTING` is neither"));
        write("{");
        assert!(of_prefix(dir.path()).unwrap_err().to_string().contains("gen_config.json: EOF"));
    }

    #[test]
    fn what_is_kept_is_recalled() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::from([
            ("A".to_owned(), OptionValue::Flag(true)),
            ("B".to_owned(), OptionValue::Number(7)),
            ("C".to_owned(), OptionValue::Text("x".into())),
        ]);
        keep(dir.path(), &options).unwrap();
        assert_eq!(recall(dir.path()).unwrap(), options);
    }
}
