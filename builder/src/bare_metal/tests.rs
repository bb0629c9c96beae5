//! Media, written and read back; and whatever is done to them, nothing panics and nothing hangs.

use super::{
    Headers, Media, MediaError, Protocol,
    disk::{self, Contents},
    fat::{self, Fat},
    gpt, iso9660, layout,
    medium::{self, Medium},
};
use crate::{
    Digest, Project,
    elf_sample::Sample,
    image::{self, Member, Role},
    recipe::{Firmware, Format, Recipe},
};

fn key() -> Digest {
    Digest::of("an image")
}

/// The files of an image on a medium: their names, and what they are.
fn files(protocol: Protocol) -> Vec<(String, Vec<u8>)> {
    let (kernel, root_task) = (b"the kernel".to_vec(), Sample::good().bytes());
    let member = |name: &str, role, bytes: &Vec<u8>| Member {
        name: name.to_owned(),
        role,
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let members =
        vec![member("kernel", Role::Kernel, &kernel), member("root-task", Role::RootTask, &root_task)];
    let manifest = image::Manifest { members, ..image::tests::manifest() }.text().into_bytes();
    let module = layout::module(&root_task, protocol).unwrap();
    vec![
        (layout::KERNEL.to_owned(), kernel),
        (layout::MANIFEST.to_owned(), manifest),
        (layout::root_task(protocol).to_owned(), module),
    ]
}

/// A disk image of these files.
fn disk_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let place = |name: &str| format!("selkie/{}/{name}", layout::id(key()));
    let mut all: Vec<_> = files.iter().map(|(name, bytes)| (place(name), bytes.as_slice())).collect();
    all.push(("EFI/BOOT/BOOTX64.EFI".to_owned(), b"a boot loader"));
    let (boot, core) = (vec![1; 512], vec![2; 3 * 512 + 7]);
    disk::image(&Contents { key: key(), bios: Some((&boot, &core)), files: &all }).unwrap()
}

/// An ISO image of these files, with no more than the reader looks at.
fn iso_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    const BLOCK: usize = 2048;
    fn record(name: &[u8], folder: bool, block: usize, size: usize) -> Vec<u8> {
        let mut record = vec![0; (33 + name.len()).next_multiple_of(2)];
        record[0] = record.len() as u8;
        record[2..6].copy_from_slice(&(block as u32).to_le_bytes());
        record[10..14].copy_from_slice(&(size as u32).to_le_bytes());
        record[25] = if folder { 2 } else { 0 };
        record[32] = name.len() as u8;
        record[33..33 + name.len()].copy_from_slice(name);
        record
    }
    let mut iso = vec![0; 20 * BLOCK];
    iso[16 * BLOCK..][..6].copy_from_slice(b"\x01CD001");
    iso[16 * BLOCK + 40..][..32].copy_from_slice(b"A VOLUME                        ");
    iso[16 * BLOCK + 128..][..2].copy_from_slice(&(BLOCK as u16).to_le_bytes());
    let root = record(&[0], true, 17, BLOCK);
    iso[16 * BLOCK + 156..][..root.len()].copy_from_slice(&root);
    let id = layout::id(key()).to_uppercase();
    for (block, name, next) in [(17, b"SELKIE".as_slice(), 18), (18, id.as_bytes(), 19)] {
        let records = [record(&[0], true, block, BLOCK), record(name, true, next, BLOCK)].concat();
        iso[block * BLOCK..][..records.len()].copy_from_slice(&records);
    }
    let mut records = Vec::new();
    for (name, bytes) in files {
        let name = format!("{}{};1", name.to_uppercase(), if name.contains('.') { "" } else { "." });
        records.extend(record(name.as_bytes(), false, iso.len() / BLOCK, bytes.len()));
        iso.extend(bytes);
        iso.resize(iso.len().next_multiple_of(BLOCK), 0);
    }
    iso[19 * BLOCK..][..records.len()].copy_from_slice(&records);
    iso
}

#[test]
fn what_was_put_on_a_medium_is_read_back() {
    for protocol in [Protocol::Multiboot, Protocol::Multiboot2] {
        let files = files(protocol);
        for (data, format) in [(disk_of(&files), Format::Disk), (iso_of(&files), Format::Iso)] {
            assert_eq!(medium::format(&data), Some(format));
            let medium = Medium::read(&data, format).unwrap();
            assert!(medium.kernel == b"the kernel" && medium.root_task == Sample::good().bytes());
            for (part, said) in medium.parts().iter().zip(&medium.manifest.members) {
                assert_eq!(*part, (said.role, said.size, said.sha256));
            }
            let name = format!("selkie/{}/kernel", layout::id(key()));
            assert!(
                medium.files.iter().any(|file| file.path == name && file.size == 10),
                "{:?}",
                medium.files
            );
        }
    }
}

