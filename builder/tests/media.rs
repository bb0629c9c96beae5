//! Images for target `bare-metal`: what is on the media, that they are the same everywhere, and what a user is
//! told when they cannot be made. That they boot is tested elsewhere.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use builder::{
    Context, Digest, Project, Target,
    context::Silent,
    image::{Manifest, Role},
    inspect::{self, Kind},
    plan,
    recipe::{Firmware, Format, Recipe},
    size,
};
use common::{Built, Checkout, skip};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// Whether this host can make media; says why not.
fn can_pack(test: &str) -> bool {
    let programs = ["/usr/bin/grub-mkimage", "/usr/bin/xorriso"];
    let modules = ["i386-pc", "x86_64-efi"].map(|name| format!("/usr/lib/grub/{name}/moddep.lst"));
    let missing =
        programs.iter().map(PathBuf::from).chain(modules.map(PathBuf::from)).find(|file| !file.exists());
    if let Some(file) = &missing {
        skip(test, &format!("there is no {}", file.display()));
    }
    missing.is_none()
}

/// A kernel that no more than boot loaders take for one: an ELF32 file with both Multiboot headers.
fn kernel() -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut headers = words(&[0x1bad_b002, 0, 0u32.wrapping_sub(0x1bad_b002), 0]);
    headers.extend(words(&[0xe852_50d6, 0, 24, 0u32.wrapping_sub(0xe852_50d6 + 24), 0, 8]));
    let (size, place) = (headers.len() as u32, 0x10_0000);
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(words(&[3 << 16 | 2, 1, place, 52, 0, 0, 32 << 16 | 52, 1, 0]));
    file.extend(words(&[1, 88, place, place, size, size, 5, 8]));
    file.resize(88, 0);
    file.extend(headers);
    file
}

/// A checkout with the recipe `tiny` for bare metal, of a kernel with both headers.
fn checkout(folder: &str) -> Checkout {
    let checkout = Checkout::cold(folder);
    ["python", "kernel", "bindings"].iter().for_each(|step| checkout.warm(step));
    fs::write(checkout.path("kernel.elf"), kernel()).unwrap();
    let config = "config = \"test\"\n";
    checkout.edit("tiny.toml", "stack = ", "acpi = false\nstack = ");
    checkout.edit("tiny.toml", config, &format!("{config}prebuilt = \"kernel.elf\"\n[targets.bare-metal]\n"));
    checkout
}

fn build(checkout: &Checkout, settings: &str, environment: &[(&str, &str)]) -> Built {
    let mut command = checkout.command("tiny.toml");
    command.arg("bare-metal");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{settings}; exec \"$0\" \"$@\"")]).arg(command.get_program());
    shell.args(command.get_args()).envs(&checkout.env).envs(environment.iter().copied());
    Built::of(shell.current_dir(&checkout.root).output().unwrap())
}

#[test]
fn media_are_the_same_everywhere() {
    if !can_pack("media_are_the_same_everywhere") {
        return;
    }
    let (one, other) = (checkout("a"), checkout("a much longer path/with spaces and ümlauts/in it"));
    let here = build(&one, "umask 022", &[("TZ", "UTC"), ("LC_ALL", "C")]).good();
    // Other inode numbers, too: xorriso must not order files by them.
    (0..50).for_each(|n| other.write(&format!("out/tiny/{n}"), ""));
    let strange =
        [("TZ", "Asia/Kathmandu"), ("LC_ALL", "C.UTF-8"), ("USER", "x"), ("GRUB_DEVICE", "x"), ("HOME", "/")];
    let there = build(&other, "umask 077; ulimit -n 200; sleep 1", &strange).good();
    for file in ["tiny.iso", "tiny.img", "netboot/kernel", "netboot/root-task", "netboot/boot.ipxe"] {
        assert!(here.members().iter().any(|member| member.starts_with(file)), "{file}: {}", here.stdout);
    }
    assert_eq!(here.members(), there.members());
    assert!(build(&one, "true", &[]).good().nothing_to_do());
    // Another time is another image, and it says so.
    let later = build(&one, "true", &[("SOURCE_DATE_EPOCH", "1700000000")]).good();
    assert_ne!(here.members(), later.members());
}

