/* Checks what POSIX promises and NetBSD keeps on this platform. It prints one line for each check, as the Test Anything
 * Protocol has it, and ends with status 1 when one failed.
 *
 *     selftest [FOLDER…]
 *
 * Files are checked in /tmp and in each FOLDER, for instance where a disk is mounted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/event.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static int checks, failed;

static void check(int good, const char *format, ...)
{
    va_list words;

    printf("%sok %d - ", good ? "" : "not ", ++checks);
    va_start(words, format);
    vprintf(format, words);
    va_end(words);
    printf("\n");
    failed += !good;
}

/* `call` fails with the error `number`. */
#define FAILS(call, number)                                                                        \
    do {                                                                                           \
        errno = 0;                                                                                 \
        int minus_one = (call) == -1, was = errno;                                                 \
        check(minus_one && was == (number), "%s fails with %s (errno %d)", #call, #number, was);   \
    } while (0)

/* Before main. */

static int constructed;
static __thread int own = 7;
static __thread long own_zero;

__attribute__((constructor)) static void construct(void)
{
    constructed = 1;
}

static void begin(int argc, char **argv)
{
    struct utsname system;
    char host[256] = "";

    check(constructed, "constructors run before main");
    check(argc >= 1 && argv[0][0] != 0 && argv[argc] == NULL, "arguments end with a null pointer");
    check(getenv("SELFTEST") && !strcmp(getenv("SELFTEST"), "it's \"a\\b\""), "the environment is that of the recipe");
    check(setenv("NEW", "1", 1) == 0 && !strcmp(getenv("NEW"), "1"), "the environment can be changed");
    check(uname(&system) == 0 && !strcmp(system.sysname, "NetBSD"), "uname: %s %s", system.sysname, system.release);
    check(gethostname(host, sizeof host) == 0 && host[0], "the host has a name: %s", host);
    check(getpid() > 0 && getuid() == 0, "there is a process, of the user root");
    check(isatty(1) || errno == ENOTTY, "isatty answers");
}

/* libc. */

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void library(void)
{
    char text[100];
    int numbers[1000], sorted = 1;
    jmp_buf back;
    volatile int jumps = 0;

    snprintf(text, sizeof text, "%d %05.2f %s %lx %c", -12, 3.14159, "text", 0xdeadbeefUL, '!');
    check(!strcmp(text, "-12 03.14 text deadbeef !"), "snprintf: %s", text);
    check(sscanf("17 -4 word", "%d %d %9s", &numbers[0], &numbers[1], text) == 3 && numbers[1] == -4, "sscanf");
    check(strtod("1e3", NULL) == 1000.0 && strtol("-0x10", NULL, 16) == -16, "strtod, strtol");
    check(fabs(sqrt(2.0) * sqrt(2.0) - 2.0) < 1e-12 && fabs(sin(0.5) - 0.479425538604203) < 1e-12, "sqrt, sin");
    for (int i = 0; i < 1000; i++)
        numbers[i] = (i * 7919) % 1009;
    qsort(numbers, 1000, sizeof *numbers, ascending);
    for (int i = 1; i < 1000; i++)
        sorted &= numbers[i - 1] <= numbers[i];
    check(sorted, "qsort");
    if (setjmp(back) == 0 || jumps < 3) {
        jumps++;
        if (jumps < 3)
            longjmp(back, 1);
    }
    check(jumps == 3, "setjmp, longjmp");
    check(arc4random() != arc4random() || arc4random() != arc4random(), "arc4random gives different numbers");
}

static void memory(void)
{
    enum { PIECES = 200 };
    unsigned char *piece[PIECES];
    int whole = 1;

    for (int i = 0; i < PIECES; i++) {
        size_t size = (size_t)(i * i * 3 + 1);

        if ((piece[i] = malloc(size)) != NULL)
            memset(piece[i], i, size);
    }
    for (int i = 0; i < PIECES; i++) {
        size_t size = (size_t)(i * i * 3 + 1);

        whole &= piece[i] && piece[i][0] == i && piece[i][size - 1] == i;
        if (i % 2)
            free(piece[i]);
    }
    check(whole, "pieces of memory are apart");
    for (int i = 0; i < PIECES; i += 2) {
        whole &= (piece[i] = realloc(piece[i], (size_t)(i * 1000 + 1))) != NULL && piece[i][0] == i;
        free(piece[i]);
    }
    check(whole, "realloc keeps what was there");
    piece[0] = calloc(1000, 7);
    for (int i = 0; i < 7000; i++)
        whole &= piece[0] && piece[0][i] == 0;
    check(whole, "calloc gives zeros");
    free(piece[0]);
    for (int i = 0; i < 1000; i++) {
        void *again = malloc(100000);

        whole &= again != NULL;
        free(again);
    }
    check(whole, "memory that is given back is there again");
    piece[0] = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_ANON | MAP_PRIVATE, -1, 0);
    check(piece[0] != MAP_FAILED && piece[0][65535] == 0 && munmap(piece[0], 1 << 16) == 0, "mmap of memory");
}

