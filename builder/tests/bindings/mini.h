/* The C side of mini.toml, as libsel4 states such things. Options: LIST_LENGTH=3, EXTRA. */
#define CONFIG_LIST_LENGTH 3
#define CONFIG_EXTRA 1

typedef unsigned char mini_Uint8;
typedef unsigned short mini_Uint16;
typedef unsigned long mini_Word;
typedef signed char mini_Bool;
typedef mini_Word mini_CNode, mini_Thread, mini_Arch_Page;

enum { mini_SysCall = -1, mini_SysSend = -2, mini_SysDebugPutChar = -4 };
enum { ThreadConfigure = 1, ThreadWrite, ThreadRead, ArchPageMap, nLabels };
enum { mini_UntypedObject, mini_ThreadObject, mini_ExtraObject, mini_PageObject };
enum { mini_CapNull, mini_CapThread };
enum { mini_NoError, mini_RangeError };
#define mini_PageBits 12

typedef struct { mini_Word ip, sp, r8, tls_base; } mini_Context;
typedef struct { mini_Word start; mini_Uint8 padding; mini_Uint16 kind; } __attribute__((packed)) mini_Item;
typedef struct { mini_Uint8 node; mini_Word extra; unsigned flags; mini_Item first, items[3]; } mini_BootInfo;
typedef struct { mini_Word tag, msg[8], caps[2]; } mini_IpcBuffer;
typedef struct { mini_Word words[1]; } mini_MessageInfo, mini_Rights;

static inline mini_MessageInfo mini_MessageInfo_new(mini_Word label, mini_Word unwrapped, mini_Word caps, mini_Word length)
{
    mini_MessageInfo info = {{ label << 12 | unwrapped << 9 | caps << 7 | length }};
    return info;
}

static inline mini_Rights mini_Rights_new(mini_Word write, mini_Word read)
{
    mini_Rights rights = {{ 0x100 | write << 1 | read }};
    return rights;
}
