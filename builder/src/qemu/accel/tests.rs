//! KVM is chosen only where a guest was seen to run under it; every other case ends with TCG and a reason.

use super::*;
use crate::smoke::tests::{Stage, stand_in};
use std::{path::PathBuf, process::Command, time::Instant};

fn host() -> Host {
    Host { kvm: Ok(()), kernel: "6.1.0 #1".into() }
}

/// A stage whose guest writes down each boot.
fn stage(guest: &str) -> Stage {
    Stage::new(&format!("echo $accel >>boots; {guest}"))
}

fn boots(stage: &Stage) -> usize {
    fs::read_to_string(stage.boot.dir.join("boots")).unwrap_or_default().lines().count()
}

fn ask(stage: &Stage, qemu: &Binary, host: &Host, limit: Duration) -> crate::Result<Accelerator> {
    let sign = Some(regex::bytes::Regex::new("Hello").unwrap());
    let probe = Probe { qemu, boot: &stage.boot, sign, limit };
    choose(&stage.context(), AccelRequest::Auto, host, &probe)
}

fn qemu() -> Binary {
    Binary::find(Some(&stand_in())).unwrap()
}

/// The answer for a guest that has long enough.
fn answer(stage: &Stage) -> Accelerator {
    ask(stage, &qemu(), &host(), Duration::from_secs(20)).unwrap()
}

#[track_caller]
fn refuses(guest: &str, reason: &str) {
    let stage = stage(guest);
    let answer = answer(&stage);
    assert_eq!(answer.accel, Accel::Tcg, "{answer}");
    assert!(answer.reason.contains(reason), "{answer}");
    assert_eq!(fs::read_to_string(stage.boot.dir.join("boots")).unwrap(), "kvm\n");
}

#[test]
fn a_guest_that_runs_is_reason_for_kvm() {
    for guest in ["line Hello; sleep 600", "frame 101; sleep 600", "leave 0", "leave 101"] {
        let answer = answer(&stage(guest));
        assert_eq!(answer.accel, Accel::Kvm, "{guest}: {answer}");
        assert!(answer.reason.contains("a probe has booted this kernel"), "{answer}");
    }
}

#[test]
fn a_guest_that_hangs_gets_tcg_soon() {
    for (guest, reason) in [
        ("sleep 600", "printed nothing within 1 s"),
        ("line 'Booting all finished'; sleep 600", "printed nothing that is expected within 1 s"),
    ] {
        let started = Instant::now();
        let stage = stage(guest);
        let answer = ask(&stage, &qemu(), &host(), Duration::from_secs(1)).unwrap();
        assert_eq!(answer.accel, Accel::Tcg);
        assert!(answer.reason.contains(reason), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(15));
    }
}

