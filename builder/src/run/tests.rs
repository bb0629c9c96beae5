//! A person or a pipe at the console of stand-in QEMUs.

use super::*;
use crate::{
    Error as AnyError, ExitCode,
    qemu::Accel,
    smoke::tests::{Stage, stand_in},
};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    thread,
    time::Instant,
};

fn at(stage: &Stage, overrides: &Overrides, fds: (BorrowedFd<'_>, BorrowedFd<'_>)) -> Result<RunOutcome> {
    let qemu = Binary::find(Some(&stand_in())).unwrap();
    let accelerator = Accelerator { accel: Accel::Tcg, reason: "a test".into(), remembered: false };
    boot_at(&stage.context(), &stage.boot, &qemu, accelerator, overrides, (&[], None), fds)
}

/// Runs `guest` between two pipes and returns the outcome and what was printed.
fn piped(guest: &str, input: &[u8], overrides: &Overrides) -> (Result<RunOutcome>, String) {
    let (stdin, mut typing) = io::pipe().unwrap();
    let (mut screen, stdout) = io::pipe().unwrap();
    let stage = Stage::new(guest);
    thread::scope(|scope| {
        let shown = scope.spawn(move || {
            let mut text = Vec::new();
            screen.read_to_end(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        });
        let typist = scope.spawn(move || {
            // A guest that has ended reads no more.
            let _ = typing.write_all(input);
        });
        let outcome = at(&stage, overrides, (stdin.as_fd(), stdout.as_fd()));
        drop((stdin, stdout));
        typist.join().unwrap();
        (outcome, shown.join().unwrap())
    })
}

fn plain(guest: &str) -> Result<RunOutcome> {
    piped(guest, b"", &Overrides::default()).0
}

#[test]
fn the_exit_code_is_the_functions_status() {
    for status in [0, 7, 111] {
        let guest = format!("line hi; frame {status}; leave {status}");
        assert_eq!(plain(&guest).unwrap().status, Some(status));
    }
}

#[test]
fn every_other_end_is_an_error() {
    for (guest, word) in [
        ("line hi; exit 0", "reset"),
        ("exit 1", "wrote 0 to the exit port"),
        ("exit 9", "wrote 4 to the exit port"),
        ("echo 'qemu: no such machine' >&2; exit 1", "exit code 1: qemu: no such machine"),
        ("exit 2", "exit code 2"),
        ("kill -KILL $$", "SIGKILL"),
        ("echo 'KVM internal error. Suberror: 3' >&2; sleep 600", "--accel tcg"),
    ] {
        let error = plain(guest).unwrap_err();
        assert!(error.to_string().contains(word), "{guest}: {error}");
        assert_eq!(error.code(), ExitCode::Failed);
    }
}

#[test]
fn what_is_piped_in_waits_for_the_guest_and_comes_unchanged() {
    let guest =
        "early=$(timeout 0.5 head -c 1); line \"early:$early.\"; head -c 70000 | od -An -v -tx1 -w1 | sort -u
                 frame 0; leave 0";
    let input: Vec<u8> = (0..70000).map(|n| if n % 2 == 0 { 0x01 } else { b'x' }).collect();
    let (outcome, text) = piped(guest, &input, &Overrides::default());
    assert_eq!(outcome.unwrap().status, Some(0));
    assert!(text.starts_with("early:.\r\n 01\n 78\n"), "{text}");
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let (stdin, _typing) = io::pipe().unwrap();
    let (screen, stdout) = io::pipe().unwrap();
    drop(screen);
    let stage = Stage::new("while line hi; do :; done");
    let outcome = at(&stage, &Overrides::default(), (stdin.as_fd(), stdout.as_fd())).unwrap();
    assert_eq!(outcome.status, None);
}

/// A pseudo-terminal: the user's side and the program's. None, and a word of it, where `/dev/pts` is not
/// mounted.
fn terminal(test: &str) -> Option<(File, OwnedFd)> {
    let Ok(user) = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY) else {
        let _ = writeln!(io::stderr(), "SKIP run::tests::{test}: this system has no pseudo-terminals");
        return None;
    };
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let open = fs::OpenOptions::new().read(true).write(true).open(name.to_str().unwrap());
    Some((user.into(), open.unwrap().into()))
}

/// Reads from the terminal until `word` has been shown.
fn wait_for(user: &mut File, word: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while !text.contains(word) {
        assert!(Instant::now() < deadline, "{text}");
        let mut byte = [0];
        user.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    }
    text
}

