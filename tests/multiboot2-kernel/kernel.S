/* A Multiboot 2 kernel for the tests of target bare-metal: it looks at what the boot loader hands over to a
 * kernel such as seL4, says so on COM1, and switches the machine off. Its status names the first check that
 * does not hold; 0 is none.
 *
 * Assembled with MODULE_SIZE, the bytes of the root task, and MODULE_SUM, its checksum.
 * Sources: Multiboot 2 specification 2.0, 3.1 to 3.6; ACPI 6.4, 5.2.5 to 5.2.9; docs/specs/fw_cfg of QEMU.
 */
#define COM1 0x3f8
#define MODULE_UNIT 0x200000 /* what the builder pads the module to */

        .section .multiboot, "a"
        .balign 8
header: .long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + header_end - header)
        .short 6, 0             /* modules at page boundaries */
        .long 8
        .short 0, 0             /* no more tags */
        .long 8
header_end:

        .text
        .globl _start
_start: cld
        mov $stack_top, %esp
        mov %eax, %edi
        call serial
        mov $1, %cl             /* the loader's magic number */
        cmp $0x36d76289, %edi
        jne finish
        add $8, %ebx            /* total size and a reserved word */
tag:    mov (%ebx), %eax
        cmp $3, %eax            /* module: begin, end, text */
        jne 1f
        lea 8(%ebx), %edi
        mov %edi, module
        jmp next
1:      cmp $14, %eax           /* RSDP of ACPI 1 */
        je 2f
        cmp $15, %eax           /* RSDP of ACPI 2, which begins with one of ACPI 1 */
        jne 3f
2:      lea 8(%ebx), %edi
        mov %edi, rsdp
3:      test %eax, %eax
        jz checks
next:   mov 4(%ebx), %eax       /* tags begin at multiples of 8 */
        lea 7(%ebx, %eax), %ebx
        and $~7, %ebx
        jmp tag

checks: mov $2, %cl             /* a tag with an RSDP */
        mov rsdp, %esi
        test %esi, %esi
        jz finish
        mov $3, %cl             /* its 20 bytes add up to 0 */
        mov $20, %edi
        xor %ah, %ah
1:      lodsb
        add %al, %ah
        dec %edi
        jnz 1b
        test %ah, %ah
        jnz finish
        mov $4, %cl             /* a module */
        mov module, %edi
        test %edi, %edi
        jz finish
        mov $5, %cl             /* at a page boundary */
        mov (%edi), %esi
        test $0xfff, %esi
        jnz finish
        mov $6, %cl             /* as long as the padded root task */
        mov 4(%edi), %ebx
        sub %esi, %ebx
        cmp $(MODULE_SIZE + MODULE_UNIT - 1) / MODULE_UNIT * MODULE_UNIT, %ebx
        jne finish
        mov $7, %cl             /* with the root task's bytes, zeros filling up the last word */
        xor %edx, %edx
        mov $(MODULE_SIZE + 3) / 4, %edi
1:      lodsl
        rol $1, %edx
        add %eax, %edx
        dec %edi
        jnz 1b
        cmp $MODULE_SUM, %edx
        jne finish
        mov $8, %cl             /* and zeros to its end */
        mov module, %edi
1:      cmp 4(%edi), %esi
        jae 2f
        lodsl
        test %eax, %eax
        jz 1b
        jmp finish
2:      mov $good, %esi
        call say
        xor %cl, %cl

/* The exit line with status CL, and the end. */
finish: mov $frame, %esi
        call say
        mov %cl, %al
        add $'0', %al
        call put
        mov $frame_nonce, %esi
        call say
        call nonce
        mov $frame_end, %esi
        call say
        mov rsdp, %esi          /* to the FADT by the RSDT */
        test %esi, %esi
        jz halt
        mov 16(%esi), %esi
        mov 4(%esi), %edi
        add %esi, %edi
        add $36, %esi
1:      cmp %edi, %esi
        jae halt
        lodsl
        cmpl $0x50434146, (%eax) /* FACP */
        jne 1b
        mov 64(%eax), %edx      /* PM1a_CNT_BLK: SLP_EN; sleep type 0 is "off" on QEMU's machines */
        mov $1 << 13, %ax
        out %ax, %dx
halt:   cli
        hlt
        jmp halt

/* This run's nonce, from the file whose content begins with `override`: files have keys from 0x20 on. */
nonce:  mov $0x20, %ebx
1:      mov %bx, %ax
        mov $0x510, %dx
        out %ax, %dx
        inc %dx
        mov $override, %esi
        mov $override_end - override, %edi
2:      in %dx, %al
        cmp %al, (%esi)
        jne 3f
        inc %esi
        dec %edi
        jnz 2b
        mov $16, %edi
4:      mov $0x511, %dx
        in %dx, %al
        call put
        dec %edi
        jnz 4b
        ret
3:      inc %ebx
        cmp $0x80, %ebx
        jb 1b
        mov $unknown, %esi      /* falls through: not on QEMU, or without a nonce */

say:    lodsb
        test %al, %al
        jz 1f
        call put
        jmp say
1:      ret

put:    mov %al, %ah            /* when the last byte has left the port */
        mov $COM1 + 5, %dx
1:      in %dx, %al
        test $0x40, %al
        jz 1b
        mov %ah, %al
        mov $COM1, %dx
        out %al, %dx
        ret

serial: mov $setup, %esi        /* 115200 8n1 with FIFO */
        mov $6, %ecx
1:      lodsw
        movzx %al, %edx
        add $COM1, %dx
        mov %ah, %al
        out %al, %dx
        loop 1b
        ret

        .section .rodata
setup:  .byte 3, 0x80, 0, 1, 1, 0, 3, 3, 2, 7, 4, 3 /* register, value */
good:   .asciz "multiboot2: magic, RSDP and module are good\r\n"
frame:  .asciz "\r\n[selkie:exit status="
frame_nonce:
        .asciz " nonce="
frame_end:
        .asciz "]\r\n"
unknown:
        .asciz "none"
override:
        .ascii "SELKIERUN1\0nonce="
override_end:

        .bss
        .balign 16
module: .skip 4
rsdp:   .skip 4
        .skip 4096
stack_top:
        .section .note.GNU-stack, ""