/* Files. */

static void name(char *path, const char *folder, const char *file)
{
    snprintf(path, 300, "%s/%s", folder, file);
}

static void contents(const char *path)
{
    enum { SIZE = 300000 };
    static unsigned char wrote[SIZE], got[SIZE];
    int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    struct stat status;
    void *mapped;

    for (int i = 0; i < SIZE; i++)
        wrote[i] = (unsigned char)(i * 31 + i / 257);
    check(file >= 0, "%s: a new file", path);
    check(write(file, wrote, SIZE) == SIZE && fsync(file) == 0, "%s: %d bytes are written", path, SIZE);
    check(lseek(file, 0, SEEK_SET) == 0 && read(file, got, SIZE) == SIZE && !memcmp(wrote, got, SIZE),
        "%s: they are read again", path);
    check(pread(file, got, 10, 123456) == 10 && !memcmp(got, wrote + 123456, 10), "%s: pread", path);
    mapped = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, file, 0);
    check(mapped != MAP_FAILED && !memcmp(mapped, wrote, SIZE) && munmap(mapped, SIZE) == 0, "%s: mmap to read", path);
    mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    check(mapped == MAP_FAILED && errno == EOPNOTSUPP, "%s: there is no mmap to write", path);
    check(fstat(file, &status) == 0 && status.st_size == SIZE && S_ISREG(status.st_mode), "%s: fstat", path);
    check(ftruncate(file, 1000) == 0 && fstat(file, &status) == 0 && status.st_size == 1000, "%s: ftruncate", path);
    check(lseek(file, 5000, SEEK_SET) == 5000 && write(file, "x", 1) == 1 && pread(file, got, 1, 4000) == 1 && !got[0],
        "%s: a hole is zeros", path);
    check(close(file) == 0, "%s: close", path);
    FAILS(open(path, O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
}

static void streams(const char *path)
{
    char line[100];
    FILE *file = fopen(path, "w+");
    int lines = 0;

    for (int i = 0; i < 1000; i++)
        fprintf(file, "line %d\n", i);
    rewind(file);
    while (fgets(line, sizeof line, file) && atoi(line + 5) == lines)
        lines++;
    check(lines == 1000 && feof(file) && !ferror(file), "%s: a thousand lines", path);
    check(fseek(file, -9, SEEK_END) == 0 && fgets(line, sizeof line, file) && !strcmp(line, "line 999\n"),
        "%s: fseek", path);
    check(fclose(file) == 0 && unlink(path) == 0, "%s: unlink", path);
    check(fopen(path, "r") == NULL && errno == ENOENT, "%s: it is gone", path);
}

static void folders(const char *folder)
{
    char sub[300], file[310], moved[300];
    DIR *listed;
    struct dirent *entry;
    int seen = 0;

    name(sub, folder, "sub");
    name(moved, folder, "moved");
    snprintf(file, sizeof file, "%s/file", sub);
    check(mkdir(sub, 0755) == 0, "%s: mkdir", sub);
    FAILS(mkdir(sub, 0755), EEXIST);
    for (int i = 0; i < 40; i++) {
        char path[320];
        int one;

        snprintf(path, sizeof path, "%s%d", file, i);
        if ((one = open(path, O_CREAT | O_WRONLY, 0600)) >= 0)
            close(one);
    }
    listed = opendir(sub);
    while (listed && (entry = readdir(listed)) != NULL)
        seen += !strncmp(entry->d_name, "file", 4);
    check(seen == 40 && closedir(listed) == 0, "%s: 40 files are listed (%d)", sub, seen);
    FAILS(rmdir(sub), ENOTEMPTY);
    check(rename(sub, moved) == 0 && access(sub, F_OK) != 0 && access(moved, F_OK) == 0, "%s: rename", sub);
    for (int i = 0; i < 40; i++) {
        char path[320];

        snprintf(path, sizeof path, "%s/file%d", moved, i);
        unlink(path);
    }
    check(rmdir(moved) == 0, "%s: rmdir", moved);
    FAILS(open(folder, O_WRONLY), EISDIR);
}

static void files_in(const char *folder)
{
    char path[300], link_path[300], got[300];
    ssize_t length;

    name(path, folder, "contents");
    unlink(path);
    contents(path);
    name(link_path, folder, "link");
    unlink(link_path);
    length = symlink("contents", link_path) == 0 ? readlink(link_path, got, sizeof got) : -1;
    check(length == 8 && !memcmp(got, "contents", 8), "%s: a symbolic link", link_path);
    unlink(link_path);
    check(link(path, link_path) == 0 && unlink(path) == 0 && access(link_path, R_OK) == 0, "%s: a link", link_path);
    unlink(link_path);
    name(path, folder, "stream");
    streams(path);
    folders(folder);
}

/* How often the disk of this folder has seen the program: the file stays there. */
static void boots(const char *folder)
{
    char path[300], text[20] = "";
    FILE *file;
    int before;

    name(path, folder, "boots");
    if ((file = fopen(path, "r")) != NULL) {
        if (!fgets(text, sizeof text, file))
            text[0] = 0;
        fclose(file);
    }
    before = atoi(text);
    file = fopen(path, "w");
    check(file && fprintf(file, "%d\n", before + 1) > 0 && fclose(file) == 0, "%s: this is boot %d", path, before + 1);
}

/* Threads. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static long counter, onces, destroyed;
static int turn;

static void count_once(void)
{
    onces++;
}

static void destroy(void *value)
{
    destroyed += (long)value;
}

static void *count(void *argument)
{
    long number = (long)argument, good = own == 7 && own_zero == 0;

    own = (int)number;
    own_zero = number;
    pthread_once(&once, count_once);
    pthread_setspecific(key, (void *)1);
    for (int i = 0; i < 1000; i++) {
        long seen;

        pthread_mutex_lock(&mutex);
        seen = counter;
        if (i % 10 == 0)
            sched_yield();
        counter = seen + 1;
        pthread_mutex_unlock(&mutex);
        pthread_rwlock_rdlock(&lock);
        good &= own == number && own_zero == number;
        pthread_rwlock_unlock(&lock);
    }
    return (void *)(good ? number : -1);
}

static void *alternate(void *argument)
{
    int mine = (int)(long)argument;

    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 != mine)
            pthread_cond_wait(&changed, &mutex);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void threads(void)
{
    enum { THREADS = 80 };
    pthread_t thread[THREADS];
    pthread_attr_t small;
    struct timespec until;
    int good = pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 32 * 1024) == 0;

    pthread_key_create(&key, destroy);
    for (long i = 0; i < THREADS; i++)
        good &= pthread_create(&thread[i], &small, count, (void *)i) == 0;
    check(good, "%d threads begin", THREADS);
    for (long i = 0; i < THREADS; i++) {
        void *result;

        good &= pthread_join(thread[i], &result) == 0 && (long)result == i;
    }
    check(good, "each has variables of its own and ends with its result");
    check(counter == THREADS * 1000L, "a mutex lets one in at a time (%ld)", counter);
    check(onces == 1 && destroyed == THREADS, "pthread_once, and keys with destructors");
    check(own == 7, "variables of the first thread are as they were");
    for (long i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, alternate, (void *)i);
    for (long i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    check(turn == 1000, "two threads take turns by a condition");
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 50000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&mutex);
    check(pthread_cond_timedwait(&changed, &mutex, &until) == ETIMEDOUT, "nobody signals: the wait ends in time");
    pthread_mutex_unlock(&mutex);
    check(pthread_mutex_trylock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0, "pthread_mutex_trylock");
}

/* Time. */

static long long nanoseconds(clockid_t clock)
{
    struct timespec now = { 0, 0 };

    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void times(void)
{
    struct timespec tenth = { 0, 100000000 };
    struct tm parts;
    time_t day = 1000000000;
    char text[40];
    long long before = nanoseconds(CLOCK_MONOTONIC), wall = nanoseconds(CLOCK_REALTIME);
    int forward = 1;

    check(nanosleep(&tenth, NULL) == 0, "nanosleep");
    check(nanoseconds(CLOCK_MONOTONIC) - before >= 100000000, "it has slept for at least as long");
    check(nanoseconds(CLOCK_REALTIME) - wall >= 90000000, "the time of day has gone on");
    for (int i = 0; i < 10000; i++) {
        long long now = nanoseconds(CLOCK_MONOTONIC);

        forward &= now >= before;
        before = now;
    }
    check(forward, "time does not go back");
    check(time(NULL) > 1700000000, "it is later than 2023: %lld", (long long)time(NULL));
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&day, &parts));
    check(!strcmp(text, "2001-09-09 01:46:40"), "gmtime_r, strftime: %s", text);
}

