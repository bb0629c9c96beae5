//! What Linux leaves on the first stack: arguments, environment, auxiliary vector.

use core::ffi::{CStr, c_char};
use linux_raw_sys::auxvec::{AT_EXECFN, AT_NULL, AT_PHDR, AT_PHNUM, AT_RANDOM};

/// What Linux tells a new process.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    arguments: *const *const c_char,
    count: usize,
    environment: *const *const c_char,
    auxiliary: *const [usize; 2],
}

impl Process {
    /// Reads the stack as it is at the process's first instruction.
    ///
    /// # Safety
    /// `stack` is the stack pointer at that moment, and what lies there stays as it is.
    pub unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: Linux puts the number of arguments there, then pointers to them, a null pointer, pointers
        // to the environment, a null pointer, and the auxiliary vector (System V ABI, figure 3.9).
        unsafe {
            let count = *stack;
            let arguments = stack.add(1).cast::<*const c_char>();
            let environment = arguments.add(count + 1);
            let mut end = environment;
            while !(*end).is_null() {
                end = end.add(1);
            }
            Self { arguments, count, environment, auxiliary: end.add(1).cast() }
        }
    }

    /// The arguments, the program's name first.
    pub fn args(self) -> Args {
        Args { next: self.arguments, left: self.count }
    }

    /// A value of the auxiliary vector, by its `AT_` number.
    pub fn auxiliary(self, kind: u32) -> Option<usize> {
        let mut entry = self.auxiliary;
        loop {
            // SAFETY: the vector ends with an entry of type AT_NULL, beyond which this does not go.
            let [found, value] = unsafe { *entry };
            if found == kind as usize {
                return Some(value);
            }
            if found == AT_NULL as usize {
                return None;
            }
            // SAFETY: this was not the last entry.
            entry = unsafe { entry.add(1) };
        }
    }

    /// The path that the program was started by.
    fn path(self) -> Option<&'static CStr> {
        let path = self.auxiliary(AT_EXECFN)? as *const c_char;
        // SAFETY: Linux puts a text there that ends in a NUL; it stays for as long as the process lives.
        Some(unsafe { CStr::from_ptr(path) })
    }

    /// The program's own program headers, as bytes.
    pub(crate) fn program_headers(self) -> Option<&'static [u8]> {
        let start = self.auxiliary(AT_PHDR)? as *const u8;
        let size = self.auxiliary(AT_PHNUM)?.checked_mul(56)?;
        // SAFETY: Linux has read these headers itself to start the program, and names where they are mapped.
        (!start.is_null()).then(|| unsafe { core::slice::from_raw_parts(start, size) })
    }

    /// The end of the first stack: the path is the last that lies there.
    pub(crate) fn stack_end(self) -> Option<u64> {
        let path = self.path()?;
        let end = path.as_ptr() as u64 + path.to_bytes_with_nul().len() as u64;
        end.checked_next_multiple_of(crate::PAGE)
    }

    /// Overwrites the environment and Linux's random bytes: a root task gets its environment by `--env`,
    /// and could read the host's otherwise, secrets included.
    ///
    /// # Safety
    /// Nobody holds a reference into them.
    pub(crate) unsafe fn forget_environment(self) {
        // SAFETY: the pointers lead to texts that end in a NUL, on the stack, which can be written; the
        // caller vouches that nobody else looks at them.
        unsafe {
            let mut entry = self.environment;
            while !(*entry).is_null() {
                let text = (*entry).cast_mut();
                let size = CStr::from_ptr(text).to_bytes().len();
                text.write_bytes(0, size);
                entry = entry.add(1);
            }
            if let Some(random) = self.auxiliary(AT_RANDOM) {
                (random as *mut u8).write_bytes(0, 16);
            }
        }
    }
}

/// The arguments of a process.
#[derive(Debug, Clone)]
pub struct Args {
    next: *const *const c_char,
    left: usize,
}

impl Args {
    /// Arguments from an array of pointers.
    ///
    /// # Safety
    /// The pointers lead to texts that end in a NUL and, like the array, stay as they are.
    pub unsafe fn new(arguments: &'static [*const c_char]) -> Self {
        Self { next: arguments.as_ptr(), left: arguments.len() }
    }
}

impl Iterator for Args {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: there is one more argument, by the construction of both constructors' arrays.
        unsafe {
            let text = CStr::from_ptr(*self.next);
            self.next = self.next.add(1);
            Some(text)
        }
    }
}
