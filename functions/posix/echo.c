/* A server for TCP and UDP that sends back what it gets: one thread, which waits with poll, select or kqueue.
 *
 *     echo [PORT [poll|select|kqueue]]
 *
 * It ends with status 0 when it is told to stop (SIGTERM: Ctrl-C at the console), once what it has taken is sent back. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/event.h>
#include <sys/select.h>
#include <sys/socket.h>

enum { MAX_CONNECTIONS = 240, BUFFER = 32 * 1024, FIRST = 3, MAX_FILES = FIRST + MAX_CONNECTIONS };

/* What is waited for, in the order of `files`: the pipe of the signal, the two listening sockets, the connections. */
static struct pollfd files[MAX_FILES];
static unsigned count;

struct connection {
    char *bytes;
    size_t begin, end;
};
static struct connection connections[MAX_FILES];

static int stop_pipe[2];
static unsigned long accepted, datagrams;
static unsigned long long echoed;

static void on_stop(int signal)
{
    (void)signal;
    (void)!write(stop_pipe[1], "", 1);
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int listener(int kind, unsigned short port)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    int on = 1, off = 0, file = socket(AF_INET6, kind, 0);

    if (file >= 0) {
        setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(file, (struct sockaddr *)&six, sizeof six) != 0)
            fail("bind");
    } else {
        /* NetBSD without the component for IPv6. */
        if ((file = socket(AF_INET, kind, 0)) < 0)
            fail("socket");
        setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(file, (struct sockaddr *)&four, sizeof four) != 0)
            fail("bind");
    }
    if (kind == SOCK_STREAM && listen(file, 128) != 0)
        fail("listen");
    fcntl(file, F_SETFL, O_NONBLOCK);
    return file;
}

static void add(int file)
{
    files[count].fd = file;
    files[count].events = POLLIN;
    count++;
}

static void end_connection(unsigned place)
{
    close(files[place].fd);
    free(connections[place].bytes);
    count--;
    files[place] = files[count];
    connections[place] = connections[count];
}

static void accept_all(int file)
{
    int on = 1, connection;

    while (count < MAX_FILES && (connection = accept(file, NULL, NULL)) >= 0) {
        char *bytes = malloc(BUFFER);

        if (bytes == NULL) {
            close(connection);
            return;
        }
        fcntl(connection, F_SETFL, O_NONBLOCK);
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[count] = (struct connection){ .bytes = bytes };
        add(connection);
        accepted++;
    }
}

static void answer_datagrams(int file)
{
    static char bytes[65536];
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    ssize_t size;

    while ((size = recvfrom(file, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length)) >= 0) {
        sendto(file, bytes, (size_t)size, 0, (struct sockaddr *)&from, length);
        datagrams++;
        length = sizeof from;
    }
}

/* Moves what can be moved. Returns whether the connection lasts. */
static int serve(unsigned place)
{
    struct connection *own = &connections[place];
    int file = files[place].fd;

    for (;;) {
        ssize_t size;

        if (own->begin == own->end) {
            size = read(file, own->bytes, BUFFER);
            if (size == 0 || (size < 0 && errno != EAGAIN))
                return 0;
            files[place].events = POLLIN;
            if (size < 0)
                return 1;
            own->begin = 0;
            own->end = (size_t)size;
        }
        size = write(file, own->bytes + own->begin, own->end - own->begin);
        if (size < 0 && errno != EAGAIN)
            return 0;
        if (size < 0) {
            /* Nothing is read as long as what was read is not sent back. */
            files[place].events = POLLOUT;
            return 1;
        }
        own->begin += (size_t)size;
        echoed += (unsigned long long)size;
    }
}

static void wait_with_select(void)
{
    fd_set in, out;
    int most = 0;

    FD_ZERO(&in);
    FD_ZERO(&out);
    for (unsigned place = 0; place < count; place++) {
        FD_SET(files[place].fd, files[place].events == POLLIN ? &in : &out);
        if (files[place].fd > most)
            most = files[place].fd;
    }
    if (select(most + 1, &in, &out, NULL, NULL) < 0)
        fail("select");
    for (unsigned place = 0; place < count; place++)
        files[place].revents = (short)(FD_ISSET(files[place].fd, &in) || FD_ISSET(files[place].fd, &out));
}

static void wait_with_kqueue(int queue)
{
    struct kevent changes[MAX_FILES], events[MAX_FILES];
    int number;

    for (unsigned place = 0; place < count; place++) {
        files[place].revents = 0;
        EV_SET(&changes[place], (uintptr_t)files[place].fd,
            files[place].events == POLLIN ? EVFILT_READ : EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, place);
    }
    number = kevent(queue, changes, count, events, count, NULL);
    if (number < 0)
        fail("kevent");
    for (int event = 0; event < number; event++)
        files[(unsigned)(intptr_t)events[event].udata].revents = 1;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 7, queue = -1;
    const char *with = argc > 2 ? argv[2] : "poll";
    int one_of_three = !strcmp(with, "poll") || !strcmp(with, "select") || !strcmp(with, "kqueue");

    if (argc > 3 || port < 1 || port > 65535 || !one_of_three) {
        fprintf(stderr, "usage: echo [PORT [poll|select|kqueue]]\n");
        return 2;
    }
    if (pipe(stop_pipe) != 0 || (!strcmp(with, "kqueue") && (queue = kqueue()) < 0))
        fail("pipe");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_stop);
    add(stop_pipe[0]);
    add(listener(SOCK_STREAM, (unsigned short)port));
    add(listener(SOCK_DGRAM, (unsigned short)port));
    printf("echo: port %d for TCP and UDP, with %s\n", port, with);
    fflush(stdout);

    for (;;) {
        if (queue >= 0)
            wait_with_kqueue(queue);
        else if (!strcmp(with, "select"))
            wait_with_select();
        else if (poll(files, count, -1) < 0)
            fail("poll");
        if (files[0].revents)
            break;
        /* From the end on: what ends leaves its place to the last one. */
        for (unsigned place = count; place-- > FIRST;)
            if (files[place].revents && !serve(place))
                end_connection(place);
        if (files[1].revents)
            accept_all(files[1].fd);
        if (files[2].revents)
            answer_datagrams(files[2].fd);
    }
    printf("echo: stopped after %lu connections, %lu datagrams and %llu bytes\n", accepted, datagrams, echoed);
    return 0;
}
