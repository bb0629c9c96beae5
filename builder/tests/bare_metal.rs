//! Media from the builder, booted by real firmware: a kernel of our own (`tests/multiboot2-kernel`) checks what the
//! boot loader hands over, so that the way through UEFI needs no seL4 tree.
//!
//! The suite `bare-metal` of `cargo xtask test` runs them; beside other tests their time-outs would be too short.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use builder::{
    Context, Project, Target, build,
    context::Silent,
    image::Image,
    plan,
    qemu::{Accel, AccelRequest, BootPath},
    recipe::Recipe,
    smoke::{self, Cause, RunReport, SmokeOptions, Verdict},
};
use common::{from, skip};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A recipe in a folder of its own.
struct Stage {
    dir: PathBuf,
    path: PathBuf,
    project: Project,
}

/// The bytes of seL4 beyond those of the small kernel here.
const SEL4: u64 = 170_000;

const KERNEL: &str = r#"
[function]
name = "NAME"
version = "1.0.0"
[root-task]
crate = "CRATE"
[kernel]
prebuilt = "kernel.elf"
[targets.bare-metal]
memory = "64 MiB"
[smoke]
expect = ["multiboot2: magic, RSDP and module are good"]
timeout = "1 s"
"#;

const HELLO: &str = r#"
[function]
name = "NAME"
version = "1.0.0"
[root-task]
crate = "CRATE"
[run]
at-exit = "END"
[targets.bare-metal]
formats = ["iso"]
[smoke]
expect = ["Hello, world!"]
"#;

impl Stage {
    /// A stage for `recipe`, whose function is `hello` under another name.
    fn new(name: &str, recipe: &str) -> Self {
        // Shares its builds with the test of conformance.
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (dir, out) = (tmp.join("bare-metal").join(name), tmp.join("conformance"));
        fs::create_dir_all(&dir).unwrap();
        let hello = from(&dir, &Project::here().root.join("functions/hello"));
        let recipe = recipe.replace("NAME", name).replace("CRATE", &hello);
        let path = dir.join(format!("{name}.toml"));
        fs::write(&path, recipe).unwrap();
        Self { dir, path, project: Project { out, ..Project::here() } }
    }

    /// Assembles the kernel for a root task with these bytes.
    fn kernel(&self, root_task: &[u8]) {
        let source = Project::here().root.join("tests/multiboot2-kernel/kernel.S");
        let output = Command::new("cc")
            .args(["-m32", "-nostdlib", "-static", "-no-pie"])
            .arg("-Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096,-Ttext-segment=0x200000")
            .arg(format!("-DMODULE_SIZE={}", root_task.len()))
            .arg(format!("-DMODULE_SUM={:#x}", checksum(root_task)))
            .arg("-o")
            .args([&self.dir.join("kernel.elf"), &source])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn recipe(&self) -> Recipe {
        Recipe::load(&self.project, &self.path.to_string_lossy()).unwrap()
    }

    fn image(&self, target: Target) -> builder::Result<Image> {
        let ctx = Context::new(&self.project, &Silent);
        build::build(&ctx, &plan::plan(&ctx, &self.recipe(), target)?)
    }

    fn boot(&self, dir: &Path, boot: BootPath) -> RunReport {
        let ctx = Context::new(&self.project, &Silent);
        let accel = AccelRequest::Only(Accel::Tcg);
        let options = SmokeOptions { accel, boot: Some(boot), ..SmokeOptions::default() };
        smoke::smoke(&ctx, &self.recipe(), Target::BareMetal, dir, &options).unwrap()
    }
}

/// The checksum that the kernel makes: of little-endian words, zeros filling up the last one.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.chunks(4).fold(0, |sum: u32, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.rotate_left(1).wrapping_add(u32::from_le_bytes(word))
    })
}