#[test]
fn damaged_media_never_make_it_panic() {
    let files = files(Protocol::Multiboot);
    for (mut data, format) in [(disk_of(&files), Format::Disk), (iso_of(&files), Format::Iso)] {
        for length in (0..data.len()).step_by(data.len() / 29) {
            assert!(Medium::read(&data[..length], format).is_err(), "{length}");
        }
        // Of the tables and folders every byte, of the rest some: to the extremes and by a bit.
        let dense = match format {
            Format::Disk => [512..512 + 92, 1024..1024 + 256, 1 << 20..(1 << 20) + 7 * 512],
            _ => [16 * 2048 + 120..16 * 2048 + 190, 18 * 2048..18 * 2048 + 96, 19 * 2048..19 * 2048 + 200],
        };
        let sparse = (0..data.len()).step_by(data.len() / 50);
        for at in dense.into_iter().flatten().chain(sparse) {
            let right = data[at];
            for value in [0, 0xff, right ^ 1, right ^ 0x80] {
                data[at] = value;
                // Whether what is read is the image's is told by its digests.
                let _ = Medium::read(&data, format);
            }
            data[at] = right;
        }
        Medium::read(&data, format).unwrap();
    }
}

#[test]
fn a_packed_root_task_that_is_damaged_is_an_error() {
    let mut files = files(Protocol::Multiboot2);
    let whole = files[2].1.clone();
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        files[2].1 = whole[..length].to_vec();
        let text = Medium::read(&iso_of(&files), Format::Iso).unwrap_err().to_string();
        assert!(text.contains("cannot be unpacked"), "{length}: {text}");
    }
}

#[test]
fn media_of_other_tools_are_told_from_damaged_ones() {
    let other = [("README".to_owned(), b"hi".to_vec())];
    for (data, format) in [(disk_of(&other), Format::Disk), (iso_of(&other), Format::Iso)] {
        let error = Medium::read(&data, format).unwrap_err();
        assert!(matches!(error, medium::Error::Foreign { .. }), "{error}");
    }
    let text = Medium::read(&iso_of(&other), Format::Iso).unwrap_err().to_string();
    assert!(text.contains("an ISO image (volume `A VOLUME`), but not one that Selkie made"), "{text}");
    let mut old = vec![0; 4096];
    old[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(medium::format(&old), Some(Format::Disk));
    assert!(matches!(Medium::read(&old, Format::Disk), Err(medium::Error::Foreign { .. })));
    assert_eq!(medium::format(b"\x7fELF and more"), None);
    assert_eq!(medium::format(b""), None);
}

#[test]
fn what_follows_a_root_task_must_be_zeros() {
    let mut files = files(Protocol::Multiboot);
    files[2].1.extend([0; 100]);
    Medium::read(&iso_of(&files), Format::Iso).unwrap();
    files[2].1.push(1);
    let text = Medium::read(&iso_of(&files), Format::Iso).unwrap_err().to_string();
    assert!(text.contains("something follows its root task"), "{text}");
    files[2].1.truncate(10);
    let text = Medium::read(&iso_of(&files), Format::Iso).unwrap_err().to_string();
    assert!(text.contains("shorter than its manifest says"), "{text}");
}

#[test]
fn a_chain_of_clusters_in_a_circle_ends() {
    let content = vec![7; 5000];
    let mut volume = fat::write(&[("a/file".to_owned(), &content)], 1, "X").unwrap();
    let at = |volume: &[u8]| {
        let fat = Fat::new(volume)?;
        let entries = fat.folder(&["a"])?.unwrap_or_default();
        let file = entries.iter().find(|entry| entry.name == "file").ok_or(fat::Error::Damaged)?;
        fat.content(file)
    };
    assert!(at(&volume).unwrap() == content);
    // Every entry of both tables points at the first cluster: 12 bits each.
    let reserved = 512 * usize::from(volume[14]);
    for triple in volume[reserved..reserved + 1536].chunks_exact_mut(3) {
        triple.copy_from_slice(&[0x02, 0x20, 0x00]);
    }
    assert_eq!(at(&volume), Err(fat::Error::Damaged));
}

#[test]
fn files_of_every_size_find_room_and_are_read_back() {
    for size in [0, 1, 700_000, 3 << 20, (4 << 20) - 1, 5 << 20, 17 << 20] {
        let content: Vec<u8> = (0..size).map(|n: u32| (n / 512 * 7 + n) as u8).collect();
        let files =
            [("EFI/BOOT/BOOTX64.EFI".to_owned(), b"x".as_slice()), ("a/b/large".to_owned(), &content)];
        let volume = fat::write(&files, 1, "X").unwrap();
        assert!(volume.len() <= content.len() + content.len() / 40 + (96 << 10), "{size}: {}", volume.len());
        let fat = Fat::new(&volume).unwrap();
        let entries = fat.folder(&["a", "b"]).unwrap().unwrap();
        let file = entries.iter().find(|entry| entry.name == "large").unwrap();
        assert!(fat.content(file).unwrap() == content, "{size}");
    }
}

#[test]
fn a_partition_table_says_where_the_partitions_are() {
    let disk = disk_of(&files(Protocol::Multiboot));
    let partitions = gpt::read(&disk).unwrap();
    let kinds: Vec<_> = partitions.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [gpt::BIOS_BOOT, gpt::EFI_SYSTEM]);
    let core = partitions[0].1.clone();
    assert_eq!((core.start, core.len()), (34 * 512, 4 * 512));
    // GRUB's first sector knows where its core begins, and the core where its rest does.
    assert_eq!(disk[0x5c..0x64], 34u64.to_le_bytes());
    assert_eq!(disk[core.start + 500..core.start + 508], 35u64.to_le_bytes());
    assert_eq!(partitions[1].1.start, 1 << 20);
    // The second table is the first one's twin.
    let last = disk.len() - 512;
    assert_eq!(disk[last..last + 8], disk[512..520]);
    assert!(disk[last - 32 * 512..last] == disk[1024..1024 + 32 * 512]);
    assert!(!iso9660::is_there(&disk));
}

