//! The command line.

use crate::{error::Text, process::Args};
use core::{
    ffi::CStr,
    fmt::{Display, Formatter},
};

/// What the command line asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Run the root task.
    Run(Options),
    /// Print [`HELP_SINGLE`] or [`HELP_OPERATOR`].
    Help,
    /// Print the version.
    Version,
}

/// How the root task is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of memory, instead of what the image asks for.
    pub memory: Option<u64>,
    /// The most memory that the operator allows.
    pub allow_memory: Option<u64>,
    /// Every call of seL4 is printed.
    pub trace: bool,
    /// Digests are compared before the start.
    pub verify: bool,
    /// Nothing runs unless every part of the lock-down is there.
    pub strict: bool,
    /// A descriptor with an override of the run configuration.
    pub run_fd: Option<i32>,
    /// The network, where one is named.
    pub net: Option<NetOption>,
    /// The disk, where one is named.
    pub disk: Option<DiskOption>,
    /// The root task's file, for the operator's tender.
    pub root_task: Option<&'static CStr>,
    /// The command line, to find `--env` in.
    args: Args,
    operator: bool,
    /// What follows `--`.
    guest_args: Option<Args>,
}

/// What `--net` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetOption {
    /// None: the function has to do without.
    None,
    /// The path of a socket that takes frames.
    Path(&'static [u8]),
    /// An open descriptor of such a socket.
    Descriptor(i32),
}

impl NetOption {
    fn parse(value: &'static [u8]) -> Option<Self> {
        if value == b"none" {
            return Some(Self::None);
        }
        if let Some(path) = value.strip_prefix(b"unix:") {
            return (!path.is_empty()).then_some(Self::Path(path));
        }
        // 0 to 2 are the console's.
        let descriptor = parse_descriptor(value.strip_prefix(b"fd:")?)?;
        (descriptor > 2).then_some(Self::Descriptor(descriptor))
    }

    /// What it is called in messages.
    pub(crate) fn text(self) -> &'static [u8] {
        match self {
            Self::None => b"none",
            Self::Path(path) => path,
            Self::Descriptor(_) => b"fd",
        }
    }
}

/// What `--disk` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOption {
    /// None: the function has to do without.
    None,
    /// A file or a block device.
    File {
        /// Its path.
        path: &'static [u8],
        /// It is only read.
        read_only: bool,
    },
}

impl DiskOption {
    fn parse(value: &'static [u8]) -> Option<Self> {
        if value == b"none" {
            return Some(Self::None);
        }
        let (path, read_only) = match value.strip_suffix(b",ro") {
            Some(path) => (path, true),
            None => (value, false),
        };
        (!path.is_empty()).then_some(Self::File { path, read_only })
    }
}

/// A command line that cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageError {
    argument: &'static [u8],
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Unknown,
    NoValue,
    NeedlessValue,
    Size,
    Descriptor,
    Net,
    Disk,
    Environment,
    NotText,
    Allow,
    NotOperator,
    Extra,
    NoRootTask,
}

/// `--help` of a single executable.
pub const HELP_SINGLE: &str = "\
Runs the seL4 root task in this file as one locked-down process.

Usage: IMAGE [OPTIONS] [-- ARGUMENT...]

The arguments after `--` replace those that the image was built with.

Options:
      --memory SIZE      memory for image, kernel objects and untypeds: bytes, or with K, M or G
      --env NAME=VALUE   a variable of the function's environment; it sees no other of yours
      --net NETWORK      for an image with a network: unix:PATH, the socket of a running passt; fd:N, an
                         open descriptor of one; or none
      --disk FILE        for an image with a disk: a file or a block device, as large as it is; FILE,ro is
                         only read; or none
      --run-fd N         an open descriptor with an override of the run configuration (SELKIERUN1)
      --trace            print every seL4 call, decoded, to standard error
      --verify           compare the digests of tables and root task before the start
      --strict           refuse to start when the kernel or container lacks a part of the lock-down
      --help             print this
      --version          print the version

Exit status: the function's own (0 to 111); 103 for a fault that nobody handles, with a report;
125 when the root task could not be started; killed by SIGSYS for a forbidden system call.";

/// `--help` of the operator's tender.
pub const HELP_OPERATOR: &str = "\
Runs an seL4 root task as one locked-down process. Devices and limits are set here; the image may only ask.

Usage: selkie-tender [OPTIONS] ROOT-TASK [-- ARGUMENT...]

The arguments after `--` replace those that the root task was built with.

