//! The expanded recipe: every default written out, as it goes into the image.

use super::{
    After, BareMetalTarget, HttpRequest, InputPath, Period, ProcessTarget, QemuTarget, RawAgain,
    RawBareMetal, RawFiles, RawHttp, RawKernel, RawProcess, RawQemu, RawRecipe, RawRootTask, RawRumprun,
    RawServer, RawSmoke, RawSource, RawTargets, RawTcp, Recipe, RootTaskSource, Rumprun, Server, Size, Smoke,
    SourcePackage, TcpExchange,
    units::{show_period, show_size},
};
use crate::inputs::debian::Package;
use std::time::Duration;

impl Recipe {
    /// The recipe as TOML with every default written out. Paths are as the recipe has them, relative to
    /// its folder. Read again from there it gives the same recipe.
    ///
    /// # Panics
    /// Never: every value of a recipe has a form in TOML.
    pub fn expanded(&self) -> String {
        let toml = toml::to_string(&self.raw()).expect("a recipe serialises");
        format!("# The recipe of `{}` with every default written out.\n{toml}", self.function.name)
    }

    fn raw(&self) -> RawRecipe {
        RawRecipe {
            function: self.function.clone(),
            root_task: self.raw_root_task(),
            rumprun: self.rumprun.as_ref().map(raw_rumprun),
            kernel: RawKernel {
                config: self.kernel.clone(),
                prebuilt: self.prebuilt_kernel.as_ref().map(|file| file.written.clone()),
            },
            devices: self.devices.clone(),
            files: self.files.as_ref().map(|folder| RawFiles { from: folder.written.clone() }),
            run: self.run.clone(),
            targets: RawTargets {
                qemu: raw_qemu(&self.qemu),
                process: raw_process(&self.process),
                bare_metal: self.bare_metal.wanted.then(|| raw_bare_metal(&self.bare_metal)),
            },
            smoke: self.smoke.as_ref().map(raw_smoke),
        }
    }

    fn raw_root_task(&self) -> RawRootTask {
        let (mut crate_dir, mut c_sources, mut source) = (None, None, None);
        let (mut program, mut prebuilt) = (None, None);
        match &self.source {
            RootTaskSource::Crate(folder) => crate_dir = Some(folder.written.clone()),
            RootTaskSource::C(files) => {
                c_sources = Some(files.iter().map(|file| file.written.clone()).collect())
            }
            RootTaskSource::Package(package) => source = Some(raw_source(package)),
            RootTaskSource::Program(file) => program = Some(file.written.clone()),
            RootTaskSource::Prebuilt(file) => prebuilt = Some(file.written.clone()),
        }
        let built = prebuilt.is_none();
        RawRootTask {
            crate_dir,
            c_sources,
            source,
            program,
            prebuilt,
            features: self.features.clone(),
            libos: built.then_some(self.libos),
            stack: built.then(|| Size::Text(show_size(self.stack))),
            heap: built.then(|| Size::Text(show_size(self.heap))),
            acpi: built.then_some(self.acpi),
            needs: self.needs.clone(),
            wants: self.wants.clone(),
        }
    }
}

fn raw_source(source: &SourcePackage) -> RawSource {
    let Package { name, version, sha256 } = source.package.clone();
    let SourcePackage { prepare, files, exclude, include, .. } = source.clone();
    RawSource { debian_source: name, version, sha256, prepare, files, exclude, include }
}

fn raw_rumprun(rumprun: &Rumprun) -> RawRumprun {
    RawRumprun {
        tree: rumprun.tree.as_ref().map(|tree| tree.written.clone()),
        components: Some(rumprun.components.clone()),
        cflags: rumprun.cflags.clone(),
        hostname: Some(rumprun.hostname.clone()),
        mount: rumprun.mount.clone(),
    }
}

fn raw_qemu(qemu: &QemuTarget) -> RawQemu {
    RawQemu {
        memory: Some(Size::Text(show_size(qemu.memory))),
        machine: qemu.machine,
        cpu: qemu.cpu.clone(),
        extra_args: qemu.extra_args.clone(),
    }
}

fn raw_process(process: &ProcessTarget) -> RawProcess {
    RawProcess { memory: Some(Size::Text(show_size(process.memory))), input: Some(process.input) }
}

fn raw_bare_metal(target: &BareMetalTarget) -> RawBareMetal {
    RawBareMetal {
        firmware: target.firmware.clone(),
        formats: target.formats.clone(),
        serial_speed: Some(target.serial_speed),
        kernel_command_line: Some(target.kernel_command_line.clone()),
        memory: Some(Size::Text(show_size(target.memory))),
    }
}

fn raw_smoke(smoke: &Smoke) -> RawSmoke {
    let again = smoke.boots().zip(smoke.boots().skip(1)).map(|(before, boot)| RawAgain {
        after: if before.kill { After::Kill } else { After::Stop },
        expect: boot.expect.clone(),
        http: boot.http.iter().map(raw_http).collect(),
        tcp: boot.tcp.iter().map(raw_tcp).collect(),
    });
    RawSmoke {
        expect: smoke.expect.clone(),
        forbid: smoke.forbid.clone(),
        status: smoke.status,
        timeout: Some(raw_period(smoke.timeout)),
        input: smoke.input.clone(),
        http: smoke.http.iter().map(raw_http).collect(),
        tcp: smoke.tcp.iter().map(raw_tcp).collect(),
        secrets: smoke.secrets.iter().map(|(name, file)| (name.clone(), file.written.clone())).collect(),
        server: smoke.server.iter().map(raw_server).collect(),
        stop: smoke.boots().find_map(|boot| boot.stop.clone()),
        again: again.collect(),
    }
}

fn raw_http(request: &HttpRequest) -> RawHttp {
    RawHttp {
        method: Some(request.method.clone()),
        path: request.path.clone(),
        port: Some(request.port),
        headers: request.headers.clone(),
        body: request.body.clone().map(|body| body.with(written)),
        status: Some(request.status),
        expect_headers: request.expect_headers.clone(),
        expect_body: request.expect_body.clone().map(|body| body.with(written)),
        repeat: Some(request.repeat),
        concurrency: Some(request.concurrency),
        timeout: Some(raw_period(request.timeout)),
    }
}

/// A path as the recipe has it.
fn written(file: InputPath) -> String {
    file.written
}

fn raw_server(server: &Server) -> RawServer {
    RawServer {
        env: server.env.clone(),
        certificate: server.certificate.written.clone(),
        key: server.key.written.clone(),
        path: server.path.clone(),
        body: server.body.clone(),
    }
}

fn raw_tcp(connection: &TcpExchange) -> RawTcp {
    RawTcp {
        port: Some(connection.port),
        send: connection.send.clone(),
        expect: connection.expect.clone(),
        timeout: Some(raw_period(connection.timeout)),
    }
}

fn raw_period(period: Duration) -> Period {
    Period::Text(show_period(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)))
}
