/* Stands in for seL4 5.0.0's header of this name. Reason: see kernel-configs/x86_64-release.toml. */
#ifndef SELKIE_OVERLAY_ARCH_KERNEL_MULTIBOOT_H
#define SELKIE_OVERLAY_ARCH_KERNEL_MULTIBOOT_H

#include_next <arch/kernel/multiboot.h>

#undef MULTIBOOT_INFO_GRAPHICS_FLAG
#define MULTIBOOT_INFO_GRAPHICS_FLAG 0

#endif
