//! The documentation: its links lead somewhere.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the checkout")
}

/// The repository's own pages.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in
        ["", "docs", "recipes", "functions", "kernel-configs", "runtime", "builder", "xtask", "tests"]
    {
        let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
        pages.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "md")),
        );
    }
    pages.sort();
    assert!(pages.iter().any(|page| page.ends_with("README.md")), "the pages were not found");
    pages
}

/// The text without its blocks of code.
fn prose(text: &str) -> String {
    let mut code = false;
    let kept = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of the headings, as the usual renderers make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    headings.map(slug).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let found = target.exists();
            let anchored = anchor.is_empty()
                || fs::read_to_string(&target).is_ok_and(|text| anchors(&prose(&text)).contains(anchor));
            if !found || !anchored {
                dead.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn dead_links_and_anchors_are_noticed() {
    let text = "# A title: with `code`\n[x](a.md#b) and [y](#a-title-with-code)\n```\n[no](link)\n```\n";
    assert_eq!(links(&prose(text)), ["a.md#b", "#a-title-with-code"]);
    assert!(anchors(text).contains("a-title-with-code"));
}
