/* The C side of next.toml, as libsel4 states such things. Options: LIST_LENGTH=3, EXTRA, and KERNEL_MCS or not. */
#define CONFIG_LIST_LENGTH 3
#define CONFIG_EXTRA 1
#ifndef CONFIG_KERNEL_MCS
#define CONFIG_TICK 2
#endif

typedef unsigned char mini_Uint8;
typedef unsigned long mini_Word;
typedef mini_Word mini_Time;
typedef mini_Word mini_CNode, mini_Thread, mini_Arch_Page, mini_Clock;

#ifdef CONFIG_KERNEL_MCS
enum {
    mini_SysCall = -1, mini_SysReplyRecv = -2, mini_SysNBSendRecv = -3, mini_SysNBSendWait = -4, mini_SysSend = -5,
    mini_SysRecv = -6, mini_SysWait = -7, mini_SysDebugPutChar = -9, mini_SysSetBase = -10
};
enum { ThreadConfigure = 1, ThreadWrite, ClockSet, ArchPageMap, nLabels };
enum { mini_UntypedObject, mini_ThreadObject, mini_ClockObject, mini_PageObject };
enum { mini_Fault_None, mini_Fault_Timeout, mini_Fault_VM };
enum { mini_Timeout_Data };
#define mini_ThreadBits 7
#else
enum { mini_SysCall = -1, mini_SysSend = -2, mini_SysRecv = -3, mini_SysDebugPutChar = -5, mini_SysSetBase = -6 };
enum { ThreadConfigure = 1, ThreadWrite, ArchPageMap, nLabels };
enum { mini_UntypedObject, mini_ThreadObject, mini_PageObject };
enum { mini_Fault_None, mini_Fault_VM };
#define mini_ThreadBits 6
#endif
enum { mini_CapNull, mini_CapThread };
enum { mini_NoError, mini_RangeError };
#define mini_PageBits 12

typedef struct { mini_Word ip, sp, r8, fs_base; } mini_Context;
typedef struct { mini_Word start; mini_Uint8 padding; unsigned short kind; } __attribute__((packed)) mini_Item;
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
