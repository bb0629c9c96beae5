//! Further boots on the same disk.

use super::{requests::serving, *};

/// A stage that is booted `boots` times more; `kill` says how the first boot ends.
fn again(mut stage: Stage, kill: bool, boots: usize) -> Stage {
    let next = |next, _| Some(Box::new(Smoke { again: next, ..stage.spec.clone() }));
    stage.spec.again = (0..boots).fold(None, next);
    stage.spec.kill = kill;
    stage
}

#[test]
fn every_boot_must_be_good_and_has_a_log_of_its_own() {
    let stage = again(serving("well"), false, 2);
    let report = stage.run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    assert_eq!((report.requests.len(), report.status), (3, Some(0)));
    for log in [LOG, "smoke-again-1.log", "smoke-again-2.log"] {
        assert!(fs::read_to_string(stage.boot.dir.join(log)).unwrap().contains("listening"), "{log}");
    }
}

#[test]
fn a_killed_boot_needs_its_answers_and_no_exit_line() {
    // It would not stop by itself.
    let mut stage = again(serving("deaf"), true, 1);
    stage.options.timeout = Some(Duration::from_secs(3));
    let report = stage.run();
    let (_, detail) = failure(&report);
    assert!(detail.starts_with("boot 2 on the same disk: "), "only the last one is not killed: {report}");
    let mut stage = again(serving("well"), true, 1);
    let report = stage.run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    let log = fs::read_to_string(stage.boot.dir.join(LOG)).unwrap();
    assert!(!log.contains("selkie:exit"), "{log}");
    stage.spec.expect.push(RawPattern::Literal("never printed".into()));
    fails(stage, Cause::WrongOutput, &["never printed"]);
    fails(again(serving("wrong-status"), true, 1), Cause::WrongAnswer, &["status 500 instead of 200"]);
}
