//! The rules as a program for the kernel.

use crate::{Descriptor, Limit, Rule, Setting, TRAP_END, Test, Value, rules};
use core::fmt::{Display, Formatter};
use linux_raw_sys::ptrace::{
    AUDIT_ARCH_X86_64, BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, sock_filter,
};

/// The most instructions of a filter.
pub const CAPACITY: usize = 256;

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

/// A jump to the next rule; its distance is filled in when the rule's length is known.
const TO_NEXT_RULE: u8 = u8::MAX;

/// What the values of the rules are in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bindings {
    /// The address after the tender's one system-call instruction: what the kernel calls the instruction
    /// pointer of a system call.
    pub syscall_return: u64,
    /// The descriptor of the root task's memory.
    pub memory: i32,
    /// Bytes of that memory.
    pub memory_size: u64,
    /// The descriptor of the file that the root task came in.
    pub image: i32,
    /// Bytes of that file up to the root task's end.
    pub image_size: u64,
    /// The descriptor that tells of input, when the image has any.
    pub events: Option<i32>,
    /// The network device's descriptor.
    pub net: Option<i32>,
    /// The block device's descriptor, and its bytes.
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
    length: usize,
}

impl Program {
    /// Compiles the rules.
    pub fn new(setting: Setting, bindings: &Bindings) -> Result<Self, AssembleError> {
        if bindings.syscall_return < TRAP_END {
            return Err(AssembleError::Instruction);
        }
        let nothing = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
        let mut program = Self { instructions: [nothing; CAPACITY], length: 0 };
        program.outside_of_root_task()?;
        for rule in rules(setting).filter(|rule| rule.is_of_vdso()) {
            program.rule(rule, bindings)?;
        }
        program.one_instruction(bindings.syscall_return)?;
        for rule in rules(setting).filter(|rule| !rule.is_of_vdso()) {
            program.rule(rule, bindings)?;
        }
        program.end(SECCOMP_RET_KILL_PROCESS)?;
        Ok(program)
    }

    /// The instructions.
    pub fn instructions(&self) -> &[sock_filter] {
        &self.instructions[..self.length]
    }

    /// Traps what the root task does itself. Below [`TRAP_END`] the upper half of an address is zero.
    fn outside_of_root_task(&mut self) -> Result<(), AssembleError> {
        self.load(ARCHITECTURE)?;
        self.jump(EQUAL, AUDIT_ARCH_X86_64, 1, 0)?;
        self.end(SECCOMP_RET_KILL_PROCESS)?;
        self.load(ADDRESS + 4)?;
        self.jump(EQUAL, 0, 0, 1)?;
        self.end(SECCOMP_RET_TRAP)
    }

    /// Lets only the tender's one instruction through.
    fn one_instruction(&mut self, syscall_return: u64) -> Result<(), AssembleError> {
        let (high, low) = halves(syscall_return);
        self.load(ADDRESS + 4)?;
        self.jump(EQUAL, high, 0, 2)?;
        self.load(ADDRESS)?;
        self.jump(EQUAL, low, 1, 0)?;
        self.end(SECCOMP_RET_KILL_PROCESS)
    }

    /// Lets a call through when all of the rule's tests hold, and goes on with what follows otherwise.
    fn rule(&mut self, rule: &Rule, bindings: &Bindings) -> Result<(), AssembleError> {
        let start = self.length;
        self.load(NUMBER)?;
        self.jump(EQUAL, rule.call.number, 0, TO_NEXT_RULE)?;
        for (argument, test) in rule.tests {
            let offset = ARGUMENTS + 8 * *argument as u32;
            self.test(offset, *test, bindings, rule.call.name)?;
        }
        self.end(SECCOMP_RET_ALLOW)?;
        self.fill_in(start)
    }

    /// Goes on with the next rule unless the argument at `offset` passes the test.
    fn test(
        &mut self,
        offset: u32,
        test: Test,
        bindings: &Bindings,
        call: &'static str,
    ) -> Result<(), AssembleError> {
        match test {
            Test::OneOf(values) => {
                let [first, ..] = values else { return Err(AssembleError::Values(call)) };
                let (high, _) = halves(first.resolve(bindings)?);
                self.load(offset + 4)?;
                self.jump(EQUAL, high, 0, TO_NEXT_RULE)?;
                self.load(offset)?;
                for (number, value) in values.iter().enumerate() {
                    let value = halves(value.resolve(bindings)?);
                    if value.0 != high {
                        return Err(AssembleError::Values(call));
                    }
                    let left = values.len() - number - 1;
                    let otherwise = if left > 0 { 0 } else { TO_NEXT_RULE };
                    let pass = u8::try_from(left).map_err(|_| AssembleError::TooLong)?;
                    self.jump(EQUAL, value.1, pass, otherwise)?;
                }
                Ok(())
            }
            Test::Below(limit) => {
                let (high, low) = halves(limit.resolve(bindings)?);
                self.load(offset + 4)?;
                self.jump(GREATER, high, TO_NEXT_RULE, 0)?;
                self.jump(EQUAL, high, 0, 2)?;
                self.load(offset)?;
                self.jump(NOT_BELOW, low, TO_NEXT_RULE, 0)
            }
        }
    }

    /// Gives the jumps to the next rule their distance, for a rule that begins at `start` and ends here.
    fn fill_in(&mut self, start: usize) -> Result<(), AssembleError> {
        let end = self.length;
        for (index, instruction) in self.instructions[..end].iter_mut().enumerate().skip(start) {
            for jump in [&mut instruction.jt, &mut instruction.jf] {
                if *jump == TO_NEXT_RULE {
                    let distance = u8::try_from(end - index - 1).ok();
                    *jump = distance.filter(|one| *one != TO_NEXT_RULE).ok_or(AssembleError::TooLong)?;
                }
            }
        }
        Ok(())
    }

    fn load(&mut self, offset: u32) -> Result<(), AssembleError> {
        self.push(LOAD, 0, 0, offset)
    }

    fn jump(&mut self, code: u32, value: u32, then: u8, otherwise: u8) -> Result<(), AssembleError> {
        self.push(code, then, otherwise, value)
    }

    fn end(&mut self, action: u32) -> Result<(), AssembleError> {
        self.push(RETURN, 0, 0, action)
    }

    fn push(&mut self, code: u32, jt: u8, jf: u8, k: u32) -> Result<(), AssembleError> {
        let next = self.instructions.get_mut(self.length).ok_or(AssembleError::TooLong)?;
        *next = sock_filter { code: code as u16, jt, jf, k };
        self.length += 1;
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
            Self::Limit(Limit::Memory) => Ok(bindings.memory_size),
            Self::Limit(Limit::Image) => Ok(bindings.image_size),
            Self::Limit(Limit::Block) => {
                bindings.block.map(|(_, size)| size).ok_or(AssembleError::Unbound("the block device"))
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
            Self::Image => Some(bindings.image),
            Self::Events => bindings.events,
            Self::Net => bindings.net,
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
