//! The disk of a function: a file that is made when it is not there.

mod ext2;

pub(crate) use ext2::fault_of_ext2;

use crate::{
    Project,
    bare_metal::{format_fat, serial},
    digest::Digest,
    recipe::{DiskFormat, Recipe},
};
use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

/// The name of the disk that `run` keeps, in the recipe's folder of `out/`.
pub const FILE: &str = "disk.img";
/// How the name of a disk begins, beside it, that is not whole yet.
pub(crate) const PARTIAL: &str = ".disk-";

/// A disk cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be made or read.
    #[error(
        "{path}: {source}\n  help: the function's disk is this file, which must be readable and writable; `--disk FILE` names another one"
    )]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file system cannot be made or checked.
    #[error(transparent)]
    Ext2(#[from] ext2::Error),
    /// A disk was named for a function without one.
    #[error(
        "--disk: `{name}` has no disk\n  help: leave the option out, or add [devices.disk] to its recipe"
    )]
    Needless {
        /// The recipe's name.
        name: String,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Needless { .. } => crate::ExitCode::Usage,
    Error::Ext2(error) => error.exit_code(),
    Error::File { .. } => crate::ExitCode::Failed,
});

/// A disk as QEMU or a tender gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Its file, as an absolute path.
    pub(crate) path: PathBuf,
    /// The function cannot write to it.
    pub(crate) read_only: bool,
}

impl Attached {
    /// As a tender takes it.
    pub(crate) fn option(&self) -> String {
        format!("{}{}", self.path.display(), if self.read_only { ",ro" } else { "" })
    }
}

/// The disk of a run: `named` by the user, else the one that is kept; none when the recipe has none. It is made when it
/// is not there.
pub(crate) fn of_run(
    project: &Project,
    recipe: &Recipe,
    named: Option<&Path>,
) -> Result<Option<Attached>, Error> {
    let name = &recipe.function.name;
    let Some(disk) = &recipe.devices.disk else {
        return if named.is_some() { Err(Error::Needless { name: name.clone() }) } else { Ok(None) };
    };
    if let Some(named) = named {
        let (path, read_only) = match named.to_str().and_then(|text| text.strip_suffix(",ro")) {
            Some(path) => (Path::new(path), true),
            None => (named, disk.read_only),
        };
        return Ok(Some(Attached { path: path.canonicalize().map_err(failed(path))?, read_only }));
    }
    let path = project.out.join(name).join(FILE);
    if !path.exists() {
        make(recipe, &path)?;
    }
    Ok(Some(Attached { path: path.canonicalize().map_err(failed(&path))?, read_only: disk.read_only }))
}

/// The disk of a test, where the folder `dir` is: a new file without a name, which goes away with the value, and with
/// this process whatever ends that. Others open it by this process's descriptor.
pub(crate) fn of_test(recipe: &Recipe, dir: &Path) -> Result<Option<(File, Attached)>, Error> {
    let Some(disk) = &recipe.devices.disk else { return Ok(None) };
    let file = tempfile::tempfile_in(dir).map_err(failed(dir))?;
    fill(recipe, &file, dir)?;
    let path = by_descriptor(&file);
    Ok(Some((file, Attached { path, read_only: disk.read_only })))
}

/// Makes the disk of `recipe` at `path`: whole, or not at all.
fn make(recipe: &Recipe, path: &Path) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut new = tempfile::Builder::new();
    let file = new
        .prefix(PARTIAL)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(failed(dir))?;
    fill(recipe, file.as_file(), file.path())?;
    // Another run may have been quicker: then its disk is the one.
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path)(error.error)),
        _ => Ok(()),
    }
}