#[test]
#[ignore = "the suite `bare-metal` runs it"]
fn a_multiboot_2_kernel_boots_from_every_medium_on_bios_and_uefi() {
    let stage = Stage::new("multiboot2", KERNEL);
    stage.kernel(b"another root task");
    let error = stage.image(Target::Qemu).unwrap_err();
    assert!(error.to_string().contains("takes Multiboot 1"), "{error}");
    let image = stage.image(Target::BareMetal).unwrap();
    let kernel = fs::read(stage.dir.join("kernel.elf")).unwrap();
    assert_eq!(fs::read(image.file("kernel")).unwrap(), kernel, "an ELF32 file is taken as it is");
    let report = builder::inspect::inspect(&image.dir).unwrap();
    let text = report.render_text();
    assert!(text.contains("not built by Selkie") && report.problems.is_empty(), "{text}");
    // The kernel's own checks can fail: this one knows another module.
    let report = stage.boot(&image.dir, BootPath::IsoCdBios);
    assert!(matches!(report.verdict, Verdict::Fail { cause: Cause::WrongStatus, .. }), "{report}");
    assert_eq!(report.status, Some(7), "{report}");

    let module = fs::read(image.file("root-task")).unwrap();
    stage.kernel(&module);
    let image = stage.image(Target::BareMetal).unwrap();
    assert_eq!(fs::read(image.file("root-task")).unwrap(), module, "the kernel is no part of the root task");
    // What docs/SPECIFICATION.md promises of media for both kinds of firmware.
    for (kind, limit) in [("iso", 4_500_000), ("img", 6_000_000)] {
        let medium = image.file(&format!("{}.{kind}", stage.recipe().function.name));
        let size = fs::metadata(medium).unwrap().len() + SEL4;
        assert!(size <= limit, "the {kind} with seL4 has {size} bytes");
    }
    let boots = smoke::boots(&image.dir).unwrap();
    let expected = BootPath::ALL.into_iter().filter(|boot| *boot != BootPath::NetbootBios);
    assert_eq!(boots, expected.collect::<Vec<_>>(), "iPXE starts no Multiboot 2 kernel, all others do");
    for boot in boots {
        let report = stage.boot(&image.dir, boot);
        if let Verdict::Skip { reason } = &report.verdict {
            skip(boot.name(), reason);
            continue;
        }
        assert_eq!((&report.verdict, report.status), (&Verdict::Pass, Some(0)), "{report}");
    }
    a_damaged_disk_shows_what_the_boot_loader_says(&stage, &image);
}

/// The kernel on the disk image loses its beginning: GRUB says so, and the report shows it.
fn a_damaged_disk_shows_what_the_boot_loader_says(stage: &Stage, image: &Image) {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = fs::read(image.file("multiboot2.img")).unwrap();
    let kernel = fs::read(image.file("kernel")).unwrap();
    let at = disk.windows(64).position(|window| window == &kernel[..64]).unwrap();
    disk[at..at + 64].fill(0);
    for name in ["manifest.json", "kernel", "root-task"] {
        fs::copy(image.file(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("multiboot2.img"), disk).unwrap();
    let report = stage.boot(dir.path(), BootPath::DiskBios);
    assert!(matches!(report.verdict, Verdict::Fail { cause: Cause::Timeout, .. }), "{report}");
    let text = report.to_string();
    assert!(text.contains("| Selkie: starting multiboot2") && text.contains("| error: "), "{text}");
    assert!(text.contains("firmware: Booting from Hard Disk"), "{text}");
}

#[test]
#[ignore = "the suite `bare-metal` runs it"]
fn a_function_ends_its_machine_as_its_recipe_says() {
    for end in ["reboot", "halt"] {
        let stage = Stage::new(&format!("metal-{end}"), &HELLO.replace("END", end));
        let image = stage.image(Target::BareMetal).unwrap();
        let report = stage.boot(&image.dir, BootPath::IsoCdBios);
        assert_eq!((&report.verdict, report.status), (&Verdict::Pass, Some(0)), "{end}: {report}");
    }
}
