//! Figures of POSIX programs, beside what else runs them: a static program on Linux, and rumprun's own image in QEMU;
//! and their TCP beside that of the libOS `native`. They need a rumprun tree.
//!
//! Programs, scripts and recipes lie in `tests/fixtures/posix/`; the native function is that of `tests/fixtures/tap/`.

use super::{
    Figure, Measured, Options, Unit,
    http::{missing, within_namespaces},
    lab::{Lab, failed},
    process::{counted, executable},
};
use crate::{
    Result, Target,
    exec::Tool,
    files,
    image::{Role, name},
    recipe::Recipe,
    root_task::rumprun::tree::Tree,
};
use std::{
    collections::BTreeMap,
    io,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

/// How often each is started, and how often each server is asked, in turn; odd numbers.
const STARTS: usize = 9;
const ROUNDS: usize = 5;
/// The first that the program's `main` says. NetBSD's kernel has said much by then.
const FIRST: &str = "Hello, world!";
/// Nothing takes this long to start unless it hangs.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The figures; docs/SPECIFICATION.md has the same.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        what: "posix: start to main's first line, process / the same source as a static program of Linux",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, options| starts(lab, options, Start::Process, Start::Linux),
    },
    Figure {
        what: "posix: start to main's first line, process / rumprun's own image in QEMU with TCG",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, options| starts(lab, options, Start::Process, Start::Upstream),
    },
    Figure {
        what: "posix: start to main's first line, QEMU with TCG / rumprun's own image, likewise",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, options| starts(lab, options, Start::Qemu, Start::Upstream),
    },
    Figure {
        what: "posix: time of 64 MiB through posix-echo / through http-echo of the libOS native, at taps",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, options| echoes(lab, options, "byte", f64::from(64 << 20)),
    },
    Figure {
        what: "posix: a round trip of one byte to posix-echo / to http-echo of the libOS native, at taps",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, options| echoes(lab, options, "trip", 1.0),
    },
    Figure {
        what: "posix: root task of posix-hello / rumprun's own image, both stripped",
        unit: Unit::SizeRatio,
        limit: None,
        measure: sizes,
    },
];

/// Why nothing is measured.
fn no_tree() -> Measured {
    Measured::Nothing("no rumprun tree is named (`--rumprun DIR` or RUMPRUN_DIR)".into())
}

fn folder(lab: &Lab<'_>) -> PathBuf {
    lab.ctx.project.root.join("tests/fixtures/posix")
}

/// `posix-hello`, linked from the tree `root`.
fn hello(lab: &Lab<'_>, root: &Path) -> Result<Recipe> {
    Ok(Recipe::load(lab.ctx.project, "posix-hello")?.with_rumprun(Some(root)))
}

/// Its only source, in C.
fn source(lab: &Lab<'_>) -> PathBuf {
    lab.ctx.project.root.join("functions/posix/hello.c")
}

/// Upstream's own image of the same source for its platform `hw`, made by the tree's own tools.
fn baked(lab: &Lab<'_>, root: &Path) -> Result<PathBuf> {
    let tree = Tree::find(lab.ctx, root)?;
    let out = lab.folder("baked")?;
    let image = out.join("hello.img");
    if !image.exists() {
        Tool::new(tree.tool("gcc"), &out)
            .arg("-O2")
            .arg(source(lab))
            .args(["-o", "hello"])
            .run(&lab.ctx.cancel)?;
        // Without the variable it begins with a warning that it may change, and one that waits.
        Tool::new(tree.bake(), &out)
            .env("RUMPRUN_WARNING_STFU", "please")
            .args(["hw_generic", "hello.img", "hello"])
            .run(&lab.ctx.cancel)?;
    }
    Ok(image)
}

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// `posix-hello` as a process.
    Process,
    /// The same source, linked statically on Linux.
    Linux,
    /// `posix-hello` in QEMU.
    Qemu,
    /// Upstream's own image, in the same machine of QEMU.
    Upstream,
}

/// Seconds of each start.
#[derive(Debug, Default)]
pub(super) struct Starts(Vec<(Start, f64)>);

fn starts(lab: &Lab<'_>, options: &Options, ours: Start, theirs: Start) -> Result<Measured> {
    let Some(root) = &options.rumprun else { return Ok(no_tree()) };
    if let Some(missing) = missing(&[("qemu-system-x86_64", "qemu-system-x86")]) {
        return Ok(Measured::Nothing(missing));
    }
    let Starts(all) = lab.starts(|lab| all_starts(lab, root))?;
    let of = |which| all.iter().filter(|(start, _)| *start == which).map(|(_, seconds)| *seconds).collect();
    Ok(Measured::Ratio(of(ours), of(theirs)))
}