Options:
      --allow LIST       upper limits, separated by commas: memory=SIZE
      --memory SIZE      memory for image, kernel objects and untypeds: bytes, or with K, M or G
      --env NAME=VALUE   a variable of the function's environment; it sees no other of yours
      --net NETWORK      the root task gets a network, and random bytes: unix:PATH, the socket of a running
                         passt; fd:N, an open descriptor of one
      --disk FILE        the root task gets a disk: a file or a block device; FILE,ro is only read
      --run-fd N         an open descriptor with an override of the run configuration (SELKIERUN1)
      --trace            print every seL4 call, decoded, to standard error
      --verify           compare the digests of the interface tables before the start
      --strict           refuse to start when the kernel or container lacks a part of the lock-down
      --help             print this
      --version          print the version

Exit status: the function's own (0 to 111); 103 for a fault that nobody handles, with a report;
125 when the root task could not be started; killed by SIGSYS for a forbidden system call.";

/// One thing that the command line says.
enum Item {
    Memory(u64),
    Allow(&'static [u8]),
    Env(&'static str),
    RunFd(i32),
    Net(NetOption),
    Disk(DiskOption),
    Trace,
    Verify,
    Strict,
    Help,
    Version,
    Plain(&'static CStr),
    /// What follows belongs to the function.
    GuestArgs,
}

impl Command {
    /// Reads the command line, the program's name first. `operator` says whether a root task is to be named.
    pub fn parse(mut args: Args, operator: bool) -> Result<Self, UsageError> {
        args.next();
        let mut options = Options {
            memory: None,
            allow_memory: None,
            trace: false,
            verify: false,
            strict: false,
            run_fd: None,
            net: None,
            disk: None,
            root_task: None,
            args: args.clone(),
            operator,
            guest_args: None,
        };
        while let Some(item) = next_item(&mut args, operator)? {
            match item {
                Item::Memory(size) => options.memory = Some(size),
                Item::Allow(list) => options.allow(list)?,
                // They are looked for again when they are handed over.
                Item::Env(_) => {}
                Item::RunFd(descriptor) => options.run_fd = Some(descriptor),
                Item::Net(net) => options.net = Some(net),
                Item::Disk(disk) => options.disk = Some(disk),
                Item::Trace => options.trace = true,
                Item::Verify => options.verify = true,
                Item::Strict => options.strict = true,
                Item::Help => return Ok(Self::Help),
                Item::Version => return Ok(Self::Version),
                Item::Plain(path) if operator && options.root_task.is_none() => {
                    options.root_task = Some(path)
                }
                Item::Plain(extra) => return Err(Problem::Extra.of(extra.to_bytes())),
                Item::GuestArgs => {
                    for argument in args.clone() {
                        text(argument.to_bytes())?;
                    }
                    options.guest_args = Some(args);
                    break;
                }
            }
        }
        if operator && options.root_task.is_none() {
            return Err(Problem::NoRootTask.of(b""));
        }
        Ok(Self::Run(options))
    }
}

impl Options {
    /// The arguments for the function, when the command line has any to replace the image's.
    pub(crate) fn guest_args(&self) -> Option<impl Iterator<Item = &'static str>> {
        self.guest_args.clone().map(|args| args.filter_map(|argument| text(argument.to_bytes()).ok()))
    }

    /// The environment for the function, each entry as `NAME=VALUE`.
    pub(crate) fn env(&self) -> impl Iterator<Item = &'static str> {
        let (mut args, operator) = (self.args.clone(), self.operator);
        // The same command line was read once without an error.
        let items = core::iter::from_fn(move || next_item(&mut args, operator).ok().flatten());
        items.take_while(|item| !matches!(item, Item::GuestArgs)).filter_map(|item| match item {
            Item::Env(entry) => Some(entry),
            _ => None,
        })
    }

    /// Whether anything of the run configuration comes from the command line.
    pub(crate) fn overrides_run(&self) -> bool {
        self.guest_args.is_some() || self.run_fd.is_some() || self.env().next().is_some()
    }

    fn allow(&mut self, list: &'static [u8]) -> Result<(), UsageError> {
        for entry in list.split(|byte| *byte == b',') {
            if let Some(size) = entry.strip_prefix(b"memory=") {
                self.allow_memory = Some(parse_size(size).ok_or(Problem::Size.of(entry))?);
            } else {
                return Err(Problem::Allow.of(entry));
            }
        }
        Ok(())
    }
}

/// The next thing that the command line says; none at its end.
fn next_item(args: &mut Args, operator: bool) -> Result<Option<Item>, UsageError> {
    let Some(argument) = args.next() else { return Ok(None) };
    let bytes = argument.to_bytes();
    if !bytes.starts_with(b"-") || bytes == b"-" {
        return Ok(Some(Item::Plain(argument)));
    }
    let (name, inline) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let simple = match name {
        b"--" => Some(Item::GuestArgs),
        b"--trace" => Some(Item::Trace),
        b"--verify" => Some(Item::Verify),
        b"--strict" => Some(Item::Strict),
        b"--help" | b"-h" => Some(Item::Help),
        b"--version" | b"-V" => Some(Item::Version),
        b"--memory" | b"--env" | b"--run-fd" | b"--net" | b"--disk" | b"--allow" => None,
        _ => return Err(Problem::Unknown.of(bytes)),
    };
    if let Some(item) = simple {
        return if inline.is_none() { Ok(Some(item)) } else { Err(Problem::NeedlessValue.of(bytes)) };
    }
    if name == b"--allow" && !operator {
        return Err(Problem::NotOperator.of(bytes));
    }
    let value = match inline {
        Some(value) => value,
        None => args.next().ok_or(Problem::NoValue.of(bytes))?.to_bytes(),
    };
    let item = match name {
        b"--memory" => Item::Memory(parse_size(value).ok_or(Problem::Size.of(value))?),
        b"--env" => Item::Env(parse_env(value)?),
        b"--run-fd" => Item::RunFd(parse_descriptor(value).ok_or(Problem::Descriptor.of(value))?),
        b"--net" => Item::Net(NetOption::parse(value).ok_or(Problem::Net.of(value))?),
        b"--disk" => Item::Disk(DiskOption::parse(value).ok_or(Problem::Disk.of(value))?),
        _ => Item::Allow(value),
    };
    Ok(Some(item))
}

/// A size in bytes, or in K, M or G of 1024 each.
fn parse_size(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 10),
        (b'm' | b'M', digits) => (digits, 20),
        (b'g' | b'G', digits) => (digits, 30),
        _ => (text, 0),
    };
    parse_number(digits)?.checked_mul(1 << shift)
}

