//! Bindings for a kernel of the newer kind that exists only for tests: `tests/bindings/next/` has its era, which
//! inherits from that of `tests/bindings/`, its XML with conditions as elements, its bit-field file and its C
//! header. It has scheduling contexts or has not. Each test changes one thing and looks at what comes of it.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/golden.rs"]
mod golden;

use builder::{
    bindings::{
        self, ApiFiles, Era, Interface, bitfields,
        condition::Options,
        era::{Scheduling, Shape},
        interface::ParamPlace,
        probe, resolve, rust,
    },
    context::Cancel,
    kernel_config::{Arch, OptionValue},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The fixtures, copied where a test may change them.
struct Next {
    dir: TempDir,
    options: BTreeMap<String, OptionValue>,
}

impl Next {
    fn new(mcs: bool) -> Self {
        let dir = TempDir::new().unwrap();
        for file in ["next.toml", "next.h", "next.pbf", "syscalls.xml", "common.xml", "arch.xml"] {
            fs::copy(fixtures().join("next").join(file), dir.path().join(file)).unwrap();
        }
        fs::copy(fixtures().join("mini.toml"), dir.path().join("mini.toml")).unwrap();
        let (length, tick) = (OptionValue::Number(3), OptionValue::Number(2));
        let mut options = vec![("LIST_LENGTH", length), ("EXTRA", OptionValue::Flag(true))];
        options.push(if mcs { ("KERNEL_MCS", OptionValue::Flag(true)) } else { ("TICK", tick) });
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self { dir, options: options.collect() }
    }

    /// The fixtures with one text of one file replaced.
    fn with(mcs: bool, file: &str, from: &str, to: &str) -> Self {
        let next = Self::new(mcs);
        let path = next.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "`{from}` is in {file} once");
        fs::write(path, text.replace(from, to)).unwrap();
        next
    }

    fn era(&self) -> Era {
        Era::load(&self.dir.path().join("next.toml")).unwrap()
    }

    fn try_interface(&self) -> Result<Interface, String> {
        let root = self.dir.path();
        let era = Era::load(&root.join("next.toml")).map_err(|error| error.to_string())?;
        let api = ApiFiles {
            root: root.to_owned(),
            system_calls: root.join("syscalls.xml"),
            interfaces: ["common.xml", "arch.xml"].map(|file| root.join(file)).into(),
        };
        let raw = bindings::raw_api(&era, &api).map_err(|error| error.to_string())?;
        resolve::resolve(&raw, &era, Options(&self.options), "2.1.0").map_err(|error| error.to_string())
    }

    fn interface(&self) -> Interface {
        self.try_interface().unwrap()
    }

    fn bitfields(&self) -> Result<(), String> {
        let include_dirs = [self.dir.path().to_owned()];
        bitfields::check(&self.interface(), &self.era(), &include_dirs).map_err(|error| error.to_string())
    }

    fn probe(&self) -> Result<(), probe::Error> {
        let out = TempDir::new().unwrap();
        let include_dirs = [self.dir.path().to_owned()];
        let mcs = self.options.contains_key("KERNEL_MCS");
        let defines = if mcs { vec!["CONFIG_KERNEL_MCS=1".to_owned()] } else { Vec::new() };
        let headers =
            probe::Headers { compiler: Path::new("cc"), include_dirs: &include_dirs, defines: &defines };
        probe::check(&self.interface(), &self.era(), headers, out.path(), &Cancel::default())
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bindings")
}

fn labels(interface: &Interface) -> Vec<(&str, u64)> {
    interface.invocations.iter().map(|call| (call.id.as_str(), call.label)).collect()
}

fn number(interface: &Interface, group: &str, name: &str) -> Option<u64> {
    let group = interface.constants(group)?;
    group.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value)
}

#[test]
fn the_probe_accepts_what_the_header_says_with_scheduling_contexts_and_without() {
    for mcs in [false, true] {
        Next::new(mcs).probe().unwrap();
    }
}

