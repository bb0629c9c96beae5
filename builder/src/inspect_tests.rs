//! Reports on good files, and none that panics on bad ones.

use super::*;
use crate::{Target, elf::Elf, elf_sample::Sample, note};

fn image(dir: &Path) -> image::Manifest {
    let sample = Sample::good().bytes();
    fs::write(dir.join("root-task"), &sample).unwrap();
    let digest = Digest::of("");
    let manifest = image::Manifest {
        format: 1,
        name: "hello".into(),
        version: "0.1.0".into(),
        target: Target::Qemu,
        epoch: 0,
        key: digest,
        kernel: image::Kernel {
            config: "x86_64-release".into(),
            version: "5.0.0".into(),
            source: digest,
            options: Default::default(),
            overlays: Default::default(),
            prebuilt: None,
            verified: Verified::None,
            interface: Digest::of("i"),
        },
        root_task: image::RootTask { sha256: Digest::of(&sample), nonce: "0".repeat(16) },
        process: None,
        media: None,
        recipe: serde_json::Value::Null,
        inputs: Default::default(),
        tools: Default::default(),
        members: vec![image::Member {
            name: "root-task".into(),
            role: Role::RootTask,
            size: sample.len() as u64,
            sha256: Digest::of(&sample),
        }],
    };
    write(dir, &manifest);
    manifest
}

fn write(dir: &Path, manifest: &image::Manifest) {
    fs::write(dir.join("manifest.json"), manifest.text()).unwrap();
}

#[test]
fn a_root_task_tells_who_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    for data in [Sample::good().bytes(), crate::root_task::strip(&Sample::good().bytes()).unwrap()] {
        fs::write(&path, &data).unwrap();
        let report = inspect(&path).unwrap();
        assert_eq!((report.kind, report.problems.as_slice()), (Kind::RootTask, &[][..]));
        let elf = report.root_task.as_ref().unwrap();
        assert_eq!(elf.manifest.as_ref().unwrap(), &note::tests::sample());
        assert_eq!((elf.size, elf.sha256), (data.len() as u64, Digest::of(&data)));
        assert_eq!((elf.system_call_sites, elf.segments.len()), (Some(1), 6));
        let text = report.render_text();
        assert!(
            text.contains("function:    hello 0.1.0") && text.contains("run: nonce=0123456789abcdef"),
            "{text}"
        );
    }
}

#[test]
fn an_image_is_compared_with_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    image(dir.path());
    for path in [dir.path().to_owned(), dir.path().join("manifest.json")] {
        let report = inspect(&path).unwrap();
        assert_eq!(report.kind, Kind::Image);
        assert!(report.problems.is_empty() && report.members[0].matches, "{:?}", report.problems);
        assert!(report.render_text().contains("as in the manifest"));
    }
    let mut data = Sample::good().bytes();
    data.push(0);
    fs::write(dir.path().join("root-task"), data).unwrap();
    let report = inspect(dir.path()).unwrap();
    assert!(!report.members[0].matches);
    assert_eq!(report.problems, ["root-task is not what the manifest says: it was changed after the build"]);
    fs::remove_file(dir.path().join("root-task")).unwrap();
    let report = inspect(dir.path()).unwrap();
    assert!(
        !report.members[0].matches && report.problems[0].contains("cannot read"),
        "{:?}",
        report.problems
    );
}

#[test]
fn a_manifest_that_contradicts_the_root_task_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = image(dir.path());
    manifest.kernel.config = "other\u{1b}[31m".into();
    write(dir.path(), &manifest);
    let report = inspect(dir.path()).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].contains("the kernel config is `other\\u{1b}[31m`"), "{:?}", report.problems);
    assert!(!report.render_text().contains('\u{1b}'));
}

#[test]
fn members_cannot_lead_out_of_the_folder_or_to_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = image(dir.path());
    for name in ["../root-task", "/etc/hostname", "..", ".", "", "a/b/c", "/a", "a/", "a/.."] {
        manifest.members[0].name = name.into();
        write(dir.path(), &manifest);
        let report = inspect(dir.path()).unwrap();
        assert!(report.problems[0].contains("is not a plain file name"), "{name}: {:?}", report.problems);
    }
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero")).unwrap();
    manifest.members[0].name = "zero".into();
    write(dir.path(), &manifest);
    assert!(inspect(dir.path()).unwrap().problems[0].contains("symbolic link"));
    assert!(matches!(inspect(Path::new("/dev/null")), Err(Error::Neither(_))));
    // Nor by a link to a file that may be read.
    std::os::unix::fs::symlink("/etc", dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.path().join("file")).unwrap();
    for name in ["file", "folder/hostname"] {
        manifest.members[0].name = name.into();
        write(dir.path(), &manifest);
        let report = inspect(dir.path()).unwrap();
        assert!(report.problems[0].contains("symbolic link"), "{name}: {:?}", report.problems);
        assert!(report.members[0].sha256.is_none());
    }
}

