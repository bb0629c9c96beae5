//! SQLite on its ext2 disk, killed while it writes: what it has said to be kept is there, and the host mends the file
//! system, as after any crash.

use super::{
    program,
    service::{descendant, root},
    tree,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

/// As many rows are there as the last ones: the disk is never full, and blocks are freed all the time.
const ROWS: u64 = 50;
/// What row `n` has: between one page of the database and several.
const TEXT: &str = "substr(replace(hex(zeroblob(700)), '00', printf('%08d', n)), 1, 200 + n * 37 % 5000)";

/// SQLite's shell, with a folder for its image and its disk.
struct Sqlite {
    out: tempfile::TempDir,
    tree: String,
}

/// What a boot found on the disk.
#[derive(Debug)]
struct Found {
    rows: u64,
    last: u64,
}

impl Sqlite {
    fn new(tree: String) -> Self {
        // A folder of its own, with the results of steps in the checkout's cache.
        let out = tempfile::tempdir().unwrap();
        fs::create_dir_all(root().join("out/.cache")).unwrap();
        symlink(root().join("out/.cache"), out.path().join(".cache")).unwrap();
        let sqlite = Self { out, tree };
        let output = sqlite.xtask("build-image").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        sqlite
    }

    fn xtask(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args([verb, "sqlite", "--target", "process", "--rumprun", &self.tree, "--out"]);
        command.arg(self.out.path()).current_dir(root());
        command
    }

    fn disk(&self) -> PathBuf {
        self.out.path().join("sqlite/disk.img")
    }

    /// Starts it: it looks at what is there, and then adds `rows`, each in a transaction of its own that it tells of.
    fn start(&self, rows: u32) -> Running {
        let check = format!(
            "SELECT 'found ' || count(*) || ' ' || ifnull(max(n), 0), sum(text <> {TEXT}) FROM kept;"
        );
        let add = format!(
            "BEGIN; INSERT INTO kept SELECT n, {TEXT} FROM (SELECT ifnull(max(n), 0) + 1 AS n FROM kept); \
             DELETE FROM kept WHERE n <= (SELECT max(n) FROM kept) - {ROWS}; COMMIT; \
             SELECT 'kept ' || max(n) FROM kept;"
        );
        let all = format!(
            "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {rows}) \
             SELECT '{}' FROM numbers WHERE {rows} > 0;",
            add.replace('\'', "''")
        );
        let mut command = self.xtask("run");
        for text in [
            "/data/kept.db",
            ".bail on",
            "PRAGMA synchronous = FULL;",
            "CREATE TABLE IF NOT EXISTS kept (n INTEGER PRIMARY KEY, text TEXT NOT NULL);",
            "PRAGMA integrity_check;",
            &check,
            ".output /tmp/more.sql",
            &all,
            ".output stdout",
            ".read /tmp/more.sql",
        ] {
            command.args(["--arg", text]);
        }
        // `run` ends with its input: that stays open.
        let mut xtask =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let console = BufReader::new(xtask.stdout.take().unwrap());
        Running { xtask, console }
    }
}

/// The shell, running.
struct Running {
    xtask: Child,
    console: BufReader<ChildStdout>,
}

impl Running {
    /// The next line that begins so, and what follows there; none when there is no more.
    fn line(&mut self, begin: &str) -> Option<String> {
        let mut line = String::new();
        while self.console.read_line(&mut line).unwrap() > 0 {
            assert!(!line.contains("rror"), "{line}");
            if let Some(rest) = line.trim_end().strip_prefix(begin) {
                return Some(rest.to_owned());
            }
            line.clear();
        }
        None
    }

    /// What is on the disk, all of it as it was written.
    fn found(&mut self) -> Found {
        assert_eq!(self.line("ok").as_deref(), Some(""), "the database is whole");
        let found = self.line("found ").unwrap();
        let (numbers, wrong) = found.split_once('|').unwrap();
        assert!(["", "0"].contains(&wrong), "{wrong} rows are not what was written");
        let (rows, last) = numbers.split_once(' ').unwrap();
        Found { rows: rows.parse().unwrap(), last: last.parse().unwrap() }
    }

    fn kept(&mut self) -> Option<u64> {
        self.line("kept ").map(|number| number.parse().unwrap())
    }

    /// Kills the function, and gives the last row that it had said to be kept.
    fn kill(mut self) -> Option<u64> {
        let pid = descendant(self.xtask.id(), "sqlite").expect("it still writes");
        let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        let mut last = None;
        while let Some(number) = self.kept() {
            last = Some(number);
        }
        assert!(!self.xtask.wait().unwrap().success());
        last
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing behind: what was started ends with the program.
    fn drop(&mut self) {
        let _ = self.xtask.kill();
        let _ = self.xtask.wait();
    }
}

/// Lets e2fsck look at a disk, in a way that asks nothing.
fn fsck(e2fsck: &Path, how: &str, disk: &Path) -> (Option<i32>, String) {
    let output = Command::new(e2fsck).arg(how).arg(disk).env("E2FSCK_CONFIG", "/dev/null").output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Has e2fsck mend a disk after the kill of this round. Whether there was something to mend.
///
/// What it does not do unasked is to attach a file that had been deleted, but not yet been freed: SQLite deletes its journal
/// at the end of each transaction, and NetBSD writes the folder before it frees the file.
fn mend(e2fsck: &Path, disk: &Path, round: u64) -> bool {
    let (mut status, mut said) = fsck(e2fsck, "-fp", disk);
    if status == Some(4) && said.contains("Unattached inode") {
        (status, said) = fsck(e2fsck, "-fy", disk);
    }
    assert!(matches!(status, Some(0 | 1)), "round {round}: {status:?}: {said}");
    let mended = status == Some(1);
    let (status, said) = fsck(e2fsck, "-fn", disk);
    assert_eq!(status, Some(0), "round {round}: {said}");
    mended
}

/// Kills it so many times while it writes.
fn killed(test: &str, rounds: u64) {
    let Some(tree) = tree(test) else { return };
    let Some(e2fsck) = program(test, "e2fsck") else { return };
    let sqlite = Sqlite::new(tree);
    let disk = sqlite.disk();
    let (mut acknowledged, mut mended) = (0, 0);
    for round in 0..rounds {
        let mut running = sqlite.start(5000);
        let found = running.found();
        assert!(found.last >= acknowledged, "round {round}: {found:?}, and {acknowledged} was acknowledged");
        assert_eq!(found.rows, found.last.min(ROWS), "round {round}");
        let first = running.kept().unwrap();
        assert_eq!(first, found.last + 1, "round {round}");
        // Anywhere: spread by the golden ratio, the same each time.
        thread::sleep(Duration::from_millis(round * 618 % 400));
        acknowledged = running.kill().unwrap_or(first);
        mended += u64::from(mend(&e2fsck, &disk, round));
    }
    let mut running = sqlite.start(0);
    let found = running.found();
    assert!(found.last >= acknowledged, "{found:?}, and {acknowledged} was acknowledged");
    assert_eq!(running.kept(), None);
    assert!(running.xtask.wait().unwrap().success());
    // After an end in order there is nothing to mend.
    let (status, said) = fsck(&e2fsck, "-fn", &disk);
    assert_eq!(status, Some(0), "{said}");
    println!("{rounds} kills, {mended} times something was mended; {found:?}");
}

#[test]
fn what_sqlite_keeps_outlives_kills() {
    killed("what_sqlite_keeps_outlives_kills", 10);
}

mod long {
    #[test]
    #[ignore = "a hundred kills: cargo xtask test --rumprun DIR --long"]
    fn what_sqlite_keeps_outlives_a_hundred_kills() {
        super::killed("what_sqlite_keeps_outlives_a_hundred_kills", 100);
    }
}
