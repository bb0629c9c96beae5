//! The rules as a program for the kernel.

use crate::{Descriptor, Limit, Rule, Setting, TRAP_END, Test, VDSO_CALL, Value, rules};
use core::fmt::{Display, Formatter};
use linux_raw_sys::ptrace::{
    AUDIT_ARCH_X86_64, BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, sock_filter,
};

/// The most instructions of a filter.
pub const CAPACITY: usize = 192;
/// The most words of arguments that tests are looked for again at.
const MAX_WORDS: usize = 64;
/// The most numbers of system calls in a filter.
const MAX_CALLS: usize = 16;

// Offsets in the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ADDRESS: u32 = 8;
const ARGUMENTS: u32 = 16;

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const GREATER: u32 = BPF_JMP | BPF_JGT | BPF_K;
const NOT_BELOW: u32 = BPF_JMP | BPF_JGE | BPF_K;
const RETURN: u32 = BPF_RET | BPF_K;

/// What the values of the rules are in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bindings {
    /// The address after the tender's one system-call instruction: what the kernel calls the instruction
    /// pointer of a system call.
    pub syscall_return: u64,
    /// The addresses of the vDSO, from the first up to the second; equal where there is none.
    pub vdso: [u64; 2],
    /// The descriptor of the root task's memory.
    pub memory: i32,
    /// The descriptor that tells of input, when the image has any.
    pub events: Option<i32>,
    /// The network device's descriptor, and the one that tells of it.
    pub net: Option<[i32; 2]>,
    /// The disk's descriptor, and its bytes.
    pub block: Option<(i32, u64)>,
}