fn parse_descriptor(text: &[u8]) -> Option<i32> {
    i32::try_from(parse_number(text)?).ok()
}

/// Decimal digits, at least one, and nothing else.
fn parse_number(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    plain.then(|| core::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn parse_env(entry: &'static [u8]) -> Result<&'static str, UsageError> {
    let name_end = entry.iter().position(|byte| *byte == b'=');
    if name_end.is_none_or(|end| end == 0) {
        return Err(Problem::Environment.of(entry));
    }
    text(entry)
}

fn text(bytes: &'static [u8]) -> Result<&'static str, UsageError> {
    core::str::from_utf8(bytes).map_err(|_| Problem::NotText.of(bytes))
}

impl Problem {
    fn of(self, argument: &'static [u8]) -> UsageError {
        UsageError { argument, problem: self }
    }
}

impl core::error::Error for UsageError {}

impl Display for UsageError {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let argument = Text(self.argument);
        let help = match self.problem {
            Problem::Unknown => {
                write!(f, "there is no option `{argument}`")?;
                "--help lists all; arguments of the function come after `--`"
            }
            Problem::NoValue => {
                write!(f, "the option `{argument}` has no value")?;
                "write it behind the option, or after `=`"
            }
            Problem::NeedlessValue => {
                write!(f, "the option `{argument}` takes no value")?;
                "leave out `=` and what follows"
            }
            Problem::Size => {
                write!(f, "`{argument}` is not a size")?;
                "write a number of bytes, or a number with K, M or G, for instance 64M"
            }
            Problem::Descriptor => {
                write!(f, "`{argument}` is not the number of a descriptor")?;
                "write the number of an open descriptor, for instance --run-fd 3"
            }
            Problem::Net => {
                write!(f, "`{argument}` is not a network")?;
                "write --net unix:PATH, --net fd:N with an open descriptor above 2, or --net none"
            }
            Problem::Disk => {
                write!(f, "`{argument}` is not a disk")?;
                "write --disk FILE, --disk FILE,ro or --disk none"
            }
            Problem::Environment => {
                write!(f, "`{argument}` is not a variable with its value")?;
                "write --env NAME=VALUE; the name is not empty"
            }
            Problem::NotText => {
                write!(f, "`{argument}` is not text in UTF-8")?;
                "functions take texts only"
            }
            Problem::Allow => {
                write!(f, "--allow knows no `{argument}`")?;
                "write memory=SIZE"
            }
            Problem::NotOperator => {
                write!(f, "`{argument}`: limits are set by the operator's tender only")?;
                "run the root task with selkie-tender, or use --memory"
            }
            Problem::Extra => {
                write!(f, "there is no place for the argument `{argument}`")?;
                "arguments of the function come after `--`"
            }
            Problem::NoRootTask => {
                f.write_str("no root task is named")?;
                "usage: selkie-tender [OPTIONS] ROOT-TASK [-- ARGUMENT...]; --help says more"
            }
        };
        write!(f, "\n  help: {help}")
    }
}
