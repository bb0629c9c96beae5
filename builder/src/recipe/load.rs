//! From a recipe's name or path to a checked [`Recipe`].

use super::{
    After, BareMetalTarget, HttpRequest, InputPath, LibOs, NetMode, ProcessTarget, Protocol, QemuTarget,
    RawBareMetal, RawHttp, RawNet, RawRecipe, RawSmoke, RawSource, RawTargets, RawTcp, Recipe,
    RootTaskSource, Rumprun, SERIAL_SPEED, Serial, Server, Size, Smoke, SourcePackage, TcpExchange,
    check::{Quantities, check, resolve},
    show_size,
};
use crate::{
    Digest, Error, ExitCode, Project, Result,
    diagnostic::{Diagnostic, Diagnostics},
    document::{
        Document, Source, names,
        schema::Schema,
        shown,
        suggest::{closest, did_you_mean, list},
    },
    files,
    inputs::debian::Package,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

/// What people write for a recipe's keys.
const HABITS: [(&str, &str); 40] = [
    ("address", "addresses"),
    ("arguments", "args"),
    ("author", "license"),
    ("code", "status"),
    ("commandline", "args"),
    ("compiler-flags", "cflags"),
    ("deadline", "timeout"),
    ("dir", "from"),
    ("directory", "from"),
    ("elf", "prebuilt"),
    ("environment", "env"),
    ("device", "source"),
    ("exit-code", "status"),
    ("exit-status", "status"),
    ("flags", "extra-args"),
    ("folder", "from"),
    ("fstype", "type"),
    ("gateway", "gateways"),
    ("ip", "addresses"),
    ("kernel-config", "config"),
    ("licence", "license"),
    ("mem", "memory"),
    ("mountpoint", "path"),
    ("mounts", "mount"),
    ("nameserver", "dns"),
    ("output", "expect"),
    ("path", "crate"),
    ("ports", "forward"),
    ("prefix", "tree"),
    ("publish", "forward"),
    ("qemu-args", "extra-args"),
    ("ram", "memory"),
    ("router", "gateways"),
    ("uri", "path"),
    ("url", "path"),
    ("sources", "c-sources"),
    ("spdx", "license"),
    ("stdin", "input"),
    ("target", "targets"),
    ("time-out", "timeout"),
];

/// The schema of a recipe.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of::<RawRecipe>(&HABITS))
}

impl Recipe {
    /// Reads and checks the recipe that `arg` names: a file of `recipes/` without `.toml`, or the path
    /// of a TOML file anywhere. Paths in a recipe are relative to its folder.
    ///
    /// The error, of exit code 2, tells all that is wrong: see [`crate::Error::diagnostics`].
    pub fn load(project: &Project, arg: &str) -> Result<Self> {
        let path = locate(project, arg)?;
        let source = Source::read(&path, &shown(project, &path), || missing(project, &path, arg))?;
        Ok(parse(project, &path, &source)?)
    }

    /// The names of all recipes of `recipes/`, sorted.
    pub fn names(project: &Project) -> Result<Vec<String>> {
        Ok(names(&project.recipes())?)
    }

    /// All recipes of `recipes/` with their names, sorted. One that is wrong is an error in its place.
    pub fn all(project: &Project) -> Result<Vec<(String, Result<Self>)>> {
        let load = |name: String| {
            let path = project.recipes().join(format!("{name}.toml"));
            let recipe = Self::load(project, &path.to_string_lossy());
            (name, recipe)
        };
        Ok(Self::names(project)?.into_iter().map(load).collect())
    }

    /// All recipes of `recipes/`, sorted by their names, but those that `excluded` names, which may even be wrong.
    ///
    /// # Errors
    /// When one of the others is wrong, a name is no recipe's, or none is left.
    pub fn all_but(project: &Project, excluded: &[String]) -> Result<Vec<Self>> {
        let names = Self::names(project)?;
        let usage = |text: String| Error::new(ExitCode::Usage, text);
        if let Some(name) = excluded.iter().find(|name| !names.contains(name)) {
            let folder = shown(project, &project.recipes());
            let help = did_you_mean(name, "recipes", &names);
            return Err(usage(format!(
                "`--exclude {name}`: there is no such recipe in `{folder}`\n  help: {help}"
            )));
        }
        let kept = Self::all(project)?.into_iter().filter(|(name, _)| !excluded.contains(name));
        let kept = kept.map(|(_, recipe)| recipe).collect::<Result<Vec<_>>>()?;
        if kept.is_empty() && !excluded.is_empty() {
            return Err(usage(
                "`--exclude` leaves no recipe\n  help: leave it out for one of them".to_owned(),
            ));
        }
        Ok(kept)
    }
}

