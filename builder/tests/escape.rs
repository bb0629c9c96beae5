//! A hostile root task (`tests/fixtures/escape`) tries to get out of its process, one way for each run, and
//! every attempt ends as `attacks.toml` says. `docs/security.md` shows the same list.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

use builder::{Context, Project, Target, build, context::Progress, plan, process::operator, recipe::Recipe};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::{
        fd::AsRawFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// An attempt that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attacks {
    attack: Vec<Attack>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    what: String,
    why: String,
    args: Vec<String>,
    #[serde(default)]
    each: BTreeMap<String, String>,
    end: Ends,
    installed: Option<Ends>,
    #[serde(default)]
    network: bool,
    disk: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ends {
    One(String),
    Several(Vec<String>),
}

impl Ends {
    fn all(&self) -> &[String] {
        match self {
            Self::One(end) => std::slice::from_ref(end),
            Self::Several(ends) => ends,
        }
    }
}

impl Attack {
    /// The attempts: what each is called, and the arguments.
    fn attempts(&self) -> Vec<(String, Vec<&str>)> {
        let own = || self.args.iter().flat_map(|arg| arg.split_whitespace());
        if self.each.is_empty() {
            return vec![(self.what.clone(), own().collect())];
        }
        let each = self.each.iter();
        each.map(|(name, rest)| {
            (format!("{}: {name}", self.what), own().chain(rest.split_whitespace()).collect())
        })
        .collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn attacks() -> Vec<Attack> {
    let text = fs::read_to_string(root().join("tests/fixtures/escape/attacks.toml")).unwrap();
    toml::from_str::<Attacks>(&text).unwrap().attack
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str) {}
    fn end(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

/// Builds the executable and the tender that an operator installs, and returns the command lines that start the
/// root task with either: once, as the tests run at the same time.
fn forms() -> [Vec<PathBuf>; 2] {
    static FORMS: OnceLock<[Vec<PathBuf>; 2]> = OnceLock::new();
    FORMS.get_or_init(build_forms).clone()
}

fn build_forms() -> [Vec<PathBuf>; 2] {
    // The tests of whole builds use this cache, too.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("whole-builds");
    let project = Project { root: root().to_owned(), out };
    let ctx = Context::new(&project, &Silent);
    let recipe = root().join("tests/fixtures/escape/escape.toml");
    let recipe = Recipe::load(&project, recipe.to_str().unwrap()).unwrap();
    let plan = plan::plan(&ctx, &recipe, Target::Process).unwrap();
    build::build(&ctx, &plan).unwrap();
    let image = project.image("escape", Target::Process);
    let tender = operator::build(&ctx, None).unwrap().path;
    let limits = ["--memory", "16M"].map(PathBuf::from);
    let installed = [tender].into_iter().chain(limits).chain([image.join("root-task")]).collect();
    [vec![image.join("escape")], installed]
}

/// Runs one attempt; one that hangs is killed by SIGALRM, which is no end that is expected.
fn attempt(form: &[PathBuf], args: &[&str]) -> Output {
    let mut command = Command::new(&form[0]);
    command
        .args(&form[1..])
        .arg("--")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (done, is_done) = mpsc::channel();
    let output = thread::spawn(move || {
        let output = child.wait_with_output().unwrap();
        let _ = done.send(());
        output
    });
    if is_done.recv_timeout(TIMEOUT).is_err() {
        // The thread has not waited for it yet, so the number is still its own.
        let _ = kill_process(pid, Signal::ALARM);
    }
    output.join().unwrap()
}

/// How an attempt has ended, in the words of the list.
fn end(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    // What an attempt wrote itself may come before it.
    let said = |word: &str| said.lines().any(|line| line.trim_start_matches('\0').starts_with(word));
    match (output.status.code(), output.status.signal()) {
        (_, Some(signal)) if signal == Signal::SYS.as_raw() => "killed".into(),
        (_, Some(signal)) if signal == Signal::ALARM.as_raw() => "hung".into(),
        (_, Some(_)) => "crash".into(),
        (Some(103), _) => "fault".into(),
        (Some(125), _) => "broken".into(),
        (Some(0), _) if said("refused: ") => "refused".into(),
        (Some(0), _) if said("answered: ") => "answered".into(),
        (code, _) => format!("status {}", code.unwrap_or_default()),
    }
}

#[test]
fn every_attempt_to_escape_ends_as_the_list_says() {
    let mut wrong = String::new();
    let mut count = 0;
    for (form, is_installed) in forms().iter().zip([false, true]) {
        for attack in attacks().into_iter().filter(|attack| !attack.network && attack.disk.is_none()) {
            let ends = attack.installed.as_ref().filter(|_| is_installed).unwrap_or(&attack.end).all();
            for (name, args) in attack.attempts() {
                let output = attempt(form, &args);
                let end = end(&output);
                let said = String::from_utf8_lossy(&output.stderr);
                let reported = end != "fault" || said.contains("no fault handler");
                if !ends.contains(&end) || !reported {
                    let _ = writeln!(wrong, "{name}\n  {form:?} {args:?}: {end}, not {ends:?}: {output:?}");
                }
                count += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 300, "only {count} attempts");
}

/// Makes an attempt; what is to be told when it ends in no way of `ends`.
fn wrong_end(form: &[PathBuf], name: &str, args: &[&str], ends: &[String]) -> Option<String> {
    let output = attempt(form, args);
    let end = end(&output);
    let told = || format!("{name}\n  {form:?} {args:?}: {end}, not {ends:?}: {output:?}\n");
    (!ends.contains(&end)).then(told)
}

#[test]
fn a_network_is_a_way_out_for_frames_only() {
    let [_, form] = forms();
    let _alone = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = String::new();
    let mut count = 0;
    for attack in attacks().into_iter().filter(|attack| attack.network) {
        let ends = attack.end.all();
        for (name, args) in attack.attempts() {
            // Each has a network of its own: somebody who listens and says nothing.
            let (_ours, theirs) = UnixStream::pair().unwrap();
            rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty()).unwrap();
            let number = theirs.as_raw_fd().to_string();
            let args: Vec<_> = args.iter().map(|arg| if *arg == "net" { &number } else { *arg }).collect();
            let form: Vec<_> =
                form.iter().cloned().chain(["--net", &format!("fd:{number}")].map(PathBuf::from)).collect();
            wrong.extend(wrong_end(&form, &name, &args, ends));
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 15, "only {count} attempts");
}

/// Held by tests that count descriptors or hand some down: processes of the other would have them, too.
static DESCRIPTORS: Mutex<()> = Mutex::new(());

#[test]
fn a_disk_is_a_way_to_its_sectors_only() {
    /// The first that is free when the disk is opened, after the root task: what is answered shows that it is this one.
    const DESCRIPTOR: &str = "4";
    let [_, form] = forms();
    let _alone = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = String::new();
    let mut count = 0;
    for attack in attacks() {
        let Some(access) = &attack.disk else { continue };
        let ends = attack.end.all();
        for (name, args) in attack.attempts() {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(1 << 20).unwrap();
            let suffix = if access == "ro" { ",ro" } else { "" };
            let option = format!("{}{suffix}", file.path().display());
            let args: Vec<_> =
                args.iter().map(|arg| if *arg == "disk" { DESCRIPTOR } else { *arg }).collect();
            let form: Vec<_> = form.iter().cloned().chain(["--disk", &option].map(PathBuf::from)).collect();
            wrong.extend(wrong_end(&form, &name, &args, ends));
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 25, "only {count} attempts");
}

/// The table of the documentation.
fn table() -> String {
    let mut table = String::from("| what is tried | ways | how it ends | why |\n| --- | --- | --- | --- |\n");
    for attack in attacks() {
        let (ways, ends) = (attack.attempts().len(), attack.end.all().join(" or "));
        let _ = writeln!(table, "| {} | {ways} | {ends} | {} |", attack.what, attack.why);
    }
    table
}

#[test]
fn the_documentation_shows_the_list() {
    const BEGIN: &str = "<!-- Made from tests/fixtures/escape/attacks.toml; `cargo xtask test --bless` -->\n";
    const END: &str = "<!-- End of what is made -->\n";
    let path = root().join("docs/security.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(text == expected, "the table is not what attacks.toml says: `cargo xtask test --bless`");
}
