//! What is published beside an image, of images that were really built: the documents agree with the image, readers
//! of others take them, and the corresponding source makes the very kernel of the image.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use builder::{
    Context, Digest, Project, Target, build,
    context::Silent,
    image::{Image, Manifest},
    plan::{self, Plan},
    publish::{
        Found, Published, Subject, provenance, sbom,
        source::{self, Archive, SourceArchive},
        test_result,
    },
    recipe::Recipe,
    smoke::{RunReport, Verdict},
};
use std::{collections::BTreeMap, fs};

#[test]
fn look() {
    let project = Project::here();
    let ctx = Context::new(&project, &Silent);
    for target in [Target::Qemu, Target::Process, Target::BareMetal] {
        let recipe = Recipe::load(&project, "hello").unwrap();
        let plan = plan::plan(&ctx, &recipe, target).unwrap();
        let image = build::build(&ctx, &plan).unwrap();
        let manifest = Manifest::read(&image.dir).unwrap();
        let reports = [RunReport::not_run("hello", target, Verdict::Pass)];
        let subject = Subject { plan: &plan, image: &image, manifest: &manifest, reports: &reports };
        let sources = source::collect(&ctx, &subject).unwrap();
        let artifacts = [(format!("{}.tar.gz", subject.id()), Digest::of("x"))];
        let documents = [
            sbom::document(&ctx, &subject, &sources).unwrap(),
            provenance::statement(&ctx, &subject, &artifacts).unwrap(),
            test_result::statement(&ctx, &subject, &artifacts).unwrap(),
        ];
        let dir = std::path::Path::new("/tmp/e-try/pub");
        fs::create_dir_all(dir.join("sources")).unwrap();
        for one in &documents {
            fs::write(dir.join(&one.name), &one.content).unwrap();
        }
        for one in &sources {
            fs::write(dir.join(&one.file), &one.content).unwrap();
        }
        let files: BTreeMap<String, Found> = sources
            .iter()
            .map(|one| (one.file.clone(), Found { sha256: one.sha256, size: one.size }))
            .collect();
        let published = Published { manifest: &manifest, artifacts: &artifacts, files: &files };
        let archives: Vec<_> =
            sources.iter().map(|one| Archive { file: &one.file, content: &one.content }).collect();
        println!("{:?}", sbom::check(&published, &documents[0].content));
        println!("{:?}", provenance::check(&published, &documents[1].content));
        println!("{:?}", test_result::check(&published, &documents[2].content));
        println!("{:?}", source::check(&published, &archives));
    }
}
