//! Invocations: from the message in the current thread's registers to its answer.

use crate::{
    Cap, Error, Host, Kernel, Register, Slot, Tcb, ThreadState,
    endpoint::Send,
    fault::Fault,
    message::{CAP_REGISTER, MESSAGE_REGISTERS, TAG_REGISTER, Tag},
    reply::Reply,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Sends the current thread's message to the object whose capability it names in a register. `first` when
    /// it receives afterwards: some objects are not for that.
    #[inline]
    pub(crate) fn invoke(&mut self, how: Send, register: Register, first: bool) {
        let thread = self.current;
        let address = thread.register(&self.memory, register);
        let slot = match self.lookup_cap(thread, address) {
            Ok(slot) => slot,
            Err(failure) => {
                return self.invalid(how, Fault::Cap { address, receiving: false, failure });
            }
        };
        let tag = self.tag(thread);
        let cap = slot.cap(&self.memory);
        if tag.caps() == 0 && self.deliver(thread, slot, cap, how) {
            return;
        }
        let buffer = self.message_buffer(thread);
        let extra = match self.extra_caps(thread, buffer, tag) {
            Ok(extra) => extra,
            Err((address, failure)) => {
                return self.invalid(how, Fault::Cap { address, receiving: false, failure });
            }
        };
        if tag.caps() != 0 && self.deliver(thread, slot, cap, how) {
            return;
        }
        let request = Request {
            thread,
            slot,
            cap,
            invocation: self.table.invocation(tag.label()),
            length: self.room(buffer, tag.length()),
            extra,
            buffer,
            call: how.call,
        };
        let refused = matches!(
            cap,
            Cap::Thread { .. }
                | Cap::Domain
                | Cap::CNode { .. }
                | Cap::SchedControl
                | Cap::SchedContext { .. }
        );
        // Nobody hears of it: such a thread does not wait for an answer.
        if !(first && refused) {
            self.serve_request(&request);
        }
    }

    /// A capability that is named does not exist: only a sender that can wait is told.
    fn invalid(&mut self, how: Send, fault: Fault) {
        if how.blocking {
            self.raise(self.current, fault);
        }
    }

    /// Hands the message over when it is for another thread, not for the kernel; whether it was.
    #[inline]
    fn deliver(&mut self, thread: Tcb, slot: Slot, cap: Cap, how: Send) -> bool {
        match cap {
            Cap::Endpoint { address, rights, .. } if rights.write && address != self.device_endpoint => {
                if let Some(through) = Self::through(cap) {
                    self.send(thread, through, how);
                }
            }
            Cap::Notification { address, badge, rights } if rights.write => {
                self.signal(address, badge);
                self.answer_call(thread, how.call);
            }
            Cap::Reply { tcb, master: false, grant } => {
                self.reply_to(thread, Tcb(tcb), slot, grant);
                self.answer_call(thread, how.call);
            }
            Cap::ReplyObject { address, grant } => {
                self.reply_through(thread, Reply(address), grant);
                self.answer_call(thread, how.call);
            }
            _ => return false,
        }
        true
    }

    /// Serves what is for the kernel itself.
    fn serve_request(&mut self, request: &Request) {
        let thread = request.thread;
        // An operation that ends the thread's own running leaves another state behind.
        thread.set_state_word(&self.memory, ThreadState::Restart as u64);
        let result = match request.cap {
            Cap::Endpoint { badge, rights, .. } if rights.write => {
                let answer = self.serve_device(badge, request);
                self.set_running(thread);
                return self.answer_device(request, answer);
            }
            Cap::Null
            | Cap::Zombie { .. }
            | Cap::Endpoint { .. }
            | Cap::Notification { .. }
            | Cap::ReplyObject { .. }
            | Cap::Reply { .. } => Err(Error::InvalidCapability(0)),
            Cap::Untyped { .. } => self.invoke_untyped(request),
            Cap::CNode { .. } => self.invoke_cnode(request),
            Cap::Thread { .. } => self.invoke_thread(request),
            Cap::Domain => self.invoke_domain(request),
            Cap::IrqControl => self.invoke_irq_control(request),
            Cap::IrqHandler { .. } => self.invoke_irq_handler(request),
            Cap::IoPort { .. } => self.invoke_io_port(request),
            Cap::IoPortControl => self.invoke_io_port_control(request),
            Cap::SchedContext { .. } => self.invoke_sched_context(request),
            Cap::SchedControl => self.invoke_sched_control(request),
            Cap::AsidControl | Cap::AsidPool { .. } => self.invoke_asid(request),
            Cap::Frame { .. } => self.invoke_page(request),
            Cap::PageTable { .. } | Cap::PageDirectory { .. } | Cap::Pdpt { .. } => {
                self.invoke_structure(request)
            }
            // The root of an address space has no operations of its own on this architecture.
            Cap::Pml4 { .. } => Err(Error::IllegalOperation),
        };
        if thread.state(&self.memory) != ThreadState::Restart {
            return;
        }
        self.set_running(thread);
        match result {
            Ok(answer) => self.answer(request, answer),
            Err(error) if request.call => self.answer_error(thread, error),
            Err(_) => {}
        }
    }

    fn set_running(&self, thread: Tcb) {
        thread.set_state_word(&self.memory, ThreadState::Running as u64);
    }

    /// Answers a call that has succeeded with nothing, if it was one.
    #[inline]
    fn answer_call(&self, thread: Tcb, call: bool) {
        if call {
            self.set_answer(thread, Tag::new(0, 0));
        }
    }

    fn set_answer(&self, thread: Tcb, tag: Tag) {
        thread.set_register(&self.memory, CAP_REGISTER, 0);
        thread.set_register(&self.memory, TAG_REGISTER, tag.word());
    }

    /// Answers what has succeeded.
    fn answer(&self, request: &Request, answer: Answer) {
        let thread = request.thread;
        match answer {
            Answer::Silent => {}
            Answer::Empty => self.answer_call(thread, request.call),
            Answer::Words(words, count) => {
                self.set_words(thread, words, count);
                self.set_answer(thread, Tag::new(0, count as u64));
            }
            Answer::Written(count) => {
                if request.call {
                    self.set_answer(thread, Tag::new(0, count));
                }
            }
        }
    }

    /// Answers for a device: what a thread would answer with.
    fn answer_device(&self, request: &Request, answer: Answer) {
        match answer {
            Answer::Words(words, count) if request.call => {
                self.set_words(request.thread, words, count);
                self.set_answer(request.thread, Tag::new(0, count as u64));
            }
            Answer::Empty | Answer::Written(_) if request.call => self.answer(request, answer),
            _ => {}
        }
    }

    /// Answers a caller with a word; `told` when the tag says that it is there. Older kernels give the word to
    /// anybody, and to a caller a tag that says there is none.
    pub(crate) fn answer_word(&self, request: &Request, word: u64, told: bool) -> Answer {
        if !told {
            request.thread.set_register(&self.memory, MESSAGE_REGISTERS[0], word);
            request.thread.set_register(&self.memory, TAG_REGISTER, Tag::new(0, 1).word());
            return Answer::Empty;
        }
        if request.call {
            request.thread.set_register(&self.memory, MESSAGE_REGISTERS[0], word);
            self.set_answer(request.thread, Tag::new(0, 1));
        }
        Answer::Silent
    }

    fn set_words(&self, thread: Tcb, words: [u64; 4], count: usize) {
        for (register, word) in MESSAGE_REGISTERS.into_iter().zip(words).take(count) {
            thread.set_register(&self.memory, register, word);
        }
    }

    /// Answers what has failed.
    fn answer_error(&self, thread: Tcb, error: Error) {
        let buffer = self.writable_buffer(thread);
        let (label, words, count) = error.message();
        for (index, word) in (0..).zip(words).take(count) {
            self.set_message_word(thread, buffer, index, word);
        }
        self.set_answer(thread, Tag::new(label, self.room(buffer, count as u64)));
    }
}
