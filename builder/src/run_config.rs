//! Run configuration: what a function is started with, as the runtime reads it.
//!
//! The section `.selkie.run` of the root task holds the recipe's `[run]` table and the tables of all
//! targets side by side, the same bytes for every target; the runtime picks at run time. A run may
//! override it without a rebuild, in the same format: under QEMU by the fw_cfg file [`FW_CFG_FILE`], in a
//! process by a descriptor that the tender is told with `--run-fd`.
//!
//! The format is [`MAGIC`], then records `KEY=VALUE` in UTF-8, each ended by a NUL, then one empty
//! record. A key with a target's name before it (`qemu.arg`) holds on that target only: its arguments
//! replace the common ones, its environment is added to the common one and wins. Where a list of
//! arguments that replaces another one is empty, the record `no-arg=` stands for it.
//!
//! `net-address=`, each with the length of its network's prefix, `net-gateway=` and `net-dns=` are lists likewise. A
//! list that has a target's name replaces the common one; where there is no address, DHCP gives all three.

use crate::{
    Target,
    recipe::{AtExit, Env, RawRun, RawRunNet, SERIAL_SPEED, Serial},
};

/// The first bytes of a run configuration; the digit is the version of the format.
pub const MAGIC: &[u8] = b"SELKIERUN1\0";

/// The fw_cfg file by which QEMU hands an override to the guest.
pub const FW_CFG_FILE: &str = "opt/selkie/run";

/// The section of a root task that holds its run configuration.
pub const SECTION: &str = ".selkie.run";

/// A value that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A NUL byte would end the record early.
    #[error(
        "{what} contains a NUL character\n  help: arguments and environment are texts without NUL, as on every Unix"
    )]
    Nul {
        /// Which value.
        what: String,
    },
    /// A name of the environment that could not be read back.
    #[error(
        "`{name}` cannot be the name of an environment variable\n  help: a name is not empty and has no `=`"
    )]
    Name {
        /// The name.
        name: String,
    },
}

crate::exit_code!(Error, Usage);

/// What replaces or adds to an image's own run configuration for one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// Arguments instead of the image's.
    pub args: Option<Vec<String>>,
    /// Environment on top of the image's. Secrets come this way and no other.
    pub env: Env,
    /// The nonce of the exit line, instead of the image's; 16 hexadecimal digits.
    pub nonce: Option<String>,
}

impl Override {
    /// Whether there is nothing to hand over.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The content of the fw_cfg file, or of what `--run-fd` names.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut records = Records::new();
        records.args("", self.args.as_deref())?;
        records.env("", &self.env)?;
        if let Some(nonce) = &self.nonce {
            records.add("nonce", nonce)?;
        }
        Ok(records.end())
    }
}

/// The content of `.selkie.run`.
///
/// `speed` is that of the serial port on bare metal, [`SERIAL_SPEED`] divided by a whole number. `nonce` is what the
/// exit line must repeat: 16 hexadecimal digits that no other image has.
pub fn encode(run: &RawRun, serial: Serial, speed: u32, nonce: &str) -> Result<Vec<u8>, Error> {
    let mut records = Records::new();
    records.args("", (!run.args.is_empty()).then_some(run.args.as_slice()))?;
    records.env("", &run.env)?;
    records.net("", run.net.as_ref())?;
    for &target in Target::ALL {
        let own = run.own(target);
        let prefix = format!("{target}.");
        records.args(&prefix, own.args.as_deref())?;
        records.env(&prefix, &own.env)?;
        records.net(&prefix, own.net.as_ref())?;
    }
    records.add(
        "at-exit",
        match run.at_exit {
            AtExit::PowerOff => "power-off",
            AtExit::Reboot => "reboot",
            AtExit::Halt => "halt",
        },
    )?;
    records.add("serial", serial_name(serial))?;
    if speed != SERIAL_SPEED {
        // The recipe's check lets no 0 through.
        let divisor = SERIAL_SPEED / speed.max(1);
        records.add(&format!("{}.serial-divisor", Target::BareMetal), &divisor.to_string())?;
    }
    records.add("nonce", nonce)?;
    Ok(records.end())
}

/// The word for a serial port in run configurations and manifests.
pub fn serial_name(serial: Serial) -> &'static str {
    match serial {
        Serial::Com1 => "com1",
        Serial::Com2 => "com2",
    }
}

/// The records of a run configuration, or none when the bytes are not one.
///
/// For `inspect` and for tests; the runtime has a reader of its own.
pub fn decode(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut records = Vec::new();
    loop {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let record = std::str::from_utf8(&rest[..end]).ok()?;
        if record.is_empty() {
            return Some(records);
        }
        let (key, value) = record.split_once('=')?;
        records.push((key.to_owned(), value.to_owned()));
        rest = &rest[end + 1..];
    }
}

struct Records(Vec<u8>);