#[test]
fn the_media_hold_what_target_qemu_runs_and_keep_to_their_sizes() {
    if !can_pack("the_media_hold_what_target_qemu_runs_and_keep_to_their_sizes") {
        return;
    }
    let checkout = Checkout::new();
    ["runtime", "functions", "recipes"].iter().for_each(|folder| checkout.take(folder));
    let build =
        |target: &str| Built::of(checkout.command("recipes/hello.toml").arg(target).output().unwrap()).good();
    let folder = |target: &str| checkout.out.join("hello").join(target);
    build("qemu");
    let built = build("bare-metal");
    assert!(
        built.stdout.contains("note hello: `uefi` is left out: its kernel has a Multiboot 1 header only")
    );
    let [machine, metal] = ["qemu", "bare-metal"].map(|target| Manifest::read(&folder(target)).unwrap());
    let digest = |manifest: &Manifest, role| {
        manifest.members.iter().find(|member| member.role == role).map(|member| member.sha256)
    };
    let report = inspect::inspect(&folder("bare-metal")).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.media.len(), 2);
    for medium in &report.media {
        assert_eq!(Some(medium.kernel), digest(&machine, Role::Kernel), "{}", medium.name);
        assert_eq!(Some(medium.root_task), digest(&machine, Role::RootTask), "{}", medium.name);
    }
    let text = report.render_text();
    assert!(text.contains("inside hello.iso:\n  kernel     sha256"), "{text}");
    for (name, kind, most) in [("hello.iso", Kind::Iso, 1_500_000), ("hello.img", Kind::Disk, 2_000_000)] {
        let path = folder("bare-metal").join(name);
        let alone = inspect::inspect(&path).unwrap();
        assert!(alone.kind == kind && alone.problems.is_empty(), "{:?}", alone.problems);
        assert_eq!(alone.image.as_ref().map(|image| image.key), Some(metal.key));
        assert_eq!(alone.root_task.unwrap().sha256, metal.root_task.sha256);
        let project = Project { root: checkout.root.clone(), out: checkout.out.clone() };
        let measured = size::size(&project, &path, 3).unwrap();
        assert!(measured.total <= most, "{name} has {} bytes", measured.total);
        let sum: u64 = measured.media[0].parts.iter().map(|part| part.size).sum();
        assert_eq!(sum, measured.total);
    }
    for [one, other] in [["kernel", "netboot/kernel"], ["root-task", "netboot/root-task"]] {
        let read = |name| Digest::of(fs::read(folder("bare-metal").join(name)).unwrap());
        assert_eq!(read(one), read(other));
    }
    a_changed_medium_is_seen(&folder("bare-metal"));
}

/// A medium whose kernel was changed is told, in its folder and alone.
fn a_changed_medium_is_seen(dir: &Path) {
    let kernel = fs::read(dir.join("kernel")).unwrap();
    for name in ["hello.iso", "hello.img"] {
        let path = dir.join(name);
        let right = fs::read(&path).unwrap();
        let mut data = right.clone();
        let part = &kernel[kernel.len() - 256..];
        let at = data.windows(part.len()).position(|bytes| bytes == part).unwrap();
        data[at] ^= 1;
        fs::write(&path, &data).unwrap();
        let alone = inspect::inspect(&path).unwrap().problems;
        assert!(alone.iter().any(|one| one.contains("kernel is not what the manifest says")), "{alone:?}");
        let all = inspect::inspect(dir).unwrap().problems;
        let wanted = format!("the kernel on {name} is not that of the manifest");
        assert!(all.contains(&wanted), "{all:?}");
        fs::write(&path, right).unwrap();
    }
}

