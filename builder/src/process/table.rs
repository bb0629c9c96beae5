//! The table of a kernel's interface that a tender decodes by, from the resolved [`Interface`].
//!
//! Guest bindings and tender's table come from the same `Interface`, so that they cannot drift apart.

use crate::{
    Digest,
    bindings::{
        era::{CallRight, IpcBufferRule},
        interface::{Interface, Invocation as Call, ParamPlace},
    },
};
use selkie_tender_table::{
    Invocation, Kind, LABELS, Message, Number, ParamName, Place, SYSCALLS, Syscall, Table,
};

/// The C name of the user context.
const USER_CONTEXT: &str = "seL4_UserContext";

/// An interface cannot be served by the tender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that the tender serves is not in the interface.
    #[error(
        "the interface of kernel config `{config}` has no {what}, which target `process` needs\n  help: add it to the era's file in kernel-configs/eras/, or build this recipe for target `qemu`"
    )]
    Missing {
        /// The kernel config.
        config: String,
        /// What is missing, for instance ``system call `Yield` ``.
        what: String,
    },
    /// A number has no place in the table.
    #[error(
        "the interface of kernel config `{config}` has {what}, for which the tender's table has no place\n  help: build this recipe for target `qemu`, or extend the table in tender/table"
    )]
    NoPlace {
        /// The kernel config.
        config: String,
        /// What has no place, for instance ``label 400 of `TCBSuspend` ``.
        what: String,
    },
}

crate::exit_code!(Error, Failed);

/// What only a kernel with scheduling contexts has, and what only one without.
const NEEDED_WITH_MCS: &[Number] = &[
    Number::ReplyBits,
    Number::MinSchedContextBits,
    Number::SlotSchedContext,
    Number::FaultTimeout,
    Number::BootInfoSchedControl,
    Number::ConfigBootThreadTimeSlice,
];
const NEEDED_WITHOUT_MCS: &[Number] = &[Number::ConfigTimerTickMs, Number::ConfigTimeSlice];

/// The table of `interface`, which belongs to the kernel config `config`.
pub fn table(interface: &Interface, config: &str) -> Result<Table, Error> {
    Maker { interface, config }.table()
}

/// The digest of the interface that `table` belongs to.
pub fn digest(table: &Table) -> Digest {
    Digest::from_bytes(table.digest)
}

/// A release as [`Number::RuleRelease`] has it, of a text such as `13.0.0`.
fn release(version: &str) -> Option<u64> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some(Table::release(numbers.next()??, numbers.next()??))
}

struct Maker<'a> {
    interface: &'a Interface,
    config: &'a str,
}

