//! Invocations of threads and domains.

use crate::{
    Cap, Error, Host, Kernel, Register, SchedContext, Slot, Tcb,
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
                use param::tcb_set_priority::{AUTHORITY, PRIORITY};
                let priority = self.checked_priority(request, PRIORITY, AUTHORITY)?;
                self.set_thread_priority(thread, priority);
                Ok(Answer::Empty)
            }
            Some(Invocation::TcbSetMcPriority) => {
                use param::tcb_set_mc_priority::{AUTHORITY, MCP};
                let priority = self.checked_priority(request, MCP, AUTHORITY)?;
                thread.set_max_priority(&self.memory, priority);
                Ok(Answer::Empty)
            }
            Some(Invocation::TcbSetSchedParams) => self.set_sched_params(thread, request),
            Some(Invocation::TcbSetTimeoutEndpoint) => self.set_timeout_handler(thread, request),
            Some(Invocation::TcbSetTlsBase) => self.set_tls_base(thread, request),
            Some(Invocation::TcbSetFlags) => self.set_flags(thread, request),
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
        match request.invocation {
            Some(Invocation::DomainSet) => {}
            Some(Invocation::DomainScheduleConfigure | Invocation::DomainScheduleSetStart) => {
                return self.invoke_domain_schedule(request);
            }
            _ => return Err(Error::IllegalOperation),
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
        thread.set_register(memory, Register::Rflags, self.sanitised(Register::Rflags, 0));
        memory.set(thread.0 + Tcb::FPU, FPU_CONTROL);
        memory.set(thread.0 + Tcb::FPU + MXCSR.0, MXCSR.1);
    }

    /// The registers of seL4's user context, in its order, as many as it has. The first one is the instruction
    /// that the thread would restart with.
    fn context_registers(&self) -> impl Iterator<Item = Register> {
        let count = self.context_words() as usize;
        let others = Register::USER_CONTEXT.into_iter().take(count).skip(1);
        core::iter::once(Register::FaultIp).chain(others)
    }

    fn context_words(&self) -> u64 {
        self.table.number(Number::RuleContextWords)
    }

    fn read_registers(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_read_registers as at;
        if request.length < 2 {
            return Err(Error::TruncatedMessage);
        }
        let count = request.value(self, at::COUNT);
        let max = self.context_words();
        if !(1..=max).contains(&count) {
            return Err(Error::Range { min: 1, max });
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
        for (index, register) in (0..count).zip(self.context_registers()) {
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
        for (index, register) in (0..count).zip(self.context_registers()) {
            let value = self.sanitised(register, request.word(self, 2 + index));
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
        for (index, register) in self.context_registers().enumerate() {
            if if index < FRAME { frame } else { integer } {
                let value = Tcb(source).register(&self.memory, register);
                thread.set_register(&self.memory, register, value);
            }
        }
        if frame {
            self.begin_at_fault_ip(thread);
        }
        if self.since(10, 0) && thread == self.current {
            self.reschedule();
        }
        Ok(Answer::Empty)
    }

    fn begin_at_fault_ip(&self, thread: Tcb) {
        let ip = thread.register(&self.memory, Register::FaultIp);
        thread.set_register(&self.memory, Register::Rip, ip);
    }

    /// A priority that may be given: the whole word, not only the bits that count.
    fn checked_priority(&self, request: &Request, param: usize, authority: usize) -> Result<u64, Error> {
        request.complete(self)?;
        let by = self.authority(request, authority)?;
        self.check_priority(by, request.whole_word(self, param))
    }

    /// Whose highest priority counts: that of a capability in the message, or on older kernels of the invoking
    /// thread.
    fn authority(&self, request: &Request, param: usize) -> Result<Tcb, Error> {
        match request.cap_slot(self, param).map(|slot| slot.cap(&self.memory)) {
            None => Ok(request.thread),
            Some(Cap::Thread { tcb }) => Ok(Tcb(tcb)),
            Some(_) => Err(Error::InvalidCapability(1)),
        }
    }

    fn check_priority(&self, by: Tcb, priority: u64) -> Result<u64, Error> {
        let max = by.max_priority(&self.memory);
        if priority > max { Err(Error::Range { min: 0, max }) } else { Ok(priority) }
    }

    fn configure(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_configure as at;
        request.complete(self)?;
        let priorities = match request.has(self, at::PRIORITY) {
            true => {
                let word = request.value(self, at::PRIORITY);
                let priority = self.check_priority(request.thread, word & 0xff)?;
                Some((priority, self.check_priority(request.thread, word >> 8 & 0xff)?))
            }
            false => None,
        };
        let address = request.value(self, at::BUFFER);
        let buffer = self.checked_buffer(address, request.cap_slot(self, at::BUFFER_FRAME))?;
        let (cspace, vspace) = self.checked_spaces(
            thread,
            (request.cap_slot(self, at::CSPACE_ROOT), request.value(self, at::CSPACE_ROOT_DATA)),
            (request.cap_slot(self, at::VSPACE_ROOT), request.value(self, at::VSPACE_ROOT_DATA)),
        )?;
        if request.has(self, at::FAULT_EP) {
            thread.set_fault_endpoint(&self.memory, request.value(self, at::FAULT_EP));
        }
        if let Some((priority, max_priority)) = priorities {
            thread.set_max_priority(&self.memory, max_priority);
            self.set_thread_priority(thread, priority);
        }
        self.replace(request, thread.cspace(), cspace)?;
        self.replace(request, thread.vspace(), vspace)?;
        self.replace_buffer(request, thread, address, buffer)?;
        Ok(Answer::Empty)
    }

    /// Serves SetSchedParams: both priorities, and where time is given by scheduling contexts the thread's own
    /// and its fault handler.
    fn set_sched_params(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_set_sched_params as at;
        request.complete(self)?;
        let by = self.authority(request, at::AUTHORITY)?;
        let max_priority = self.check_priority(by, request.whole_word(self, at::MCP))?;
        let priority = self.check_priority(by, request.whole_word(self, at::PRIORITY))?;
        let budget = match request.cap_slot(self, at::SCHED_CONTEXT) {
            Some(slot) => Some(self.checked_budget(thread, request, slot.cap(&self.memory))?),
            None => None,
        };
        if let Some(slot) = request.cap_slot(self, at::FAULT_EP) {
            let handler = self.checked_handler(slot, 3)?;
            self.replace(request, thread.fault_handler(), handler)?;
        }
        thread.set_max_priority(&self.memory, max_priority);
        self.set_thread_priority(thread, priority);
        let own = SchedContext(thread.sched_context(&self.memory));
        match budget {
            Some(sc) if sc == own => {}
            Some(sc) if sc.is_some() => self.bind_budget(sc, thread),
            Some(_) => self.unbind_budget(own),
            None => {}
        }
        Ok(Answer::Empty)
    }

    /// The scheduling context that a thread is to run on; none for an empty slot.
    fn checked_budget(&self, thread: Tcb, request: &Request, cap: Cap) -> Result<SchedContext, Error> {
        let memory = &self.memory;
        match cap {
            Cap::SchedContext { address, .. } => {
                let sc = SchedContext(address);
                let own = thread.sched_context(memory);
                // Before seL4 14 also the one that it has already counts as another one.
                let other = own != address || !self.since(14, 0);
                let bound = other && (own != 0 || sc.thread(memory) != 0);
                if bound || self.is_blocked(thread) && !sc.is_released(memory, self.moment()) {
                    return Err(Error::IllegalOperation);
                }
                Ok(sc)
            }
            Cap::Null if thread == request.thread => Err(Error::IllegalOperation),
            Cap::Null => Ok(SchedContext(0)),
            _ => Err(Error::InvalidCapability(2)),
        }
    }

    /// A capability that faults can be sent through, or none; extra capability `number` of the message.
    fn checked_handler(&self, slot: Slot, number: u64) -> Result<Root, Error> {
        match slot.cap(&self.memory) {
            cap @ Cap::Endpoint { rights, .. } if rights.write && rights.can_call() => Ok((cap, slot)),
            Cap::Null => Ok((Cap::Null, slot)),
            _ => Err(Error::InvalidCapability(number)),
        }
    }

    fn set_timeout_handler(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        // seL4 13 repeats its last error, which is most often this one.
        let none = if self.since(14, 0) { Error::TruncatedMessage } else { Error::IllegalOperation };
        let slot = request.extra[0].ok_or(none)?;
        let handler = self.checked_handler(slot, 1)?;
        self.replace(request, thread.timeout_handler(), handler)?;
        Ok(Answer::Empty)
    }

    fn set_tls_base(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        request.complete(self)?;
        let base = request.value(self, param::tcb_set_tls_base::TLS_BASE);
        thread.set_register(&self.memory, Register::FsBase, self.sanitised(Register::FsBase, base));
        if thread == self.current {
            self.reschedule();
        }
        Ok(Answer::Empty)
    }

    /// Serves SetFlags. The one flag takes the FPU from a thread; here it is kept, and changes nothing.
    fn set_flags(&mut self, thread: Tcb, request: &Request) -> Result<Answer, Error> {
        use param::tcb_set_flags as at;
        const FLAGS: u64 = 1;
        request.complete(self)?;
        let (clear, set) = (request.value(self, at::CLEAR), request.value(self, at::SET));
        let flags = thread.flags(&self.memory) & !clear | set & FLAGS;
        thread.set_flags(&self.memory, flags);
        Ok(self.answer_word(request, flags, true))
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
        match request.cap_slot(self, at::FAULT_EP) {
            Some(slot) => {
                let handler = self.checked_handler(slot, 1)?;
                self.replace(request, thread.fault_handler(), handler)?;
            }
            None => thread.set_fault_endpoint(&self.memory, request.value(self, at::FAULT_EP)),
        }
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
        if cap != Cap::Null
            && self.same_object(cap, source.cap(memory))
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
        if self.rule(Number::RuleGsIsIpcBuffer) {
            thread.set_register(&self.memory, Register::GsBase, address);
        }
        if let Some(root) = buffer {
            self.replace(request, thread.ipc_frame(), root)?;
        }
        if self.since(10, 0) && thread == self.current {
            self.reschedule();
        }
        Ok(())
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