#[test]
fn what_is_made_follows_from_the_recipe_and_the_kernels_headers() {
    let recipe = |firmware: Option<&[Firmware]>, formats: Option<&[Format]>| {
        let mut recipe = Recipe::load(&Project::here(), "hello").unwrap();
        recipe.bare_metal.firmware = firmware.map(<[_]>::to_vec);
        recipe.bare_metal.formats = formats.map(<[_]>::to_vec);
        recipe
    };
    let (old, new, only_new) = (
        Headers { multiboot1: true, multiboot2: false },
        Headers { multiboot1: true, multiboot2: true },
        Headers { multiboot1: false, multiboot2: true },
    );
    use Firmware::{Bios, Uefi};
    use Format::{Disk, Iso, Netboot};
    let made = |recipe: &Recipe, headers| {
        let media = Media::decide(recipe, headers).unwrap();
        let left: Vec<_> = media.left_out.iter().map(|left| left.what.clone()).collect();
        (media.firmware, media.formats, media.protocol, left)
    };
    let plain = recipe(None, None);
    let all = vec![Iso, Disk, Netboot];
    assert_eq!(made(&plain, old), (vec![Bios], all.clone(), Protocol::Multiboot, vec!["uefi".to_owned()]));
    assert_eq!(made(&plain, new), (vec![Bios, Uefi], all, Protocol::Multiboot2, vec![]));
    let without = vec!["netboot".to_owned()];
    assert_eq!(
        made(&plain, only_new),
        (vec![Bios, Uefi], vec![Iso, Disk], Protocol::Multiboot2, without.clone())
    );
    let uefi = recipe(Some(&[Uefi]), None);
    assert_eq!(made(&uefi, new), (vec![Uefi], vec![Iso, Disk], Protocol::Multiboot2, without));

    let error = |recipe: &Recipe, headers| Media::decide(recipe, headers).unwrap_err();
    let text = error(&uefi, old).to_string();
    assert!(text.contains("`hello` cannot boot on UEFI") && text.contains("ACPI"), "{text}");
    assert!(text.contains("`firmware = [\"bios\"]`"), "{text}");
    assert!(matches!(error(&recipe(None, Some(&[Netboot])), only_new), MediaError::Netboot { .. }));
    assert!(matches!(error(&plain, Headers::default()), MediaError::NoHeader { .. }));
}

#[test]
fn identifiers_are_those_of_the_image_and_of_their_purpose() {
    let one = layout::guid(key(), "disk");
    assert_eq!(one, layout::guid(key(), "disk"));
    assert_ne!(one, layout::guid(key(), "iso"));
    assert_ne!(one, layout::guid(Digest::of("another"), "disk"));
    assert_eq!((one[6] >> 4, one[8] >> 6), (8, 2));
}

#[test]
fn a_pc_that_is_to_go_off_and_cannot_is_told_of() {
    let mut recipe = Recipe::load(&Project::here(), "hello").unwrap();
    assert!(super::halts(&recipe));
    recipe.acpi = true;
    assert!(!super::halts(&recipe));
    recipe.acpi = false;
    recipe.run.at_exit = crate::recipe::AtExit::Reboot;
    assert!(!super::halts(&recipe), "a reset needs no ACPI");
}
