//! How urunc, the OCI runtime for unikernels, is told to start an image.
//!
//! It reads these words from the container's annotations, where they are plain, else from `urunc.json` in the root
//! of its file system, where they are in base64 (`pkg/unikontainers/config.go` of urunc, `hops/package.go` of
//! bunny, its packer). Its type `linux` passes kernel and initrd to QEMU's `-kernel` and `-initrd` as they are. Paths
//! are those in the container: urunc changes its root to it before it starts QEMU.

use super::spec::Annotations;
use crate::{
    image::{Manifest, name},
    publish::id,
};
use base64::prelude::{BASE64_STANDARD, Engine};

/// The file in the root of the container's file system.
pub const FILE: &str = "urunc.json";

/// What its words begin with.
pub const PREFIX: &str = "com.urunc.unikernel.";

/// The key of one of its words.
pub fn key(word: &str) -> String {
    format!("{PREFIX}{word}")
}

/// What urunc is told of the image.
pub fn annotations(manifest: &Manifest) -> Annotations {
    let folder = id(&manifest.name, manifest.target);
    let words = [
        ("unikernelType", "linux".to_owned()),
        ("unikernelVersion", manifest.kernel.version.clone()),
        ("hypervisor", "qemu".to_owned()),
        ("binary", format!("/{folder}/{}", name::KERNEL)),
        ("initrd", format!("/{folder}/{}", name::ROOT_TASK)),
        // seL4 does not read it, but the type `linux` refuses to start without.
        ("cmdline", manifest.name.clone()),
        // The container's file system is no disk of the guest. Where nothing is said, urunc tries to make it one;
        // releases up to 0.5 and later ones ask by different names.
        ("useDMBlock", "false".to_owned()),
        ("mountRootfs", "false".to_owned()),
    ];
    words.into_iter().map(|(word, value)| (key(word), value)).collect()
}

/// The content of [`FILE`].
pub fn file(annotations: &Annotations) -> Vec<u8> {
    let encoded = annotations.iter().map(|(key, value)| (key.clone(), BASE64_STANDARD.encode(value)));
    let encoded: Annotations = encoded.collect();
    super::json(&encoded)
}
