/* Stands in for seL4 5.0.0's header of this name. Reason: see kernel-configs/x86_64-release.toml. */
#ifndef SELKIE_OVERLAY_MODE_KERNEL_STACK_H
#define SELKIE_OVERLAY_MODE_KERNEL_STACK_H

#include_next <mode/kernel/stack.h>

#undef KERNEL_STACK_ALIGNMENT
#define KERNEL_STACK_ALIGNMENT 4096

#endif
