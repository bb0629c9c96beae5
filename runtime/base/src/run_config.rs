//! The run configuration: what a function is started with.
//!
//! It lies in the section `.selkie.run`, the same bytes for all targets: the magic text, then records
//! `key=value`, each ended by a NUL, then an empty record. A record of one target only has the target's
//! name as a prefix (`qemu.arg=…`). An override that comes with a run has the same format.

use core::str;

const MAGIC: &[u8] = b"SELKIERUN1\0";

/// The bytes are not a run configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadConfig;

/// What happens after the exit line where there is no host to return to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtExit {
    /// Switch the machine off, else halt.
    #[default]
    PowerOff,
    /// Reset the machine.
    Reboot,
    /// Stop and keep the last screen.
    Halt,
}

/// The serial port of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SerialPort {
    /// IO ports from 0x3f8 on, interrupt 4.
    #[default]
    Com1,
    /// IO ports from 0x2f8 on, interrupt 3.
    Com2,
}

/// One set of records, checked once.
#[derive(Debug, Clone, Copy)]
struct Records<'a>(&'a str);

impl<'a> Records<'a> {
    const NONE: Self = Self("");

    fn decode(bytes: &'a [u8]) -> Result<Self, BadConfig> {
        let records = bytes.strip_prefix(MAGIC).ok_or(BadConfig)?;
        // Of the current record: whether it has a byte yet, and whether one was `=`.
        let (mut begun, mut parted) = (false, false);
        for (index, byte) in records.iter().enumerate() {
            match byte {
                0 if !begun => {
                    let records = records.get(..index).unwrap_or_default();
                    return str::from_utf8(records).map(Self).map_err(|_| BadConfig);
                }
                0 if !parted => return Err(BadConfig),
                0 => (begun, parted) = (false, false),
                byte => (begun, parted) = (true, parted || *byte == b'='),
            }
        }
        Err(BadConfig)
    }

    /// The values under `key` (which ends in `=`), or under `TARGET.key` when `target` is not empty, in
    /// their order.
    fn values(self, target: &'a str, key: &'a str) -> Values<'a> {
        Values { rest: self.0, target, key }
    }

    fn first(self, target: &'a str, key: &'a str) -> Option<&'a str> {
        self.values(target, key).next()
    }
}

/// See [`Records::values`].
#[derive(Clone)]
struct Values<'a> {
    rest: &'a str,
    target: &'a str,
    key: &'a str,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    #[inline(never)]
    fn next(&mut self) -> Option<&'a str> {
        while let Some((record, rest)) = self.rest.split_once('\0') {
            self.rest = rest;
            let name = match self.target {
                "" => Some(record),
                target => record.strip_prefix(target).and_then(|record| record.strip_prefix('.')),
            };
            if let Some(value) = name.and_then(|name| name.strip_prefix(self.key)) {
                return Some(value);
            }
        }
        None
    }
}

/// No record has this prefix.
const NO_TARGET: &str = "?";

/// What a function is started with on one target.
#[derive(Debug, Clone, Copy)]
pub struct RunConfig<'a> {
    target: &'a str,
    own: Records<'a>,
    over: Records<'a>,
}

impl<'a> RunConfig<'a> {
    /// The configuration of a function that has none.
    pub const NONE: Self = Self { target: NO_TARGET, own: Records::NONE, over: Records::NONE };

    /// Reads the section's bytes for `target` (`qemu`, `process` or `bare-metal`).
    pub fn new(target: &'a str, section: &'a [u8]) -> Result<Self, BadConfig> {
        Ok(Self { target, own: Records::decode(section)?, over: Records::NONE })
    }

    /// Adds what came with this run: its arguments and nonce replace those of the section, its
    /// environment is added and wins.
    pub fn with_override(self, bytes: &'a [u8]) -> Result<Self, BadConfig> {
        Ok(Self { over: Records::decode(bytes)?, ..self })
    }

