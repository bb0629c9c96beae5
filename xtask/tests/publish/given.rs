//! An image whose kernel was built elsewhere: published with the source that the user gives, and not without.

use super::{good, recipe, skip, text, xtask};
use builder::{
    Digest,
    publish::archive::{self, File},
};
use serde_json::Value;
use std::fs;

#[test]
fn a_kernel_from_elsewhere_is_published_with_the_source_that_is_given() {
    let test = "a_kernel_from_elsewhere_is_published_with_the_source_that_is_given";
    if !super::has("qemu-system-x86_64") {
        return skip(test, "there is no qemu-system-x86_64");
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    recipe(dir, "");
    good(xtask(dir, &["build-image", "hello.toml", "--target", "qemu"]));
    fs::copy(dir.join("out/hello/qemu/kernel"), dir.join("kernel.elf")).unwrap();
    recipe(dir, "\n[kernel]\nprebuilt = \"kernel.elf\"\n");
    let publish = ["publish", "hello.toml", "--target", "qemu", "--strict", "--to", "dist"];
    let refused = |more: &[&str], why: &str| {
        let output = xtask(dir, &[&publish, more].concat()).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why) && !said.contains("PASS"), "{said}");
        assert!(!dir.join("dist").exists());
    };
    refused(&[], "help: give it with `--corresponding-source FILE.tar.gz`");
    fs::write(dir.join("seL4.tar.gz"), "see the web").unwrap();
    let given = ["--corresponding-source", "seL4.tar.gz"];
    refused(&given, "it is no .tar.gz");

    let file = File { content: b"int main;".to_vec(), executable: false };
    let tar = archive::tar(&[("seL4/a.c".to_owned(), file)].into(), 0).unwrap();
    let source = archive::gzip(&tar).unwrap();
    fs::write(dir.join("seL4.tar.gz"), &source).unwrap();
    good(xtask(dir, &[&publish[..], &given].concat()));
    let said = good(xtask(dir, &["verify", "dist"]));
    let row = said.lines().find(|line| line.contains("given-kernel-")).unwrap();
    assert!(row.starts_with("SKIP") && row.ends_with("whether this is its source is not checked"), "{said}");
    let materials: Value =
        serde_json::from_slice(&fs::read(dir.join("dist/hello-qemu.spdx.json")).unwrap()).unwrap();
    let packages = materials["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "given-kernel").unwrap();
    let digest = Digest::of(&source).to_string();
    assert!(package["sourceInfo"].as_str().unwrap().contains(&digest), "{package}");

    // Where Selkie builds the kernel, it has the source.
    let process = ["publish", "hello.toml", "--target", "process", "--to", "other"];
    let output = xtask(dir, &[&process[..], &given].concat()).output().unwrap();
    assert!(text(&output.stderr).contains("none of these images has one"), "{}", text(&output.stderr));
}
