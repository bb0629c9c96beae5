//! `repro` on a function that is not reproducible on purpose: the rows that vary what leaks say so, and no others.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// The leaks of the fixture, and the rows that must find each.
const LEAKS: [(&str, &[&str]); 3] = [
    ("TIME", &["time"]),
    ("PLACE", &["folder-short", "folder-long", "folder-odd"]),
    ("ORDER", &["directory-order"]),
];

/// Runs `repro` and gives its exit code and its report.
fn repro(args: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    command.args(["--format", "json", "repro"]).args(args).current_dir(root).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{errors}"));
    (output.status.code().unwrap(), report)
}

/// The rows with their verdicts.
fn verdicts(report: &Value) -> Vec<(&str, &str)> {
    let text = |row: &'_ Value, key: &str| -> String { row[key].as_str().unwrap().to_owned() };
    let rows = report["rows"].as_array().unwrap_or_else(|| panic!("{report}"));
    rows.iter()
        .map(|row| {
            assert!(!text(row, "variation").is_empty());
            (row["variation"].as_str().unwrap(), row["verdict"].as_str().unwrap())
        })
        .collect()
}

fn skip(name: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP {name}: {reason}");
}

/// What a root task has of a leak.
fn leaked(images: &Path, build: &str, leak: &str) -> Vec<u8> {
    let file = fs::read(images.join(build).join("qemu/root-task")).unwrap();
    let mark = format!("LEAK-{leak}=");
    let begin = file.windows(mark.len()).position(|bytes| bytes == mark.as_bytes()).unwrap();
    let rest = &file[begin..];
    rest[..rest.iter().position(|byte| *byte == b';').unwrap()].to_vec()
}

/// The fixture under `vary`; every row but those that cannot be had here is held to what it must find.
fn the_control_is_found(test: &str, vary: &[&str]) {
    let images = tempfile::tempdir().unwrap();
    let keep = images.path().to_str().unwrap();
    let recipe = "tests/fixtures/repro/leaks.toml";
    let (code, report) = repro(&[recipe, "--target", "qemu", "--vary", &vary.join(","), "--keep", keep]);
    if let Some(note) = report["notes"].as_array().and_then(|notes| notes.first()) {
        skip(test, note.as_str().unwrap());
        return;
    }
    let verdicts = verdicts(&report);
    assert_eq!(verdicts.len(), vary.len(), "{report}");
    assert_eq!(code, 5, "{report}");
    for (row, verdict) in verdicts {
        let found: Vec<_> = LEAKS.iter().filter(|(_, rows)| rows.contains(&row)).collect();
        match verdict {
            // The host cannot vary it, and the row says why.
            "skip" => skip(&format!("{test} {row}"), "see the report"),
            "same" => assert!(found.is_empty(), "{row} found nothing: {report}"),
            "different" => {
                let first = report["rows"].as_array().unwrap().iter().find(|one| one["variation"] == row);
                let first = first.unwrap();
                assert_eq!((&first["member"], &first["section"]), (&"root-task".into(), &".rodata".into()));
                let differ =
                    |leak: &str| leaked(images.path(), "first", leak) != leaked(images.path(), row, leak);
                let differing: Vec<_> =
                    LEAKS.iter().map(|(leak, _)| *leak).filter(|leak| differ(leak)).collect();
                let expected: Vec<_> = found.iter().map(|(leak, _)| *leak).collect();
                assert_eq!(differing, expected, "{row}");
            }
            other => panic!("{row}: {other}: {report}"),
        }
    }
}

#[test]
#[ignore = "the suite `repro` runs it: it builds five times from nothing"]
fn the_control_is_found_by_the_right_rows() {
    let vary = ["again", "folder-long", "time", "directory-order"];
    the_control_is_found("the_control_is_found_by_the_right_rows", &vary);
}

#[test]
#[ignore = "twenty builds from nothing"]
fn the_control_is_found_by_the_right_rows_of_all() {
    let help = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["repro", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, list) = help.split_once("[possible values: ").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let all: Vec<_> = list.split(',').map(str::trim).collect();
    assert!(all.len() >= 19, "{all:?}");
    the_control_is_found("the_control_is_found_by_the_right_rows_of_all", &all);
}

#[test]
#[ignore = "twenty builds of two images from nothing"]
fn hello_is_the_same_under_every_variation() {
    let (code, report) = repro(&["hello"]);
    assert_eq!(code, 0, "{report:#}");
    assert!(verdicts(&report).iter().filter(|(_, verdict)| *verdict == "same").count() > 9, "{report:#}");
}