impl Maker<'_> {
    fn table(&self) -> Result<Table, Error> {
        let mut table: Table = bytemuck::Zeroable::zeroed();
        table.digest = *self.interface.digest().bytes();
        // The last byte stays zero: the name ends there at the latest.
        let room = table.config.len() - 1;
        let place = table.config[..room].get_mut(..self.config.len());
        place
            .ok_or_else(|| self.no_place("this name of more than 47 bytes".into()))?
            .copy_from_slice(self.config.as_bytes());
        for (number, &name) in table.numbers.iter_mut().zip(Number::ALL) {
            *number = self.number(name)?;
        }
        for &syscall in Syscall::ALL {
            self.syscall(syscall, &mut table.syscalls)?;
        }
        for &kind in Kind::ALL {
            let what = || format!("object type {}", kind.name());
            let Some(number) = self.constant("object", kind.name()) else {
                self.allow(kind.is_optional(), what)?;
                continue;
            };
            self.put(&mut table.kinds, number, kind as u8 + 1, || format!("the {} {number}", what()))?;
        }
        for &invocation in Invocation::ALL {
            let Some(message) = self.message(invocation)? else { continue };
            let what = || format!("label {} of `{}`", message.label, invocation.name());
            self.put(&mut table.labels, message.label.into(), invocation as u8 + 1, what)?;
            table.messages[invocation as usize] = message;
        }
        Ok(table)
    }

    fn missing(&self, what: String) -> Error {
        Error::Missing { config: self.config.to_owned(), what }
    }

    /// Fails unless what is missing is optional.
    fn allow(&self, optional: bool, what: impl FnOnce() -> String) -> Result<(), Error> {
        if optional { Ok(()) } else { Err(self.missing(what())) }
    }

    fn no_place(&self, what: String) -> Error {
        Error::NoPlace { config: self.config.to_owned(), what }
    }

    /// Writes `value` to the place `index`.
    fn put(
        &self,
        places: &mut [u8],
        index: u64,
        value: u8,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let place = usize::try_from(index).ok().and_then(|index| places.get_mut(index));
        *place.ok_or_else(|| self.no_place(what()))? = value;
        Ok(())
    }

    fn syscall(&self, syscall: Syscall, places: &mut [u8; SYSCALLS]) -> Result<(), Error> {
        let Some(number) = self.interface.system_call(syscall.name()) else {
            return self.allow(syscall.is_optional(), || format!("system call `{}`", syscall.name()));
        };
        // Numbers go down from -1; one that does not is beyond all places.
        let index = number.checked_neg().and_then(|index| u64::try_from(index).ok()).unwrap_or(u64::MAX);
        self.put(places, index, syscall as u8 + 1, || {
            format!("number {number} of system call `{}`", syscall.name())
        })
    }

    /// The value of one of the interface's numbers; how they are named is told at [`Number`].
    fn number(&self, number: Number) -> Result<u64, Error> {
        let name = number.name();
        let value = match name.split_once('.') {
            Some(("rule", rule)) => self.rule(rule),
            Some(("config", option)) => self.option(option),
            Some((structure, field)) if structure.starts_with('@') => {
                let structure = self.interface.structure(&structure[1..]);
                let mut fields = structure.into_iter().flat_map(|structure| &structure.fields);
                fields.find(|one| one.name == field).map(|field| field.offset)
            }
            Some((group, name)) => self.constant(group, name),
            None => self.interface.structure(name.trim_start_matches('@')).map(|structure| structure.size),
        };
        match value {
            Some(value) => Ok(value),
            None => self.allow(self.may_lack(number), || format!("number `{name}`")).map(|()| 0),
        }
    }

    /// Whether a kernel that gives time as this one does can be without the number.
    fn may_lack(&self, number: Number) -> bool {
        let needed = if self.is_mcs() { NEEDED_WITH_MCS } else { NEEDED_WITHOUT_MCS };
        number.is_optional() && !needed.contains(&number)
    }

    fn is_mcs(&self) -> bool {
        self.interface.system_call(Syscall::NBSendWait.name()).is_some()
    }

    /// What is no number in the kernel's headers; the tender's rules are told at [`Number`].
    fn rule(&self, name: &str) -> Option<u64> {
        let rules = &self.interface.rules;
        let field = |bitfield, name| self.bitfield(bitfield, name);
        Some(match name {
            "boot-info-extra-offset" => rules.boot_info_extra_offset,
            "release" => release(&self.interface.version)?,
            "mcs" => self.is_mcs().into(),
            "gs-is-ipc-buffer" => (rules.ipc_buffer == IpcBufferRule::GsBase).into(),
            "grant-reply" => (rules.call_right != CallRight::Grant).into(),
            "context-words" => {
                let context = self.interface.contexts.iter().find(|context| context.c == USER_CONTEXT)?;
                context.members.len() as u64
            }
            // Later releases have a word's bits and no bit field of their own.
            "badge-bits" => field("Badge", "badge").map_or(self.interface.word_bits, |(_, bits)| bits).into(),
            "guard-shift" => field("CNodeGuard", "guard")?.0.into(),
            "guard-bits" => field("CNodeGuard", "guard")?.1.into(),
            "guard-size-shift" => field("CNodeGuard", "size")?.0.into(),
            _ => return None,
        })
    }

    /// Where a field begins in the word that it is part of, and how many bits it has.
    fn bitfield(&self, bitfield: &str, field: &str) -> Option<(u32, u32)> {
        let bitfield = self.interface.bitfields.iter().find(|one| one.name == bitfield)?;
        let field = bitfield.fields.iter().find(|one| one.name == field)?;
        Some((field.shift, field.bits))
    }

    fn option(&self, name: &str) -> Option<u64> {
        let config = &self.interface.config;
        let flag = config.flags.get(name).map(|on| u64::from(*on));
        flag.or_else(|| u64::try_from(*config.numbers.get(name)?).ok())
    }

    fn constant(&self, group: &str, name: &str) -> Option<u64> {
        let group = self.interface.constants(group)?;
        group.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value)
    }

    /// How the message of an invocation looks, when this kernel has it.
    fn message(&self, invocation: Invocation) -> Result<Option<Message>, Error> {
        let name = invocation.name();
        let Some(call) = self.interface.invocations.iter().find(|call| call.id == name) else {
            return self.allow(invocation.is_optional(), || format!("invocation `{name}`")).map(|()| None);
        };
        let label = u16::try_from(call.label).ok().filter(|label| usize::from(*label) < LABELS);
        let label = label.ok_or_else(|| self.no_place(format!("label {} of `{name}`", call.label)))?;
        let large = || self.no_place(format!("a message of {} words for `{name}`", call.words));
        let mut message = Message {
            label,
            words: u8::try_from(call.words).map_err(|_| large())?,
            caps: u8::try_from(call.caps).map_err(|_| large())?,
            ..bytemuck::Zeroable::zeroed()
        };
        for (place, param) in message.params.iter_mut().zip(invocation.params()) {
            *place = self.place(call, param)?;
        }
        Ok(Some(message))
    }

    fn place(&self, call: &Call, name: &ParamName) -> Result<Place, Error> {
        let param = call.inputs.iter().find(|param| name.names.contains(&param.name.as_str()));
        let (name, optional) = (name.names.join("` or `"), name.optional);
        let Some(param) = param else {
            let what = || format!("parameter `{name}` of `{}`", call.id);
            self.allow(optional, what)?;
            return Ok(Place { kind: Place::NOWHERE, index: 0, shift: 0, bits: 0 });
        };
        let (kind, index, shift, bits) = match param.place {
            ParamPlace::Cap(index) => (Place::CAP, index, 0, 0),
            ParamPlace::Bits { word, shift, bits } => (Place::BITS, word, shift, bits),
            ParamPlace::Words { word, .. } => (Place::BITS, word, 0, 64),
        };
        let narrow = || {
            let byte = |value: usize| u8::try_from(value).ok();
            Some(Place {
                kind,
                index: byte(index)?,
                shift: byte(shift as usize)?,
                bits: byte(bits as usize)?,
            })
        };
        narrow().ok_or_else(|| self.no_place(format!("word {index} of `{}` for `{name}`", call.id)))
    }
}
