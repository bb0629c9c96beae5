/* Tests the C interface of the runtime, on the kernel. Ends with 7 when all is well, which shows that
 * `selkie_exit` sets the status. */

#include <selkie.h>

static int failures;

static void check(const char *what, bool good)
{
    selkie_print(good ? "ok " : "not ok ");
    selkie_print(what);
    selkie_print("\n");
    failures += !good;
}

static bool same(const char *a, const char *b)
{
    return a != NULL && strlen(a) == strlen(b) && memcmp(a, b, strlen(b)) == 0;
}

static void arguments(int argc, char **argv)
{
    check("arguments follow the function's name", argc == 3 && same(argv[1], "one") && same(argv[2], "two words"));
    check("a null pointer follows the arguments", argv[argc] == NULL);
    check("variables have values", same(selkie_env("NAME"), "a=b") && same(selkie_env("EMPTY"), ""));
    check("other names have none", selkie_env("NAM") == NULL && selkie_env("NAME=a") == NULL && selkie_env("") == NULL);
}

static void memory(void)
{
    unsigned char *piece = selkie_alloc(100);
    check("memory is aligned", piece != NULL && (uintptr_t)piece % 16 == 0);
    memset(piece, 7, 100);
    unsigned char *larger = selkie_realloc(piece, 50000);
    check("memory keeps its content when it grows", larger != NULL && larger[0] == 7 && larger[99] == 7);
    check("memory is no more than there is", selkie_alloc(SIZE_MAX) == NULL && selkie_alloc((size_t)1 << 40) == NULL);
    check("a product that overflows is too much", selkie_alloc_zeroed(SIZE_MAX / 2, 3) == NULL);
    selkie_free(larger);
    selkie_free(NULL);

    int *numbers = selkie_alloc_zeroed(1000, sizeof(int));
    int sum = numbers == NULL;
    for (int i = 0; numbers != NULL && i < 1000; i++)
        sum |= numbers[i];
    check("memory is zero when asked for", sum == 0);
    selkie_free(numbers);

    bool room = true;
    for (int i = 0; room && i < 10000; i++) {
        void *again = selkie_alloc(20000);
        room = again != NULL;
        selkie_free(again);
    }
    check("memory that was given back is there again", room);
}

static void time(void)
{
    uint64_t before = selkie_time();
    bool slept = selkie_sleep(20000000);
    uint64_t passed = selkie_time() - before;
    check("sleep waits as long as it should", slept && passed >= 20000000 && passed < 2000000000);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    memory();
    time();
    check("memory of the machine is known", selkie_memory_size() >> 20 > 0);
    check("nothing is read where nothing was sent", selkie_read() == -1);
    selkie_print_signed(-5);
    selkie_print(" ");
    selkie_print_unsigned(UINT64_MAX);
    selkie_print(" ");
    selkie_print_hex(255);
    selkie_write("\nend\n", 5);
    if (failures == 0)
        selkie_exit(7);
    return 1;
}