#[test]
fn both_firmwares_fit_into_their_sizes_and_netboot_is_left_out_without_bios() {
    if !can_pack("both_firmwares_fit_into_their_sizes_and_netboot_is_left_out_without_bios") {
        return;
    }
    let checkout = checkout("a");
    let built = build(&checkout, "true", &[]).good();
    let size = |name: &str| fs::metadata(checkout.out.join("tiny/bare-metal").join(name)).unwrap().len();
    assert!(size("tiny.iso") <= 4_500_000 && size("tiny.img") <= 6_000_000, "{}", built.stdout);
    checkout.edit("tiny.toml", "[targets.bare-metal]\n", "[targets.bare-metal]\nfirmware = [\"uefi\"]\n");
    let built = build(&checkout, "true", &[]).good();
    let names: Vec<_> = built.members().iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["kernel", "root-task", "tiny.iso", "tiny.img", "recipe.toml", "manifest.json"]);
    assert!(built.stdout.contains("`netboot` is left out: netboot is for BIOS only"), "{}", built.stdout);
    let report = inspect::inspect(&checkout.out.join("tiny/bare-metal")).unwrap();
    let media: Vec<_> = report.problems.iter().filter(|problem| problem.contains("tiny.i")).collect();
    assert!(media.is_empty() && report.media.len() == 2, "{:?}", report.problems);
}

#[test]
fn a_missing_part_of_the_boot_loader_is_named_with_its_package() {
    if !can_pack("a_missing_part_of_the_boot_loader_is_named_with_its_package") {
        return;
    }
    let mut checkout = checkout("a");
    fs::create_dir(checkout.path("bin")).unwrap();
    let path = checkout.path("bin").display().to_string();
    for tool in ["cc", "as", "ld", "python3", "cpp"] {
        symlink(Path::new("/usr/bin").join(tool), checkout.path("bin").join(tool)).unwrap();
    }
    checkout.env.insert("PATH".into(), path);
    for (tool, package) in [("grub-mkimage", "debian: grub-common"), ("xorriso", "debian: xorriso")] {
        let mut command = checkout.command("tiny.toml");
        let built = Built::of(command.arg("bare-metal").output().unwrap());
        assert_eq!(built.code, Some(3), "{}", built.stderr);
        let named =
            built.stderr.contains(&format!("`{tool}` was not found")) && built.stderr.contains(package);
        assert!(named, "{}", built.stderr);
        symlink(Path::new("/usr/bin").join(tool), checkout.path("bin").join(tool)).unwrap();
    }
    let mut command = checkout.command("tiny.toml");
    Built::of(command.arg("bare-metal").output().unwrap()).good();
}

#[test]
fn what_the_kernel_cannot_is_refused_with_the_remedy() {
    let project = Project::here();
    let ctx = Context::new(&project, &Silent);
    let mut recipe = Recipe::load(&project, "hello").unwrap();
    recipe.bare_metal.firmware = Some(vec![Firmware::Bios, Firmware::Uefi]);
    recipe.bare_metal.formats = Some(vec![Format::Netboot]);
    let error = plan::plan(&ctx, &recipe, Target::BareMetal).unwrap_err();
    assert_eq!(error.code(), builder::ExitCode::Usage);
    let text = error.to_string();
    for part in
        ["`hello` cannot boot on UEFI", "Multiboot 1 header only", "firmware = [\"bios\"]", "[kernel]"]
    {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

#[test]
fn an_iso_of_another_tool_is_told_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let iso = dir.path().join("other.iso");
    fs::write(dir.path().join("readme"), "hi").unwrap();
    let made = Command::new("xorriso")
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-V", "OTHER", "-o"])
        .args([&iso, &dir.path().join("readme")])
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        return skip("an_iso_of_another_tool_is_told_to_be_one", "there is no xorriso");
    }
    let text = inspect::inspect(&iso).unwrap_err().to_string();
    assert!(
        text.contains("other.iso: this is an ISO image (volume `OTHER`), but not one that Selkie made"),
        "{text}"
    );
    assert!(text.contains("help: `inspect` reads what `cargo xtask build-image RECIPE"), "{text}");
    // One that is larger than any of ours is not read to its end.
    fs::File::options().write(true).open(&iso).unwrap().set_len(1 << 40).unwrap();
    let text = inspect::inspect(&iso).unwrap_err().to_string();
    assert!(text.contains("this is an ISO image, but not one that Selkie made: it is larger"), "{text}");
}