/* Sockets and what waits for them. */

static struct sockaddr_in local(unsigned short port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    return address;
}

static void *send_a_mebibyte(void *argument)
{
    int file = (int)(long)argument;
    static char bytes[1 << 20];
    size_t sent = 0;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 13 + i / 251);
    while (sent < sizeof bytes) {
        ssize_t size = write(file, bytes + sent, sizeof bytes - sent);

        if (size <= 0)
            break;
        sent += (size_t)size;
    }
    shutdown(file, SHUT_WR);
    return NULL;
}

static void streams_over_loopback(void)
{
    int listening = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server;
    struct sockaddr_in address = local(0);
    socklen_t length = sizeof address;
    pthread_t sender;
    size_t got = 0, wrong = 0;
    ssize_t size;
    static char bytes[5000];

    check(listening >= 0 && bind(listening, (struct sockaddr *)&address, length) == 0 && listen(listening, 5) == 0
            && getsockname(listening, (struct sockaddr *)&address, &length) == 0,
        "a server on the loopback interface");
    check(connect(client, (struct sockaddr *)&address, length) == 0, "connect");
    server = accept(listening, NULL, NULL);
    check(server >= 0, "accept");
    pthread_create(&sender, NULL, send_a_mebibyte, (void *)(long)client);
    while ((size = read(server, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < size; i++, got++)
            wrong += bytes[i] != (char)(got * 13 + got / 251);
    pthread_join(sender, NULL);
    check(got == 1 << 20 && wrong == 0, "a mebibyte comes through unchanged (%zu bytes, %zu wrong)", got, wrong);
    close(server);
    close(client);
    close(listening);
    client = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(connect(client, (struct sockaddr *)&address, length), ECONNREFUSED);
    close(client);
}

static void datagrams_over_loopback(void)
{
    int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = local(0);
    socklen_t length = sizeof address;
    struct timeval patience = { 0, 50000 };
    char text[10] = "";

    bind(one, (struct sockaddr *)&address, length);
    getsockname(one, (struct sockaddr *)&address, &length);
    check(sendto(two, "hello", 6, 0, (struct sockaddr *)&address, length) == 6 && recv(one, text, sizeof text, 0) == 6
            && !strcmp(text, "hello"),
        "a datagram comes through");
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    FAILS((int)recv(one, text, sizeof text, 0), EAGAIN);
    close(one);
    close(two);
}

static void waits(void)
{
    int ends[2], queue = kqueue();
    struct pollfd poll_in;
    struct timeval no_time = { 0, 0 };
    struct timespec soon = { 0, 20000000 };
    struct kevent change, event;
    fd_set set;

    check(pipe(ends) == 0, "pipe");
    poll_in = (struct pollfd){ .fd = ends[0], .events = POLLIN };
    check(poll(&poll_in, 1, 30) == 0, "poll: nothing yet");
    EV_SET(&change, (uintptr_t)ends[0], EVFILT_READ, EV_ADD, 0, 0, 0);
    check(queue >= 0 && kevent(queue, &change, 1, &event, 1, &soon) == 0, "kevent: nothing yet");
    check(write(ends[1], "abc", 3) == 3, "write to a pipe");
    check(poll(&poll_in, 1, 1000) == 1 && poll_in.revents == POLLIN, "poll: something");
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    check(select(ends[0] + 1, &set, NULL, NULL, &no_time) == 1 && FD_ISSET(ends[0], &set), "select: something");
    check(kevent(queue, NULL, 0, &event, 1, &soon) == 1 && event.data == 3, "kevent: three bytes");
    EV_SET(&change, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 30, 0);
    EV_SET(&event, (uintptr_t)ends[0], EVFILT_READ, EV_DELETE, 0, 0, 0);
    kevent(queue, &event, 1, NULL, 0, NULL);
    check(kevent(queue, &change, 1, &event, 1, NULL) == 1 && event.filter == EVFILT_TIMER, "kevent: a timer");
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    FAILS((int)write(ends[1], "x", 1), EPIPE);
    close(ends[1]);
    close(queue);
}

/* Signals: a handler is kept, and called when the function is told to stop or signals itself; there is nobody else. */

static volatile sig_atomic_t signalled;

static void on_signal(int signal)
{
    signalled = signal;
}

static void signals(void)
{
    struct sigaction action = { .sa_handler = on_signal }, old;

    check(sigaction(SIGTERM, &action, &old) == 0 && old.sa_handler == SIG_DFL, "a handler is set");
    check(sigaction(SIGTERM, NULL, &old) == 0 && old.sa_handler == on_signal, "and kept");
    check(raise(SIGTERM) == 0 && signalled == SIGTERM, "raise calls it");
    signalled = 0;
    check(kill(getpid(), SIGTERM) == 0 && signalled == SIGTERM, "and so does kill");
    FAILS(kill(4711, SIGTERM), ESRCH);
    check(signal(SIGINT, SIG_IGN) == SIG_DFL && signal(SIGINT, SIG_DFL) == SIG_IGN, "signal");
    FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
    FAILS(sigaction(1000, &action, NULL), EINVAL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGTERM, &action, NULL);
}

/* What there is not. */

static void lacking(void)
{
    char *const nothing[] = { NULL };
    int status;

    FAILS(fork(), ENOSYS);
    FAILS(execve("/bin/sh", nothing, nothing), ENOTSUP);
    FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
    FAILS(open("/no/such/file", O_RDONLY), ENOENT);
    FAILS(close(77), EBADF);
    FAILS(socket(AF_INET, 99, 0), EPROTOTYPE);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    begin(argc, argv);
    library();
    memory();
    files_in("/tmp");
    for (int i = 1; i < argc; i++) {
        files_in(argv[i]);
        boots(argv[i]);
    }
    threads();
    times();
    streams_over_loopback();
    datagrams_over_loopback();
    waits();
    signals();
    lacking();
    printf("1..%d\n", checks);
    if (failed)
        printf("# %d of %d checks failed\n", failed, checks);
    return failed != 0;
}
