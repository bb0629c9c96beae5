//! Invocations of threads and domains.

use crate::{
    Cap, Error, Host, Kernel, Register, Slot, Tcb,
    fault::sanitised,
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, Number, param};

/// A capability that is to go into a slot of a TCB, and what it was made from.
type Root = (Cap, Slot);

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of a thread.
    pub(crate) fn invoke_thread(&mut self, request: &Request) -> Result<Answer, Error> {
        let Cap::Thread { tcb } = request.cap else { return Err(Error::InvalidCapability(0)) };
        let thread = Tcb(tcb);
        match request.invocation {
            Some(Invocation::TcbReadRegisters) => self.read_registers(thread, request),
            Some(Invocation::TcbWriteRegisters) => self.write_registers(thread, request),
            Some(Invocation::TcbCopyRegisters) => self.copy_registers(thread, request),
            Some(Invocation::TcbSuspend) => {
                self.suspend(thread);
                Ok(Answer::Empty)
            }
            Some(Invocation::TcbResume) => {
                self.resume(thread);
                Ok(Answer::Empty)
            }
            Some(Invocation::TcbConfigure) => self.configure(thread, request),
            Some(Invocation::TcbSetPriority) => {
                let priority = self.checked_priority(request, param::tcb_set_priority::PRIORITY)?;
                self.set_thread_priority(thread, priority);
                Ok(Answer::Empty)
            }
            Some(Invocation::TcbSetMcPriority) => {
                let priority = self.checked_priority(request, param::tcb_set_mc_priority::MCP)?;
                thread.set_max_priority(&self.memory, priority);
                Ok(Answer::Empty)
            }
            Some(Invocation::TcbSetIpcBuffer) => self.set_ipc_buffer(thread, request),
            Some(Invocation::TcbSetSpace) => self.set_space(thread, request),
            Some(Invocation::TcbBindNotification) => self.bind_notification(thread, request),
            Some(Invocation::TcbUnbindNotification) => {
                if thread.bound_notification(&self.memory) == 0 {
                    return Err(Error::IllegalOperation);
                }
                self.unbind_thread(thread);
                Ok(Answer::Empty)
            }
            _ => Err(Error::IllegalOperation),
        }
    }

    /// Serves an invocation of the capability to set domains.
    pub(crate) fn invoke_domain(&mut self, request: &Request) -> Result<Answer, Error> {
        if request.invocation != Some(Invocation::DomainSet) {
            return Err(Error::IllegalOperation);
        }
        if request.length == 0 {
            return Err(Error::TruncatedMessage);
        }
        let domain = request.whole_word(self, param::domain_set::DOMAIN);
        if domain >= self.table.number(Number::ConfigDomains) {
            return Err(Error::InvalidArgument(0));
        }
        let slot = request.cap_slot(self, param::domain_set::THREAD).ok_or(Error::TruncatedMessage)?;
        let Cap::Thread { tcb } = slot.cap(&self.memory) else {
            return Err(Error::InvalidArgument(1));
        };
        self.set_thread_domain(Tcb(tcb), domain);
        Ok(Answer::Empty)
    }

    /// Makes a fresh TCB, all zeros, one that can be configured.
    pub(crate) fn init_thread(&self, thread: Tcb) {
        /// Control words of an FPU without exceptions, at their places in what FXRSTOR reads.
        const FPU_CONTROL: u64 = 0x37f;
        const MXCSR: (u64, u64) = (24, 0x1f80);
        let memory = &self.memory;
        thread.set_time_slice(memory, self.table.number(Number::ConfigTimeSlice));
        thread.set_register(memory, Register::Rflags, sanitised(Register::Rflags, 0));
        memory.set(thread.0 + Tcb::FPU, FPU_CONTROL);
        memory.set(thread.0 + Tcb::FPU + MXCSR.0, MXCSR.1);
    }

    /// The registers of seL4's user context, in its order. The first one is the instruction that the
    /// thread would restart with.
    fn context_registers() -> [Register; Register::CONTEXT as usize] {
        let mut registers = Register::USER_CONTEXT;
        registers[0] = Register::FaultIp;
        registers
    }

    fn read_registers(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_read_registers as at;
        if request.length < 2 {
            return Err(Error::TruncatedMessage);
        }
        let count = request.value(self, at::COUNT);
        if !(1..=Register::CONTEXT).contains(&count) {
            return Err(Error::Range { min: 1, max: Register::CONTEXT });
        }
        if thread == request.thread {
            return Err(Error::IllegalOperation);
        }
        if request.value(self, at::SUSPEND_SOURCE) & 1 != 0 {
            self.suspend(thread);
        }
        if !request.call {
            return Ok(Answer::Silent);
        }
        let buffer = self.writable_buffer(request.thread);
        let count = self.room(buffer, count);
        for (index, register) in (0..count).zip(Self::context_registers()) {
            let value = thread.register(&self.memory, register);
            self.set_message_word(request.thread, buffer, index, value);
        }
        Ok(Answer::Written(count))
    }

    fn write_registers(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_write_registers as at;
        let Some(sent) = request.length.checked_sub(2) else { return Err(Error::TruncatedMessage) };
        let count = request.value(self, at::COUNT);
        if sent < count {
            return Err(Error::TruncatedMessage);
        }
        if thread == request.thread {
            return Err(Error::IllegalOperation);
        }
        for (index, register) in (0..count).zip(Self::context_registers()) {
            let value = sanitised(register, request.word(self, 2 + index));
            thread.set_register(&self.memory, register, value);
        }
        self.begin_at_fault_ip(thread);
        if request.value(self, at::RESUME_TARGET) & 1 != 0 {
            self.resume(thread);
        }
        Ok(Answer::Empty)
    }

    fn copy_registers(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_copy_registers as at;
        /// Those of the user context that a frame has; the rest is what the interface calls integers.
        const FRAME: usize = 18;
        let slot = request.cap_slot(self, at::SOURCE).filter(|_| request.length >= 1);
        let slot = slot.ok_or(Error::TruncatedMessage)?;
        let Cap::Thread { tcb: source } = slot.cap(&self.memory) else {
            return Err(Error::InvalidCapability(1));
        };
        let flag = |kernel: &Self, param| request.value(kernel, param) & 1 != 0;
        let (frame, integer) = (flag(self, at::TRANSFER_FRAME), flag(self, at::TRANSFER_INTEGER));
        if flag(self, at::SUSPEND_SOURCE) {
            self.suspend(Tcb(source));
        }
        if flag(self, at::RESUME_TARGET) {
            self.resume(thread);
        }
        let registers = Self::context_registers();
        let (of_frame, of_integers) = registers.split_at(FRAME);
        for (wanted, registers) in [(frame, of_frame), (integer, of_integers)] {
            for register in registers.iter().filter(|_| wanted) {
                let value = Tcb(source).register(&self.memory, *register);
                thread.set_register(&self.memory, *register, value);
            }
        }
        if frame {
            self.begin_at_fault_ip(thread);
        }
        Ok(Answer::Empty)
    }

    fn begin_at_fault_ip(&self, thread: Tcb) {
        let ip = thread.register(&self.memory, Register::FaultIp);
        thread.set_register(&self.memory, Register::Rip, ip);
    }

    /// A priority that the invoking thread may give: the whole word, not only the bits that count.
    fn checked_priority(&self, request: &Request, param: usize) -> Result<u64, Error> {
        if request.length < 1 {
            return Err(Error::TruncatedMessage);
        }
        self.check_priority(request, request.whole_word(self, param))
    }

    fn check_priority(&self, request: &Request, priority: u64) -> Result<u64, Error> {
        let max = request.thread.max_priority(&self.memory);
        if priority > max { Err(Error::Range { min: 0, max }) } else { Ok(priority) }
    }

    fn configure(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_configure as at;
        request.complete(self)?;
        let priorities = request.value(self, at::PRIORITY);
        let priority = self.check_priority(request, priorities & 0xff)?;
        let max_priority = self.check_priority(request, priorities >> 8 & 0xff)?;
        let address = request.value(self, at::BUFFER);
        let buffer = self.checked_buffer(address, request.cap_slot(self, at::BUFFER_FRAME))?;
        let (cspace, vspace) = self.checked_spaces(
            thread,
            (request.cap_slot(self, at::CSPACE_ROOT), request.value(self, at::CSPACE_ROOT_DATA)),
            (request.cap_slot(self, at::VSPACE_ROOT), request.value(self, at::VSPACE_ROOT_DATA)),
        )?;
        thread.set_fault_endpoint(&self.memory, request.value(self, at::FAULT_EP));
        thread.set_max_priority(&self.memory, max_priority);
        self.set_thread_priority(thread, priority);
        self.replace(request, thread.cspace(), cspace)?;
        self.replace(request, thread.vspace(), vspace)?;
        self.replace_buffer(request, thread, address, buffer)?;
        Ok(Answer::Empty)
    }

    fn set_ipc_buffer(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_set_ipc_buffer as at;
        request.complete(self)?;
        let address = request.value(self, at::BUFFER);
        let buffer = self.checked_buffer(address, request.cap_slot(self, at::BUFFER_FRAME))?;
        self.replace_buffer(request, thread, address, buffer)?;
        Ok(Answer::Empty)
    }

    fn set_space(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_set_space as at;
        request.complete(self)?;
        let (cspace, vspace) = self.checked_spaces(
            thread,
            (request.cap_slot(self, at::CSPACE_ROOT), request.value(self, at::CSPACE_ROOT_DATA)),
            (request.cap_slot(self, at::VSPACE_ROOT), request.value(self, at::VSPACE_ROOT_DATA)),
        )?;
        thread.set_fault_endpoint(&self.memory, request.value(self, at::FAULT_EP));
        self.replace(request, thread.cspace(), cspace)?;
        self.replace(request, thread.vspace(), vspace)?;
        Ok(Answer::Empty)
    }

    /// The frame of an IPC buffer at `address`; none when that is 0.
    fn checked_buffer(&self, address: u64, slot: Option<Slot>) -> Result<Option<Root>, Error> {
        if address == 0 {
            return Ok(None);
        }
        let slot = slot.ok_or(Error::TruncatedMessage)?;
        let cap = self.derive(slot, slot.cap(&self.memory))?;
        self.check_ipc_buffer(address, cap)?;
        Ok(Some((cap, slot)))
    }

    /// The roots of a thread's capability space and address space; each from a slot and its data.
    fn checked_spaces(
        &self,
        thread: Tcb,
        (cspace, cspace_data): (Option<Slot>, u64),
        (vspace, vspace_data): (Option<Slot>, u64),
    ) -> Result<(Root, Root), Error> {
        if self.goes_away(thread.cspace()) || self.goes_away(thread.vspace()) {
            return Err(Error::IllegalOperation);
        }
        let cspace = self.root(cspace, cspace_data)?;
        if !matches!(cspace.0, Cap::CNode { .. }) {
            return Err(Error::IllegalOperation);
        }
        let vspace = self.root(vspace, vspace_data)?;
        if !self.is_vspace(vspace.0) {
            return Err(Error::IllegalOperation);
        }
        Ok((cspace, vspace))
    }

    fn root(&self, slot: Option<Slot>, data: u64) -> Result<Root, Error> {
        let slot = slot.ok_or(Error::TruncatedMessage)?;
        let mut cap = slot.cap(&self.memory);
        if data != 0 {
            cap = self.with_data(cap, data, false);
        }
        Ok((self.derive(slot, cap)?, slot))
    }

    /// Whether emptying the slot deletes an object of capabilities, which seL4 does not do in passing.
    fn goes_away(&self, slot: Slot) -> bool {
        let cap = slot.cap(&self.memory);
        matches!(cap, Cap::CNode { .. } | Cap::Thread { .. } | Cap::Zombie { .. }) && self.is_last(slot)
    }

    /// Puts a root into a slot of the invoked thread, in place of what was there. Emptying the slot can
    /// delete what the root was made from, or the thread.
    fn replace(&mut self, request: &Request, slot: Slot, (cap, source): Root) -> Result<(), Error> {
        self.delete(slot);
        let memory = &self.memory;
        if self.same_object(cap, source.cap(memory))
            && self.same_object(request.cap, request.slot.cap(memory))
        {
            self.insert(cap, source, slot);
        }
        Ok(())
    }

    fn replace_buffer(
        &mut self,
        request: &Request,
        thread: Tcb,
        address: u64,
        buffer: Option<Root>,
    ) -> Result<(), Error> {
        self.delete(thread.ipc_frame());
        thread.set_ipc_buffer(&self.memory, address);
        thread.set_register(&self.memory, Register::GsBase, address);
        match buffer {
            Some(root) => self.replace(request, thread.ipc_frame(), root),
            None => Ok(()),
        }
    }

    fn bind_notification(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        let slot = request.cap_slot(self, param::tcb_bind_notification::NOTIFICATION);
        let slot = slot.ok_or(Error::TruncatedMessage)?;
        if thread.bound_notification(&self.memory) != 0 {
            return Err(Error::IllegalOperation);
        }
        match slot.cap(&self.memory) {
            Cap::Notification { address, rights, .. } if rights.read && self.can_bind(address) => {
                self.bind(thread, address);
                Ok(Answer::Empty)
            }
            _ => Err(Error::IllegalOperation),
        }
    }
}