/// Whether mounts in a name space of our own are possible.
fn can_mount() -> bool {
    let mount = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]).output();
    mount.is_ok_and(|output| output.status.success())
}

/// A build in a name space where the shell commands `prepare` were run first; of one that fails, the media that
/// it left are told as lines that begin with `left`.
fn in_name_space(checkout: &Checkout, prepare: &str) -> Built {
    let media = "\\( -name '*.iso' -o -name '*.img' \\) -printf 'left %p\\n'";
    let check = format!("\"$@\" && exit; code=$?; find \"$OUT\" {media}; exit $code");
    let mut command = checkout.command("tiny.toml");
    command.arg("bare-metal");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-ec", &format!("{prepare}\n{check}"), "sh"]).env("OUT", &checkout.out);
    unshare.arg(command.get_program()).args(command.get_args());
    Built::of(unshare.output().unwrap())
}

#[test]
fn a_full_disk_leaves_no_medium_or_a_whole_one() {
    let test = "a_full_disk_leaves_no_medium_or_a_whole_one";
    if !can_mount() {
        return skip(test, "no file system can be mounted here");
    }
    if !can_pack(test) {
        return;
    }
    let checkout = checkout("a");
    let right = build(&checkout, "true", &[]).good();
    let out = checkout.out.display();
    let mut failures = 0;
    // Everything is there but the image, in a file system with this much room left.
    for room in [64, 512, 1200, 2000, 3000, 16 * 1024] {
        fs::remove_dir_all(checkout.out.join("tiny")).unwrap();
        let prepare = format!(
            "cp -a '{out}' '{out}.kept'; mount -t tmpfs tmpfs '{out}'; cp -aT '{out}.kept' '{out}'; rm -r '{out}.kept'\n\
             mount -o remount,size=$(($(du -sk '{out}' | cut -f1) + {room}))k '{out}'"
        );
        let built = in_name_space(&checkout, &prepare);
        fs::create_dir_all(checkout.out.join("tiny")).unwrap();
        if built.code == Some(0) {
            assert_eq!(built.members(), right.members(), "{room}");
            continue;
        }
        failures += 1;
        let told = built.stderr.contains("`cargo xtask clean` removes what Selkie wrote");
        assert!(told, "{room}: {:?}\n{}{}", built.code, built.stdout, built.stderr);
        assert!(!built.stdout.contains("left /"), "half a medium was left\n{}", built.stdout);
    }
    assert!((1..6).contains(&failures), "{failures} of 6 failed");
}

#[test]
fn without_grubs_files_for_a_firmware_their_package_is_named() {
    let test = "without_grubs_files_for_a_firmware_their_package_is_named";
    if !can_mount() {
        return skip(test, "no file system can be mounted here");
    }
    if !can_pack(test) {
        return;
    }
    let checkout = checkout("a");
    let wrongs = [
        (
            "mount -t tmpfs tmpfs /usr/lib/grub/x86_64-efi",
            "modules for UEFI were not found",
            "grub-efi-amd64-bin",
        ),
        ("mount -t tmpfs tmpfs /usr/lib/grub/i386-pc", "modules for BIOS were not found", "grub-pc-bin"),
        (
            "mount --bind /dev/null /usr/lib/grub/i386-pc/gzio.mod",
            "i386-pc/gzio.mod: this file",
            "grub-pc-bin",
        ),
    ];
    for (wrong, said, package) in wrongs {
        let built = in_name_space(&checkout, wrong);
        assert_eq!(built.code, Some(3), "{}", built.stderr);
        assert!(built.stderr.contains(said) && built.stderr.contains(package), "{wrong}: {}", built.stderr);
    }
}
