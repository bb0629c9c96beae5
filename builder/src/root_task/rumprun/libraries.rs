//! The libraries of a rumprun tree that a program is linked with.

use crate::recipe::Component;

/// Where a library of a tree lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// With NetBSD's kernel: `rumprun/rumprun-x86_64/lib/rumprun-hw`.
    Kernel,
    /// With what programs are linked with: `rumprun/rumprun-x86_64/lib`.
    Program,
    /// In the folder of objects alone: it is installed nowhere.
    Objects,
}

/// What every program is linked with. Those of the kernel are linked whole, because what is in them registers itself in
/// link sets that nobody calls by name.
pub(super) const ALWAYS: [(Place, &str); 19] = [
    (Place::Kernel, "rump"),
    (Place::Kernel, "rumpdev"),
    (Place::Kernel, "rumpkern_bmktc"),
    (Place::Kernel, "rumpkern_mman"),
    (Place::Kernel, "rumpnet"),
    (Place::Kernel, "rumpnet_config"),
    (Place::Kernel, "rumpnet_net"),
    (Place::Kernel, "rumpnet_netinet"),
    (Place::Kernel, "rumprunfs_base"),
    (Place::Kernel, "rumpvfs"),
    (Place::Kernel, "rumprun_base"),
    (Place::Program, "c"),
    (Place::Program, "crypt"),
    (Place::Program, "m"),
    (Place::Program, "pthread"),
    (Place::Program, "util"),
    (Place::Program, "z"),
    (Place::Objects, "bmk_core"),
    (Place::Objects, "bmk_rumpuser"),
];

/// What a program in C++ is linked with beside those, where the tree has it: what the language calls is in its standard
/// library, and that asks for the other one.
pub(super) const CXX: [(Place, &str); 2] = [(Place::Program, "c++"), (Place::Program, "unwind")];

/// NetBSD's half of the network card whose other half is the platform. Upstream's script does not build it.
pub(super) const VIRTIF: &str = "rumpnet_virtif";

impl Component {
    /// The libraries of NetBSD's kernel that it is made of, linked whole as well.
    pub(super) fn libraries(self) -> &'static [&'static str] {
        match self {
            Self::Cd9660 => &["rumpfs_cd9660", "rumpdev_disk"],
            Self::Ext2 => &["rumpfs_ext2fs", "rumpfs_ffs", "rumpdev_disk"],
            Self::Ffs => &["rumpfs_ffs", "rumpdev_disk"],
            Self::Inet6 => &["rumpnet_netinet6"],
            Self::Kernfs => &["rumpfs_kernfs"],
            Self::Local => &["rumpnet_local"],
            Self::Msdos => &["rumpfs_msdos", "rumpdev_disk"],
            // DHCP takes frames from the filter.
            Self::Net => &[VIRTIF, "rumpdev_bpf"],
            Self::Random => &["rumpdev_rnd"],
            Self::Tmpfs => &["rumpfs_tmpfs"],
        }
    }
}