#[test]
fn a_terminal_sends_every_key_and_is_restored() {
    let Some((mut user, program)) = terminal("a_terminal_sends_every_key_and_is_restored") else { return };
    let before = tcgetattr(&program).unwrap();
    assert!(before.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    let stage = Stage::new("line ready; head -c 4 | od -An -v -tx1; frame 5; leave 5");
    let outcome = thread::scope(|scope| {
        let run = scope.spawn(|| at(&stage, &Overrides::default(), (program.as_fd(), program.as_fd())));
        wait_for(&mut user, "ready");
        let raw = tcgetattr(&program).unwrap();
        assert!(!raw.local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        // Ctrl-C, Ctrl-A for the guest, help for the user, Enter, Ctrl-D.
        user.write_all(b"\x03\x01\x01\x01h\r\x04").unwrap();
        let text = wait_for(&mut user, "[selkie:exit status=5");
        assert!(text.contains("Ctrl-A x") && text.contains(" 03 01 0a 04"), "{text}");
        run.join().unwrap().unwrap()
    });
    assert_eq!(outcome.status, Some(5));
    let after = tcgetattr(&program).unwrap();
    assert_eq!((after.local_modes, after.input_modes), (before.local_modes, before.input_modes));
}

#[test]
fn ctrl_a_x_leaves_even_a_guest_that_says_nothing() {
    let Some((mut user, program)) = terminal("ctrl_a_x_leaves_even_a_guest_that_says_nothing") else {
        return;
    };
    let before = tcgetattr(&program).unwrap();
    let stage = Stage::new("sleep 600");
    user.write_all(b"\x01x").unwrap();
    let started = Instant::now();
    let outcome = at(&stage, &Overrides::default(), (program.as_fd(), program.as_fd())).unwrap();
    assert_eq!(outcome.status, None);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(tcgetattr(&program).unwrap().local_modes, before.local_modes);
}

#[test]
fn a_signal_restores_the_terminal() {
    let Some((_user, program)) = terminal("a_signal_restores_the_terminal") else { return };
    let before = tcgetattr(&program).unwrap();
    let stage = Stage::new("sleep 600");
    let ctx = stage.context();
    ctx.cancel.request();
    let qemu = Binary::find(Some(&stand_in())).unwrap();
    let accelerator = Accelerator { accel: Accel::Tcg, reason: "a test".into(), remembered: false };
    let fds = (program.as_fd(), program.as_fd());
    let error =
        boot_at(&ctx, &stage.boot, &qemu, accelerator, &Overrides::default(), (&[], None), fds).unwrap_err();
    assert!(error.to_string().contains("stopped by the user"), "{error}");
    assert_eq!(tcgetattr(&program).unwrap().local_modes, before.local_modes);
}

#[test]
fn overrides_reach_the_guest_and_secrets_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key, of mine");
    fs::write(&file, "s3cret\n").unwrap();
    let overrides = Overrides {
        args: vec!["--name".into(), "a b".into()],
        env: vec!["MODE=x=y".into()],
        secrets: vec![format!("KEY=@{}", file.display())],
    };
    let guest = "tr '\\0' '\\n' <\"$run\"; echo \"$*\" | grep -c s3cret; frame 0; leave 0";
    let (outcome, text) = piped(guest, b"", &overrides);
    assert_eq!(outcome.unwrap().status, Some(0));
    assert!(
        text.starts_with("SELKIERUN1\narg=--name\narg=a b\nenv=KEY=s3cret\nenv=MODE=x=y\n\n0\n"),
        "{text}"
    );
    assert!(!format!("{overrides:?}").contains("s3cret"));
    let nothing = piped("line \"[${run:-}]\"; frame 0; leave 0", b"", &Overrides::default()).1;
    assert!(nothing.starts_with("[]\r\n"), "{nothing}");
}

fn refused(overrides: Overrides) -> AnyError {
    overrides.encode(|name| (name == "HERE").then(|| "from the host".into())).unwrap_err()
}

#[test]
fn wrong_overrides_are_refused_without_showing_values() {
    let env = |text: &str| Overrides { env: vec![text.into()], ..Overrides::default() };
    let secret = |text: &str| Overrides { secrets: vec![text.into()], ..Overrides::default() };
    for (overrides, word) in [
        (env("GONE"), "--env GONE=VALUE"),
        (secret("GONE"), "--secret GONE=@FILE"),
        (secret("KEY=hunter2"), "everybody on this host"),
        (secret("KEY=@/no/such/file"), "/no/such/file"),
        (Overrides { secrets: vec!["HERE".into()], ..env("HERE=1") }, "given twice"),
        (env("=x"), "environment variable"),
        (Overrides { args: vec!["a\0b".into()], ..Overrides::default() }, "NUL"),
    ] {
        let error = refused(overrides);
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(error.code(), ExitCode::Usage);
    }
    let bytes = env("HERE").encode(|_| Some("v".into())).unwrap().unwrap();
    assert_eq!(bytes, b"SELKIERUN1\0env=HERE=v\0\0");
}

#[test]
fn a_secret_with_a_nul_is_refused_without_showing_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    fs::write(&file, "hunter2\0").unwrap();
    let error =
        refused(Overrides { secrets: vec![format!("KEY=@{}", file.display())], ..Overrides::default() });
    assert!(error.to_string().contains("`KEY`") && !error.to_string().contains("hunter2"), "{error}");
    fs::write(&file, b"\xff").unwrap();
    let error =
        refused(Overrides { secrets: vec![format!("KEY=@{}", file.display())], ..Overrides::default() });
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn the_run_file_is_closed_on_exec_for_everybody_else() {
    let file = qemu::run_file(b"x").unwrap();
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}
