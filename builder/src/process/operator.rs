//! The tender that an operator installs: it runs the root tasks of others and has the table of every kernel
//! config of the checkout.

use super::{
    Identity, assemble, table,
    tender::{self, Tender},
};
use crate::{
    Context, Digest, Result,
    bindings::{self, ApiFiles, Era},
    build, files,
    kernel::{self, TreeKind},
    kernel_config::{KernelConfig, Source, UserSource, Versions},
    root_task::Toolchain,
};
use selkie_tender_table::{Table, payload::Settings};
use serde::Serialize;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

/// The file's name in the output folder.
pub const NAME: &str = "selkie-tender";

/// A tender without root task.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Operator {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
    /// What it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// Whether it was made just now.
    pub fresh: bool,
}

/// Makes the operator's tender, or finds it made: `out/selkie-tender`.
pub fn build(ctx: &Context<'_>, user: Option<&UserSource>) -> Result<Operator> {
    let toolchain = Toolchain::find(ctx)?;
    let sources = tender::digest(ctx, &toolchain)?;
    let built = build::step(
        ctx,
        "tender",
        |tender: &Tender| tender.fresh,
        || Ok(tender::build(ctx, &toolchain, sources)?),
    )?;
    let tables = tables(ctx, user)?;
    // Memory and devices come from the command line.
    let settings = Settings { memory: 0, devices: 0 };
    let payload = assemble::Payload { tables: &tables, root_task: &[], settings };
    let bytes = assemble::assemble(&files::read(&built.bare)?, &payload)?;
    let path = ctx.project.out.join(NAME);
    let fresh = fs::read(&path).ok().as_ref() != Some(&bytes);
    if fresh {
        files::create_dir_all(&ctx.project.out)?;
        files::replace(&path, &bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(files::Error::at("write", &path))?;
    }
    Ok(Operator {
        path,
        size: bytes.len() as u64,
        sha256: Digest::of(&bytes),
        identity: Identity::new(built.sha256, &tables, &settings),
        fresh,
    })
}

/// The table of every kernel config of the checkout that has a source: a crate, or what the user names.
fn tables(ctx: &Context<'_>, user: Option<&UserSource>) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for name in KernelConfig::names(ctx.project)? {
        let config = KernelConfig::load(ctx.project, &name)?;
        if !config.has_images() {
            continue;
        }
        let config = match (&config.source, user) {
            (Source::User { versions, .. }, Some(user)) if accepts(versions, user)? => {
                KernelConfig::load_with(ctx.project, &name, Some(user))?
            }
            (Source::User { .. }, _) => continue,
            _ => config,
        };
        let tree = kernel::locate(ctx, &config)?;
        // Only CMake knows what it makes of the options; Kconfig's are written out, and no kernel is built for them.
        let options = match tree.kind {
            TreeKind::Make => config.options.clone(),
            TreeKind::Cmake | TreeKind::Prefix => kernel::build(ctx, &config, &tree)?.options,
        };
        let era = Era::find(&ctx.project.eras(), config.arch, &tree.version);
        let (era_name, era) = era.map_err(bindings::Error::from)?;
        let api = ApiFiles::find(&tree.root, config.arch);
        let interface = bindings::interface(&era_name, &era, &api, &options, &tree.version)?;
        tables.push(table::table(&interface, &name)?);
    }
    Ok(tables)
}

/// Whether the release of what the user names is one of `versions`.
fn accepts(versions: &Versions, user: &UserSource) -> Result<bool> {
    Ok(versions.accept(&kernel::release_of(user)?))
}
