//! Hostile files for `inspect`: each kind of artifact, as a build makes it and then damaged on purpose (a list with
//! the message that each damage gets) or at random. Nothing panics, hangs, or takes much memory, and nothing that is
//! damaged is called sound.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod bytes;
mod elf;
mod executable;
mod folder;
mod guard;
mod media;
mod published;
mod random;

use builder::{
    Context, Project, Target, build,
    context::Silent,
    inspect::{self, Report},
    plan,
    recipe::Recipe,
    size,
};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

/// What takes longer hangs: the slowest of them takes a hundredth of it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// No more memory, in bytes, for any of these files: the largest has 1.3 MB, and a manifest's text grows most.
const MEMORY: usize = 64 << 20;

/// What a build made.
struct Images {
    /// The folder with the image for each target; for bare metal only where media can be made.
    folders: Vec<(Target, PathBuf)>,
}

impl Images {
    /// `hello` for every target, built once.
    fn get() -> &'static Self {
        static IMAGES: OnceLock<Images> = OnceLock::new();
        IMAGES.get_or_init(|| {
            // The tests of whole builds use this cache, too.
            let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("whole-builds");
            let project = Project { out, ..Project::here() };
            let ctx = Context::new(&project, &Silent);
            let recipe = Recipe::load(&project, "hello").unwrap();
            let mut folders = Vec::new();
            for target in Target::ALL.iter().copied() {
                let made = plan::plan(&ctx, &recipe, target).and_then(|plan| build::build(&ctx, &plan));
                match made {
                    Ok(image) => folders.push((target, image.dir)),
                    // Media need programs that not every host has.
                    Err(error) if target == Target::BareMetal => skip(&error.to_string()),
                    Err(error) => panic!("{error}"),
                }
            }
            Self { folders }
        })
    }

    fn folder(&self, target: Target) -> Option<&Path> {
        self.folders.iter().find(|(one, _)| *one == target).map(|(_, dir)| dir.as_path())
    }

    /// The content of a file of an image.
    fn read(&self, target: Target, name: &str) -> Option<Vec<u8>> {
        self.folder(target).map(|dir| fs::read(dir.join(name)).unwrap())
    }
}

/// Says past libtest's capture why media are not among the files.
fn skip(reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIP hostile media: {reason}");
}

/// The damaged artifacts, each in a folder of its own below `dir`: how it is called, and what to inspect.
type Cases = Vec<(String, PathBuf)>;

/// Adds a damaged file.
fn add(cases: &mut Cases, dir: &Path, name: &str, content: &[u8]) {
    let folder = dir.join(name.replace(' ', "-"));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("file");
    fs::write(&path, content).unwrap();
    cases.push((name.to_owned(), path));
}

/// Does with `path` all that is done with a file from elsewhere; panics when that takes too long or too much memory.
fn look(name: &str, path: &Path) -> Result<Report, String> {
    let (done, is_done) = mpsc::channel();
    let owned = path.to_owned();
    let worker = thread::spawn(move || {
        let (result, peak) = guard::peak(|| {
            let report = inspect::inspect(&owned).map_err(|error| error.to_string());
            if let Ok(report) = &report {
                let text = report.render_text();
                assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
                serde_json::to_string(report).unwrap();
            }
            let nowhere = Project { root: "/nowhere".into(), out: "/nowhere".into() };
            // What it says of sizes may be an error; it must be an answer.
            let _ = size::size(&nowhere, &owned, 15).map(|report| report.render_text());
            report
        });
        let _ = done.send(());
        (result, peak)
    });
    if is_done.recv_timeout(TIMEOUT).is_err() && !worker.is_finished() {
        panic!("{name}: no answer in {TIMEOUT:?}: {}", path.display());
    }
    let (result, peak) = worker.join().unwrap_or_else(|_| panic!("{name}: a panic: {}", path.display()));
    assert!(peak <= MEMORY, "{name}: {peak} bytes of memory: {}", path.display());
    result
}

/// What `inspect` says of a damaged artifact, without what differs from host to host and from build to build.
fn verdict(result: &Result<Report, String>, dir: &Path) -> String {
    let lines: Vec<String> = match result {
        Err(error) => vec![format!("error: {}", error.lines().next().unwrap_or_default())],
        Ok(report) => report.problems.iter().map(|problem| format!("problem: {problem}")).collect(),
    };
    let mut text = String::new();
    for line in lines {
        let line = line.replace(&format!("{}/", dir.display()), "");
        let _ = writeln!(text, "  {}", bytes::settled(&line));
    }
    text
}

#[test]
fn every_hostile_file_is_told_to_be_one() {
    let images = Images::get();
    let dir = tempfile::tempdir().unwrap();
    let mut cases = Cases::new();
    elf::cases(&mut cases, dir.path(), images);
    executable::cases(&mut cases, dir.path(), images);
    folder::cases(&mut cases, dir.path(), images);
    published::cases(&mut cases, dir.path(), images);
    let without_media = cases.len();
    media::cases(&mut cases, dir.path(), images);
    let (mut text, mut sound) = (String::new(), Vec::new());
    for (name, path) in &cases {
        let result = look(name, path);
        if result.as_ref().is_ok_and(|report| report.problems.is_empty()) {
            sound.push(name);
        }
        let _ = write!(text, "{name}\n{}", verdict(&result, dir.path()));
    }
    assert!(sound.is_empty(), "damaged, but called sound: {sound:?}");
    assert!(without_media >= 40, "only {without_media} hostile files");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/golden.txt");
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if cases.len() == without_media {
        // The messages for media come last.
        assert!(golden.starts_with(&text), "{text}");
    } else if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    } else {
        assert!(text == golden, "{} is not as it was: `cargo xtask test --bless`\n{text}", path.display());
    }
}

/// What is hostile is so by its damage: undamaged, all of these are sound.
#[test]
fn the_same_files_undamaged_are_sound() {
    let images = Images::get();
    for (target, dir) in &images.folders {
        let named = |name: &str| dir.join(name);
        let mut paths = vec![dir.clone(), named("manifest.json"), named("root-task")];
        paths.extend(match target {
            Target::Qemu => vec![named("kernel")],
            Target::Process => vec![named("hello")],
            Target::BareMetal => ["hello.iso", "hello.img", "netboot"].map(named).into(),
        });
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join("renamed");
        fs::write(&archive, published::archived(images, *target).unwrap()).unwrap();
        let layout = place.path().join("layout");
        published::lay_out(images, *target, &layout).unwrap();
        paths.extend([archive, layout]);
        paths.extend(published::documents());
        for path in paths {
            let report = look("undamaged", &path).unwrap_or_else(|error| panic!("{error}"));
            assert!(report.problems.is_empty(), "{}: {:?}", path.display(), report.problems);
        }
    }
}
