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

    /// `runtime/`
    pub fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    /// The step cache, `out/.cache/`: safe to delete at any time.
    pub fn cache(&self) -> PathBuf {
        self.out.join(".cache")
    }

    /// The folder of one image, `out/NAME/TARGET/`.
    pub fn image(&self, name: &str, target: crate::Target) -> PathBuf {
        self.out.join(name).join(target.name())
    }
}