#[test]
fn a_kernel_is_recognised() {
    let mut sample = Sample::good();
    sample.sections.retain(|section| section.name != ".note.selkie");
    sample.symbols.clear();
    let mut data = sample.bytes();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k");
    fs::write(&path, &data).unwrap();
    assert_eq!(inspect(&path).unwrap().kind, Kind::Elf);
    // The magic number alone may stand in any file; flags and check sum make it a header.
    data[0x1080..0x1084].copy_from_slice(&0x1bad_b002_u32.to_le_bytes());
    data[0x1084..0x108c].fill(1);
    fs::write(&path, &data).unwrap();
    assert_eq!(inspect(&path).unwrap().kind, Kind::Elf);
    data[0x1084..0x1088].fill(0);
    data[0x1088..0x108c].copy_from_slice(&0x1bad_b002_u32.wrapping_neg().to_le_bytes());
    fs::write(&path, &data).unwrap();
    let report = inspect(&path).unwrap();
    assert!(report.kind == Kind::Kernel && report.kernel.is_some());
}

/// Many truncations and changed bytes of a real small file: an error or a report, never a panic.
#[test]
fn damaged_files_never_make_it_panic() {
    let data = Sample::good().bytes();
    let ends = (0..data.len()).filter(|end| *end < 600 || end % 17 == 0 || *end > data.len() - 1500);
    // The headers at both ends and the note byte by byte.
    let tables = (0..0x190).chain(data.len() - 1400..data.len()).chain(0x2000..0x2020);
    damage(&data, ends, tables);
}

/// All of them.
#[test]
#[ignore = "takes minutes: cargo xtask test --long"]
fn however_damaged_files_are_it_does_not_panic() {
    let data = Sample::good().bytes();
    damage(&data, 0..data.len(), 0..data.len());
}

/// Looks at `data` cut off at each of `ends` and with each of the bytes at `places` changed.
fn damage(data: &[u8], ends: impl Iterator<Item = usize>, places: impl Iterator<Item = usize>) {
    ends.for_each(|end| look(&data[..end]));
    for at in places {
        // Values that overflow sums.
        for value in [0, 1, 0x7f, 0x80, 0xff, data[at] ^ 1] {
            let mut bad = data.to_vec();
            bad[at] = value;
            look(&bad);
        }
    }
    // Whole words of all ones, two at a time.
    for at in (0x10..0x180).step_by(8) {
        let mut bad = data.to_vec();
        bad[at..at + 16].fill(0xff);
        look(&bad);
    }
}

/// Does with a file's bytes all that is done with an ELF file from elsewhere.
fn look(bytes: &[u8]) {
    let mut problems = Vec::new();
    if let Ok((kind, elf)) = inspect_elf(bytes, &mut problems) {
        let report = Report { root_task: Some(elf), problems, ..Report::new(Path::new("x"), kind) };
        let _ = report.render_text();
    }
    if let Ok(elf) = Elf::parse(bytes) {
        let limits = crate::root_task::check::Limits { memory: 1 << 24, slots: 4096, hosted: false };
        let _ = crate::root_task::check::check(&elf, &limits, &Default::default());
        let _ = crate::size::of_elf(&elf, 5);
    }
}

#[test]
fn an_image_is_found_by_the_name_of_its_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
    let built = project.image("built", Target::Qemu);
    fs::create_dir_all(&built).unwrap();
    assert_eq!(find(&project, Path::new("built"), None).unwrap(), built);
    assert_eq!(find(&project, Path::new("built"), Some(Target::Qemu)).unwrap(), built);
    assert!(find(&project, Path::new("built"), Some(Target::Process)).is_err());
    assert_eq!(find(&project, dir.path(), None).unwrap(), dir.path());
    for wrong in ["other", "../built", ".", "a/b"].map(|name| Path::new("/nowhere").join(name)) {
        assert!(matches!(find(&project, &wrong, None), Err(Error::Missing { .. })), "{wrong:?}");
    }
    assert!(matches!(find(&project, Path::new("other"), None), Err(Error::Missing { .. })));
}