/// A filter that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssembleError {
    /// A rule names something that the process does not have.
    Unbound(&'static str),
    /// More instructions than [`CAPACITY`], or a rule with more than a jump can pass over.
    TooLong,
    /// The values that one argument may have differ in their upper half, or are none.
    Values(&'static str),
    /// The one instruction lies where the root task's system calls come from.
    Instruction,
}

/// A filter, ready for the kernel.
#[derive(Clone)]
pub struct Program {
    instructions: [sock_filter; CAPACITY],
    start: usize,
    /// Where words of arguments are loaded.
    words: [u8; MAX_WORDS],
    word_count: usize,
}

const _: () = assert!(CAPACITY <= u8::MAX as usize, "places fit into `words`");

impl Program {
    /// Without instructions.
    pub const EMPTY: Self = Self {
        instructions: [sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; CAPACITY],
        start: CAPACITY,
        words: [0; MAX_WORDS],
        word_count: 0,
    };

    /// Compiles the rules.
    pub fn new(setting: Setting, bindings: &Bindings) -> Result<Self, AssembleError> {
        let mut program = Self::EMPTY;
        program.compile(setting, bindings)?;
        Ok(program)
    }

    /// Compiles the rules into a program that is still empty: one that is moved takes its room twice.
    ///
    /// The kernel translates the program anew for every process, at a cost for each instruction: so numbers
    /// are looked up in one chain, all tests lead to the same three answers, and rules that end in the same
    /// tests share these.
    pub fn compile(&mut self, setting: Setting, bindings: &Bindings) -> Result<(), AssembleError> {
        if bindings.syscall_return < TRAP_END {
            return Err(AssembleError::Instruction);
        }
        let kill = self.answer(SECCOMP_RET_KILL_PROCESS)?;
        let allow = self.answer(SECCOMP_RET_ALLOW)?;
        let trap = self.answer(SECCOMP_RET_TRAP)?;

        // Each number, and where the tests of its first rule begin. What fails them goes on with the next
        // rule of the same number.
        let mut calls = Calls::default();
        for rule in rules(setting).rev() {
            let otherwise = calls.find(rule.call.number).unwrap_or(kill);
            let tests = self.tests(rule, bindings, allow, otherwise)?;
            calls.set(rule.call.number, tests)?;
        }
        let mut numbers = kill;
        for (number, tests) in calls.all() {
            numbers = self.jump(EQUAL, *number, *tests, numbers)?;
        }
        self.load(NUMBER)?;
        self.origin(bindings, &calls, trap, kill)?;
        Ok(())
    }

    /// The instructions.
    pub fn instructions(&self) -> &[sock_filter] {
        &self.instructions[self.start..]
    }

    /// Traps what the root task does itself, lets the vDSO read the clock, and goes on with what is there
    /// already for the tender's one instruction only.
    fn origin(
        &mut self,
        bindings: &Bindings,
        calls: &Calls,
        trap: Place,
        kill: Place,
    ) -> Result<(), AssembleError> {
        let numbers = self.start;
        let (high, low) = halves(bindings.syscall_return);
        self.jump(EQUAL, low, numbers, kill)?;
        let one_instruction = self.load(ADDRESS)?;

        let [(first_high, first), (last_high, last)] =
            [bindings.vdso[0], bindings.vdso[1].wrapping_sub(1)].map(halves);
        let mut elsewhere = kill;
        // One that lies across a multiple of 4 GiB, which is hardly ever so, is not let through.
        if bindings.vdso[0] < bindings.vdso[1] && first_high == last_high && first_high != high {
            let tests = calls.find(VDSO_CALL).unwrap_or(kill);
            self.jump(EQUAL, VDSO_CALL, tests, kill)?;
            let number = self.load(NUMBER)?;
            let not_beyond = self.jump(GREATER, last, kill, number)?;
            self.jump(NOT_BELOW, first, not_beyond, kill)?;
            let address = self.load(ADDRESS)?;
            elsewhere = self.jump(EQUAL, first_high, address, kill)?;
        }
        let above = self.jump(EQUAL, high, one_instruction, elsewhere)?;
        // Below `TRAP_END` the upper half of an address is zero.
        self.jump(EQUAL, 0, trap, above)?;
        let address = self.load(ADDRESS + 4)?;
        self.jump(EQUAL, AUDIT_ARCH_X86_64, address, kill)?;
        self.load(ARCHITECTURE)?;
        // The kernel first tries the program for every number that there is, until it looks at something that
        // differs from call to call (`seccomp_cache_prepare`): so it looks at such a thing at once.
        self.load(ADDRESS + 4).map(drop)
    }

    /// The tests of a rule; returns where they begin. The first one comes last: there rules are most alike.
    fn tests(
        &mut self,
        rule: &Rule,
        bindings: &Bindings,
        allow: Place,
        otherwise: Place,
    ) -> Result<Place, AssembleError> {
        let mut then = allow;
        for (argument, test) in rule.tests {
            let offset = ARGUMENTS + 8 * *argument as u32;
            then = match test {
                Test::OneOf(values) => self
                    .one_of(offset, values, bindings, [then, otherwise])?
                    .ok_or(AssembleError::Values(rule.call.name))?,
                Test::Below(limit) => self.below(offset, limit.resolve(bindings)?, [then, otherwise])?,
            };
        }
        Ok(then)
    }

    /// Goes to the first place when the argument is one of `values`, else to the second; none when their
    /// upper halves differ.
    fn one_of(
        &mut self,
        offset: u32,
        values: &[Value],
        bindings: &Bindings,
        [then, otherwise]: [Place; 2],
    ) -> Result<Option<Place>, AssembleError> {
        let mut highs = values.iter().map(|value| value.resolve(bindings).map(|value| halves(value).0));
        let Some(high) = highs.next().transpose()? else { return Ok(None) };
        for other in highs {
            if other? != high {
                return Ok(None);
            }
        }
        // The lower half comes first: that the upper one is zero is what most rules end in.
        let end = self.start;
        self.jump(EQUAL, high, then, otherwise)?;
        let upper = self.word(offset + 4, end)?;
        let end = self.start;
        let mut next = otherwise;
        for value in values.iter().rev() {
            let (_, low) = halves(value.resolve(bindings)?);
            next = self.jump(EQUAL, low, upper, next)?;
        }
        self.word(offset, end).map(Some)
    }

    /// Goes to the first place when the argument is below `limit`, else to the second.
    fn below(
        &mut self,
        offset: u32,
        limit: u64,
        [then, otherwise]: [Place; 2],
    ) -> Result<Place, AssembleError> {
        let (high, low) = halves(limit);
        let mut end = self.start;
        if low == 0 {
            self.jump(NOT_BELOW, high, otherwise, then)?;
        } else {
            self.jump(NOT_BELOW, low, otherwise, then)?;
            let lower = self.word(offset, end)?;
            end = self.start;
            if high == 0 {
                self.jump(EQUAL, 0, lower, otherwise)?;
            } else {
                let not_above = self.jump(EQUAL, high, lower, then)?;
                self.jump(GREATER, high, otherwise, not_above)?;
            }
        }
        self.word(offset + 4, end)
    }

    /// Loads the word that the jumps up to `end` are about. Where the same is there already, takes that and
    /// drops these.
    fn word(&mut self, offset: u32, end: Place) -> Result<Place, AssembleError> {
        self.load(offset)?;
        let new = self.start..end;
        let size = new.len();
        // Where a jump goes: so many instructions further within the word's own, or elsewhere.
        let goal = |begin: Place, at: Place, distance: u8| {
            let goal = at + 1 + usize::from(distance);
            if goal < begin + size { (true, goal - begin) } else { (false, goal) }
        };
        let same = |old: &Place| {
            let fits = old + size <= CAPACITY;
            fits && new.clone().zip(*old..).all(|(new_at, old_at)| {
                let (a, b) = (self.instructions[new_at], self.instructions[old_at]);
                let goals = |begin, at, one: sock_filter| [one.jt, one.jf].map(|far| goal(begin, at, far));
                (a.code, a.k) == (b.code, b.k) && goals(new.start, new_at, a) == goals(*old, old_at, b)
            })
        };
        let words = self.words[..self.word_count].iter().map(|word| usize::from(*word));
        let known = words.filter(|old| self.instructions[*old].k == offset).find(same);
        if let Some(known) = known {
            self.start = end;
            return Ok(known);
        }
        if let Some(word) = self.words.get_mut(self.word_count) {
            *word = self.start as u8;
            self.word_count += 1;
        }
        Ok(self.start)
    }

    /// Loads a word, and goes on with the instruction that was put before.
    fn load(&mut self, offset: u32) -> Result<Place, AssembleError> {
        self.put(LOAD, 0, 0, offset)
    }

    fn jump(&mut self, code: u32, value: u32, then: Place, otherwise: Place) -> Result<Place, AssembleError> {
        // The distance counts from the instruction after this one.
        let distance = |place: Place| u8::try_from(place - self.start).map_err(|_| AssembleError::TooLong);
        let (jt, jf) = (distance(then)?, distance(otherwise)?);
        self.put(code, jt, jf, value)
    }

    fn answer(&mut self, action: u32) -> Result<Place, AssembleError> {
        self.put(RETURN, 0, 0, action)
    }

    /// Puts an instruction before those that are there already: jumps only go forward, so that where they
    /// lead is known when they are made.
    fn put(&mut self, code: u32, jt: u8, jf: u8, k: u32) -> Result<Place, AssembleError> {
        self.start = self.start.checked_sub(1).ok_or(AssembleError::TooLong)?;
        self.instructions[self.start] = sock_filter { code: code as u16, jt, jf, k };
        Ok(self.start)
    }
}

/// The index of an instruction.
type Place = usize;

/// Where the tests of each system call begin.
#[derive(Default)]
struct Calls {
    places: [(u32, Place); MAX_CALLS],
    count: usize,
}

impl Calls {
    fn all(&self) -> &[(u32, Place)] {
        &self.places[..self.count]
    }

    fn find(&self, number: u32) -> Option<Place> {
        self.all().iter().find(|(one, _)| *one == number).map(|(_, place)| *place)
    }

    fn set(&mut self, number: u32, place: Place) -> Result<(), AssembleError> {
        let known = self.all().iter().position(|(one, _)| *one == number);
        let index = known.unwrap_or(self.count);
        *self.places.get_mut(index).ok_or(AssembleError::TooLong)? = (number, place);
        self.count = self.count.max(index + 1);
        Ok(())
    }
}

/// The upper and the lower 32 bits.
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

impl Value {
    fn resolve(self, bindings: &Bindings) -> Result<u64, AssembleError> {
        match self {
            Self::Number(number, _) => Ok(number),
            Self::Descriptor(descriptor) => {
                let number = descriptor.resolve(bindings).and_then(|number| u64::try_from(number).ok());
                number.ok_or(AssembleError::Unbound("a descriptor"))
            }
            Self::Limit(Limit::Block) => {
                bindings.block.map(|(_, size)| size).ok_or(AssembleError::Unbound("the disk"))
            }
        }
    }
}

impl Descriptor {
    fn resolve(self, bindings: &Bindings) -> Option<i32> {
        match self {
            Self::Input => Some(0),
            Self::Output => Some(1),
            Self::Reports => Some(2),
            Self::Memory => Some(bindings.memory),
            Self::Events => bindings.events,
            Self::Net => bindings.net.map(|[descriptor, _]| descriptor),
            Self::NetEvents => bindings.net.map(|[_, events]| events),
            Self::Block => bindings.block.map(|(descriptor, _)| descriptor),
        }
    }
}

impl Display for AssembleError {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unbound(what) => write!(f, "a rule names {what} that is not open"),
            Self::TooLong => {
                write!(f, "it has more than {CAPACITY} instructions, or a rule that is too long")
            }
            Self::Values(call) => {
                write!(f, "the rule of `{call}` has an argument whose values cannot be compared")
            }
            Self::Instruction => f.write_str("the tender does not lie above the root task"),
        }
    }
}