#[test]
fn the_probe_names_a_label_that_is_missing_at_the_end() {
    let next = Next::with(
        false,
        "next.h",
        "ArchPageMap, nLabels };\nenum { mini_UntypedObject, mini_ThreadObject, mini_PageObject",
        "ArchPageMap, Another, nLabels };\nenum { mini_UntypedObject, mini_ThreadObject, mini_PageObject",
    );
    let text = next.probe().unwrap_err().to_string();
    assert!(text.contains("number after the last label is 4 here and 5 in the tree's headers"), "{text}");
}

#[test]
fn the_probe_names_a_number_that_scheduling_contexts_shift() {
    let next = Next::with(
        true,
        "next.toml",
        r#"value = 7, when = "defined(CONFIG"#,
        r#"value = 6, when = "defined(CONFIG"#,
    );
    let text = next.probe().unwrap_err().to_string();
    assert!(text.contains("bits THREAD is 6 here and 7 in the tree's headers"), "{text}");
}

#[test]
fn scheduling_contexts_have_their_own_system_calls_and_numbers() {
    let calls = |mcs| {
        let interface = Next::new(mcs).interface();
        let calls = interface.system_calls.into_iter().map(|call| (call.name, call.number, call.shape));
        calls.map(|(name, number, shape)| format!("{name} {number} {shape:?}")).collect::<Vec<_>>()
    };
    let plain = [(-1, "Call", Shape::Call), (-2, "Send", Shape::Send), (-3, "Recv", Shape::Recv)]
        .map(|(n, name, s)| format!("{name} {n} {:?}", Some(s)));
    assert_eq!(calls(false)[..3], plain);
    assert_eq!(calls(false)[3..], ["DebugPutChar -5 Some(Word)", "SetBase -6 Some(Word)"]);
    assert_eq!(
        calls(true),
        [
            "Call -1 Some(Call)",
            "ReplyRecv -2 Some(SendRecvReply)",
            "NBSendRecv -3 Some(NbSendRecv)",
            "NBSendWait -4 Some(NbSendWait)",
            "Send -5 Some(Send)",
            "Recv -6 Some(RecvReply)",
            "Wait -7 Some(Recv)",
            "DebugPutChar -9 Some(Word)",
            "SetBase -10 Some(Word)",
        ]
    );
    let debug = |name: &str| {
        let calls = Next::new(false).interface().system_calls;
        calls.into_iter().find(|call| call.name == name).unwrap().debug
    };
    assert!(debug("DebugPutChar") && !debug("SetBase"), "a call among those for debugging may be official");
}

#[test]
fn one_of_two_methods_of_one_id_exists() {
    let words = |mcs| {
        let interface = Next::new(mcs).interface();
        (interface.invocations[0].words, interface.invocations[0].caps)
    };
    assert_eq!((words(false), words(true)), ((1, 1), (0, 2)));
    let plain = [("ThreadConfigure", 1), ("ThreadWrite", 2), ("ArchPageMap", 3)];
    assert_eq!(labels(&Next::new(false).interface()), plain);
    let mcs = [("ThreadConfigure", 1), ("ThreadWrite", 2), ("ClockSet", 3), ("ArchPageMap", 4)];
    assert_eq!(labels(&Next::new(true).interface()), mcs);
}

#[test]
fn numbers_and_rules_follow_the_option() {
    for (mcs, scheduling) in [(false, Scheduling::TimeSlice), (true, Scheduling::Mcs)] {
        let interface = Next::new(mcs).interface();
        assert_eq!(interface.rules.scheduling, scheduling);
        assert_eq!(number(&interface, "object", "PAGE"), Some(if mcs { 3 } else { 2 }));
        assert_eq!(number(&interface, "bits", "THREAD"), Some(if mcs { 7 } else { 6 }));
        assert_eq!(interface.constants("timeout").is_some(), mcs, "a group without numbers is none");
        assert_eq!(interface.config.numbers.contains_key("TICK"), !mcs);
        assert_eq!(interface.types.contains_key("mini_Time"), mcs, "only types that an invocation uses");
    }
}