/// Starts all of them, in turn.
fn all_starts(lab: &Lab<'_>, root: &Path) -> Result<Starts> {
    let recipe = hello(lab, root)?;
    let process = executable(&lab.image_for(&recipe, Target::Process)?)?;
    let run = lab.image(&recipe)?.file(name::RUN);
    let linux = lab.folder("baked")?.join("linux");
    Tool::new("cc", Path::new("/"))
        .args(["-O2", "-static"])
        .arg(source(lab))
        .arg("-o")
        .arg(&linux)
        .run(&lab.ctx.cancel)?;
    let image = baked(lab, root)?;
    let mut starts = Starts::default();
    for _ in 0..STARTS {
        for start in [Start::Process, Start::Linux, Start::Qemu, Start::Upstream] {
            let mut command = match start {
                Start::Process => Command::new(&process),
                Start::Linux => Command::new(&linux),
                Start::Qemu => Command::new(&run),
                Start::Upstream => upstream(&recipe, &image),
            };
            starts.0.push((start, until_first_line(lab, &mut command)?));
        }
    }
    Ok(starts)
}

/// QEMU with upstream's image, in a machine as `run.sh` of posix-hello has it.
fn upstream(recipe: &Recipe, image: &Path) -> Command {
    let memory = format!("{}M", recipe.qemu.memory >> 20);
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-accel",
        "tcg",
        "-nodefaults",
        "-no-user-config",
        "-machine",
        "q35",
        "-cpu",
        "qemu64",
        "-m",
    ]);
    command.args([memory.as_str(), "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel"]);
    command.arg(image).args(["-append", r#"{,, "cmdline": "hello world",, }"#]);
    command
}

/// A program that was started; it ends with this.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended already needs no more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds from the start of `command` until it has said [`FIRST`].
fn until_first_line(lab: &Lab<'_>, command: &mut Command) -> Result<f64> {
    let program = command.get_program().to_string_lossy().into_owned();
    let lost = |error: io::Error| failed(&program, error);
    let (screen, stdout) = io::pipe().map_err(lost)?;
    let (tell, told) = mpsc::channel();
    // It ends with the last of the program's output.
    std::thread::spawn(move || tell.send(said(screen)));
    // Another QEMU or accelerator of the user's settings is not meant.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
    let start = Instant::now();
    let started = Started(command.spawn().map_err(lost)?);
    // This side's end of the pipe: the reader would wait for it.
    command.stdout(Stdio::null());
    loop {
        match told.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(at)) => return Ok(at.duration_since(start).as_secs_f64()),
            Ok(Err(output)) => return Err(failed(&program, format!("it never says `{FIRST}`\n{output}"))),
            Err(RecvTimeoutError::Disconnected) => return Err(failed(&program, "its output was lost")),
            Err(RecvTimeoutError::Timeout)
                if start.elapsed() < START_LIMIT && !lab.ctx.cancel.requested() => {}
            Err(RecvTimeoutError::Timeout) => {
                drop(started);
                return Err(failed(&program, format!("it has not said `{FIRST}` when it was ended")));
            }
        }
    }
}

/// When [`FIRST`] was read; all that was said when it was not.
fn said(mut screen: impl Read) -> Result<Instant, String> {
    let mut output = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let size = screen.read(&mut buffer).unwrap_or_default();
        output.extend_from_slice(&buffer[..size]);
        if output.windows(FIRST.len()).any(|text| text == FIRST.as_bytes()) {
            return Ok(Instant::now());
        }
        if size == 0 {
            return Err(String::from_utf8_lossy(&output).into_owned());
        }
    }
}

/// Nanoseconds of a round trip and of a byte, turn by turn: of posix-echo, and of http-echo.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Echoes([Vec<BTreeMap<String, f64>>; 2]);

