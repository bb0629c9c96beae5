//! What two images were made from, as far as it differs.

use crate::{image, plan::InputKind};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that an image is made from and that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moved {
    /// What, for instance `rustc`.
    pub name: String,
    /// What it is; none for a choice that is no file, for instance the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<InputKind>,
    /// What it was: a version, a value, or the begin of a digest; none when it was not there.
    pub before: Option<String>,
    /// What it is now.
    pub after: Option<String>,
    /// What in it differs, where that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// No more of a recipe's or kernel config's values are listed.
const DETAILS_MOST: usize = 20;
/// How many digits of a digest are shown.
const DIGITS: usize = 12;

/// The inputs that differ, the most telling first.
pub fn moved(a: &image::Manifest, b: &image::Manifest) -> Vec<Moved> {
    let mut moved = Vec::new();
    let choices = [
        ("function", a.name.clone(), b.name.clone()),
        ("target", a.target.to_string(), b.target.to_string()),
        ("epoch", a.epoch.to_string(), b.epoch.to_string()),
    ];
    for (name, before, after) in choices.into_iter().filter(|(_, before, after)| before != after) {
        let (before, after) = (Some(before), Some(after));
        moved.push(Moved { name: name.to_owned(), kind: None, before, after, details: Vec::new() });
    }
    let (one, other) = (inputs(a), inputs(b));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let mut files: Vec<Moved> = Vec::new();
    for name in names {
        let (before, after) = (one.get(name), other.get(name));
        if before.map(|input| input.digest) == after.map(|input| input.digest) {
            continue;
        }
        let kind = before.or(after).map(|input| input.kind);
        let details = match kind {
            Some(InputKind::Recipe) => values(&a.recipe, &b.recipe),
            Some(InputKind::KernelConfig) => kernel(&a.kernel, &b.kernel),
            _ => Vec::new(),
        };
        let [before, after] = shown(before, after);
        files.push(Moved { name: name.clone(), kind, before, after, details });
    }
    // The digest of all sources says nothing where the one that moved is named.
    let named = files.iter().any(|one| one.kind == Some(InputKind::Source) && one.name != "sources");
    files.retain(|one| !(named && one.name == "sources"));
    // The builder moves with every change of Selkie's own.
    files.sort_by_key(|one| (one.kind == Some(InputKind::Builder), one.kind));
    moved.extend(files);
    moved
}

/// The inputs that a manifest lists; what else it says of them where it lists none.
fn inputs(manifest: &image::Manifest) -> BTreeMap<String, image::InputIdentity> {
    if !manifest.inputs.is_empty() {
        return manifest.inputs.clone();
    }
    let tool = |(name, tool): (&String, &image::ToolIdentity)| {
        let version = Some(tool.version.clone());
        (name.clone(), image::InputIdentity { kind: InputKind::Tool, digest: tool.digest, version })
    };
    let own = |kind, digest, version: Option<&String>| image::InputIdentity {
        kind,
        digest,
        version: version.cloned(),
    };
    let recipe = crate::Digest::of_json(&manifest.recipe);
    let mut inputs: BTreeMap<_, _> = manifest.tools.iter().map(tool).collect();
    inputs.insert("recipe".into(), own(InputKind::Recipe, recipe, None));
    let kernel = &manifest.kernel;
    let source = own(InputKind::KernelSource, kernel.source, Some(&kernel.version));
    inputs.insert("kernel-source".into(), source);
    let config = crate::Digest::of_json(&(&kernel.config, &kernel.options, &kernel.overlays));
    inputs.insert("kernel-config".into(), own(InputKind::KernelConfig, config, Some(&kernel.config)));
    inputs
}

/// Versions where they tell the two apart, else digests.
fn shown(before: Option<&image::InputIdentity>, after: Option<&image::InputIdentity>) -> [Option<String>; 2] {
    let version = |input: &image::InputIdentity| {
        input.version.as_ref().and_then(|version| version.lines().next()).map(str::to_owned)
    };
    let pair = [before, after];
    let versions = pair.map(|input| input.and_then(version));
    let telling = versions[0] != versions[1];
    pair.map(|input| {
        let input = input?;
        let digest = input.digest.short(DIGITS);
        Some(match version(input) {
            Some(version) if telling => version,
            Some(version) => format!("{version} ({digest})"),
            None => digest,
        })
    })
}

fn kernel(a: &image::Kernel, b: &image::Kernel) -> Vec<String> {
    let value = |kernel: &image::Kernel| {
        serde_json::json!({
            "config": kernel.config, "options": kernel.options, "overlays": kernel.overlays,
            "verified": kernel.verified,
        })
    };
    values(&value(a), &value(b))
}

/// The values that differ between two documents, each with its place.
fn values(a: &Value, b: &Value) -> Vec<String> {
    let (one, other) = (leaves(a), leaves(b));
    let places: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differ = places.into_iter().filter(|place| one.get(*place) != other.get(*place));
    let text = |value: Option<&String>| value.map_or("(nothing)", String::as_str).to_owned();
    let mut lines: Vec<String> = differ
        .map(|place| format!("{place}: {} → {}", text(one.get(place)), text(other.get(place))))
        .collect();
    if lines.len() > DETAILS_MOST {
        let more = lines.len() - DETAILS_MOST;
        lines.truncate(DETAILS_MOST);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// The values of a document by their places, for instance `kernel.config`.
fn leaves(document: &Value) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let mut todo = vec![(String::new(), document)];
    while let Some((place, value)) = todo.pop() {
        let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        match value {
            Value::Object(fields) => todo.extend(fields.iter().map(|(name, value)| (below(name), value))),
            Value::Array(items) => {
                todo.extend(
                    items.iter().enumerate().map(|(index, item)| (format!("{place}[{index}]"), item)),
                );
            }
            value => drop(leaves.insert(place, value.to_string())),
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, image::tests::manifest};

    fn input(kind: InputKind, text: &str, version: Option<&str>) -> image::InputIdentity {
        image::InputIdentity { kind, digest: Digest::of(text), version: version.map(str::to_owned) }
    }

    #[test]
    fn each_input_that_moved_is_named_with_what_it_was_and_is() {
        let (mut a, mut b) = (manifest(), manifest());
        for (manifest, rustc, text) in [(&mut a, "rustc 1.95.0", "a"), (&mut b, "rustc 1.96.0", "b")] {
            manifest.inputs = [
                ("builder".to_owned(), input(InputKind::Builder, text, None)),
                ("recipe".to_owned(), input(InputKind::Recipe, text, None)),
                ("rustc".to_owned(), input(InputKind::Tool, text, Some(rustc))),
                ("cc".to_owned(), input(InputKind::Tool, text, Some("cc 12"))),
                ("sources".to_owned(), input(InputKind::Source, text, None)),
                ("source hello".to_owned(), input(InputKind::Source, text, None)),
                ("same".to_owned(), input(InputKind::Era, "same", None)),
            ]
            .into();
        }
        b.recipe = serde_json::json!({ "a": 2, "b": [1, { "c": "x" }] });
        b.epoch = 7;
        let moved = moved(&a, &b);
        let names: Vec<_> = moved.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["epoch", "recipe", "source hello", "cc", "rustc", "builder"]);
        assert_eq!(
            moved[1].details,
            ["b: 1 → (nothing)", "b[0]: (nothing) → 1", "b[1].c: (nothing) → \"x\""]
        );
        assert_eq!(moved[4].before.as_deref(), Some("rustc 1.95.0"));
        assert!(moved[3].after.as_deref().unwrap().starts_with("cc 12 ("), "{:?}", moved[3]);
        assert!(super::moved(&a, &a).is_empty());
    }

    #[test]
    fn manifests_without_inputs_are_compared_by_what_else_they_say() {
        let (a, mut b) = (manifest(), manifest());
        b.kernel.options.clear();
        b.kernel.source = Digest::of("other");
        let names: Vec<_> = moved(&a, &b).into_iter().map(|one| (one.name, one.details)).collect();
        let options = "options.FASTPATH: true → (nothing)".to_owned();
        assert_eq!(
            names,
            [("kernel-config".to_owned(), vec![options]), ("kernel-source".to_owned(), vec![])]
        );
    }
}
