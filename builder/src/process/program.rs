//! Starting a root task's own executable.

use crate::{
    disk::Attached,
    qemu::{self, GuestEnd, Launch},
};
use std::{
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The executable of an image.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    dir: PathBuf,
}

impl Program {
    /// The executable of the recipe `name` in the image's folder.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn find(dir: &Path, name: &str) -> Result<Self, qemu::Error> {
        let path = dir.join(name);
        match std::fs::metadata(&path) {
            Ok(_) => Ok(Self { path, dir: dir.to_owned() }),
            Err(source) => Err(qemu::Error::Image { path, source }),
        }
    }

    /// A start of it with the console on standard input and output. `run_file` overrides the image's run
    /// configuration: an anonymous file, so that nothing of it ever lies on a disk or a command line. `net` takes the
    /// frames of its network, `disk` is its disk.
    pub(crate) fn launch(
        &self,
        run_file: Option<OwnedFd>,
        net: Option<OwnedFd>,
        disk: Option<&Attached>,
        options: &[String],
    ) -> Launch {
        let mut args = options.to_vec();
        if let Some(disk) = disk {
            args.extend(["--disk".to_owned(), disk.option()]);
        }
        if let Some(socket) = &net {
            args.extend(["--net".to_owned(), format!("fd:{}", socket.as_raw_fd())]);
        }
        if let Some(file) = &run_file {
            args.extend(["--run-fd".to_owned(), file.as_raw_fd().to_string()]);
        }
        Launch {
            program: self.path.clone(),
            args,
            cwd: self.dir.clone(),
            inherit: run_file.into_iter().chain(net).collect(),
            show_stderr: false,
            end: GuestEnd::of_process,
        }
    }
}
