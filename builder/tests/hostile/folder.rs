//! Images and netboot folders whose files or manifest are not what they should be.

use crate::{Cases, Images, add};
use builder::Target;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// A copy of an image's folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// An image with something done to its folder.
fn spoilt(cases: &mut Cases, from: &Path, (dir, name): (&Path, &str), spoil: &dyn Fn(&Path)) -> PathBuf {
    let place = dir.join(name.replace(' ', "-"));
    copy(from, &place);
    spoil(&place);
    cases.push((name.to_owned(), place.clone()));
    place
}

/// Changes the manifest in `dir`.
fn edit(dir: &Path, change: &dyn Fn(&mut Value)) {
    let path = dir.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, manifest.to_string()).unwrap();
}

pub(crate) fn cases(cases: &mut Cases, dir: &Path, images: &Images) {
    let qemu = images.folder(Target::Qemu).unwrap();
    let text = fs::read(qemu.join("manifest.json")).unwrap();
    add(cases, dir, "manifest: cut off in the middle", &text[..text.len() / 2]);
    add(cases, dir, "manifest: another JSON document", b"{\"a\": [1, 2]}");
    add(cases, dir, "manifest: a million open brackets", "{\"a\":[".repeat(150_000).as_bytes());
    add(
        cases,
        dir,
        "manifest: a bomb of small values",
        format!("{{\"recipe\":[{}1]}}", "[],".repeat(300_000)).as_bytes(),
    );
    add(cases, dir, "manifest: 2 MB", format!("{{\"a\": \"{}\"}}", "x".repeat(2_000_000)).as_bytes());

    let mut spoil = |name: &str, spoil: &dyn Fn(&Path)| {
        spoilt(cases, qemu, (dir, &format!("image: {name}")), spoil);
    };
    spoil("a manifest of a gigabyte", &|dir| {
        let file = fs::File::options().write(true).open(dir.join("manifest.json")).unwrap();
        file.set_len(1 << 30).unwrap();
    });
    spoil("a kernel of a terabyte", &|dir| {
        fs::File::options().write(true).open(dir.join("kernel")).unwrap().set_len(1 << 40).unwrap();
    });
    spoil("a missing member", &|dir| fs::remove_file(dir.join("kernel")).unwrap());
    spoil("a changed script", &|dir| fs::write(dir.join("run.sh"), "rm -rf /").unwrap());
    spoil("another root task", &|dir| assert!(fs::copy(dir.join("kernel"), dir.join("root-task")).is_ok()));
    spoil("a member that is a link", &|dir| {
        fs::remove_file(dir.join("kernel")).unwrap();
        symlink("/etc/passwd", dir.join("kernel")).unwrap();
    });
    spoil("a member that is a pipe", &|dir| {
        fs::remove_file(dir.join("kernel")).unwrap();
        assert!(Command::new("mkfifo").arg(dir.join("kernel")).status().unwrap().success());
    });
    spoil("a member that is a folder", &|dir| {
        fs::remove_file(dir.join("kernel")).unwrap();
        fs::create_dir(dir.join("kernel")).unwrap();
    });
    let mut said = |name: &str, change: &dyn Fn(&mut Value)| spoil(name, &|dir| edit(dir, change));
    for (name, path) in [
        ("a name that leads out", "../kernel"),
        ("a name that leads out of a folder", "netboot/../../kernel"),
        ("an absolute name", "/etc/passwd"),
        ("an empty name", ""),
        ("a name with a NUL", "kernel\0"),
        ("a name with a control sequence", "\u{1b}]0;owned\u{7}"),
    ] {
        said(name, &|manifest| manifest["members"][0]["name"] = json!(path));
    }
    said("a wrong digest", &|manifest| manifest["members"][0]["sha256"] = json!("0".repeat(64)));
    said("a wrong size", &|manifest| manifest["members"][0]["size"] = json!(u64::MAX));
    said("two digests of the root task", &|manifest| {
        manifest["root-task"]["sha256"] = json!("0".repeat(64));
    });
    said("a digest that is none", &|manifest| manifest["key"] = json!("\u{1b}[31m"));
    said("an unknown role", &|manifest| manifest["members"][0]["role"] = json!("\u{1b}[31mboss"));
    said("a member twice", &|manifest| {
        let one = manifest["members"][0].clone();
        manifest["members"].as_array_mut().unwrap().push(one);
    });
    said("4000 members", &|manifest| {
        let one = manifest["members"][0].clone();
        manifest["members"] = json!(vec![one; 4000]);
    });
    said("another name than the root task's", &|manifest| manifest["name"] = json!("bank"));
    said("another kernel than the root task's", &|manifest| {
        manifest["kernel"]["config"] = json!("x86_64-verified");
    });
    said("a number for a name", &|manifest| manifest["name"] = json!(1e300));

    let process = images.folder(Target::Process).unwrap();
    let mut spoil = |name: &str, spoil: &dyn Fn(&Path)| {
        spoilt(cases, process, (dir, &format!("image: {name}")), spoil);
    };
    spoil("an executable with more memory than its manifest says", &|dir| {
        edit(dir, &|manifest| manifest["process"]["memory"] = json!(1));
    });
    spoil("an executable whose manifest knows no tender", &|dir| {
        edit(dir, &|manifest| drop(manifest.as_object_mut().unwrap().remove("process")));
    });

    let net = dir.join("net");
    fs::create_dir(&net).unwrap();
    for name in ["kernel", "root-task"] {
        fs::copy(qemu.join(name), net.join(name)).unwrap();
    }
    fs::write(net.join("boot.ipxe"), "#!ipxe\nkernel kernel\n").unwrap();
    let mut spoil = |name: &str, spoil: &dyn Fn(&Path)| {
        spoilt(cases, &net, (dir, &format!("netboot: {name}")), spoil);
    };
    spoil("a script of another kind", &|dir| fs::write(dir.join("boot.ipxe"), "#!/bin/sh\n").unwrap());
    spoil("kernel and root task exchanged", &|dir| {
        fs::rename(dir.join("kernel"), dir.join("x")).unwrap();
        fs::rename(dir.join("root-task"), dir.join("kernel")).unwrap();
        fs::rename(dir.join("x"), dir.join("root-task")).unwrap();
    });
    spoil("an empty kernel", &|dir| fs::write(dir.join("kernel"), "").unwrap());
}
