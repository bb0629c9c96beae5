//! The tender's tables for the real kernels, against numbers read from their headers by hand.
#![allow(missing_docs, clippy::unwrap_used)]

use builder::{
    Context, Project,
    bindings::{self, ApiFiles, Era, Interface},
    context::Silent,
    kernel,
    kernel_config::KernelConfig,
    process::table::{self, Error},
};
use selkie_tender_table::{Invocation, Kind, Number, Place, Syscall, Table, param};
use std::path::Path;

/// The interface of a shipped kernel config; no kernel is built for it.
fn interface(config: &str) -> Interface {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel");
    let project = Project { out, ..Project::here() };
    let config = KernelConfig::load(&project, config).unwrap();
    let tree = kernel::locate(&Context::new(&project, &Silent), &config).unwrap();
    let (name, era) = Era::find(&project.eras(), config.arch, &tree.version).unwrap();
    let api = ApiFiles::find(&tree.root, config.arch);
    bindings::interface(&name, &era, &api, &config.options, &tree.version).unwrap()
}

fn release() -> (Interface, Table) {
    let interface = interface("x86_64-release");
    let table = table::table(&interface, "x86_64-release").unwrap();
    (interface, table)
}

#[test]
fn every_label_system_call_and_type_of_5_0_0_decodes_to_its_own_name() {
    let (interface, table) = release();
    assert_eq!(table.config(), "x86_64-release");
    assert_eq!(table.digest, *interface.digest().bytes());
    assert_eq!(interface.invocations.len(), 51);
    for call in &interface.invocations {
        let decoded = table.invocation(call.label).unwrap_or_else(|| panic!("{}", call.id));
        assert_eq!(decoded.name(), call.id);
        let message = table.message(decoded);
        assert_eq!((u64::from(message.label), usize::from(message.words)), (call.label, call.words));
        assert_eq!(usize::from(message.caps), call.caps, "{}", call.id);
        let params = message.params.iter().filter(|place| place.kind != Place::NOWHERE).count();
        assert_eq!(params, call.inputs.len(), "{} has all its parameters", call.id);
    }
    assert_eq!((table.invocation(0), table.invocation(52), table.invocation(u64::MAX)), (None, None, None));
    for call in &interface.system_calls {
        assert_eq!(table.syscall(call.number).unwrap().name(), call.name);
    }
    assert_eq!((table.syscall(0), table.syscall(1), table.syscall(-9)), (None, None, None));
    assert_eq!(table.syscall(i64::MIN), None);
    let kinds: Vec<_> = (0..12).map(|number| table.kind(number)).collect();
    let names = [
        Kind::Untyped,
        Kind::Tcb,
        Kind::Endpoint,
        Kind::Notification,
        Kind::CNode,
        Kind::Pdpt,
        Kind::Pml4,
        Kind::Page,
        Kind::LargePage,
        Kind::PageTable,
        Kind::PageDirectory,
    ];
    assert_eq!(kinds[..11], names.map(Some));
    assert_eq!(kinds[11], None);
}

#[test]
fn parameters_are_where_the_trees_stubs_put_them() {
    let (_, table) = release();
    let at = |invocation: Invocation, param: usize| {
        let Place { kind, index, shift, bits } = table.message(invocation).params[param];
        (kind, index, shift, bits)
    };
    use param::{cnode_rotate, irq_issue_handler, tcb_configure, tcb_copy_registers, tcb_write_registers};
    let bits = Place::BITS;
    assert_eq!(at(Invocation::UntypedRetype, param::untyped_retype::ROOT), (Place::CAP, 0, 0, 0));
    assert_eq!(at(Invocation::UntypedRetype, param::untyped_retype::NUM_OBJECTS), (bits, 5, 0, 64));
    assert_eq!(at(Invocation::TcbConfigure, tcb_configure::BUFFER_FRAME), (Place::CAP, 2, 0, 0));
    assert_eq!(at(Invocation::TcbConfigure, tcb_configure::BUFFER), (bits, 4, 0, 64));
    assert_eq!(at(Invocation::TcbCopyRegisters, tcb_copy_registers::TRANSFER_INTEGER), (bits, 0, 3, 1));
    assert_eq!(at(Invocation::TcbCopyRegisters, tcb_copy_registers::ARCH_FLAGS), (bits, 0, 8, 8));
    assert_eq!(at(Invocation::TcbWriteRegisters, tcb_write_registers::REGS), (bits, 2, 0, 64));
    assert_eq!(at(Invocation::CNodeRotate, cnode_rotate::SRC_ROOT), (Place::CAP, 1, 0, 0));
    assert_eq!(at(Invocation::CNodeRotate, cnode_rotate::SRC_DEPTH), (bits, 7, 0, 8));
    assert_eq!(at(Invocation::IrqIssueHandler, irq_issue_handler::IRQ), (bits, 0, 0, 32));
    assert_eq!(at(Invocation::TcbResume, 0), (Place::NOWHERE, 0, 0, 0));
}

