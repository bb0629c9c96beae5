/* Greets, and says where it runs: what `hello` does in Rust. */

#include <selkie.h>

int main(int argc, char **argv)
{
    selkie_print("Hello, ");
    selkie_print(argc > 1 ? argv[1] : "world");
    selkie_print("!\nThis is seL4 ");
    selkie_print(selkie_kernel_version());
    selkie_print(" with ");
    selkie_print_unsigned(selkie_memory_size() >> 20);
    selkie_print(" MiB of memory.\n");
    return 0;
}