/// Where other programs find an open file of this process, with a name or without.
fn by_descriptor(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// Gives a file the size and the content that the recipe's disk begins with: the same bytes each time. Errors speak of
/// `path`.
fn fill(recipe: &Recipe, file: &File, path: &Path) -> Result<(), Error> {
    let (name, size) = (&recipe.function.name, recipe.disk.unwrap_or_default());
    file.set_len(size).map_err(failed(path))?;
    let format = recipe.devices.disk.as_ref().map(|disk| disk.format).unwrap_or_default();
    match format {
        DiskFormat::None => {}
        DiskFormat::Fat => {
            let serial = serial(Digest::of(name), "disk of the function");
            format_fat(file, size, serial, "SELKIE").map_err(failed(path))?;
        }
        DiskFormat::Ext2 => ext2::format(&by_descriptor(file), Digest::of(name))?,
    }
    file.sync_all().map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, recipe::MIB};
    use std::{fs::File, io::Read, os::unix::fs::MetadataExt};

    fn recipe(project: &Project, disk: &str) -> Recipe {
        fs::create_dir_all(project.recipes()).unwrap();
        for folder in ["kernel-configs", "functions/store"] {
            fs::create_dir_all(project.root.join(folder)).unwrap();
        }
        fs::write(project.root.join("functions/store/Cargo.toml"), "").unwrap();
        fs::write(project.root.join("kernel-configs/x86_64-release.toml"), "").unwrap();
        let text = format!(
            "[function]\nname = \"store\"\nversion = \"1.0.0\"\n[root-task]\ncrate = \"../functions/store\"\n\
             libos = \"native\"\n{disk}"
        );
        fs::write(project.recipes().join("store.toml"), text).unwrap();
        Recipe::load(project, "store").unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_disk_is_made_once_and_takes_no_room_before_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        let plain = recipe(&project, "[devices.disk]\nsize = \"2 GiB\"\n");
        let made = of_run(&project, &plain, None).unwrap().unwrap();
        let meta = fs::metadata(&made.path).unwrap();
        assert_eq!((meta.len(), meta.blocks(), meta.mode() & 0o777), (2048 * MIB, 0, 0o644));
        fs::write(&made.path, "mine").unwrap();
        assert_eq!(of_run(&project, &plain, None).unwrap().unwrap(), made);
        assert_eq!(fs::read(&made.path).unwrap(), b"mine");
        let read_only = of_run(&project, &plain, Some(Path::new(&made.option()))).unwrap().unwrap();
        assert!(!read_only.read_only);
        let option = format!("{},ro", made.path.display());
        let read_only = of_run(&project, &plain, Some(Path::new(&option))).unwrap().unwrap();
        assert_eq!((read_only.option(), read_only.read_only), (option, true));
        let missing = of_run(&project, &plain, Some(Path::new("/no/such/disk"))).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/disk: "), "{missing}");
        let without = of_run(&project, &recipe(&project, ""), Some(&made.path)).unwrap_err();
        assert!(without.to_string().contains("`store` has no disk"), "{without}");
    }

    #[test]
    fn an_ext2_disk_has_the_same_bytes_each_time_and_damage_is_found() {
        if !ext2::is_there() {
            eprintln!("SKIP: the host has no mke2fs");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        for size in ["1 MiB", "16 MiB", "1 GiB"] {
            let ext2 = recipe(&project, &format!("[devices.disk]\nsize = \"{size}\"\nformat = \"ext2\"\n"));
            let made = || of_test(&ext2, dir.path()).unwrap().unwrap();
            let ((one, first), (_two, second)) = (made(), made());
            let content = |path: &Path| Digest::of_file(path).unwrap();
            assert_eq!(content(&first.path), content(&second.path), "{size}");
            assert!(fs::metadata(&first.path).unwrap().blocks() < 4096, "{size}: room is taken for nothing");
            assert_eq!(fault_of_ext2(&first.path, false).unwrap(), None, "{size}");
            // The root folder's inode: behind the first blocks.
            std::os::unix::fs::FileExt::write_all_at(&one, &[0xff; 128 << 10], 4096).unwrap();
            assert!(fault_of_ext2(&first.path, false).unwrap().is_some(), "{size}");
            assert!(fault_of_ext2(&first.path, true).unwrap().is_some(), "{size}");
        }
    }

    #[test]
    fn a_formatted_disk_has_the_same_bytes_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        for (size, kind) in [("1 MiB", &b"FAT12"[..]), ("16 MiB", b"FAT16"), ("1 GiB", b"FAT32")] {
            let fat = recipe(&project, &format!("[devices.disk]\nsize = \"{size}\"\nformat = \"fat\"\n"));
            let begin = || {
                let folder = dir.path().join("of-test");
                fs::create_dir_all(&folder).unwrap();
                let (_file, attached) = of_test(&fat, &folder).unwrap().unwrap();
                let mut bytes = vec![0; 1 << 20];
                File::open(&attached.path).unwrap().read_exact(&mut bytes).unwrap();
                // It has no name, even now.
                assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
                bytes
            };
            let bytes = begin();
            assert!(bytes[..512].windows(5).any(|text| text == kind), "{size}");
            assert!(bytes == begin(), "{size}");
        }
    }
}
