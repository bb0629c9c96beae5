//! Where things lie in a checkout of Selkie.

use std::path::{Path, PathBuf};

/// The folders of one checkout.
#[derive(Debug, Clone)]
pub struct Project {
    /// The checkout: the folder with the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Where images and the cache go; `out/` in the checkout unless the user says otherwise.
    pub out: PathBuf,
}

impl Project {
    /// The checkout that this crate was compiled in.
    pub fn here() -> Self {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("builder/ lies in the checkout").to_owned();
        Self::at(root)
    }

    /// The checkout in `root`.
    pub fn at(root: PathBuf) -> Self {
        Self { out: root.join("out"), root }
    }

    /// `recipes/`
    pub fn recipes(&self) -> PathBuf {
        self.root.join("recipes")
    }

    /// `kernel-configs/`
    pub fn kernel_configs(&self) -> PathBuf {
        self.root.join("kernel-configs")
    }

    /// The file that says how the interface of an era's kernels is laid out. A name may have dots in it.
    pub fn era(&self, name: &str) -> PathBuf {
        self.eras().join(format!("{name}.toml"))
    }

    /// The folder with the eras' files.
    pub fn eras(&self) -> PathBuf {
        self.kernel_configs().join("eras")
    }

    /// The folder that pins a crate of the registry: a manifest and its lock file.
    pub fn pinned_crate(&self, name: &str) -> PathBuf {
        self.kernel_configs().join("sources").join(name)
    }

    /// The Python modules of the kernel's generators, each pinned by its hash.
    pub fn python_requirements(&self) -> PathBuf {
        self.kernel_configs().join("python/requirements.txt")
    }

    /// The Python modules of the generators of trees that CMake configures, each pinned by its hashes.
    pub fn cmake_requirements(&self) -> PathBuf {
        self.kernel_configs().join("python/requirements-cmake.txt")
    }

    /// The Python modules that read device trees, each pinned by its hash; there is none of them as a wheel.
    pub fn device_tree_requirements(&self) -> PathBuf {
        self.kernel_configs().join("python/requirements-device-tree.txt")
    }

    /// `runtime/`
    pub fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    /// `tender/`
    pub fn tender(&self) -> PathBuf {
        self.root.join("tender")
    }

    /// The step cache, `out/.cache/`: safe to delete at any time.
    pub fn cache(&self) -> PathBuf {
        self.out.join(".cache")
    }

    /// The folder of a kernel alone, `out/kernels/NAME/`.
    pub fn kernel(&self, name: &str) -> PathBuf {
        self.out.join("kernels").join(name)
    }

    /// The folder of one image, `out/NAME/TARGET/`.
    pub fn image(&self, name: &str, target: crate::Target) -> PathBuf {
        self.out.join(name).join(target.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_era_may_have_dots_in_its_name() {
        assert!(Project::here().era("cmake-12.1").ends_with("kernel-configs/eras/cmake-12.1.toml"));
    }
}