    /// The arguments: those of the override, else the target's own, else the common ones.
    pub fn args(self) -> impl Iterator<Item = &'a str> {
        let choices = [(self.over, ""), (self.own, self.target), (self.own, "")];
        // Where no arguments replace others, a record says so.
        let has = |choice: &&(Records<'a>, &'a str)| {
            ["arg=", "no-arg="].into_iter().any(|key| choice.0.first(choice.1, key).is_some())
        };
        let (records, target) = *choices.iter().find(has).unwrap_or(&choices[0]);
        records.values(target, "arg=")
    }

    /// The addresses of the network, each with the length of its prefix (`10.0.2.15/24`, `fec0::2/64`): those of the
    /// override, else the target's own, else the common ones. None: what the network's DHCP server gives.
    pub fn net_addresses(self) -> impl Iterator<Item = &'a str> {
        self.list("net-address=")
    }

    /// The routers of the network, likewise.
    pub fn net_gateways(self) -> impl Iterator<Item = &'a str> {
        self.list("net-gateway=")
    }

    /// The name servers of the network, likewise.
    pub fn net_name_servers(self) -> impl Iterator<Item = &'a str> {
        self.list("net-dns=")
    }

    /// All values of the first place that has one.
    fn list(self, key: &'a str) -> Values<'a> {
        let choices = [(self.over, ""), (self.own, self.target)];
        let has = |(records, target): &(Records<'a>, &'a str)| records.first(target, key).is_some();
        let (records, target) = choices.into_iter().find(has).unwrap_or((self.own, ""));
        records.values(target, key)
    }

    /// All variables of the environment. When a name occurs more than once, the first one counts.
    pub fn env(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let over = self.over.values("", "env=");
        let target = self.own.values(self.target, "env=");
        let common = self.own.values("", "env=");
        over.chain(target).chain(common).filter_map(|value| value.split_once('='))
    }

    /// One variable of the environment.
    #[inline(never)]
    pub fn var(self, name: &str) -> Option<&'a str> {
        self.env().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The text that marks this run's exit line; empty when there is none.
    pub fn nonce(self) -> &'a str {
        self.single("nonce=").unwrap_or_default()
    }

    /// What happens after the exit line where there is no host to return to.
    pub fn at_exit(self) -> AtExit {
        match self.single("at-exit=") {
            Some("reboot") => AtExit::Reboot,
            Some("halt") => AtExit::Halt,
            _ => AtExit::PowerOff,
        }
    }

    /// The serial port of the console.
    pub fn serial(self) -> SerialPort {
        match self.single("serial=") {
            Some("com2") => SerialPort::Com2,
            _ => SerialPort::Com1,
        }
    }

    /// What 115,200 bits per second are divided by on the console's serial port.
    pub fn serial_divisor(self) -> u16 {
        let number = |text: &str| {
            text.bytes()
                .fold(0, |number: u16, digit| number.wrapping_mul(10).wrapping_add((digit & 0x0f).into()))
        };
        self.single("serial-divisor=").map_or(1, number).max(1)
    }

    #[inline(never)]
    fn single(self, key: &'a str) -> Option<&'a str> {
        let own = || self.own.first(self.target, key).or_else(|| self.own.first("", key));
        self.over.first("", key).or_else(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &[u8] = b"SELKIERUN1\0arg=a\0arg=b=c\0env=LOG=info\0env=N=1\0qemu.env=N=2\0\
        process.arg=p\0at-exit=halt\0serial=com2\0nonce=0011223344556677\0\0";

    fn on(target: &'static str) -> RunConfig<'static> {
        RunConfig::new(target, SECTION).unwrap()
    }

    fn args(config: RunConfig<'static>) -> Vec<&'static str> {
        config.args().collect()
    }

    #[test]
    fn a_target_replaces_arguments_and_adds_environment() {
        assert_eq!(args(on("qemu")), ["a", "b=c"]);
        assert_eq!(args(on("process")), ["p"]);
        assert_eq!(on("qemu").var("N"), Some("2"));
        assert_eq!(on("process").var("N"), Some("1"));
        assert_eq!(on("qemu").var("LOG"), Some("info"));
        assert_eq!(on("qemu").var("LO"), None);
    }

    #[test]
    fn hostile_bytes_end_in_an_error_or_in_texts() {
        for length in 0..SECTION.len() {
            assert!(RunConfig::new("qemu", &SECTION[..length]).is_err());
        }
        for index in 0..SECTION.len() {
            for byte in [0, b'=', b'.', 0x80, 0xff] {
                let mut bytes = SECTION.to_vec();
                bytes[index] = byte;
                if let Ok(config) = RunConfig::new("qemu", &bytes) {
                    let texts = config.args().chain(config.env().map(|(_, value)| value));
                    assert!(texts.map(str::len).sum::<usize>() < SECTION.len());
                    let _ = (config.nonce(), config.at_exit(), config.serial());
                }
            }
        }
    }

    #[test]
    fn an_override_wins() {
        let over = b"SELKIERUN1\0arg=x\0env=N=3\0env=SECRET=s=1\0nonce=ff\0\0";
        let config = on("process").with_override(over).unwrap();
        assert_eq!(args(config), ["x"]);
        assert_eq!(
            (config.var("N"), config.var("SECRET"), config.var("LOG")),
            (Some("3"), Some("s=1"), Some("info"))
        );
        assert_eq!(config.nonce(), "ff");
        let empty = on("process").with_override(b"SELKIERUN1\0\0").unwrap();
        assert_eq!((args(empty), empty.nonce()), (vec!["p"], "0011223344556677"));
    }

    #[test]
    fn the_first_place_that_names_addresses_has_them_all() {
        let section =
            b"SELKIERUN1\0net-address=10.0.2.15/24\0net-address=fec0::2/64\0qemu.net-gateway=10.0.2.2\0\
            net-gateway=10.0.0.1\0\0";
        let on = |target| RunConfig::new(target, section).unwrap();
        let addresses = |config: RunConfig<'static>| config.net_addresses().collect::<Vec<_>>();
        assert_eq!(addresses(on("qemu")), ["10.0.2.15/24", "fec0::2/64"]);
        assert_eq!(on("qemu").net_gateways().collect::<Vec<_>>(), ["10.0.2.2"]);
        assert_eq!(on("process").net_gateways().collect::<Vec<_>>(), ["10.0.0.1"]);
        assert_eq!(on("qemu").net_name_servers().count(), 0);
        let over = on("qemu").with_override(b"SELKIERUN1\0net-address=192.0.2.1/30\0\0").unwrap();
        assert_eq!((addresses(over), over.net_gateways().count()), (vec!["192.0.2.1/30"], 1));
    }

    #[test]
    fn no_arguments_replace_others_where_a_record_says_so() {
        assert_eq!(args(on("process").with_override(b"SELKIERUN1\0no-arg=\0\0").unwrap()), [""; 0]);
        let section = b"SELKIERUN1\0arg=a\0qemu.no-arg=\0\0";
        assert_eq!(args(RunConfig::new("qemu", section).unwrap()), [""; 0]);
        assert_eq!(args(RunConfig::new("process", section).unwrap()), ["a"]);
    }

    #[test]
    fn reads_the_single_values() {
        assert_eq!((on("qemu").at_exit(), on("qemu").serial()), (AtExit::Halt, SerialPort::Com2));
        assert_eq!(
            (RunConfig::NONE.at_exit(), RunConfig::NONE.serial()),
            (AtExit::PowerOff, SerialPort::Com1)
        );
        assert_eq!((RunConfig::NONE.nonce(), RunConfig::NONE.args().count()), ("", 0));
    }

    #[test]
    fn reads_the_divisor_of_the_serial_port() {
        let section = b"SELKIERUN1\0bare-metal.serial-divisor=12\0\0";
        let on = |target| RunConfig::new(target, section).unwrap().serial_divisor();
        assert_eq!((on("bare-metal"), on("qemu")), (12, 1));
        for text in ["0", "", "x", "65536", "99999"] {
            let section = format!("SELKIERUN1\0serial-divisor={text}\0\0");
            assert!(RunConfig::new("qemu", section.as_bytes()).unwrap().serial_divisor() > 0, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_run_configuration() {
        for bytes in [
            &b""[..],
            b"SELKIERUN1",
            b"SELKIERUN1\0",
            b"SELKIERUN1\0arg=a",
            b"SELKIERUN1\0arg=a\0",
            b"SELKIERUN2\0\0",
            b"SELKIERUN1\0arg\0\0",
            b"SELKIERUN1\0arg=\xff\0\0",
        ] {
            assert!(RunConfig::new("qemu", bytes).is_err(), "{bytes:?}");
        }
        assert!(RunConfig::new("qemu", b"SELKIERUN1\0\0anything").is_ok());
        assert!(RunConfig::new("qemu", b"SELKIERUN1\0arg=\0\0").is_ok());
    }
}