/// Seconds of `count` of what the client calls `name`.
fn echoes(lab: &Lab<'_>, options: &Options, name: &str, count: f64) -> Result<Measured> {
    let Some(root) = &options.rumprun else { return Ok(no_tree()) };
    let needs = [("ip", "iproute2"), ("unshare", "util-linux"), ("taskset", "util-linux")];
    if let Some(missing) = missing(&needs) {
        return Ok(Measured::Nothing(missing));
    }
    let Echoes([ours, theirs]) = lab.echoes(|lab| all_echoes(lab, root))?;
    let of = |turns: &[BTreeMap<String, f64>]| {
        turns.iter().filter_map(|times| times.get(name)).map(|time| time * count / 1e9).collect()
    };
    Ok(Measured::Ratio(of(ours), of(theirs)))
}

/// Asks both servers, in turn.
fn all_echoes(lab: &Lab<'_>, root: &Path) -> Result<Echoes> {
    let recipe = |path: PathBuf| Recipe::load(lab.ctx.project, &path.to_string_lossy());
    let posix = recipe(folder(lab).join("posix-tap.toml"))?.with_rumprun(Some(root));
    let native = recipe(lab.ctx.project.root.join("tests/fixtures/tap/tap.toml"))?;
    let client = lab.folder("c")?.join("client");
    Tool::new("cc", &folder(lab)).args(["-O2", "client.c", "-o"]).arg(&client).run(&lab.ctx.cancel)?;
    let script = within_namespaces(&folder(lab).join("echo.sh"))
        .arg(client)
        .arg(executable(&lab.image_for(&posix, Target::Process)?)?)
        .arg(executable(&lab.image_for(&native, Target::Process)?)?)
        .arg(ROUNDS.to_string())
        .arg(lab.folder("echoes")?);
    let output = script.run(&lab.ctx.cancel)?.stdout;
    parse(&output).ok_or_else(|| failed("echo.sh", format!("it does not say how long all took\n{output}")))
}

/// What `echo.sh` tells.
fn parse(text: &str) -> Option<Echoes> {
    let mut echoes = Echoes::default();
    for turn in text.split("load ").skip(1) {
        let server = ["posix", "native"].iter().position(|name| turn.lines().next() == Some(name))?;
        let times = counted(turn);
        if !["trip", "byte"].iter().all(|name| times.contains_key(*name)) {
            return None;
        }
        echoes.0[server].push(times);
    }
    Some(echoes)
}

/// `objcopy` strips upstream's image; ours is always stripped.
fn sizes(lab: &Lab<'_>, _: &Recipe, options: &Options) -> Result<Measured> {
    let Some(root) = &options.rumprun else { return Ok(no_tree()) };
    let ours = lab.size(&hello(lab, root)?, Role::RootTask)?;
    let image = baked(lab, root)?;
    let stripped = image.with_extension("stripped");
    Tool::new(Tree::find(lab.ctx, root)?.tool("objcopy"), Path::new("/"))
        .args([Path::new("--strip-all"), &image, &stripped])
        .run(&lab.ctx.cancel)?;
    Ok(Measured::Ratio(vec![ours], vec![files::read(&stripped)?.len() as f64]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Project, context::Silent};

    #[test]
    fn turns_are_read_as_the_script_tells_them() {
        let text = "load posix\ntrip 4000 8000\nbyte 10 5\nload native\ntrip 10 70\nbyte 10 20\n";
        let Echoes([posix, native]) = parse(text).unwrap();
        assert_eq!((posix.len(), native.len()), (1, 1));
        assert_eq!((posix[0]["trip"], posix[0]["byte"], native[0]["trip"]), (2.0, 0.5, 7.0));
        assert_eq!(parse("load posix\ntrip 1 1\n"), None);
        assert_eq!(parse("load other\ntrip 1 1\nbyte 1 1\n"), None);
    }

    #[test]
    fn the_first_line_is_found_after_others() {
        assert!(said(&b"NetBSD 7.99\n\nHello, world!\r\n"[..]).is_ok());
        assert_eq!(said(&b"panic: no\n"[..]), Err("panic: no\n".to_owned()));
    }

    #[test]
    fn without_a_tree_each_figure_says_so() {
        let project = Project::here();
        let ctx = Context::new(&project, &Silent);
        let lab = Lab::new(&ctx, Path::new("xtask")).unwrap();
        let hello = Recipe::load(&project, "hello").unwrap();
        let options = Options { xtask: PathBuf::new(), cold: false, rumprun: None, filters: Vec::new() };
        for figure in FIGURES {
            let measured = (figure.measure)(&lab, &hello, &options).unwrap();
            assert!(
                matches!(measured, Measured::Nothing(why) if why.contains("RUMPRUN_DIR")),
                "{}",
                figure.what
            );
        }
    }
}
