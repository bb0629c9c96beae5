//! `[rumprun]`, and what its libOS asks of the rest of a recipe

use super::{Check, repeated, size};
use crate::{
    document::{at, suggest::list},
    recipe::{
        Component, DiskFormat, LibOs, RawMount, RawNet, RawRumprun,
        units::{KIB, MIB},
    },
};
use std::{collections::BTreeSet, net::IpAddr};

/// All memory of NetBSD's kernel and of the program, where a recipe says nothing.
pub(super) const HEAP: u64 = 16 * MIB;
/// The platform's own stack, on which drivers find their devices; the program's is NetBSD's.
pub(super) const STACK: u64 = 256 * KIB;
/// With 3 MiB a program prints a line; what is left is too little for any that does something.
const HEAP_LEAST: u64 = 4 * MIB;
/// Longer names do not fit into NetBSD's `MAXHOSTNAMELEN`.
const HOSTNAME_LIMIT: usize = 255;
/// Folders of a running program that are not a mount's.
const TAKEN: [(&str, &str); 3] = [
    ("/", "the root file system is in memory and has the program's own folders"),
    ("/dev", "it has the kernel's devices"),
    ("/files", "it has the files of the image"),
];
/// The function's disk.
const DISK: &str = "d0";

impl Check<'_> {
    /// Whether the recipe's libOS is rumprun.
    pub(super) fn is_rumprun(&self) -> bool {
        self.raw.root_task.libos == Some(LibOs::Rumprun)
    }

    /// The components that are linked, sorted; none for another libOS.
    pub(super) fn rumprun(&mut self) -> Vec<Component> {
        if !self.is_rumprun() {
            let help = "write `libos = \"rumprun\"` into [root-task], or take it out";
            for at in [at!["rumprun"] as &[_], at!["root-task", "program"]] {
                if self.has(at) {
                    self.findings.key(at, "this is for the libOS rumprun", help);
                }
            }
            return Vec::new();
        }
        self.rumprun_source();
        let raw = self.raw;
        let default = RawRumprun::default();
        let table = raw.rumprun.as_ref().unwrap_or(&default);
        if let Some(tree) = &table.tree {
            self.input(at!["rumprun", "tree"], tree);
        }
        self.cflags(table);
        self.hostname(table);
        for (i, mount) in table.mount.iter().enumerate() {
            self.mount(i, mount, &table.mount[..i]);
        }
        self.components(table)
    }

    /// The libOS takes programs in C.
    fn rumprun_source(&mut self) {
        let help = "write `c-sources`, `source` or `program`, or take `libos` out";
        if self.raw.root_task.crate_dir.is_some() {
            let message = "the libOS rumprun is for programs in C, and `crate` is one in Rust";
            self.wrong(at!["root-task", "libos"], message, help);
        }
        let Some(program) = &self.raw.root_task.program else { return };
        let at = at!["root-task", "program"];
        let Some(path) = self.input(at, program) else { return };
        if path.is_dir() {
            let help = "name the file that `x86_64-rumprun-netbsd-gcc -o` wrote";
            self.wrong(at, format!("`{}` is a folder", self.shown(&path)), help);
        } else if !path.is_file() {
            self.absent(at, &path, "file");
        }
    }

    fn cflags(&mut self, table: &RawRumprun) {
        if !table.cflags.is_empty() && self.raw.root_task.program.is_some() {
            let help = "take it out: what the program is compiled with was decided when it was built";
            let message = "`cflags` cannot be set together with `program`";
            return self.findings.key(at!["rumprun", "cflags"], message, help);
        }
        for (i, flag) in table.cflags.iter().enumerate() {
            let at = at!["rumprun", "cflags", i];
            if flag.is_empty() || flag.contains('\0') {
                self.wrong(at, "this is no flag", "write one flag per text, for instance `\"-DX=1\"`");
            } else if let Some((first, _)) = flag.split_once(' ').filter(|_| flag.starts_with('-')) {
                // A definition may well have one in its value.
                if !flag.starts_with("-D") {
                    let help = format!("write one flag per text: `\"{first}\", …`");
                    self.wrong(at, format!("`{flag}` is more than one flag"), help);
                }
            }
        }
    }

    fn hostname(&mut self, table: &RawRumprun) {
        let Some(name) = &table.hostname else { return };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if name.is_empty() || name.len() > HOSTNAME_LIMIT || !name.chars().all(allowed) {
            let message = format!("`{}` is not a host's name", name.escape_debug());
            let help = format!("write letters, digits, dashes and dots, at most {HOSTNAME_LIMIT}");
            self.wrong(at!["rumprun", "hostname"], message, help);
        }
    }

    fn mount(&mut self, i: usize, mount: &RawMount, before: &[RawMount]) {
        let kind = mount.kind.name();
        let at = at!["rumprun", "mount", i, "source"];
        match mount.source.as_deref() {
            Some(_) if !mount.kind.on_disk() => {
                let help = "take `source` out";
                self.wrong(at, format!("`{kind}` lies on no disk"), help);
            }
            None if mount.kind.on_disk() => {
                let help = format!("write `source = \"{DISK}\"`: the function's disk");
                let at = at!["rumprun", "mount", i];
                self.findings.key(at, format!("nothing says where the file system `{kind}` lies"), help);
            }
            Some(source) if source != DISK => {
                let help = format!("write `\"{DISK}\"`: a function has one disk");
                self.wrong(at, format!("there is no disk `{}`", source.escape_debug()), help);
            }
            Some(_) if self.raw.devices.disk.is_none() => {
                let help = "add [devices.disk], or take the mount out";
                self.wrong(at, "the recipe has no disk", help);
            }
            _ => {}
        }
        self.mount_path(i, mount, before);
    }

    fn mount_path(&mut self, i: usize, mount: &RawMount, before: &[RawMount]) {
        let at = at!["rumprun", "mount", i, "path"];
        let path = mount.path.as_str();
        let example = "write a full path such as `\"/data\"`";
        if !path.starts_with('/') {
            return self.wrong(at, format!("`{}` is not a full path", path.escape_debug()), example);
        }
        if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let message = format!("`{}` has a space or a control character in it", path.escape_debug());
            return self.wrong(at, message, example);
        }
        let parts = path.split('/').skip(1);
        if path != "/" && parts.into_iter().any(|part| ["", ".", ".."].contains(&part)) {
            let help = "write it without `.`, `..` and doubled slashes, and with none at its end";
            return self.wrong(at, format!("`{path}` is not a plain path"), help);
        }
        if let Some((_, why)) = TAKEN.iter().find(|(taken, _)| *taken == path) {
            let message = format!("nothing can be mounted at `{path}`: {why}");
            return self.wrong(at, message, example);
        }
        if before.iter().any(|other| other.path == path) {
            self.wrong(at, format!("two file systems are mounted at `{path}`"), "keep one of them");
        }
    }

    /// The components as written, else those that the rest of the recipe asks for.
    fn components(&mut self, table: &RawRumprun) -> Vec<Component> {
        let mut asked = BTreeSet::new();
        let mut ask = |component, why: &str| asked.insert((component, why.to_owned()));
        for mount in &table.mount {
            ask(mount.kind.component(), &format!("of the mount at `{}`", mount.path));
        }
        if self.raw.devices.net.as_ref().is_some_and(RawNet::has_card) {
            ask(Component::Net, "of [devices.net]");
        }
        if self.has_ipv6() {
            ask(Component::Inet6, "of the addresses of IPv6");
        }
        let Some(written) = &table.components else {
            match self.raw.devices.disk.as_ref().map(|disk| disk.format) {
                Some(DiskFormat::Ext2) => _ = ask(Component::Ext2, ""),
                Some(DiskFormat::Fat) => _ = ask(Component::Msdos, ""),
                Some(DiskFormat::None) | None => {}
            }
            let usual = [Component::Local, Component::Random, Component::Tmpfs];
            let all: BTreeSet<_> = asked.into_iter().map(|(one, _)| one).chain(usual).collect();
            return all.into_iter().collect();
        };
        if let Some(i) = repeated(written) {
            let message = format!("`{}` is there twice", written[i].name());
            self.wrong(at!["rumprun", "components", i], message, "keep one of them");
        }
        let missing: Vec<_> = asked.iter().filter(|(one, _)| !written.contains(one)).collect();
        if let [(first, why), ..] = missing.as_slice() {
            let names: BTreeSet<_> = missing.iter().map(|(one, _)| one.name()).collect();
            let message = format!("`{}` is missing, because {why}", first.name());
            let names: Vec<_> = names.into_iter().collect();
            self.wrong(at!["rumprun", "components"], message, format!("add {}", list(&names)));
        }
        written.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether any of the addresses is one of IPv6.
    fn has_ipv6(&self) -> bool {
        let run = &self.raw.run;
        let nets = [&run.net, &run.qemu.net, &run.process.net, &run.bare_metal.net];
        let mut addresses = nets.into_iter().flatten().flat_map(|net| &net.addresses);
        let bare = |text: &str| text.split('/').next().unwrap_or_default().parse::<IpAddr>();
        addresses.any(|text| bare(text).is_ok_and(|address| address.is_ipv6()))
    }

    /// Memory that is too small for NetBSD's kernel.
    pub(super) fn rumprun_memory(&mut self, heap: u64) {
        if self.is_rumprun() && heap < HEAP_LEAST {
            let message = format!(
                "a heap of {} is too small: NetBSD's kernel and the program share it",
                size(heap.next_multiple_of(KIB))
            );
            let help = format!("write at least `\"{}\"`", size(HEAP_LEAST));
            self.wrong(at!["root-task", "heap"], message, help);
        }
    }
}
