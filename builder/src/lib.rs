//! The library behind `cargo xtask`: from one recipe to an image, and from an image to a verdict.
//!
//! Data flows along one line, each stop a plain serialisable type in a module of its own:
//! [`recipe::RawRecipe`] → [`recipe::Recipe`] → [`plan::Plan`] → [`image::Image`] → [`smoke::RunReport`].
//! Nothing after the plan reads the clock, the environment, the current directory or a folder's order.

pub mod bench;
pub mod bindings;
pub mod build;
pub mod cache;
pub mod clean;
pub mod context;
pub mod diagnostic;
pub mod digest;
pub mod doctor;
mod document;
pub mod elf;
#[cfg(test)]
mod elf_sample;
pub mod error;
pub mod exec;
pub mod explain;
pub mod files;
pub mod image;
pub mod index;
pub mod inputs;
pub mod inspect;
pub mod kernel;
pub mod kernel_config;
pub mod list;
pub mod lock;
mod memory;
pub mod note;
pub mod plan;
pub mod project;
pub mod qemu;
pub mod recipe;
pub mod reference;
pub mod root_task;
pub mod run;
pub mod run_config;
pub mod size;
pub mod smoke;
pub mod suites;
pub mod target;

pub use context::Context;
pub use digest::Digest;
pub(crate) use error::exit_code;
pub use error::{Error, ExitCode, Result};
pub use project::Project;
pub use target::Target;
