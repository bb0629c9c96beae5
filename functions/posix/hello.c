/* The smallest POSIX program: greets whoever its first argument names. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

int main(int argc, char **argv)
{
    struct utsname system;
    const char *name = argc > 1 ? argv[1] : "world";

    if (uname(&system) != 0) {
        perror("uname");
        return 1;
    }
    printf("Hello, %s!\n", name);
    printf("This is %s %s on %s.\n", system.sysname, system.release, system.machine);
    return 0;
}
