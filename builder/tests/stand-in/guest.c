/* A guest for the tests of the smoke runner: it plays seL4 and its root task at once in a real QEMU.
 * The multiboot module, where an image has its root task, is a text; each line is one thing to do:
 *   print TEXT       a line on COM1            port N    N to the exit port
 *   frame N [NONCE]  the exit line             reset     by a triple fault
 *   read             a line from COM1, echoed  off       ACPI power-off (q35)
 *   hang             for ever
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define COM1 0x3f8
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511

__asm__(".section .text.startup\n"
        ".align 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".globl _start\n"
        "_start:\n"
        "  mov $stack + 4096, %esp\n"
        "  push %ebx\n"
        "  call play\n"
        ".section .note.GNU-stack,\"\"\n"
        ".text\n");

u8 stack[4096] __attribute__((aligned(16)));

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static u8 in8(u16 port) { u8 value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }

static void put(char c)
{
    while (!(in8(COM1 + 5) & 0x40)) {
    }
    out8(COM1, c);
}

static void say(const char *text) { while (*text) put(*text++); }

static char get(void)
{
    while (!(in8(COM1 + 5) & 1)) {
    }
    return in8(COM1);
}

static u32 big(const u8 *bytes) { return (u32)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]; }

static int same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++, b++;
    }
    return *a == *b;
}

static void fw_cfg(u16 key, u8 *to, u32 size)
{
    if (key) {
        out16(FW_CFG_SELECT, key);
    }
    while (size--) {
        *to++ = in8(FW_CFG_DATA);
    }
}

/* The value of `nonce` in the fw_cfg file opt/selkie/run. */
static const char *nonce(void)
{
    static u8 content[4096];
    u8 entry[64];
    fw_cfg(0x19, entry, 4);
    u32 files = big(entry), size = 0;
    u16 key = 0;
    while (files--) {
        fw_cfg(0, entry, sizeof entry);
        if (same((char *)entry + 8, "opt/selkie/run")) {
            size = big(entry);
            key = entry[4] << 8 | entry[5];
        }
    }
    if (!key || size >= sizeof content) {
        return "none";
    }
    fw_cfg(key, content, size);
    for (u32 at = 0; at + 6 < size; at++) {
        const char *name = "nonce=";
        u32 n = 0;
        while (name[n] && content[at + n] == (u8)name[n]) n++;
        if (!name[n]) return (char *)content + at + n;
    }
    return "none";
}

static u32 number(const char *text)
{
    u32 value = 0;
    while (*text >= '0' && *text <= '9') value = value * 10 + (*text++ - '0');
    return value;
}

static void reset(void)
{
    struct { u16 limit; u32 base; } __attribute__((packed)) none = { 0, 0 };
    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

/* SeaBIOS places the power management registers of q35 at 0x600. */
static void power_off(void) { out16(0x604, 0x2000); }

static void frame(const char *argument)
{
    const char *own = nonce();
    say("\r\n[selkie:exit status=");
    while (*argument && *argument != ' ') put(*argument++);
    say(" nonce=");
    say(*argument == ' ' ? argument + 1 : own);
    say("]\r\n");
}

static void obey(const char *word, const char *argument)
{
    if (same(word, "print")) say(argument), say("\r\n");
    if (same(word, "frame")) frame(argument);
    if (same(word, "port")) out32(0xf4, number(argument));
    if (same(word, "reset")) reset();
    if (same(word, "off")) power_off();
    if (same(word, "read")) {
        char c;
        while ((c = get()) != '\n') put(c);
        say("\r\n");
    }
    if (same(word, "hang")) for (;;) __asm__ volatile("cli; hlt");
}

__attribute__((used)) void play(const u32 *info)
{
    const u32 *module = (const u32 *)info[6];
    char line[256], *argument = 0;
    u32 length = 0;
    out8(COM1 + 2, 7);
    for (const char *at = (const char *)module[0]; at < (const char *)module[1]; at++) {
        if (*at != '\n') {
            line[length] = *at;
            if (*at == ' ' && !argument) {
                line[length] = 0;
                argument = line + length + 1;
            }
            length++;
            continue;
        }
        line[length] = 0;
        obey(line, argument ? argument : "");
        length = 0;
        argument = 0;
    }
    for (;;) __asm__ volatile("cli; hlt");
}
