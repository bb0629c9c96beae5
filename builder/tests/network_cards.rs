//! The network cards that functions have drivers for, each behind the same function.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{
    Context, Project, Target, build,
    context::Silent,
    plan,
    qemu::{Accel, AccelRequest},
    recipe::{NetCard, Recipe},
    smoke::{self, SmokeOptions, Verdict},
};
use std::path::Path;

#[test]
#[ignore = "the suite `network` runs it"]
fn functions_answer_behind_intels_cards() {
    // Shares its builds with the test of conformance.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let project = Project { out, ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    for card in [NetCard::E1000, NetCard::E1000e] {
        let mut recipe = Recipe::load(&project, "http-hello").unwrap();
        recipe.devices.net.as_mut().unwrap().card = card;
        let image = build::build(&ctx, &plan::plan(&ctx, &recipe, Target::Qemu).unwrap()).unwrap();
        let options = SmokeOptions { accel: AccelRequest::Only(Accel::Tcg), ..SmokeOptions::default() };
        let report = smoke::smoke(&ctx, &recipe, Target::Qemu, &image.dir, &options).unwrap();
        assert_eq!(report.verdict, Verdict::Pass, "{card:?}: {report:?}");
        let script = std::fs::read_to_string(image.dir.join("run.sh")).unwrap();
        let device = format!("-device {card:?},netdev").to_lowercase();
        assert!(script.contains(&device), "{device}: {script}");
    }
}
