//! A tap device, in a user and network namespace of the test's own: the test runs itself again in one.

use super::{service::root, skip};
use std::{
    env,
    process::{Command, Stdio},
};

/// Set for the test that runs in the namespace: what it does.
pub(crate) const INSIDE: &str = "SELKIE_TAP";
const NAMESPACE: [&str; 5] = ["--user", "--map-root-user", "--net", "sh", "-ec"];
/// Makes the device, and becomes what follows.
const SCRIPT: &str = "ip tuntap add tap0 mode tap; ip address add 10.0.2.2/24 dev tap0; \
                      ip address add 10.9.0.1/24 dev tap0; ip link set lo up; \
                      ip link set tap0 up; exec \"$0\" \"$@\"";
/// What the test says there at its end.
pub(crate) const DONE: &str = "all of it was done";

/// Whether a namespace with a tap device can be had.
pub(crate) fn can(test: &str) -> bool {
    match Command::new("unshare").args(NAMESPACE).args([SCRIPT, "true"]).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            skip(test, &format!("no tap device in a namespace of its own: {said}"));
        }
        Err(error) => skip(test, &format!("unshare: {error}")),
    }
    false
}

/// Builds an image by `build-image` with these arguments, and has the test `inside` of this program do something in a
/// namespace.
pub(crate) fn within(image: &[&str], inside: &str, what: &str) {
    let run = |command: &mut Command| {
        let output = command.current_dir(root()).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    };
    run(Command::new(env!("CARGO_BIN_EXE_xtask")).arg("build-image").args(image));
    let mut command = Command::new("unshare");
    command.args(NAMESPACE).arg(SCRIPT).arg(env::current_exe().unwrap());
    command.args([inside, "--exact", "--ignored", "--nocapture"]);
    let said = run(command.env(INSIDE, what));
    // What did not run did not pass.
    assert!(said.contains(DONE), "{said}");
    println!("{said}");
}