#[test]
fn a_structure_of_words_may_be_shorter_than_in_the_xml() {
    let mut next = Next::new(false);
    next.options.remove("EXTRA");
    let interface = next.interface();
    assert_eq!(interface.contexts[0].members, ["ip", "sp", "r8"]);
    let places: Vec<_> = interface.invocations[1].inputs.iter().map(|param| param.place).collect();
    assert_eq!(places[1], ParamPlace::Words { word: 1, count: 3 });
    assert_eq!(Next::new(false).interface().contexts[0].members.len(), 4);
}

#[test]
fn what_an_era_inherits_is_there_unless_it_says_otherwise() {
    let era = Next::new(false).era();
    assert_eq!(era.structs.len(), 3, "those of mini.toml");
    assert_eq!(era.names.words, ["CNode"]);
    assert_eq!(era.system_calls["Send"], Shape::Send);
    assert!(era.types.contains_key("mini_CNode") && era.types.contains_key("mini_Clock"));
    let bits = era.bitfields.iter().find(|bitfield| bitfield.name == "MessageInfo").unwrap().fields[0].bits;
    assert_eq!(bits, 52);
    for (from, to, expected) in [
        (r#"inherits = "mini""#, r#"inherits = "none""#, "none.toml: there is no such era"),
        (r#"inherits = "mini""#, r#"inherits = "next""#, "it inherits from too many eras, or from itself"),
        (r#"inherits = "mini""#, "inherits = 1", "`inherits` is the name of an era"),
        (r#"[probe]"#, "[probe]\nheader = 1", "unknown field `header`"),
        (r#"">=2, <4""#, r#""2 to 3""#, "`versions = \"2 to 3\"` is no range of releases"),
    ] {
        let text = Next::with(false, "next.toml", from, to).try_interface().unwrap_err();
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn an_era_is_found_by_release_and_architecture() {
    let next = Next::new(false);
    let find = |version: &str| Era::find(next.dir.path(), Arch::X86_64, version).map(|(name, _)| name);
    for version in ["2.0.0", "3.9.9", "3.0.0-dev"] {
        assert_eq!(find(version).unwrap(), "next", "{version}");
    }
    assert_eq!(find("0.1.0").unwrap(), "mini");
    for version in ["1.0.0", "4.0.0", "4.0.0-dev", "", "latest"] {
        let text = find(version).unwrap_err().to_string();
        assert!(text.starts_with(&format!("no era describes seL4 {version} on x86_64")), "{text}");
        assert!(text.contains("=0.1.0 on x86_64; >=2, <4 on x86_64"), "{text}");
    }
    fs::copy(next.dir.path().join("next.toml"), next.dir.path().join("same.toml")).unwrap();
    let text = find("2.0.0").unwrap_err().to_string();
    assert!(text.contains("`next` and `same` both describe seL4 2.0.0 on x86_64"), "{text}");
}

#[test]
fn the_text_leaves_out_references_into_the_manual() {
    let interface = Next::new(false).interface();
    assert_eq!(interface.invocations[0].doc, "Set a thread's parameters");
    assert_eq!(interface.invocations[0].inputs[1].doc, "Its CSpace.");
}

#[test]
fn what_is_not_known_is_an_error_with_file_and_line() {
    let not = "<condition><not><config var=\"CONFIG_KERNEL_MCS\"/></not></condition>";
    for (file, from, to, expected) in [
        (
            "common.xml",
            not,
            "<condition><xor/></condition>",
            "common.xml:12: `<xor>` in `<condition>` is not known",
        ),
        (
            "common.xml",
            not,
            "<condition><not/></condition>",
            "common.xml:12: `<not>` in a condition has 0 parts; one is expected",
        ),
        (
            "common.xml",
            not,
            "<condition><config var=\"CONFIG_A\"/><config var=\"CONFIG_B\"/></condition>",
            "common.xml:12: `<condition>` in a condition has 2 parts; one is expected",
        ),
        (
            "common.xml",
            not,
            "<condition><and><config var=\"CONFIG_A\"/></and></condition>",
            "common.xml:12: `<and>` in a condition has 1 parts; two or more are expected",
        ),
        (
            "common.xml",
            not,
            "<condition><config var=\"KERNEL_MCS\"/></condition>",
            "common.xml:12: `KERNEL_MCS` in a condition is not a CONFIG_ symbol",
        ),
        ("common.xml", not, "<condition><config/></condition>", "common.xml:12: `<config>` has no `var`"),
        (
            "common.xml",
            not,
            "<condition><config var=\"CONFIG_A\" value=\"2\"/></condition>",
            "common.xml:12: the attribute `value` of `<config>` is not known",
        ),
        (
            "common.xml",
            not,
            "<condition/><condition/>",
            "common.xml:11: `<method>` in a condition has 2 parts",
        ),
        ("common.xml", not, "", "common.xml:23: the id `ThreadConfigure` is also that of a method above it"),
        (
            "arch.xml",
            "name=\"Map\"",
            "name=\"Map\" condition=\"defined(CONFIG_EXTRA)\"",
            "arch.xml:4: the attribute `condition` of `<method>` is not known",
        ),
        ("arch.xml", "</method>", "<since/></method>", "arch.xml:6: `<since>` in `<method>` is not known"),
        (
            "syscalls.xml",
            "<api-master>",
            "<api-next/>\n    <api-master>",
            "syscalls.xml:3: `<api-next>` in `<syscalls>` is not known",
        ),
        (
            "syscalls.xml",
            "<syscall name=\"Call\" />\n            <syscall name=\"Send\" />\n            <syscall name=\"Recv\" />",
            "<!-- none -->",
            "the XML has no system calls in `<api-master>`, which the era names",
        ),
        (
            "next.toml",
            r#"value = 7, when = "defined(CONFIG_KERNEL_MCS)""#,
            "value = 7",
            "era: `bits` has `THREAD` twice for these options",
        ),
    ] {
        // Both of the two methods exist only with the option.
        let next = Next::with(to.is_empty(), file, from, to);
        let text = next.try_interface().expect_err(expected);
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn the_bit_field_file_is_held_against_the_era() {
    Next::new(false).bitfields().unwrap();
    for (from, to, expected) in [
        (
            "field label 52",
            "field label 51",
            "next.pbf:4: field `label` of block `mini_MessageInfo` is 51 bits from bit 12 in the tree and 52 bits from bit 12 here",
        ),
        (
            "field extraCaps 2",
            "padding 1\n    field extraCaps 2",
            "next.pbf:5: field `capsUnwrapped` of block `mini_MessageInfo` is 3 bits from bit 10 in the tree",
        ),
        (
            "field extraCaps 2",
            "field extraCaps 1\n    field more 1",
            "next.pbf:6: field `extraCaps` of block `mini_MessageInfo` is 1 bits from bit 8 in the tree",
        ),
        (
            "block mini_MessageInfo {",
            "block mini_MessageInfo {\n    field more 1",
            "next.pbf:4: field `more` of block `mini_MessageInfo` is 1 bits from bit 64 in the tree and not known here",
        ),
        (
            "field capsUnwrapped 3",
            "padding 3",
            "next.pbf:3: there is no field `capsUnwrapped` of block `mini_MessageInfo`",
        ),
        ("block mini_MessageInfo {", "block other {", "next.pbf: there is no block `mini_MessageInfo`"),
        ("tag VM 1", "tag VM 2", "next.pbf:15: fault `VM` is 2 in the tree and 1 here"),
        (
            "tag VM 1",
            "tag VM 1\n    tag Thermal 2",
            "next.pbf:16: fault `Thermal` is 2 in the tree and not known here",
        ),
        ("    tag VM 1\n", "", "next.pbf: there is no fault `mini_Fault_VM`"),
        (
            "tagged_union mini_Fault ",
            "tagged_union other ",
            "next.pbf: there is no tagged_union `mini_Fault`",
        ),
        ("field length 7", "field_high length 7", "next.pbf:7: `field_high length 7` is not known"),
        ("padding 64", "padding many", "next.pbf:10: `many` is not a number"),
        ("padding 64", "padding 4000000000", "next.pbf:10: the block is too large"),
        ("base 64", "base 32", "next.pbf:2: `base 32` is not known"),
        ("base 64", "#include <other.bf>", "next.pbf:2: `#include <other.bf>` is not known"),
        ("block Fault {", "} block Fault {", "next.pbf:9: `} block Fault {` is not known"),
        ("field extraCaps 2", "field label 2", "next.pbf:6: field `label` is there twice"),
    ] {
        let text = Next::with(false, "next.pbf", from, to).bitfields().expect_err(expected);
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let mcs = Next::new(true).bitfields().unwrap_err();
    assert!(mcs.contains("next.pbf:15: fault `VM` is 1 in the tree and 2 here"), "{mcs}");
    let next = Next::new(false);
    fs::remove_file(next.dir.path().join("next.pbf")).unwrap();
    assert!(next.bitfields().unwrap_err().contains("there is no next.pbf among the kernel's headers"));
    let next = Next::new(false);
    fs::write(next.dir.path().join("next.pbf"), "base 64\nblock a {\n  field b 1\n").unwrap();
    assert!(next.bitfields().unwrap_err().contains("next.pbf:2: block `a` has no end"));
}

#[test]
fn bindings_with_reply_objects_are_the_golden_ones_and_formatted() {
    let next = Next::new(true);
    golden::rust(&rust::render(&next.interface(), &next.era()).unwrap(), "next/next.golden.rs");
}

#[test]
fn the_digest_tells_kernels_with_scheduling_contexts_apart() {
    let digest = |next: Next| next.interface().digest();
    assert_ne!(digest(Next::new(true)), digest(Next::new(false)));
    let lean = |value| {
        let mut next = Next::new(false);
        next.options.insert("LEAN".to_owned(), OptionValue::Flag(value));
        digest(next)
    };
    assert_eq!(lean(true), lean(false), "calls for debugging do not count");
    let without = Next::with(false, "syscalls.xml", "<syscall name=\"SetBase\" />", "");
    assert_ne!(digest(without), digest(Next::new(false)), "a call beside them that is official does");
}

#[test]
fn the_xml_files_are_found_in_trees_of_both_kinds_and_in_prefixes() {
    let dir = TempDir::new().unwrap();
    let make = |root: &str, file: &str| {
        let path = dir.path().join(root).join("libsel4").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    make("prefix", "include/interfaces/object-api.xml");
    for (root, common) in [("current", "object-api.xml"), ("former", "sel4.xml")] {
        make(root, &format!("include/interfaces/{common}"));
        make(root, "arch_include/x86/interfaces/any.xml");
        make(root, "arch_include/arm/interfaces/any.xml");
    }
    for (root, arch, expected) in [
        (
            "prefix",
            Arch::X86_64,
            [
                "include/interfaces/object-api.xml",
                "include/interfaces/object-api-sel4-arch.xml",
                "include/interfaces/object-api-arch.xml",
            ],
        ),
        (
            "current",
            Arch::X86_64,
            [
                "include/interfaces/object-api.xml",
                "sel4_arch_include/x86_64/interfaces/object-api-sel4-arch.xml",
                "arch_include/x86/interfaces/object-api-arch.xml",
            ],
        ),
        (
            "current",
            Arch::Aarch64,
            [
                "include/interfaces/object-api.xml",
                "sel4_arch_include/aarch64/interfaces/object-api-sel4-arch.xml",
                "arch_include/arm/interfaces/object-api-arch.xml",
            ],
        ),
        (
            "former",
            Arch::X86_64,
            [
                "include/interfaces/sel4.xml",
                "sel4_arch_include/x86_64/interfaces/sel4arch.xml",
                "arch_include/x86/interfaces/sel4arch.xml",
            ],
        ),
    ] {
        let root = dir.path().join(root);
        let found = ApiFiles::find(&root, arch);
        assert_eq!(found.system_calls, root.join("libsel4/include/api/syscall.xml"));
        assert_eq!(found.interfaces, expected.map(|file| root.join("libsel4").join(file)));
    }
}
