//! Archives, OCI layouts and documents that were published, and what somebody may have made of them.

use crate::{Cases, Images, add};
use builder::{
    Digest, Target,
    image::{Manifest, Role},
    publish::{
        archive::{self, File, Files, Packed},
        oci,
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The documents that golden files show.
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/publish/golden");

/// The files of `hello` for `target`, as they lie in its archive.
fn files(images: &Images, target: Target) -> Option<Files> {
    let dir = images.folder(target)?;
    let manifest = Manifest::read(dir).unwrap();
    let members = manifest.members.iter().map(|member| (member.name.clone(), member.role));
    let file = |(name, role): (String, Role)| {
        let executable = matches!(role, Role::Executable | Role::Script);
        (name.clone(), File { content: fs::read(dir.join(name)).unwrap(), executable })
    };
    Some(members.chain([("manifest.json".to_owned(), Role::Manifest)]).map(file).collect())
}

/// The same in the folder of the archive.
fn inside(files: &Files, target: Target) -> Files {
    files.iter().map(|(name, file)| (format!("hello-{target}/{name}"), file.clone())).collect()
}

/// The archive of `hello` for `target`.
pub(crate) fn archived(images: &Images, target: Target) -> Option<Vec<u8>> {
    Some(Packed::of(&inside(&files(images, target)?, target), 0).unwrap().content)
}

/// Writes the layout of `hello` for `target` to the folder `to`.
pub(crate) fn lay_out(images: &Images, target: Target, to: &Path) -> Option<()> {
    let files = files(images, target)?;
    let packed = Packed::of(&inside(&files, target), 0).unwrap();
    let manifest = Manifest::read(images.folder(target)?).unwrap();
    for (path, content) in oci::layout(&manifest, &files, &packed).unwrap().0 {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    Some(())
}

/// A bill of materials, provenance and test results.
pub(crate) fn documents() -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(DOCUMENTS).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(paths.len() >= 3, "{paths:?}");
    paths
}

pub(crate) fn cases(cases: &mut Cases, dir: &Path, images: &Images) {
    compressed(cases, dir, &archived(images, Target::Qemu).unwrap());
    tars(cases, dir, &files(images, Target::Qemu).unwrap());
    members(cases, dir, &files(images, Target::Qemu).unwrap());
    layouts(cases, dir, images);
    texts(cases, dir);
}

fn compressed(cases: &mut Cases, dir: &Path, packed: &[u8]) {
    let mut spoil = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = packed.to_vec();
        change(&mut bytes);
        add(cases, dir, &format!("archive: {name}"), &bytes);
    };
    spoil("two bytes", &|bytes| bytes.truncate(2));
    spoil("cut off in its header", &|bytes| bytes.truncate(7));
    spoil("cut off in the middle", &|bytes| bytes.truncate(bytes.len() / 2));
    spoil("cut off in its sum", &|bytes| bytes.truncate(bytes.len() - 6));
    spoil("another method", &|bytes| bytes[2] = 7);
    spoil("a wrong sum", &|bytes| {
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
    });
    spoil("a byte after it", &|bytes| bytes.push(0));
    spoil("another archive after it", &|bytes| bytes.extend(bytes.clone()));
}

/// Archives whose tar is not what is said of it.
fn tars(cases: &mut Cases, dir: &Path, files: &Files) {
    let good = archive::tar(&inside(files, Target::Qemu), 0).unwrap();
    let mut spoil = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut tar = good.clone();
        change(&mut tar);
        add(cases, dir, &format!("archive: {name}"), &archive::gzip(&tar).unwrap());
    };
    // The second header is that of the kernel, after that of the folder.
    let header = |change: fn(&mut [u8])| {
        move |tar: &mut Vec<u8>| {
            let header = &mut tar[512..1024];
            change(header);
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    };
    fn named(header: &mut [u8], name: &[u8]) {
        header[..100].fill(0);
        header[..name.len()].copy_from_slice(name);
    }
    spoil("empty", &Vec::clear);
    spoil("only its end", &|tar| *tar = vec![0; 1024]);
    spoil("cut off in a member", &|tar| tar.truncate(3000));
    spoil("no end", &|tar| tar.truncate(tar.len() - 1024));
    spoil("a header with a bit changed", &|tar| tar[512] ^= 1);
    spoil("a size of 8 GiB", &header(|header| header[124..135].fill(b'7')));
    spoil("a name that leads out", &header(|header| named(header, b"hello-qemu/../../mine")));
    spoil("an absolute name", &header(|header| named(header, b"/etc/cron.d/mine")));
    spoil("a name for the terminal", &header(|header| named(header, b"hello-qemu/\x1b]0;owned\x07")));
    spoil("a symbolic link", &header(|header| header[156] = b'2'));
    spoil("a hard link", &header(|header| header[156] = b'1'));
    spoil("a device", &header(|header| header[156] = b'3'));
    spoil("a long name of GNU", &header(|header| header[156] = b'L'));
    spoil("a global header", &header(|header| header[156] = b'g'));
    spoil("a program that changes its user", &header(|header| header[100..107].copy_from_slice(b"0004755")));
    spoil("60000 folders", &|tar| {
        let folder = tar[..512].to_vec();
        tar.splice(512..512, folder.repeat(60_000));
    });
}

/// Archives that are well made and of something else.
fn members(cases: &mut Cases, dir: &Path, good: &Files) {
    let mut spoil = |name: &str, change: &dyn Fn(&mut Files)| {
        let mut files = inside(good, Target::Qemu);
        change(&mut files);
        let packed = Packed::of(&files, 0).unwrap();
        add(cases, dir, &format!("archive: {name}"), &packed.content);
    };
    let text = |content: &[u8]| File { content: content.to_vec(), executable: false };
    fn manifest(files: &mut Files, change: impl FnOnce(&mut Value)) {
        let file = files.get_mut("hello-qemu/manifest.json").unwrap();
        let mut manifest = serde_json::from_slice(&file.content).unwrap();
        change(&mut manifest);
        file.content = manifest.to_string().into_bytes();
    }
    spoil("no manifest", &|files| drop(files.remove("hello-qemu/manifest.json")));
    spoil("a manifest that is none", &|files| {
        files.insert("hello-qemu/manifest.json".into(), text(b"{}"));
    });
    spoil("a manifest of 2 MB", &|files| {
        files.insert("hello-qemu/manifest.json".into(), text(&b" ".repeat(2_000_000)));
    });
    spoil("a thousand manifests", &|files| {
        let one = files["hello-qemu/manifest.json"].clone();
        files.extend((0..1000).map(|number| (format!("x{number}/manifest.json"), one.clone())));
    });
    spoil("a missing member", &|files| drop(files.remove("hello-qemu/kernel")));
    spoil("a changed member", &|files| files.get_mut("hello-qemu/run.sh").unwrap().content.push(b' '));
    spoil("a member that is not listed", &|files| {
        files.insert("hello-qemu/more".into(), text(b"x"));
    });
    spoil("a member in another folder", &|files| {
        files.insert("z/more".into(), text(b"x"));
    });
    spoil("a kernel of 200 MB of nothing", &|files| {
        files.get_mut("hello-qemu/kernel").unwrap().content = vec![0; 200_000_000];
        manifest(files, |manifest| manifest["members"][0]["size"] = json!(200_000_000));
    });
    spoil("a name that the manifest does not have", &|files| {
        manifest(files, |manifest| manifest["name"] = json!("\u{1b}[2J"));
    });
    spoil("another time", &|files| manifest(files, |manifest| manifest["epoch"] = json!(5)));
    spoil("a member of the manifest that leads out", &|files| {
        manifest(files, |manifest| manifest["members"][0]["name"] = json!("../../etc/passwd"));
    });
}

fn layouts(cases: &mut Cases, dir: &Path, images: &Images) {
    let mut spoil = |name: &str, target, change: &dyn Fn(&Path)| {
        let place = dir.join(format!("layout-{}", name.replace(' ', "-")));
        if lay_out(images, target, &place).is_some() {
            change(&place);
            cases.push((format!("layout: {name}"), place));
        }
    };
    let index = |change: fn(&mut Value)| {
        move |dir: &Path| {
            let path = dir.join("index.json");
            let mut index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            change(&mut index);
            fs::write(path, index.to_string()).unwrap();
        }
    };
    /// The largest blob: the archive.
    fn layer(dir: &Path) -> PathBuf {
        let blobs = fs::read_dir(dir.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
        blobs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }
    /// Changes the manifest and what leads to it.
    fn manifest(dir: &Path, change: impl FnOnce(&mut Value)) {
        let path = dir.join("index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
        let blob = dir.join("blobs/sha256").join(digest);
        let mut manifest = serde_json::from_slice(&fs::read(&blob).unwrap()).unwrap();
        change(&mut manifest);
        fs::remove_file(blob).unwrap();
        let text = manifest.to_string();
        let digest = Digest::of(&text);
        fs::write(dir.join(format!("blobs/sha256/{digest}")), &text).unwrap();
        index["manifests"][0]["digest"] = format!("sha256:{digest}").into();
        index["manifests"][0]["size"] = text.len().into();
        fs::write(path, index.to_string()).unwrap();
    }
    let qemu = Target::Qemu;
    spoil("no index", qemu, &|dir| fs::remove_file(dir.join("index.json")).unwrap());
    spoil("an index cut off", qemu, &|dir| {
        fs::write(dir.join("index.json"), "{\"schemaVersion\": 2,").unwrap()
    });
    spoil("an index of nothing", qemu, &index(|index| index["manifests"] = json!([])));
    spoil(
        "an index of 10000",
        qemu,
        &index(|index| {
            index["manifests"] = json!(vec![index["manifests"][0].clone(); 10_000]);
        }),
    );
    spoil(
        "a digest that leads out",
        qemu,
        &index(|index| {
            index["manifests"][0]["digest"] = json!("sha256:../../../../etc/passwd");
        }),
    );
    spoil(
        "a digest for the terminal",
        qemu,
        &index(|index| {
            index["manifests"][0]["digest"] = json!("\u{1b}[2J");
        }),
    );
    spoil("a huge size", qemu, &index(|index| index["manifests"][0]["size"] = json!(u64::MAX)));
    spoil("another version", qemu, &|dir| {
        fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\": \"9\"}").unwrap();
    });
    spoil("an index of 5 MB", qemu, &|dir| {
        fs::write(dir.join("index.json"), "[".repeat(5 << 20)).unwrap();
    });
    spoil("a missing layer", qemu, &|dir| fs::remove_file(layer(dir)).unwrap());
    spoil("a layer with a byte changed", qemu, &|dir| {
        let mut content = fs::read(layer(dir)).unwrap();
        content[100] ^= 1;
        fs::write(layer(dir), content).unwrap();
    });
    spoil("a layer of a terabyte", qemu, &|dir| {
        fs::File::options().write(true).open(layer(dir)).unwrap().set_len(1 << 40).unwrap();
    });
    spoil("a layer that is a link", qemu, &|dir| {
        let layer = layer(dir);
        fs::rename(&layer, dir.join("../moved")).unwrap();
        symlink("/etc/passwd", layer).unwrap();
    });
    spoil("a pipe", qemu, &|dir| {
        assert!(Command::new("mkfifo").arg(dir.join("blobs/pipe")).status().unwrap().success());
    });
    spoil("a file that nobody needs", qemu, &|dir| fs::write(dir.join("more"), "x").unwrap());
    spoil("no layers", qemu, &|dir| manifest(dir, |manifest| manifest["layers"] = json!([])));
    spoil("layers the other way round", qemu, &|dir| {
        manifest(dir, |manifest| manifest["layers"].as_array_mut().unwrap().reverse());
    });
    spoil("an annotation for the terminal", qemu, &|dir| {
        manifest(dir, |manifest| manifest["annotations"]["a"] = json!("\u{1b}[2J"));
    });
    spoil("an artifact that is a container", qemu, &|dir| {
        manifest(dir, |manifest| manifest["artifactType"] = json!("application/x"));
    });
    spoil("a container that starts something else", Target::Process, &|dir| {
        manifest(dir, |manifest| manifest["config"]["digest"] = manifest["layers"][0]["digest"].clone());
    });
}

fn texts(cases: &mut Cases, dir: &Path) {
    for path in documents() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let content = fs::read(&path).unwrap();
        add(cases, dir, &format!("document: {name} cut off"), &content[..content.len() / 2]);
        let mut value: Value = serde_json::from_slice(&content).unwrap();
        let list = if value["packages"].is_array() { "packages" } else { "subject" };
        value[list] = json!({ "\u{1b}[2J": 1 });
        add(cases, dir, &format!("document: {name} without its list"), value.to_string().as_bytes());
    }
    let mut text = |name: &str, text: String| add(cases, dir, &format!("document: {name}"), text.as_bytes());
    text("a million open brackets", format!("{{\"_type\": {}", "[".repeat(1_000_000)));
    text(
        "a bomb of small values",
        format!("{{\"spdxVersion\": \"\", \"packages\": [{}1]}}", "{},".repeat(1_000_000)),
    );
    let tests = "\"\",".repeat(300_000);
    let statement = "\"_type\": \"\", \"predicateType\": \"\", \"subject\": []";
    text("300000 tests", format!("{{{statement}, \"predicate\": {{\"passedTests\": [{tests}\"\"]}}}}"));
    text("6 MB", format!("{{\"_type\": \"{}\"}}", "x".repeat(6_000_000)));
}