/// The recipe in `source`, which was read from `path`.
pub(super) fn parse(project: &Project, path: &Path, source: &Source) -> Result<Recipe, Diagnostics> {
    let doc = Document::parse(source)?;
    let raw: RawRecipe = doc.decode(schema())?;
    let quantities = check(project, path, &doc, &raw)?;
    Ok(fill(path, Digest::of(&source.text), raw, quantities))
}

/// The file that `arg` names.
fn locate(project: &Project, arg: &str) -> Result<PathBuf, Diagnostics> {
    if arg.is_empty() {
        let help = "`cargo xtask list` shows the recipes";
        return Err(Diagnostic::of_file("RECIPE", "the recipe's name is empty").help(help).into());
    }
    if !is_path(arg) {
        return Ok(project.recipes().join(format!("{arg}.toml")));
    }
    let absolute = std::path::absolute(arg).map_err(|error| {
        Diagnostic::of_file(arg, format!("the path cannot be made absolute: {error}"))
            .help("write a full path")
    })?;
    Ok(files::clean(&absolute))
}

/// Whether `arg` is a path, not a name.
fn is_path(arg: &str) -> bool {
    arg.contains('/') || arg.ends_with(".toml") || arg.starts_with('.')
}

/// There is no recipe `arg`, which would be at `path`.
fn missing(project: &Project, path: &Path, arg: &str) -> Diagnostic {
    let by_name = !is_path(arg);
    if let Some(name) =
        arg.strip_suffix(".toml").filter(|name| project.recipes().join(arg).is_file() && !name.contains('/'))
    {
        return Diagnostic::of_file(shown(project, path), "there is no such file")
            .help(format!("did you mean the recipe `{name}`?"));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let there = names(folder).unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = shown(project, folder);
    let show = |name: &str| if by_name { name.to_owned() } else { format!("{folder}/{name}.toml") };
    let help = match closest(&stem, there.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{}`?", show(near)),
        None if there.is_empty() => {
            format!("`{folder}` has no recipes; docs/recipes.md has one to start from")
        }
        None => format!("recipes in `{folder}`: {}", list(&there)),
    };
    let what =
        if by_name { format!("there is no recipe `{arg}`") } else { "there is no such file".to_owned() };
    Diagnostic::of_file(shown(project, path), what).help(help)
}

/// Fills in the defaults.
fn fill(path: &Path, digest: Digest, mut raw: RawRecipe, quantities: Quantities) -> Recipe {
    let input = |written: String| InputPath { path: resolve(path, &written), written };
    let task = raw.root_task;
    let libos = task.libos.unwrap_or_default();
    // The checks let one of them pass.
    let source = match (task.crate_dir, task.source, task.program, task.prebuilt) {
        (Some(folder), ..) => RootTaskSource::Crate(input(folder)),
        (None, Some(package), ..) => RootTaskSource::Package(source_package(package)),
        (None, None, Some(file), _) => RootTaskSource::Program(input(file)),
        (None, None, None, Some(file)) => RootTaskSource::Prebuilt(input(file)),
        (None, None, None, None) => {
            RootTaskSource::C(task.c_sources.unwrap_or_default().into_iter().map(input).collect())
        }
    };
    let rumprun = (libos == LibOs::Rumprun).then(|| {
        let table = raw.rumprun.unwrap_or_default();
        Rumprun {
            tree: table.tree.map(input),
            named: None,
            components: quantities.components.clone(),
            cflags: table.cflags,
            hostname: table.hostname.unwrap_or_else(|| raw.function.name.clone()),
            mount: table.mount,
        }
    });
    if let Some(disk) = &mut raw.devices.disk {
        disk.size = quantities.disk.map(|size| Size::Text(show_size(size)));
    }
    // NetBSD's kernel takes random bytes, which come with a network.
    if libos == LibOs::Rumprun && raw.devices.net.is_none() {
        raw.devices.net = Some(RawNet { mode: NetMode::None, ..RawNet::default() });
    }
    let RawTargets { qemu, process, bare_metal } = raw.targets;
    // The checks let no request without a port pass where there is none or a choice.
    let only_port = raw.devices.forwarded(Protocol::Tcp).next().map(|port| port.guest).unwrap_or_default();
    Recipe {
        path: path.to_owned(),
        digest,
        function: raw.function,
        source,
        features: task.features,
        libos,
        rumprun,
        stack: quantities.stack,
        heap: quantities.heap,
        acpi: quantities.acpi,
        kernel: raw.kernel.config,
        kernel_source: None,
        prebuilt_kernel: raw.kernel.prebuilt.map(input),
        files: raw.files.map(|files| input(files.from)),
        run: raw.run,
        qemu: QemuTarget {
            memory: quantities.memory,
            machine: qemu.machine,
            cpu: qemu.cpu,
            extra_args: qemu.extra_args,
        },
        process: ProcessTarget { memory: quantities.process_memory, input: process.input.unwrap_or(true) },
        bare_metal: bare_metal_target(bare_metal, raw.devices.serial, quantities.bare_metal_memory),
        disk: quantities.disk,
        devices: raw.devices,
        needs: task.needs,
        wants: task.wants,
        smoke: raw.smoke.map(|smoke| fill_smoke(smoke, only_port, &quantities, input)),
    }
}

fn source_package(raw: RawSource) -> SourcePackage {
    let RawSource { debian_source: name, version, sha256, prepare, files, exclude, include } = raw;
    SourcePackage { package: Package { name, version, sha256 }, prepare, files, exclude, include }
}

/// The smoke test with its defaults. `port` is the one that requests go to when they name none; `input` finds files.
/// Every boot has the same secrets and servers.
fn fill_smoke(
    raw: RawSmoke,
    port: u16,
    quantities: &Quantities,
    input: impl Fn(String) -> InputPath,
) -> Smoke {
    let server = raw.server.into_iter().map(|server| Server {
        env: server.env,
        certificate: input(server.certificate),
        key: input(server.key),
        path: server.path,
        body: server.body,
    });
    let server: Vec<_> = server.collect();
    let secrets: BTreeMap<_, _> = raw.secrets.into_iter().map(|(name, file)| (name, input(file))).collect();
    let mut answers = quantities.answers.iter().copied().map(Duration::from_millis);
    let mut boot = |expect, http: Vec<RawHttp>, tcp: Vec<RawTcp>, typed| {
        let mut answer = || answers.next().unwrap_or_default();
        let http: Vec<_> =
            http.into_iter().map(|request| fill_http(request, port, answer(), &input)).collect();
        let tcp: Vec<_> = tcp.into_iter().map(|connection| fill_tcp(connection, port, answer())).collect();
        let asks = !http.is_empty() || !tcp.is_empty();
        Smoke {
            expect,
            forbid: raw.forbid.clone(),
            status: raw.status,
            timeout: Duration::from_millis(quantities.timeout),
            input: typed,
            stop: asks.then(|| raw.stop.clone().unwrap_or_else(|| CTRL_C.into())),
            http,
            tcp,
            secrets: secrets.clone(),
            server: server.clone(),
            kill: false,
            again: None,
        }
    };
    let mut first = boot(raw.expect, raw.http, raw.tcp, raw.input);
    let mut last = &mut first;
    for again in raw.again {
        last.kill = again.after == After::Kill;
        let next = boot(again.expect, again.http, again.tcp, None);
        last = last.again.insert(Box::new(next));
    }
    first
}

fn fill_http(
    request: RawHttp,
    port: u16,
    timeout: Duration,
    input: impl Fn(String) -> InputPath,
) -> HttpRequest {
    HttpRequest {
        method: request.method.unwrap_or_else(|| "GET".into()),
        path: request.path,
        port: request.port.unwrap_or(port),
        headers: request.headers,
        body: request.body.map(|body| body.with(&input)),
        status: request.status.unwrap_or(200),
        expect_headers: request.expect_headers,
        expect_body: request.expect_body.map(|body| body.with(input)),
        repeat: request.repeat.unwrap_or(1),
        concurrency: request.concurrency.unwrap_or(1),
        timeout,
    }
}

fn fill_tcp(connection: RawTcp, port: u16, timeout: Duration) -> TcpExchange {
    TcpExchange {
        port: connection.port.unwrap_or(port),
        send: connection.send,
        expect: connection.expect,
        timeout,
    }
}

/// What stops the native libOS.
const CTRL_C: &str = "\u{3}";

/// The `bare-metal` target with its defaults; a table that is not there has all of them.
fn bare_metal_target(raw: Option<RawBareMetal>, serial: Serial, memory: u64) -> BareMetalTarget {
    let wanted = raw.is_some();
    let raw = raw.unwrap_or_default();
    let port = serial.io_port();
    BareMetalTarget {
        wanted,
        firmware: raw.firmware.map(sorted),
        formats: raw.formats.map(sorted),
        serial_speed: raw.serial_speed.unwrap_or(SERIAL_SPEED),
        kernel_command_line: raw
            .kernel_command_line
            .unwrap_or_else(|| format!("console_port={port:#x} debug_port={port:#x}")),
        memory,
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}
