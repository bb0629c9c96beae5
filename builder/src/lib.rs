//! The library behind `cargo xtask`: from one recipe to an image, and from an image to a verdict.
//!
//! Data flows along one line, each stop a plain serialisable type in a module of its own:
//!
//! 1. [`recipe::Recipe::load`] reads what the user wrote, with its places ([`recipe::RawRecipe`]), checks it
//!    and fills in defaults: [`recipe::Recipe`]. [`kernel_config::KernelConfig`] comes about the same way.
//! 2. [`plan::plan`] finds every input and its digest: [`plan::Plan`]. Nothing is left to decide after it:
//!    no later step's result depends on the clock, the environment, the current directory or a folder's order.
//! 3. [`build::build`] does the plan's steps, [`kernel`], [`bindings`] and [`root_task`], each found in the
//!    [`cache`] when it was done before, and writes the [`image::Image`].
//! 4. [`smoke::smoke`] boots the image in [`qemu`] and judges it: [`smoke::RunReport`]. [`run`] boots it for a
//!    person.
//!
//! [`explain`] shows a plan; [`inspect`] and [`size`] read an image back, [`mod@diff`] compares two.
//! [`kernel_alone`] builds a kernel without a root task. [`list`], [`clean`], [`doctor`], [`machine`],
//! [`mod@bench`], [`suites`] and [`mod@reference`] are what else the command line offers. What all of them stand on:
//! [`project`] (where things lie), [`context`] (whom to tell, whether to stop), [`inputs`] (source trees and
//! tools of the host), [`exec`], [`files`] and [`error`].

pub mod bare_metal;
pub mod bench;
pub mod bindings;
pub mod build;
pub mod cache;
pub mod clean;
pub mod conformance;
pub mod context;
pub mod diagnostic;
pub mod diff;
pub mod digest;
pub mod disk;
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
pub mod kernel_alone;
pub mod kernel_config;
pub mod list;
pub mod lock;
pub mod lockfile;
pub mod machine;
mod memory;
pub mod net;
pub mod note;
pub mod plan;
pub mod process;
pub mod project;
pub mod publish;
pub mod qemu;
pub mod recipe;
pub mod reference;
pub mod repro;
pub mod root_task;
pub mod run;
pub mod run_config;
mod scan;
pub mod size;
pub mod smoke;
pub mod suites;
pub mod target;
mod template;
pub mod trusted;
pub mod verify;

pub use context::Context;
pub use digest::Digest;
pub(crate) use error::exit_code;
pub use error::{Error, ExitCode, Result};
pub use project::Project;
pub use target::Target;
