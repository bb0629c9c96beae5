//! What lies on a medium, and under which names.
//!
//! Names have at most eight characters and a known ending, so that ISO 9660 and FAT keep them without their
//! extensions. The folder below `selkie` is called by the image's identity: where several media are plugged
//! in, the boot loader finds its own.

use super::Protocol;
use crate::Digest;
use flate2::{Compression, GzBuilder};
use std::io::{self, Write};

/// The folder of all that is ours.
pub(crate) const FOLDER: &str = "/selkie";
/// The kernel.
pub(crate) const KERNEL: &str = "kernel";
/// The image's manifest, with the members that lie on the medium.
pub(crate) const MANIFEST: &str = "manifest";
/// The root task.
pub(crate) const ROOT_TASK: &str = "roottask";
/// The root task, padded and compressed.
pub(crate) const ROOT_TASK_PADDED: &str = "roottask.gz";

/// A module that is shorter finds room in a gap of the kernel's place when UEFI starts it, where seL4 does not
/// accept it.
const MODULE_LEAST: usize = 2 << 20;

/// The name of the image's own folder below [`FOLDER`].
pub(crate) fn id(key: Digest) -> String {
    key.short(8)
}

/// The image's own folder.
pub(crate) fn folder(key: Digest) -> String {
    format!("{FOLDER}/{}", id(key))
}

/// The root task's name on a medium.
pub(crate) fn root_task(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Multiboot => ROOT_TASK,
        Protocol::Multiboot2 => ROOT_TASK_PADDED,
    }
}

/// How many bytes the boot loader makes of a root task of this size.
pub(crate) fn module_size(root_task: usize, protocol: Protocol) -> usize {
    match protocol {
        Protocol::Multiboot => root_task,
        Protocol::Multiboot2 => root_task.max(MODULE_LEAST),
    }
}

/// The root task as it lies on a medium: as it is, or padded with zeros, which seL4 ignores behind an ELF
/// file, and compressed, which GRUB undoes.
pub(crate) fn module(root_task: &[u8], protocol: Protocol) -> io::Result<Vec<u8>> {
    if protocol == Protocol::Multiboot {
        return Ok(root_task.to_vec());
    }
    // No name, no time, and the same system for everybody.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(root_task)?;
    encoder.write_all(&vec![0; module_size(root_task.len(), protocol) - root_task.len()])?;
    encoder.finish()
}

/// An identifier of the image with this key for `purpose`, in the form of a random GUID (RFC 9562, version 8)
/// as its sixteen bytes are written.
pub(crate) fn guid(key: Digest, purpose: &str) -> [u8; 16] {
    let digest = Digest::of_json(&(key, purpose));
    let mut guid = [0; 16];
    guid.copy_from_slice(&digest.bytes()[..16]);
    guid[6] = guid[6] & 0x0f | 0x80;
    guid[8] = guid[8] & 0x3f | 0x80;
    guid
}

/// A short identifier, likewise.
pub(crate) fn serial(key: Digest, purpose: &str) -> u32 {
    let guid = guid(key, purpose);
    u32::from_le_bytes([guid[0], guid[1], guid[2], guid[3]])
}
