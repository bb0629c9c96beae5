//! Bindings for a kernel that exists only for tests: `tests/bindings/` has its era, its XML and its C
//! header. Each test changes one thing in them and looks at what comes of it.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/golden.rs"]
mod golden;

use builder::{
    bindings::{
        self, ApiFiles, Era, Interface, condition::Options, interface::ParamPlace, probe, resolve, rust,
    },
    context::Cancel,
    kernel_config::OptionValue,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The fixtures, copied where a test may change them.
struct Mini {
    dir: TempDir,
    options: BTreeMap<String, OptionValue>,
}

impl Mini {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for file in ["mini.toml", "mini.h", "syscalls.xml", "common.xml", "arch.xml"] {
            fs::copy(fixtures().join(file), dir.path().join(file)).unwrap();
        }
        let options = [("LIST_LENGTH", OptionValue::Number(3)), ("EXTRA", OptionValue::Flag(true))];
        let options = options.map(|(name, value)| (name.to_owned(), value));
        Self { dir, options: options.into() }
    }

    /// The fixtures with one text of one file replaced.
    fn with(file: &str, from: &str, to: &str) -> Self {
        let mini = Self::new();
        let path = mini.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "`{from}` is in {file} once");
        fs::write(path, text.replace(from, to)).unwrap();
        mini
    }

    fn set(mut self, option: &str, value: OptionValue) -> Self {
        self.options.insert(option.to_owned(), value);
        self
    }

    fn era(&self) -> Era {
        Era::load(&self.dir.path().join("mini.toml")).unwrap()
    }

    fn interface(&self) -> Interface {
        self.try_interface().unwrap()
    }

    fn try_interface(&self) -> Result<Interface, String> {
        self.resolve(&["common.xml", "arch.xml"])
    }

    /// The interface when the labels are in the order of these files.
    fn resolve(&self, interfaces: &[&str]) -> Result<Interface, String> {
        let root = self.dir.path();
        let era = Era::load(&root.join("mini.toml")).map_err(|error| error.to_string())?;
        let api = ApiFiles {
            root: root.to_owned(),
            system_calls: root.join("syscalls.xml"),
            interfaces: interfaces.iter().map(|file| root.join(file)).collect(),
        };
        let raw = bindings::raw_api(&era, &api).map_err(|error| error.to_string())?;
        resolve::resolve(&raw, &era, Options(&self.options), "0.1.0").map_err(|error| error.to_string())
    }

    fn rust(&self) -> String {
        rust::render(&self.interface(), &self.era()).unwrap()
    }

    fn probe(&self) -> Result<(), probe::Error> {
        let out = TempDir::new().unwrap();
        let include_dirs = [self.dir.path().to_owned()];
        let headers = probe::Headers { compiler: Path::new("cc"), include_dirs: &include_dirs, defines: &[] };
        probe::check(&self.interface(), &self.era(), headers, out.path(), &Cancel::default())
    }

    /// What the probe says about numbers that differ.
    fn mismatches(&self) -> Vec<String> {
        match self.probe() {
            Ok(()) => Vec::new(),
            Err(probe::Error::Mismatch(mismatches)) => mismatches.iter().map(ToString::to_string).collect(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bindings")
}

fn labels(interface: &Interface) -> Vec<(&str, u64)> {
    interface.invocations.iter().map(|call| (call.id.as_str(), call.label)).collect()
}

fn calls(interface: &Interface) -> Vec<(&str, i64)> {
    interface.system_calls.iter().map(|call| (call.name.as_str(), call.number)).collect()
}

#[test]
fn bindings_are_the_golden_ones_and_formatted() {
    golden::rust(&Mini::new().rust(), "mini.golden.rs");
}

#[test]
fn the_probe_accepts_what_the_header_says() {
    assert_eq!(Mini::new().mismatches(), Vec::<String>::new());
}

#[test]
fn the_probe_names_every_kind_of_number_that_differs() {
    for (file, from, to, expected) in [
        // A type of the wrong width moves what follows, as a 32-bit domain did in a well-known crate.
        (
            "mini.toml",
            r#"{ name = "flags", c = "flags", type = "u32""#,
            r#"{ name = "flags", c = "flags", type = "u8""#,
            "offset of mini_BootInfo.first is 17 here and 20 in the tree's headers",
        ),
        (
            "mini.toml",
            r#"layout = "packed""#,
            r#"layout = "natural""#,
            "offset of mini_Item.kind is 10 here and 9 in the tree's headers",
        ),
        (
            "mini.toml",
            r#"type = "word", count = 8"#,
            r#"type = "u32", count = 16"#,
            "size of an element of mini_IpcBuffer.msg is 4 here and 8 in the tree's headers",
        ),
        (
            "mini.toml",
            r#"c = "mini_CapThread""#,
            r#"c = "mini_CapThread", value = 2"#,
            "slot THREAD is 2 here and 1 in the tree's headers",
        ),
        (
            "mini.toml",
            r#"{ name = "THREAD", c = "mini_ThreadObject", doc"#,
            r#"{ name = "THREAD", c = "mini_ThreadObject", value = 2, doc"#,
            "object THREAD is 2 here and 1 in the tree's headers",
        ),
        ("mini.toml", "value = 12", "value = 13", "bits PAGE is 13 here and 12 in the tree's headers"),
        (
            "mini.toml",
            r#""label", shift = 12"#,
            r#""label", shift = 13"#,
            "bits of MessageInfo.label is 8589926400 here and 4294963200 in the tree's headers",
        ),
        (
            "mini.toml",
            "fixed = 0x100",
            "fixed = 0x200",
            "bits of Rights.read is 513 here and 257 in the tree's headers",
        ),
        (
            "mini.toml",
            r#"mini_Uint16 = { kind = "unsigned", bits = 16"#,
            r#"mini_Uint16 = { kind = "unsigned", bits = 32"#,
            "size of mini_Uint16 is 4 here and 2 in the tree's headers",
        ),
        (
            "common.xml",
            r#" condition="defined(CONFIG_LEAN)""#,
            r#" condition="defined(CONFIG_EXTRA)""#,
            "label ThreadWrite is 3 here and 2 in the tree's headers",
        ),
        (
            "syscalls.xml",
            r#"<syscall name="Call" />"#,
            r#"<!-- one less -->"#,
            "system call Send is -1 here and -2 in the tree's headers",
        ),
        (
            "common.xml",
            r#"<member name="ip"/>"#,
            "",
            "offset of mini_Context.sp is 0 here and 8 in the tree's headers",
        ),
        (
            "mini.h",
            "CONFIG_LIST_LENGTH 3",
            "CONFIG_LIST_LENGTH 4",
            "option LIST_LENGTH is 3 here and 4 in the tree's headers",
        ),
        ("mini.h", "#define CONFIG_EXTRA 1", "", "option EXTRA is 1 here and 0 in the tree's headers"),
    ] {
        let mini = Mini::with(file, from, to);
        if expected.starts_with("label") {
            // The name itself is missing in the header; its neighbours have shifted.
            let header = mini.dir.path().join("mini.h");
            let text = fs::read_to_string(&header).unwrap() + "enum { ThreadLean = 9 };\n";
            fs::write(header, text).unwrap();
        }
        let mismatches = mini.mismatches();
        assert!(mismatches.iter().any(|text| text == expected), "{expected}\n{mismatches:#?}");
    }
}

#[test]
fn the_probe_names_what_the_headers_do_not_have() {
    let error =
        Mini::with("mini.toml", r#"c = "mini_PageBits""#, r#"c = "mini_FrameBits""#).probe().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("bits PAGE:1") && text.contains("mini_FrameBits"), "{text}");
}

#[test]
fn system_call_numbers_are_used_up_even_when_the_condition_is_false() {
    assert_eq!(calls(&Mini::new().interface()), [("Call", -1), ("Send", -2), ("DebugPutChar", -4)]);
    let lean = Mini::new().set("LEAN", OptionValue::Flag(true)).interface();
    assert_eq!(calls(&lean), [("Call", -1), ("Send", -2), ("DebugHalt", -3)]);
}

#[test]
fn a_section_that_does_not_apply_takes_no_numbers() {
    let other = Mini::new().set("OTHER", OptionValue::Flag(true)).interface();
    assert_eq!(calls(&other), [("Call", -1), ("Send", -2), ("Other", -3), ("DebugPutChar", -5)]);
}

#[test]
fn labels_begin_at_1_in_the_order_of_the_files_and_skip_what_is_disabled() {
    let all = [("ThreadConfigure", 1), ("ThreadWrite", 2), ("ThreadRead", 3), ("ArchPageMap", 4)];
    assert_eq!(labels(&Mini::new().interface()), all);
    let lean = Mini::new().set("LEAN", OptionValue::Flag(true)).interface();
    assert_eq!(labels(&lean)[..3], [("ThreadConfigure", 1), ("ThreadLean", 2), ("ThreadWrite", 3)]);
    let swapped = Mini::new().resolve(&["arch.xml", "common.xml"]).unwrap();
    assert_eq!(labels(&swapped)[..2], [("ArchPageMap", 1), ("ThreadConfigure", 2)]);
    let short = Mini::new().set("LIST_LENGTH", OptionValue::Number(1)).interface();
    assert_eq!(labels(&short), all[..3]);
}

#[test]
fn object_numbers_and_layouts_follow_the_options() {
    let object = |interface: &Interface, name: &str| {
        let group = interface.constants("object").unwrap();
        group.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value)
    };
    let with = Mini::new().interface();
    assert_eq!((object(&with, "EXTRA"), object(&with, "PAGE")), (Some(2), Some(3)));
    let without = Mini::new().set("EXTRA", OptionValue::Flag(false)).interface();
    assert_eq!((object(&without, "EXTRA"), object(&without, "PAGE")), (None, Some(2)));
    let offset = |interface: &Interface| {
        interface
            .structure("BootInfo")
            .unwrap()
            .fields
            .iter()
            .find(|field| field.name == "flags")
            .unwrap()
            .offset
    };
    assert_eq!((offset(&with), offset(&without)), (16, 4));
}

#[test]
fn parameters_are_packed_at_their_own_size() {
    let interface = Mini::new().interface();
    let places = |id: &str| {
        let call = interface.invocations.iter().find(|call| call.id == id).unwrap();
        let places =
            |params: &[bindings::interface::Param]| params.iter().map(|p| p.place).collect::<Vec<_>>();
        (places(&call.inputs), places(&call.outputs), call.words, call.caps)
    };
    let bits = |word, shift, bits| ParamPlace::Bits { word, shift, bits };
    let configure = vec![
        bits(0, 0, 1),
        bits(0, 8, 8),
        bits(0, 32, 32),
        ParamPlace::Cap(0),
        bits(1, 0, 16),
        bits(2, 0, 64),
        bits(3, 0, 64),
    ];
    assert_eq!(places("ThreadConfigure"), (configure, vec![], 4, 1));
    let words = |word| ParamPlace::Words { word, count: 4 };
    assert_eq!(places("ThreadWrite"), (vec![bits(0, 0, 8), words(1)], vec![], 5, 0));
    assert_eq!(places("ThreadRead"), (vec![], vec![bits(0, 0, 1), bits(0, 8, 8), words(1)], 0, 0));
}

#[test]
fn the_digest_covers_the_interface_and_not_the_debug_calls() {
    let digest = Mini::new().interface().digest();
    for (file, from, to) in [
        ("syscalls.xml", r#"<syscall name="DebugPutChar" />"#, ""),
        ("common.xml", r#"description="Its priority.""#, ""),
        ("mini.toml", r#"doc = "A thread.""#, r#"doc = "Another.""#),
    ] {
        assert_eq!(Mini::with(file, from, to).interface().digest(), digest, "{from}");
    }
    for (file, from, to) in [
        ("syscalls.xml", r#"<syscall name="Call" />"#, ""),
        ("common.xml", r#" condition="defined(CONFIG_LEAN)""#, ""),
        ("common.xml", r#"name="priority" type="mini_Uint8""#, r#"name="priority" type="mini_Uint16""#),
        ("mini.toml", "value = 12", "value = 13"),
        ("mini.toml", r#""label", shift = 12"#, r#""label", shift = 13"#),
        ("mini.toml", r#"layout = "packed""#, r#"layout = "natural""#),
        ("mini.toml", "boot-info-extra-offset = 4096", "boot-info-extra-offset = 8192"),
    ] {
        assert_ne!(Mini::with(file, from, to).interface().digest(), digest, "{from}");
    }
}

#[test]
fn what_is_not_known_is_an_error_with_file_and_line() {
    for (file, from, to, expected) in [
        (
            "common.xml",
            r#"type="int""#,
            r#"type="mini_Time""#,
            "common.xml:20: the type `mini_Time` of `number` is not known",
        ),
        (
            "common.xml",
            "<return><errorenumdesc/></return>",
            "<error/>",
            "common.xml:16: `<error>` in `<method>` is not known",
        ),
        (
            "arch.xml",
            "<interface",
            "<group/>\n    <interface",
            "arch.xml:3: `<group>` in `<api>` is not known",
        ),
        (
            "syscalls.xml",
            "<debug>",
            "<odd/>\n    <debug>",
            "syscalls.xml:14: `<odd>` in `<syscalls>` is not known",
        ),
        (
            "arch.xml",
            "CONFIG_LIST_LENGTH > 1",
            "LIST > 1",
            "arch.xml:4: the condition `LIST > 1` cannot be read: a CONFIG_ symbol is expected, not `LIST`",
        ),
        (
            "arch.xml",
            r#"dir="in""#,
            r#"dir="inout""#,
            "arch.xml:5: the direction of a parameter is `in` or `out`, not `inout`",
        ),
        ("arch.xml", r#" name="vaddr""#, "", "arch.xml:5: `<param>` has no `name`"),
        (
            "arch.xml",
            r#"id="ArchPageMap""#,
            r#"id="ArchPageMap" since="2""#,
            "arch.xml:4: the attribute `since` of `<method>` is not known",
        ),
        (
            "arch.xml",
            "mini_Arch_Page",
            "mini_Word",
            "arch.xml:4: the interface `mini_Word` is not a capability type of the era",
        ),
        ("arch.xml", "</api>", "", "arch.xml: "),
        (
            "mini.toml",
            "count = 8",
            "count = 4",
            "common.xml:29: `mini_Thread_Write` takes 5 words and 0 capabilities; a message carries 4 and 2",
        ),
        (
            "mini.toml",
            r#"type = "u32""#,
            r#"type = "u24""#,
            "era: `BootInfo.flags`: the type `u24` is neither word, u8, u16, u32 nor a structure above it",
        ),
        (
            "mini.toml",
            r#"numbers = ["LIST_LENGTH"]"#,
            r#"numbers = ["LIST"]"#,
            "era: the kernel config does not set `LIST`",
        ),
        (
            "mini.toml",
            r#"name = "IpcBuffer""#,
            r#"name = "Buffer""#,
            "era: the structure `IpcBuffer` is missing",
        ),
        (
            "mini.toml",
            r#""defined(CONFIG_OTHER)""#,
            r#""OTHER""#,
            "era: `api-other`: the condition `OTHER` cannot be read",
        ),
        ("mini.toml", r#"ipc-buffer = "gs-base""#, r#"ipc-buffer = "guess""#, "unknown variant `guess`"),
        (
            "mini.toml",
            r#"register-words = 4"#,
            "register-words = 4\nregister-names = 4",
            "unknown field `register-names`",
        ),
        (
            "mini.toml",
            "register-words = 4",
            "register-words = 2",
            "mini.toml: on x86_64 `word-bits` is 64 and `register-words` is 4",
        ),
        (
            "mini.toml",
            r#"int = { kind = "signed", bits = 32 }"#,
            r#"int = { kind = "signed", bits = 31 }"#,
            "mini.toml: `int` has 31 bits; a power of two up to a word is expected",
        ),
        (
            "mini.toml",
            r#"bitfield = "Rights""#,
            r#"bitfield = "Right""#,
            "mini.toml: `mini_Rights` must name one of the bitfields exactly if that is its kind",
        ),
        (
            "mini.toml",
            r#""write", shift = 1"#,
            r#""write", shift = 64"#,
            "mini.toml: `Rights.write` does not fit into a word",
        ),
    ] {
        let text = Mini::with(file, from, to).try_interface().expect_err(expected);
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn lists_without_a_sensible_length_are_refused() {
    for length in [-1, 1 << 40] {
        let text = Mini::new().set("LIST_LENGTH", OptionValue::Number(length)).try_interface().unwrap_err();
        assert!(text.contains(&format!("`LIST_LENGTH = {length}` is not the length of a list")), "{text}");
    }
}

#[test]
fn functions_of_one_name_are_refused() {
    let mini = Mini::with("arch.xml", r#"name="Map""#, r#"name="Write""#);
    let strip = r#"strip-prefixes = ["mini_Arch_Page", "mini_Thread"]"#;
    let path = mini.dir.path().join("mini.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace(r#"strip-prefixes = ["mini_", "mini_Arch_"]"#, strip)).unwrap();
    let text = rust::render(&mini.interface(), &mini.era()).unwrap_err().to_string();
    assert!(
        text.contains("`mini_Thread_Write` and `mini_Arch_Page_Write` would both become `write`"),
        "{text}"
    );
}

#[test]
fn an_era_that_is_not_there_names_the_folder() {
    let dir = TempDir::new().unwrap();
    let text = Era::load(&dir.path().join("nothing.toml")).unwrap_err().to_string();
    assert!(text.contains("nothing.toml: there is no such era"), "{text}");
}