#[test]
fn numbers_are_those_of_the_headers() {
    let (_, table) = release();
    for (number, value) in [
        (Number::TcbBits, 11),
        (Number::EndpointBits, 4),
        (Number::NotificationBits, 5),
        (Number::SlotBits, 5),
        (Number::SlotIoPort, 7),
        (Number::SlotCount, 12),
        (Number::MsgMaxLength, 120),
        (Number::RuleBadgeBits, 28),
        (Number::FaultVm, 5),
        (Number::IpcBufferSize, 1024),
        (Number::IpcBufferMsg, 8),
        (Number::IpcBufferCapsOrBadges, 976),
        (Number::BootInfoCNodeBits, 136),
        (Number::BootInfoUntypedList, 169),
        (Number::UntypedDescSize, 12),
        (Number::UntypedDescSizeBits, 10),
        (Number::ConfigDebugBuild, 0),
        (Number::ConfigMaxUntypeds, 230),
        (Number::ConfigCNodeBits, 16),
        (Number::ConfigTimerTickMs, 100),
        (Number::RuleBootInfoExtraOffset, 4096),
    ] {
        assert_eq!(table.number(number), value, "{}", number.name());
    }
}

#[test]
fn the_debug_kernels_table_differs_only_in_what_a_debug_kernel_has() {
    let (_, release) = release();
    let debug = table::table(&interface("x86_64-debug"), "x86_64-debug").unwrap();
    assert_eq!(debug.digest, release.digest);
    assert_eq!(
        (debug.messages, debug.labels, debug.kinds),
        (release.messages, release.labels, release.kinds)
    );
    assert_eq!(debug.syscall(-9), Some(Syscall::DebugPutChar));
    assert_eq!(debug.number(Number::ConfigPrinting), 1);
}

#[test]
fn what_the_interface_lacks_is_named() {
    let missing = |change: fn(&mut Interface)| {
        let mut interface = interface("x86_64-release");
        change(&mut interface);
        match table::table(&interface, "mine").unwrap_err() {
            Error::Missing { what, .. } => what,
            error => panic!("{error}"),
        }
    };
    let what = missing(|interface| interface.system_calls.retain(|call| call.name != "Yield"));
    assert_eq!(what, "system call `Yield`");
    let what = missing(|interface| interface.invocations.retain(|call| call.id != "CNodeRotate"));
    assert_eq!(what, "invocation `CNodeRotate`");
    let what = missing(|interface| interface.invocations[0].inputs.truncate(3));
    assert_eq!(what, "parameter `node_index` of `UntypedRetype`");
    let what = missing(|interface| interface.structs.retain(|one| one.name != "IpcBuffer"));
    assert_eq!(what, "number `@IpcBuffer`");
    let what = missing(|interface| {
        interface.config.numbers.remove("TIME_SLICE");
    });
    assert_eq!(what, "number `config.TIME_SLICE`");
    let what = missing(|interface| {
        let group = interface.constants.iter_mut().find(|group| group.name == "object").unwrap();
        group.entries.retain(|entry| entry.name != "PDPT");
    });
    assert_eq!(what, "object type PDPT");
}

#[test]
fn what_has_no_place_in_the_table_is_named() {
    let mut interface = interface("x86_64-release");
    let name = "n".repeat(48);
    let error = table::table(&interface, &name).unwrap_err();
    assert!(matches!(error, Error::NoPlace { .. }), "{error}");
    assert!(table::table(&interface, &name[1..]).is_ok());
    interface.invocations[3].label = 4000;
    let text = table::table(&interface, "mine").unwrap_err().to_string();
    assert!(text.contains("label 4000 of `TCBCopyRegisters`"), "{text}");
}
