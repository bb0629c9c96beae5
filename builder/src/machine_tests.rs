use super::*;

/// A file system of texts.
fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const CPUINFO: (&str, &str) = (
    "proc/cpuinfo",
    "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n\
     flags\t\t: fpu msr apic fxsr sse2 tsc lm syscall vmx\nvmx flags\t: vnmi\n\nprocessor\t: 1\n",
);
const EFI: (&str, &str) = ("sys/firmware/efi/fw_platform_size", "64\n");
const ACPI: (&str, &str) = ("sys/firmware/acpi/pm_profile", "1\n");
const SECURE: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const IMMUNE: (&str, &str) = ("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n");

fn machine(files: &[(&str, &str)]) -> Machine {
    Machine::read(host(files).path())
}

fn fit(machine: &Machine, config: &str) -> Fit {
    let config = KernelConfig::load(&Project::here(), config).unwrap();
    Fit::of(machine, &config, Vec::new())
}

#[test]
fn reads_processor_and_firmware() {
    let bios = machine(&[CPUINFO, ACPI, IMMUNE]);
    assert_eq!((bios.cpu.as_str(), bios.cpu_features.len()), ("Some CPU @ 2.00GHz", 9));
    assert_eq!((bios.virtualisation.as_deref(), bios.is_virtual), (Some("vmx"), false));
    assert_eq!((bios.firmware, bios.secure_boot), (Some(Firmware::Bios), None));
    assert!(bios.free_of_meltdown());
    let uefi = machine(&[CPUINFO, ACPI, EFI, (SECURE, "\x06\0\0\0\x01")]);
    assert_eq!((uefi.firmware, uefi.secure_boot), (Some(Firmware::Uefi), Some(true)));
    assert_eq!(machine(&[EFI, (SECURE, "\x06\0\0\0\0")]).secure_boot, Some(false));
    let nothing = machine(&[]);
    assert_eq!((nothing.firmware, nothing.meltdown, nothing.cpu.as_str()), (None, None, ""));
}

#[test]
fn reads_serial_ports_as_far_as_they_may_be_seen() {
    let there = |files: &[(&str, &str)]| {
        machine(files).serial.into_iter().map(|port| (port.name, port.present)).collect::<Vec<_>>()
    };
    assert_eq!(there(&[]), [("com1", Some(false)), ("com2", Some(false))]);
    let ports = [
        ("sys/class/tty/ttyS0/port", "0x3F8\n"),
        ("sys/class/tty/ttyS0/type", "4\n"),
        ("sys/class/tty/ttyS1/port", "0x2F8\n"),
        ("sys/class/tty/ttyS1/type", "0\n"),
    ];
    assert_eq!(there(&ports), [("com1", Some(true)), ("com2", Some(false))]);
    assert_eq!(there(&[("sys/class/tty/ttyS0/line", "0\n")]), [("com1", None), ("com2", None)]);
}

#[test]
fn a_feature_that_the_kernel_asks_for_and_is_not_there_is_named() {
    let plain = machine(&[("proc/cpuinfo", "flags : fpu msr apic fxsr tsc lm syscall\n"), ACPI]);
    let fit = fit(&plain, "x86_64-release");
    assert_eq!(fit.missing_features, ["sse2"]);
    let Expectation::No(why) = &fit.bios else { panic!("{fit:?}") };
    assert!(why.contains("lacks sse2"), "{why}");
    assert_eq!(fit.bios, fit.uefi);
}

#[test]
fn a_feature_that_some_releases_ask_for_is_named_with_them() {
    let verified = KernelConfig::load(&Project::here(), "x86_64-current-verified").unwrap();
    let info = |features: &[String]| format!("flags : {}\n", features.join(" "));
    let without = info(&verified.cpu_features);
    let with = info(&[verified.cpu_features.as_slice(), &["xsaveopt".to_owned()]].concat());
    let expectation = |info: &str| fit(&machine(&[("proc/cpuinfo", info), ACPI]), &verified.name).bios;
    assert_eq!(expectation(&with), Expectation::Expected);
    let Expectation::Unknown(why) = expectation(&without) else { panic!("13 needs it") };
    assert!(why.contains("lacks xsaveopt for seL4 <14"), "{why}");
}

#[test]
fn firmware_and_headers_decide() {
    let (bios, uefi, none) = (machine(&[CPUINFO, ACPI]), machine(&[CPUINFO, EFI]), machine(&[CPUINFO]));
    let (old, new) = ("x86_64-release", "x86_64-current-release");
    assert_eq!(fit(&bios, old).bios, Expectation::Expected);
    assert_eq!(fit(&bios, new).bios, Expectation::Expected);
    assert!(matches!(fit(&bios, new).uefi, Expectation::Unknown(_)));
    assert!(matches!(fit(&uefi, old).bios, Expectation::Unknown(_)));
    assert_eq!(fit(&uefi, new).uefi, Expectation::Expected);
    for machine in [&bios, &uefi, &none] {
        let Expectation::No(why) = fit(machine, old).uefi else { panic!("{machine:?}") };
        assert!(why.contains("Multiboot 2"), "{why}");
    }
    assert!(matches!(fit(&none, new).bios, Expectation::Unknown(_)));
    let secure = machine(&[CPUINFO, EFI, (SECURE, "\x06\0\0\0\x01")]);
    let Expectation::No(why) = fit(&secure, new).uefi else { panic!("it is not signed") };
    assert!(why.contains("Secure Boot"), "{why}");
}

#[test]
fn meltdown_is_a_caution_where_the_processor_may_have_it() {
    let vulnerable = ("sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
    for config in ["x86_64-release", "x86_64-current-release"] {
        assert!(fit(&machine(&[CPUINFO, vulnerable]), config).caution.is_some(), "{config}");
        assert!(fit(&machine(&[CPUINFO]), config).caution.is_some(), "{config}");
        assert_eq!(fit(&machine(&[CPUINFO, IMMUNE]), config).caution, None);
    }
}

#[test]
fn releases_are_compared_by_their_first_number() {
    assert_eq!(["5.0.0", "16.0.0", "10", "", "next"].map(major), [5, 16, 10, 0, 0]);
}

#[test]
fn every_kernel_config_that_can_be_read_is_told_of() {
    let report = report(&Project::here()).unwrap();
    assert!(
        report
            .kernels
            .iter()
            .any(|fit| fit.kernel == "x86_64-release" && fit.recipes.contains(&"hello".into()))
    );
    assert!(report.kernels.is_sorted_by_key(|fit| fit.kernel.clone()));
}