#[test]
fn an_internal_error_and_a_pause() {
    let started = Instant::now();
    refuses(
        "echo 'KVM internal error. Suberror: 1' >&2; sleep 600",
        "KVM cannot run the guest: KVM internal error. Suberror: 1",
    );
    refuses("echo 'error: kvm run failed Bad address' >&2; sleep 600", "kvm run failed Bad address");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_abort() {
    refuses(
        "echo 'qemu: kvm_init_vcpu: assertion failed' >&2; kill -ABRT $$",
        "QEMU died by SIGABRT (signal 6): qemu: kvm",
    );
}

#[test]
fn a_device_that_qemu_may_not_use() {
    let guest = "echo 'Could not access KVM kernel module: Permission denied' >&2; exit 1";
    refuses(guest, "exit code 1: Could not access KVM kernel module: Permission denied");
}

#[test]
fn a_guest_that_crashes_or_floods() {
    refuses("exit 0", "the guest reset");
    refuses("yes no", "nothing that is expected");
    refuses("exit 3", "wrote 1 to the exit port");
}

#[test]
fn a_device_that_is_missing_or_closed_needs_no_probe() {
    let stage = stage("leave 0");
    let missing = open(Path::new("/no/such/kvm")).unwrap_err();
    let closed = io::Error::from(io::ErrorKind::PermissionDenied);
    for (error, word) in [(missing, "the host has no /dev/kvm"), (closed, "group")] {
        let host = Host { kvm: Err(refusal(&error)), ..host() };
        let answer = ask(&stage, &qemu(), &host, PROBE_LIMIT).unwrap();
        assert_eq!(answer.accel, Accel::Tcg);
        assert!(answer.reason.contains(word), "{answer}");
    }
    assert_eq!(boots(&stage), 0);
    assert!(!Host::read().kernel.is_empty());
}

#[test]
fn what_the_user_asks_for_needs_no_probe() {
    let stage = stage("leave 0");
    let qemu = qemu();
    let probe = Probe { qemu: &qemu, boot: &stage.boot, sign: None, limit: PROBE_LIMIT };
    for (word, accel) in [("tcg", Accel::Tcg), ("kvm", Accel::Kvm)] {
        let request = word.parse().unwrap();
        let answer = choose(&stage.context(), request, &host(), &probe).unwrap();
        assert_eq!((answer.accel, answer.reason.as_str()), (accel, "asked for"));
    }
    assert_eq!(boots(&stage), 0);
    assert_eq!("auto".parse::<AccelRequest>().unwrap(), AccelRequest::Auto);
    assert_eq!(crate::Error::from("xen".parse::<AccelRequest>().unwrap_err()).code(), crate::ExitCode::Usage);
}

/// A copy of the stand-in QEMU. `cp` makes it: a program that this process writes itself could not be
/// started as long as another test's child holds it open.
fn copy(stage: &Stage, name: &str) -> PathBuf {
    let path = stage.boot.dir.join(name);
    assert!(Command::new("cp").arg(stand_in()).arg(&path).status().unwrap().success());
    path
}

#[test]
fn the_answer_is_remembered_until_something_changes() {
    let stage = stage("leave 0");
    let path = copy(&stage, "qemu");
    let limit = Duration::from_secs(20);
    let ask = |host: &Host| ask(&stage, &Binary::find(Some(&path)).unwrap(), host, limit).unwrap();

    assert!(!ask(&host()).remembered);
    let second = ask(&host());
    assert_eq!((second.accel, boots(&stage)), (Accel::Kvm, 1));
    assert!(second.remembered && second.to_string().ends_with("(remembered)"), "{second}");

    fs::rename(copy(&stage, "new"), &path).unwrap();
    assert!(!ask(&host()).remembered);
    assert_eq!(boots(&stage), 2, "another QEMU");

    ask(&Host { kernel: "6.1.1 #1".into(), ..host() });
    assert_eq!(boots(&stage), 3, "another host kernel");

    fs::write(stage.boot.kernel(), "another kernel").unwrap();
    ask(&host());
    assert_eq!(boots(&stage), 4, "another seL4");
    ask(&host());
    assert_eq!(boots(&stage), 4);

    let gone = Host { kvm: Err("the host has no /dev/kvm".into()), ..host() };
    assert_eq!(ask(&gone).accel, Accel::Tcg, "a remembered answer must not hide that KVM is gone");
}

#[test]
fn a_refusal_is_remembered_too() {
    let stage = stage("exit 0");
    assert_eq!(answer(&stage).accel, Accel::Tcg);
    let second = answer(&stage);
    assert_eq!((second.accel, boots(&stage)), (Accel::Tcg, 1));
    assert!(second.to_string().contains("the guest reset (remembered)"), "{second}");
}

#[test]
fn a_cancelled_probe_is_no_answer() {
    let stage = stage("leave 0");
    let ctx = stage.context();
    ctx.cancel.0.store(true, std::sync::atomic::Ordering::Relaxed);
    let qemu = qemu();
    let probe = Probe { qemu: &qemu, boot: &stage.boot, sign: None, limit: PROBE_LIMIT };
    assert!(choose(&ctx, AccelRequest::Auto, &host(), &probe).is_err());
    assert_eq!(answer(&stage).accel, Accel::Kvm);
}

#[test]
fn a_qemu_that_is_gone_is_an_error() {
    let stage = stage("leave 0");
    let path = copy(&stage, "qemu");
    let qemu = Binary::find(Some(&path)).unwrap();
    fs::remove_file(&path).unwrap();
    let error = ask(&stage, &qemu, &host(), PROBE_LIMIT).unwrap_err();
    assert_eq!(error.code(), crate::ExitCode::HostLacks, "{error}");
}

#[test]
fn a_qemu_that_does_not_start_gets_its_reason() {
    let stage = stage("leave 0");
    fs::write(stage.boot.dir.join("qemu"), "no program").unwrap();
    let qemu = Binary::find(Some(&stage.boot.dir.join("qemu"))).unwrap();
    let answer = ask(&stage, &qemu, &host(), PROBE_LIMIT).unwrap();
    assert!(answer.reason.contains("QEMU does not start"), "{answer}");
}
