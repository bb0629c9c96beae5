//! The bill of materials of an image: SPDX 2.3 in JSON.
//!
//! It says what the image's files are, what they were made from and under which licences; what nobody knows is
//! `NOASSERTION`, never a guess. It has no time but the image's, so that the same image gives the same bytes.

mod check;
mod compose;
mod spdx;

pub use check::{check, sources};

use super::{
    Document, Subject,
    parts::Crates,
    source::{SourceArchive, kernel_license},
    statement, time,
};
use crate::{Context, Result, files, recipe::RootTaskSource};
use compose::{Compose, Content};

/// The file's name.
pub fn file(id: &str) -> String {
    format!("{id}.spdx.json")
}

/// The bill of materials of `subject`, whose source is in `sources`.
///
/// # Errors
/// When Cargo cannot name the crates, or a file cannot be read.
pub fn document(ctx: &Context<'_>, subject: &Subject<'_>, sources: &[SourceArchive]) -> Result<Document> {
    let plan = subject.plan;
    let crates = Crates::of(ctx, subject)?;
    let mut c_sources = Vec::new();
    if let RootTaskSource::C(list) = &plan.recipe.source {
        for source in list {
            c_sources.push((source.written.clone(), Content::read(&source.path)?));
        }
    }
    let members = subject.image.members.iter().map(|member| {
        let content = files::read(&subject.image.file(&member.name))?;
        Ok((member.name.clone(), Content::of(&content)))
    });
    let members = members.collect::<Result<Vec<_>, files::Error>>()?;
    let document = Compose {
        manifest: subject.manifest,
        members: &members,
        crates: &crates,
        c_sources: &c_sources,
        kernel_license: kernel_license(&plan.tree),
        sources,
        created: &time::rfc3339(plan.epoch),
        prebuilt_root_task: matches!(plan.recipe.source, RootTaskSource::Prebuilt(_)),
    }
    .document();
    Ok(Document { name: file(&subject.id()), content: statement::text(&document) })
}
