//! The command line.

use selkie_tender_setup::{Args, Command, DiskOption, HELP_OPERATOR, HELP_SINGLE, NetOption, Options};
use std::{
    ffi::{CString, c_char},
    os::unix::ffi::OsStringExt,
};

fn args(list: &[&str]) -> Args {
    let texts = list.iter().map(|text| CString::new(*text).expect("no NUL").into_raw().cast_const());
    let pointers: &'static [*const c_char] = texts.collect::<Vec<_>>().leak();
    // SAFETY: each text ends in a NUL, and nothing of it is ever freed.
    unsafe { Args::new(pointers) }
}

fn single(list: &[&str]) -> Result<Command, String> {
    let whole: Vec<_> = ["image"].iter().chain(list).copied().collect();
    Command::parse(args(&whole), false).map_err(|error| error.to_string())
}

fn operator(list: &[&str]) -> Result<Command, String> {
    let whole: Vec<_> = ["selkie-tender"].iter().chain(list).copied().collect();
    Command::parse(args(&whole), true).map_err(|error| error.to_string())
}

fn run(command: Result<Command, String>) -> Options {
    match command.expect("it is good") {
        Command::Run(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_are_read() {
    let plain = run(single(&[]));
    assert_eq!((plain.memory, plain.run_fd, plain.root_task), (None, None, None));
    assert!(!plain.trace && !plain.verify && !plain.strict);
    let all =
        run(single(&["--memory", "8M", "--trace", "--run-fd=7", "--verify", "--strict", "--env", "A=b=c"]));
    assert_eq!((all.memory, all.run_fd), (Some(8 << 20), Some(7)));
    assert!(all.trace && all.verify && all.strict);
    let own = run(operator(&["--allow", "memory=1G", "--memory=64K", "root-task.elf", "--", "--trace"]));
    assert_eq!(own.root_task, Some(c"root-task.elf"));
    assert_eq!((own.allow_memory, own.memory), (Some(1 << 30), Some(64 << 10)));
    assert!(!own.trace, "what follows -- belongs to the function");
    assert_eq!(run(operator(&["--trace", "-", "--strict"])).root_task, Some(c"-"));
    for (value, net) in [
        ("none", NetOption::None),
        ("unix:/run/a b", NetOption::Path(b"/run/a b")),
        ("fd:3", NetOption::Descriptor(3)),
    ] {
        assert_eq!(run(single(&["--net", value])).net, Some(net));
        assert_eq!(run(operator(&["--net", value, "a"])).net, Some(net));
    }
    let file = |path, read_only| DiskOption::File { path, read_only };
    for (value, disk) in [
        ("none", DiskOption::None),
        ("none,ro", file(b"none", true)),
        ("./none", file(b"./none", false)),
        ("/a b/c,d", file(b"/a b/c,d", false)),
        ("disk.img,ro", file(b"disk.img", true)),
    ] {
        assert_eq!(run(single(&["--disk", value])).disk, Some(disk));
        assert_eq!(run(operator(&["--disk", value, "a"])).disk, Some(disk));
    }
}

#[test]
fn sizes_have_units() {
    for (text, size) in
        [("4096", 4096), ("12k", 12 << 10), ("12K", 12 << 10), ("3m", 3 << 20), ("2G", 2 << 30)]
    {
        assert_eq!(run(single(&["--memory", text])).memory, Some(size), "{text}");
    }
    for bad in [
        "",
        "M",
        "-1",
        "+1",
        "1T",
        "0x10",
        "1.5G",
        " 1",
        "1 ",
        "1KB",
        "99999999999999999999",
        "18014398509481984K",
    ] {
        let message = single(&["--memory", bad]).expect_err(bad);
        assert!(message.starts_with(&format!("`{bad}` is not a size\n  help: ")), "{message}");
    }
}

#[test]
fn help_and_version_come_first() {
    assert!(matches!(single(&["--help"]), Ok(Command::Help)));
    assert!(matches!(operator(&["-h"]), Ok(Command::Help)));
    assert!(matches!(operator(&["--version"]), Ok(Command::Version)));
    assert!(matches!(run(single(&["--", "--help"])), Options { memory: None, .. }));
    for help in [HELP_SINGLE, HELP_OPERATOR] {
        assert!(help.lines().all(|line| line.len() <= 110 && line.trim_end() == line));
        for option in ["--memory SIZE", "--env NAME=VALUE", "--run-fd N", "--trace", "--verify", "--strict"] {
            assert!(help.contains(option), "{option}");
        }
    }
    assert!(HELP_OPERATOR.contains("--allow") && !HELP_SINGLE.contains("--allow"));
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    for (list, message) in [
        (&["--memroy", "1"][..], "there is no option `--memroy`"),
        (&["-x"], "there is no option `-x`"),
        (&["--memory"], "the option `--memory` has no value"),
        (&["--trace=yes"], "the option `--trace=yes` takes no value"),
        (&["----"], "there is no option `----`"),
        (&["--run-fd", "x"], "`x` is not the number of a descriptor"),
        (&["--run-fd", "-1"], "`-1` is not the number of a descriptor"),
        (&["--run-fd", "2147483648"], "`2147483648` is not the number of a descriptor"),
        (&["--net", ""], "`` is not a network"),
        (&["--net", "unix:"], "`unix:` is not a network"),
        (&["--net", "fd:2"], "`fd:2` is not a network"),
        (&["--net", "fd:x"], "`fd:x` is not a network"),
        (&["--net=tap:3"], "`tap:3` is not a network"),
        (&["--disk", ""], "`` is not a disk"),
        (&["--disk=,ro"], "`,ro` is not a disk"),
        (&["--env", "A"], "`A` is not a variable with its value"),
        (&["--env", "=b"], "`=b` is not a variable with its value"),
        (&["--allow", "memory=1G"], "`--allow`: limits are set by the operator's tender only"),
        (&["argument"], "there is no place for the argument `argument`"),
        (&["\u{1b}[2J"], "there is no place for the argument `\\u{1b}[2J`"),
    ] {
        let found = single(list).expect_err("it is wrong");
        let (what, help) = found.split_once("\n  help: ").expect("a remedy");
        assert_eq!(what, message);
        assert!(!help.is_empty() && !help.contains('\n'), "{found}");
    }
    for (list, message) in [
        (&[][..], "no root task is named"),
        (&["a", "b"], "there is no place for the argument `b`"),
        (&["--allow", "net=tap0", "a"], "--allow knows no `net=tap0`"),
        (&["--allow", "memory=1G,disk=x", "a"], "--allow knows no `disk=x`"),
        (&["--allow", "usb=1", "a"], "--allow knows no `usb=1`"),
        (&["--allow", "", "a"], "--allow knows no ``"),
        (&["--allow", "memory=x", "a"], "`memory=x` is not a size"),
    ] {
        let found = operator(list).expect_err("it is wrong");
        assert!(found.starts_with(&format!("{message}\n  help: ")), "{found}");
    }
}

#[test]
fn what_is_no_text_is_refused() {
    let bad = CString::new(std::ffi::OsString::from_vec(b"a\xff\n".to_vec()).into_vec()).expect("no NUL");
    let bad: &'static _ = Box::leak(Box::new(bad));
    for list in [&[c"image", c"--", bad.as_c_str()][..], &[c"image", c"--env", c"A=\xc3\x28"]] {
        let pointers: &'static [_] = list.iter().map(|text| text.as_ptr()).collect::<Vec<_>>().leak();
        // SAFETY: each text ends in a NUL and lives as long as the process.
        let message = Command::parse(unsafe { Args::new(pointers) }, false).expect_err("no text").to_string();
        assert!(message.contains("is not text in UTF-8"), "{message}");
        assert!(message.contains("a\\xff\\n") || message.contains("A=\\xc3("), "{message}");
    }
}