impl Records {
    fn new() -> Self {
        Self(MAGIC.to_vec())
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Error> {
        if value.contains('\0') {
            return Err(Error::Nul { what: format!("`{}` of `{key}`", value.escape_debug()) });
        }
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
        Ok(())
    }

    fn args(&mut self, prefix: &str, args: Option<&[String]>) -> Result<(), Error> {
        let Some(args) = args else { return Ok(()) };
        // An empty list for a target, or of an override, still replaces: it needs a record to say so.
        if args.is_empty() {
            return self.add(&format!("{prefix}no-arg"), "");
        }
        args.iter().try_for_each(|arg| self.add(&format!("{prefix}arg"), arg))
    }

    fn env(&mut self, prefix: &str, env: &Env) -> Result<(), Error> {
        env.iter().try_for_each(|(name, value)| {
            if name.is_empty() || name.contains('=') {
                return Err(Error::Name { name: name.clone() });
            }
            self.add(&format!("{prefix}env"), &format!("{name}={value}"))
        })
    }

    fn net(&mut self, prefix: &str, net: Option<&RawRunNet>) -> Result<(), Error> {
        let Some(net) = net else { return Ok(()) };
        let lists = [("net-address", &net.addresses), ("net-gateway", &net.gateways), ("net-dns", &net.dns)];
        let mut records = lists.iter().flat_map(|(key, list)| list.iter().map(move |value| (key, value)));
        records.try_for_each(|(key, value)| self.add(&format!("{prefix}{key}"), value))
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(0);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::RawTargetRun;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_bytes_are_those_that_the_runtime_expects() {
        let run = RawRun {
            args: vec!["a b".into(), String::new()],
            env: env(&[("B", "2=3"), ("A", "ä")]),
            at_exit: AtExit::Reboot,
            net: Some(RawRunNet { addresses: vec!["10.0.2.15/24".into()], ..RawRunNet::default() }),
            qemu: RawTargetRun { args: Some(vec!["q".into()]), env: env(&[("A", "1")]), net: None },
            process: RawTargetRun { args: Some(vec![]), env: env(&[("P", "2")]), net: None },
            bare_metal: RawTargetRun {
                args: Some(vec!["m".into()]),
                env: env(&[]),
                net: Some(RawRunNet {
                    addresses: vec!["192.0.2.7/24".into()],
                    gateways: vec!["192.0.2.1".into()],
                    dns: vec!["192.0.2.1".into(), "192.0.2.2".into()],
                }),
            },
        };
        let bytes = encode(&run, Serial::Com2, 9600, "0123456789abcdef").unwrap();
        let text = "SELKIERUN1\0arg=a b\0arg=\0env=A=ä\0env=B=2=3\0net-address=10.0.2.15/24\0qemu.arg=q\0qemu.env=A=1\0process.no-arg=\0process.env=P=2\0bare-metal.arg=m\0bare-metal.net-address=192.0.2.7/24\0bare-metal.net-gateway=192.0.2.1\0\
                    bare-metal.net-dns=192.0.2.1\0bare-metal.net-dns=192.0.2.2\0at-exit=reboot\0\
                    serial=com2\0bare-metal.serial-divisor=12\0nonce=0123456789abcdef\0\0";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), text);
        let records = decode(&bytes).unwrap();
        assert_eq!(records.len(), 18);
        assert_eq!(records[3], ("env".to_owned(), "B=2=3".to_owned()));
    }

    #[test]
    fn an_override_says_only_what_it_changes() {
        let none = Override::default();
        assert!(none.is_empty());
        assert_eq!(none.encode().unwrap(), b"SELKIERUN1\0\0");
        let some =
            Override { args: Some(vec![]), env: env(&[("KEY", "s3cret")]), nonce: Some("f".repeat(16)) };
        assert_eq!(
            some.encode().unwrap(),
            b"SELKIERUN1\0no-arg=\0env=KEY=s3cret\0nonce=ffffffffffffffff\0\0"
        );
    }

    #[test]
    fn values_that_could_not_be_read_back_are_refused() {
        let nul = Override { args: Some(vec!["a\0b".into()]), ..Default::default() };
        assert_eq!(nul.encode(), Err(Error::Nul { what: "`a\\0b` of `arg`".into() }));
        for name in ["", "A=B"] {
            let bad = Override { env: env(&[(name, "x")]), ..Default::default() };
            assert_eq!(bad.encode(), Err(Error::Name { name: name.into() }));
        }
        let nul = Override { env: env(&[("A\0", "x")]), ..Default::default() };
        assert!(matches!(nul.encode(), Err(Error::Nul { .. })));
    }

    #[test]
    fn damaged_bytes_decode_to_nothing() {
        let bytes = encode(&RawRun::default(), Serial::Com1, SERIAL_SPEED, "0123456789abcdef").unwrap();
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(b"SELKIERUN1\0arg\0\0"), None);
    }
}
